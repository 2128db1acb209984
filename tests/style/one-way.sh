#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What has one place: threads start in base/thread.c (signals blocked, a name, a deadline by the monotonic clock), and that memory is out is
# said by err_nomem(). Where scratch files lie is known in one place. And what has one name: see "Results" in docs/architecture.md.
set -u
cd "$(dirname "$0")/../.." || exit 1

failed=0
only_in() { # PLACE PATTERN WHY
    local found
    git grep -qE "$2" -- "$1" || { echo "$1 has no $2: this test looks for the wrong thing" && failed=1; }
    found=$(git grep -nE "$2" -- 'src/*.c' | grep -v "^$1:")
    [ -z "$found" ] || { echo "$found" && echo "  $3" && failed=1; }
}

only_in src/base/thread.c '\bpthread_(create|cond_timedwait|condattr_setclock)\(' "use thread_start(), thread_cond_init(), thread_cond_wait_until()"
only_in src/base/err.c 'err_(set|errno)\([^,]*, ENOMEM, "[^"%]*"\)' "use err_nomem()"
# whoever looks for the folder of scratch files on his own finds another one.
only_in src/hypervisor/job/scratch_dir.c '(if \(|\|\| |= )io_kept_folder\(' "use hv_scratch_dir()"

# what a function yields: parameters that it sets and does not read are called ret or ret_NAME (or "to": a member that is filled in; "error": libnbd's)
out_parameters() {
    awk '
    function judge(    i, n, parts, p, name, sets, all, rest) {
        sub(/^[^(]*\(/, "", signature)
        sub(/\)[^)]*$/, "", signature)
        n = split(signature, parts, ",")
        for (i = 1; i <= n; i++) {
            p = parts[i]
            if (p !~ /^ *(bool|int|unsigned|double|(u?int(8|16|32|64)|size|ssize|off|uid|gid|pid)_t|char \*+|json_t \*+|struct [a-z_]+ \*+) ?\*[a-z_]+ *$/) continue
            name = p
            sub(/^.*\*/, "", name)
            sub(/ *$/, "", name)
            if (name ~ /^ret(_|$)/ || name == "to" || name == "error") continue
            rest = body
            sets = gsub("[^a-z_*>.]\\*" name " = ", " = ", rest)
            all = gsub("[^a-z_>.]" name "[^a-z_]", " ", rest)
            # a look at whether it is wanted, "if (x)", is no reading of it
            if (sets && all <= (body ~ "if \\(" name "\\)")) print file ":" line ": " name " of " what
        }
    }
    FNR == 1 { state = 0; file = FILENAME }
    state == 0 && /^[a-z].*[a-z_]\(/ && !/;$/ { state = 1; signature = ""; line = FNR; what = $0; sub(/\(.*/, "", what); sub(/.*[ *]/, "", what) }
    state == 1 && /^\{$/ { state = 2; body = ""; next }
    state == 1 { signature = signature " " $0; if (/;$/) state = 0 }
    state == 2 && /^\}/ { judge(); state = 0 }
    state == 2 { body = body "\n" $0 " " }
    ' "$@"
}
# of what a call did: r, or rc where r is something else; a struct that a job gives back is a struct ..._result
mapfile -t sources < <(git ls-files 'src/*.c')
found=$(out_parameters "${sources[@]}")
[ -z "$found" ] || { echo "$found" && echo "  a parameter that is only set is called ret or ret_NAME" && failed=1; }
found=$(git grep -nwE '(int|bool|ssize_t) (result|res|rv|retval|outcome)' -- 'src/*.[ch]' 'include/*.h')
[ -z "$found" ] || { echo "$found" && echo "  what a call did is called r, or rc where r is something else" && failed=1; }
found=$(git grep -nE '^struct [a-z_]*(outcome|output|returned|results)\b' -- 'src/*.[ch]' 'include/*.h')
[ -z "$found" ] || { echo "$found" && echo "  what a job gives back is a struct ..._result" && failed=1; }

# the check itself finds what it is about
sample=$(mktemp)
printf 'int f(int a, char **out, bool *seen, size_t *ret)\n{\n    *out = NULL;\n    *seen = *seen || a;\n    *ret = 1;\n    return 0;\n}\n' > "$sample"
[ "$(out_parameters "$sample")" = "$sample:1: out of f" ] || { echo "out_parameters finds: $(out_parameters "$sample")" && failed=1; }
rm "$sample"
exit $failed
