#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A writer that was told that its backup is complete may drop what is in it. So BackupComplete comes when everything is on disk, and
# nothing is left but one rename; and whatever happens between the two, what writers are told is what is true: there is a restore point
# that restores, or there is none and BackupShutdown says so (M10, M23; behaviours 27, 30). No guest is booted.
# In `make test` 88-copies-killed has backups killed about the time at which they are complete, 27-writers-killed what writers are told.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
kvss_setup
target=$SANDBOX/target
mkdir "$target"
mount -t tmpfs -o size=24m,mode=755 target "$target"
export KVSS_REPOSITORY=$target/repository FILES=$SANDBOX/kept LOG=$SANDBOX/told
kvss init > /dev/null 2>&1
head -c 2M /dev/urandom > "$SANDBOX/content"
qemu-img convert -f raw -O qcow2 "$SANDBOX/content" "$IMAGES/v-vda.qcow2"
guest_define v fs=none agent=no tokens=off
mkdir -p "$WRITERS" "$FILES"
install -m 755 "$TESTS/writers/keeper" "$WRITERS/keeper"

# What is in the repository when the writer is told: all but the name of the point.
# shellcheck disable=SC2016 # for the writer
PREPARED='
    ls "$KVSS_REPOSITORY/points" | wc -l > "$LOG.points"
    ls "$KVSS_REPOSITORY/tmp" | wc -l > "$LOG.tmp"
    find "$KVSS_REPOSITORY/packs" "$KVSS_REPOSITORY/index" -type f | wc -l > "$LOG.data"'
