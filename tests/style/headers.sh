#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every header compiles alone, and twice; those in include/kvss in plain C99 too: a writer may be built without our settings.
set -u
cd "$(dirname "$0")/../.." || exit 1

flags=$(pkg-config --cflags libxml-2.0 jansson libnbd libvirt)
failed=0
seen=0
for header in include/kvss/*.h $(find src -name '*.h' | sort); do
    seen=$((seen + 1))
    case $header in
    include/*) include="<${header#include/}>" && options='-Iinclude -std=c99 -pedantic' ;;
    *) include="\"${header#src/}\"" && options="-Iinclude -Isrc -I${KVSS_BUILD:-build}/src -std=gnu17 -D_GNU_SOURCE $flags" ;;
    esac
    # shellcheck disable=SC2086 # the options are several words
    printf '#include %s\n#include %s\nextern int nothing;\n' "$include" "$include" |
        ${CC:-cc} $options -Wall -Wextra -Werror -fsyntax-only -x c - || { echo "$header does not compile alone" && failed=1; }
done
[ $seen -ge 10 ] || { echo "only $seen headers were found" && failed=1; }
exit $failed
