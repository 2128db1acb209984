#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Programs as writers (M22, M23): one takes part in backup and restore with its files; one that vetoes, in each event in turn (in two
# of them, unless KVSS_TEST_FULL=1), makes the whole backup fail, and everything is put back (M10, behaviours 11, 24, 27, 43).
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web tokens=driven
guest_define mute tokens=driven agent=no
guest_start web
guest_start mute
guest_wait web
guest_wait mute
token_drive web mute
boot=$(guest_bootid mute)

# ---- the recorder of the unit tests, with files: what an exclude names stays out
install -D -m 755 "$TESTS/writers/recorder" "$WRITERS/recorder"
files=$SANDBOX/files
mkdir -p "$files/below"
cat > "$WRITERS/.recorder.conf" <<END
LOG=$SANDBOX/recorder.log
FILES=$files
END
echo content > "$files/one"
head -c 3M /dev/urandom > "$files/below/two"
echo not this > "$files/below/three.tmp"
ln -s one "$files/link"
chmod 640 "$files/one"
chown 12345:54321 "$files/below/two"
tree() { (cd "$files" && find . ! -name . -printf '%P %y %m %U:%G %l %T@ ' \( -type f -exec sha256sum '{}' \; -o -printf '\n' \) | grep -v '\.tmp' | sort); }
tree > "$SANDBOX/tree"

# what others can change or exchange is not run, and neither is anything if that holds for the folder
writer_install foreign <<< "touch $SANDBOX/ran" # in identify, too
mv "$WRITERS/foreign" "$SANDBOX/foreign"
ln -s "$SANDBOX/foreign" "$WRITERS/10-link"
install -m 775 "$SANDBOX/foreign" "$WRITERS/20-open"
kvss_json list writers
assert_match "$(cat "$SANDBOX/stderr")" '10-link is skipped: .* is a symbolic link' "why"
assert_match "$(cat "$SANDBOX/stderr")" '20-open is skipped: .* can be changed by users other than root' "why"
rm "$WRITERS/10-link" "$WRITERS/20-open"
chmod 777 "${WRITERS%/*}"
kvss_fails "$EXIT_FAILED" list writers
assert_match "$OUTPUT" 'a folder above .*writers.d can be changed by users other than root: run chmod go-w on it' "why"
chmod 755 "${WRITERS%/*}"
[ ! -e "$SANDBOX/ran" ] || fail "a program that others can change was run"

kvss_json list writers
assert_eq "$(report '[.writers[].name] | sort | join(", ")')" "Microsoft Hyper-V VSS Writer, kvss test recorder" "writers"
: > "$SANDBOX/recorder.log"
backup web mute
with_files=$POINT
assert_eq "$(uniq "$SANDBOX/recorder.log" | tr '\n' ' ')" \
    "identify prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete backup-shutdown " "events of a good run (behaviour 9)"
assert_eq "$(report '.writers[] | select(.name == "kvss test recorder") | .components[].name')" records "component of the writer"
assert_ge "$(report '.writers[] | select(.name == "kvss test recorder") | .components[].files')" 2 "files of the writer"
note "the writer took part"

echo changed > "$files/one"
rm "$files/below/two" "$files/link"
: > "$SANDBOX/recorder.log"
kvss_json restore --yes "$with_files" web
assert_eq "$(grep -c restore "$SANDBOX/recorder.log")" 0 "events of a writer that was not selected"
assert_eq "$(cat "$files/one")" changed "a file of a writer that was not selected"
guest_wait web
kvss_json restore --yes "$with_files"
assert_eq "$(grep restore "$SANDBOX/recorder.log" | tr '\n' ' ')" "pre-restore post-restore " "events of the restore"
assert_eq "$(jq -r '.components[0].file_restore_status' "$SANDBOX/recorder.log.post-restore.json")" all "file restore status (M15)"
assert_eq "$(jq -r '.components[0].backup_stamp' "$SANDBOX/recorder.log.post-restore.json")" "stamp of the recorder" "stamp"
tree | diff "$SANDBOX/tree" - >&2 || fail "the files are not what they were"
guest_wait web
guest_wait mute
assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
note "its files are restored"
rm "$WRITERS/recorder" "$WRITERS/.recorder.conf"

# ---- a veto in each event
install -m 755 "$TESTS/writers/veto" "$WRITERS/veto"
points=$(point_count)
events="freeze backup-complete"
[ -z "${KVSS_TEST_FULL:-}" ] || events="prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete"
for event in $events; do
    printf 'EVENT=%s\nLOG=%s\nFILES=%s\n' "$event" "$SANDBOX/veto.log" "$SANDBOX" > "$WRITERS/.veto.conf"
    : > "$SANDBOX/veto.log"
    facts_before web mute
    assert_all_or_nothing 'kvss test veto' "told to veto in $event"
    assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
    assert_ge "$(grep -c abort "$SANDBOX/veto.log")" 1 "Aborts (perhaps the service's own and the requester's) after a veto in $event: $(tr '\n' ' ' < "$SANDBOX/veto.log")"
done
# in BackupShutdown nothing can be vetoed any more: the point is there
printf 'EVENT=backup-shutdown\nFILES=%s\n' "$SANDBOX" > "$WRITERS/.veto.conf"
kvss backup web mute > /dev/null 2> "$SANDBOX/stderr" || :
assert_points $((points + 1))
# a writer that cannot even identify itself is left out, and the backup says so
printf 'EVENT=identify\nFILES=%s\n' "$SANDBOX" > "$WRITERS/.veto.conf"
kvss_json backup web
assert_match "$(cat "$SANDBOX/stderr")" 'veto is skipped: .*identify' "a writer that is left out is told of"
