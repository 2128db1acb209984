#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every source file names the licence in its first line (scripts: the second).
set -u
cd "$(dirname "$0")/../.." || exit 1

git ls-files -z | xargs -0 awk '
    FNR == 1 {
        c = FILENAME ~ /\.[ch]$/
        script = FILENAME ~ /(\.sh|\.py|meson\.build|Makefile)$/ || /^#!/
        if (c || script) {
            seen++
            without[FILENAME]
        }
    }
    c && FNR == 1 && $0 == "/* SPDX-License-Identifier: LGPL-2.1-or-later */" { delete without[FILENAME] }
    script && FNR <= 2 && $0 == "# SPDX-License-Identifier: LGPL-2.1-or-later" { delete without[FILENAME] }
    END {
        for (file in without) {
            print file ": no licence line"
            failed = 1
        }
        if (seen < 30) {
            print "only " seen + 0 " files were looked at"
            failed = 1
        }
        exit failed
    }'
