#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# No path is resolved twice (base/io_at.h): what touches places that others may own reaches them from open folder to open folder. So the
# objects of these modules call nothing that opens, makes, renames, links, removes or gives away by a path, nor do they start at AT_FDCWD.
# Exceptions are listed with what they are for.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${KVSS_BUILD:-build}

banned='^(__)?(open|creat|mkdir|mknod|mkfifo|rename|unlink|link|symlink|chown|lchown|chmod|lchmod|truncate|rmdir|remove|fopen|freopen|mkdtemp|mkstemp|mkostemp|opendir|utimes|setxattr|lsetxattr)(64)?(_2|_chk)?$'
modules='/src/(requester|transfer|providers|writers|writers/vm|journal)/lib'
more='/(job_backup_job|job_scratch_dir|image_image|image_image_chain|image_image_head|image_export|io_at|io_copy|io_reach)\.c\.o$'
# Folders that only root, or the user, can write to: the journal's, the claims', the session's, what the host remembers; the network of processes in /proc
# (links that the kernel makes); programs of writers, which must be root's.
allowed='(journal_file|recover|fault|watchdog)\.c\.o|claim\.c\.o|shared_dir\.c\.o|passphrase\.c\.o|command_writer\.c\.o|check_scratch\.c\.o'
single='repository_known.c.o open64|repository_known.c.o open|qemu_closed.c.o open64|qemu_closed.c.o open|image_image_head.c.o open64|image_image_head.c.o open|image_export.c.o mkdtemp|io_reach.c.o open|io_at.c.o open|io_at.c.o open64'

list=$(tests/lib/objects "$build") || exit 1
mapfile -t objects < <(echo "$list" | grep -E "$modules|$more" | grep -Ev "($allowed)\$")
[ ${#objects[@]} -ge 60 ] || { echo "only ${#objects[@]} objects were found" && exit 1; }
failed=0
found=$(nm --print-file-name --undefined-only --format=posix "${objects[@]}" |
    sed -E 's/^(.*):? ([^ ]+) U.*$/\1 \2/; s/@.*//; s/: / /' |
    awk -v banned="$banned" -v single="^($single)$" '
        { n = split($1, part, "/"); name = part[n]; sub(/:$/, "", name) }
        $2 ~ banned && (name " " $2) !~ single { print name " uses " $2 }')
[ -z "$found" ] || { echo "$found" && failed=1; }
found=$(git grep -nE 'AT_FDCWD' -- 'src/requester/*.c' 'src/transfer/*.c' 'src/providers/*.c' 'src/writers/*.c' 'src/journal/*.c' |
    grep -Ev '^src/requester/check/check_(scratch|place)\.c:')
[ -z "$found" ] || { echo "$found" && failed=1; }
exit $failed
