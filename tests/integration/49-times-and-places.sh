#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Times: tables in local time with its zone, reports in UTC, and what a table shows is what --at takes. Places: an address of a storage
# service or of another host never becomes a folder of that name, in whatever command; parents are not made unasked (B4).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define t fs=none agent=no tokens=off size=1M
declare -a IDS
for i in 0 1 2; do
    backup t
    IDS[i]=$POINT
    sleep 1.1 # so that the three are of different seconds
done

# ---- times
row() { kvss list points | awk -v id="${1:0:12}" '$1 == id { print $2 " " $3 " " $4 }'; }
kvss_json list points
mapfile -t UTC < <(report '.points[] | .instant // .time') # a VM that is off has no instant
check_zone() { # ZONE
    local i shown at
    export TZ=$1
    for i in 0 1 2; do
        shown=$(row "${IDS[i]}")
        assert_match "${UTC[i]}" 'Z$' "the instant in a report"
        assert_eq "$(date -d "$shown" +%s)" "$(date -d "${UTC[i]}" +%s)" "the time shown in $1, $shown"
        for at in "$shown" "${shown% *}"; do
            kvss_json restore --at "$at" t --dry-run
            assert_eq "$(report .point)" "${IDS[i]}" "the point of '$at' in $1"
            assert_eq "$(report .instant)" "${UTC[i]}" "the instant of the point of '$at'"
        done
    done
    SHOWN=${shown/+/\\+}
}
check_zone EST5EDT,M3.2.0,M11.1.0
check_zone '<+0545>-5:45'
assert_ge "$(report .age_s)" 0 "age of the last point"
kvss_json restore --at "${UTC[1]}" t --dry-run
assert_eq "$(report .point)" "${IDS[1]}" "the point of ${UTC[1]}"
assert_match "$(kvss restore --at "${UTC[2]}" t --dry-run)" "${IDS[2]:0:12} as of $SHOWN \\([0-9]+ [a-z]+ old\\)"
assert_match "$(kvss show "${IDS[2]}")" "as of $SHOWN"
assert_match "$(kvss forget "${IDS[2]}" --dry-run)" "$SHOWN"
kvss_fails "$EXIT_FAILED" restore --at "$(date '+%F %T') CET" t --dry-run # there is more than one
unset TZ
kvss restore --yes --at "$(row "${IDS[1]}")" t > "$SANDBOX/out"
assert_match "$(cat "$SANDBOX/out")" "Restored from ${IDS[1]:0:12} as of .* old\\) in"
note "times"

# ---- places
mkdir "$SANDBOX/empty"
cd "$SANDBOX/empty" || exit
refused() { # REPOSITORY COMMAND...
    kvss_fails "$EXIT_FAILED" --repository "$@"
    assert_match "$OUTPUT" 'only folders are supported' "message of $2 for $1"
    assert_eq "$(find . -mindepth 1)" '' "what was made of $1"
}
for command in 'list points' 'backup t' 'show latest' 'restore latest t' verify 'forget latest' prune 'copy --all --to x' stats fsck \
    'repair index' 'key list' unlock; do
    # shellcheck disable=SC2086 # words
    refused sftp:user@host:/srv/x $command
done
kvss_fails "$EXIT_FAILED" copy --all --to s3:bucket/x
assert_match "$OUTPUT" 'only folders are supported' "message of copy"
kvss check t --repository s3:bucket/x --json > "$REPORT" || assert_eq $? "$EXIT_REFUSED" "status of check"
assert_eq "$(report '[.findings[] | select(.level == "error") | .id] | join(" ")')" repository-unsupported
for place in s3:bucket/x s3://bucket/x sftp:user@host:/srv/x ssh://host/srv/x user@host:/srv/x host:srv rest:https://host/ b2:x file:///x \
    'C:\backup' '\\server\share' rclone:remote:path :x; do
    refused "$place" init
done
printf 'repository = sftp:host:/srv\n' > kvss.conf
(unset KVSS_REPOSITORY; kvss_fails "$EXIT_FAILED" --config kvss.conf init; assert_match "$OUTPUT" 'only folders are supported')
KVSS_REPOSITORY=s3:x kvss_fails "$EXIT_FAILED" init
rm kvss.conf
kvss init --repository ./a:b > /dev/null
kvss list points --repository ./a:b > /dev/null
rm -r ./a:b
for place in "$PWD/mnt/backup" mnt/backup mnt/backup/; do
    kvss_fails "$EXIT_FAILED" init --repository "$place"
    assert_match "$OUTPUT" 'mnt does not exist; .* mount that, .*--make-parents'
    assert_eq "$(find . -mindepth 1)" '' "what was made of $place"
done
kvss init --repository mnt/deep/backup --make-parents > /dev/null
kvss init --repository mnt/deep/another/ > /dev/null # whose parent is there
kvss list points --repository mnt/deep/backup > /dev/null
note "places"

# ---- beside the images, through a bind mount too; and not
beside() { kvss check t --repository "$1" --json > "$REPORT" || :; report '[.findings[] | select(.id == "repository-beside-images")] | length'; }
kvss init --repository "$IMAGES/backup" > /dev/null
assert_eq "$(beside "$IMAGES/backup")" 1 "a repository beside the images"
mkdir bound tmpfs
mount --bind "$IMAGES/backup" bound
assert_eq "$(beside "$PWD/bound")" 1 "a repository beside the images, through a bind mount"
umount bound
mount -t tmpfs tmpfs tmpfs
kvss init --repository "$PWD/tmpfs/x" > /dev/null
assert_eq "$(beside "$PWD/tmpfs/x")" 0 "a repository on another file system"
umount tmpfs