# writer EVENT COMMANDS: what it does there; in BackupComplete it drops its log as the last thing
writer() {
    printf 'FILES=%s LOG=%s KVSS_REPOSITORY=%s TARGET=%s SANDBOX=%s\n' "$FILES" "$LOG" "$KVSS_REPOSITORY" "$target" "$SANDBOX" > "$WRITERS/.keeper.conf"
    [ "$1" = backup-complete ] || printf 'on_backup_complete() {\nrm -f "$FILES"/*\n}\n' >> "$WRITERS/.keeper.conf"
    printf 'on_%s() {\n%s\n}\n' "${1//-/_}" "$2" >> "$WRITERS/.keeper.conf"
    date +%N > "$FILES/log"
    cp "$FILES/log" "$SANDBOX/log"
    : > "$LOG"
}
told() { grep "^$1 " "$LOG" | tail -n 1 | cut -d ' ' -f 2-; }
# run [NAME=VALUE...]: a backup, whose status is in $STATUS
run() {
    STATUS=0
    env "$@" setsid env --default-signal=INT "$KVSS" backup v > "$SANDBOX/out" 2>&1 || STATUS=$?
}
# no_point WHAT: it failed, there is no point, and whoever was told anything was told that
no_point() {
    [ "$STATUS" != 0 ] || fail "$1: the backup says that it worked"
    assert_points "$points"
    assert_eq "$(find "$KVSS_REPOSITORY/tmp" -type f | wc -l)" "${2:-0}" "$1: objects left in tmp"
    if [ "$STATUS" -lt 128 ] || [ "$STATUS" = "$EXIT_INTERRUPTED" ]; then
        assert_eq "$(told backup-shutdown)" "false false" "$1: what BackupShutdown said"
        assert_eq "$(told abort)" "false false" "$1: what Abort said"
    fi
    rm -rf "${KVSS_REPOSITORY:?}"/tmp/*
    kvss recover > /dev/null
    assert_nothing_left
    note "$1: $(tail -n 1 "$SANDBOX/out" | cut -c 1-150)"
}
# a_point WHAT: there is one more, and what the writer dropped can be had from it
a_point() {
    points=$((points + 1))
    assert_points $points
    kvss_json restore --yes latest
    cmp "$SANDBOX/log" "$FILES/log" || fail "$1: the log is not in the restore point"
    kvss_json fsck --read-data
    assert_eq "$(report .count)" 0 "$1: findings"
    note "$1: there is a restore point"
}
points=0

# ---- it goes well
writer backup-complete "$PREPARED"'
    rm -f "$FILES"/*'
run
assert_eq "$STATUS" 0 "status: $(cat "$SANDBOX/out")"
assert_eq "$(cat "$LOG.points") $(cat "$LOG.tmp")" "0 1" "restore points that are seen, and objects prepared, in BackupComplete"
assert_ge "$(cat "$LOG.data")" 2 "packs and index files in BackupComplete"
assert_eq "$(told backup-complete)" "false true" "BackupComplete"
assert_eq "$(told backup-shutdown)" "true true" "BackupShutdown"
a_point "a good backup"

# ---- BackupComplete: a veto, a full disk, a kill, an interrupt, a restore point that cannot be published
writer backup-complete 'echo "not today" >&2; return 1'
run
assert_match "$(cat "$SANDBOX/out")" 'keeper: not today' "the veto"
no_point "a veto"

# shellcheck disable=SC2016 # for the writer
writer backup-complete 'rm -f "$FILES"/*; dd if=/dev/zero of="$TARGET/filler" bs=1M 2> /dev/null; :'
run
rm "$target/filler"
assert_eq "$STATUS" 0 "publishing needs no room: $(cat "$SANDBOX/out")"
assert_eq "$(told backup-shutdown)" "true true" "BackupShutdown where the disk is full"
a_point "a full disk"

# shellcheck disable=SC2016
writer backup-complete 'kill -KILL $(pgrep -o -x kvss)'
run
no_point "killed in BackupComplete" 1

# shellcheck disable=SC2016
writer backup-complete 'kill -INT $(pgrep -o -x kvss); sleep 0.2'
run
assert_eq "$STATUS" "$EXIT_INTERRUPTED" "status after an interrupt"
no_point "interrupted in BackupComplete"

# shellcheck disable=SC2016
writer backup-complete 'mount --bind "$KVSS_REPOSITORY/points" "$KVSS_REPOSITORY/points"
    mount -o remount,bind,ro "$KVSS_REPOSITORY/points"'
run
umount "$KVSS_REPOSITORY/points"
assert_match "$(cat "$SANDBOX/out")" 'cannot publish .*read-only|cannot publish .*cross-device' "what could not be published"
no_point "a rename that fails"

# shellcheck disable=SC2016
writer backup-complete 'mv "$KVSS_REPOSITORY/points" "$KVSS_REPOSITORY/gone"'
run
mv "$KVSS_REPOSITORY/gone" "$KVSS_REPOSITORY/points"
no_point "the folder of restore points is gone"

# shellcheck disable=SC2016
writer backup-complete 'rm -f "$KVSS_REPOSITORY"/locks/*'
run
no_point "the lock of the repository is lost"

# ---- before it: then it is never told
# shellcheck disable=SC2016
writer post-snapshot 'dd if=/dev/zero of="$TARGET/filler" bs=1M 2> /dev/null; :'
run
rm "$target/filler"
assert_match "$(cat "$SANDBOX/out")" 'no space left' "what was full"
no_point "a disk that is full before it"
assert_eq "$(told backup-complete)" "" "what BackupComplete said"

# ---- each step by itself (src/journal/fault.c): all of them with KVSS_TEST_FULL=1
cells="fail:done:prepare-point kill:done:prepare-point fail:begin:publish-point kill:done:publish-point"
[ -z "${KVSS_TEST_FULL:-}" ] || cells=$(echo {fail,kill,int}:{begin,done}:{prepare,publish}-point)
for cell in $cells; do
    IFS=: read -r action when step <<< "$cell"
    writer identify :
    run KVSS_TEST_FAULT="$action:$step:$when" KVSS_TEST_FAULT_LOG="$SANDBOX/fault"
    grep -q "^fault $action" "$SANDBOX/fault" || fail "$cell did not happen: $(cat "$SANDBOX/out")"
    rm "$SANDBOX/fault"
    case $cell in
    *:done:publish-point | int:begin:publish-point) # it is there, or about to be: what comes after changes nothing
        [ "$action" = kill ] || assert_eq "$STATUS $(told backup-shutdown)" "0 true true" "$cell"
        kvss recover > /dev/null
        a_point "$cell"
        continue
        ;;
    kill:begin:publish-point | kill:done:prepare-point) no_point "$cell" 1 ;; # tidied up later, as all that a killed session leaves in tmp
    *) no_point "$cell" ;;
    esac
    case $step in prepare-point) assert_eq "$(told backup-complete)" "" "$cell: what BackupComplete said" ;; esac
done
writer identify :
run
assert_eq "$STATUS" 0 "the next backup: $(cat "$SANDBOX/out")"
a_point "the next backup"
