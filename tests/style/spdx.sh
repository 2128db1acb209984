#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every source file names the licence in its first line (scripts: the second).
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
seen=0
while read -r file; do
    [ -s "$file" ] || continue
    case $file in
    *.[ch]) want='^/\* SPDX-License-Identifier: LGPL-2\.1-or-later \*/$' lines=1 ;;
    *.sh | *.py | *meson.build | Makefile) want='^# SPDX-License-Identifier: LGPL-2\.1-or-later$' lines=2 ;;
    *)
        head -c 2 "$file" | grep -q '^#!' || continue
        want='^# SPDX-License-Identifier: LGPL-2\.1-or-later$' lines=2
        ;;
    esac
    seen=$((seen + 1))
    head -n $lines "$file" | grep -q "$want" || { echo "$file: no licence line" && failed=1; }
done < <(git ls-files)
[ $seen -ge 30 ] || { echo "only $seen files were looked at" && failed=1; }
exit $failed
