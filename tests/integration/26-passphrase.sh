#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A passphrase typed on a terminal, for every command, the right one and a wrong one, with and without --json: the command does what it
# does with a passphrase from a file, says nothing of having needed one, and prints one document. A command that is new must be added here.
# In `make test` 26-keys has passphrases, 29-restore-asks what is typed.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
PTY=$KVSS_BUILD/tests/tools/ptyrun
RIGHT='only a test' ASKS='Passphrase of repository' SHOWN=$SANDBOX/shown
qemu-img create -q -f qcow2 "$IMAGES/vm-vda.qcow2" 4M
qemu-io -f qcow2 -c 'write -q -P 0x55 0 1M' "$IMAGES/vm-vda.qcow2"
cat > "$SANDBOX/vm.xml" <<END
<domain type='qemu'><name>vm</name><memory unit='MiB'>48</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/vm-vda.qcow2'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
END
virsh -q define "$SANDBOX/vm.xml"
backup vm
"$KVSS_BUILD/tests/tools/newrepo" "$SANDBOX/second" "$KVSS_PASSWORD_FILE"
unset KVSS_PASSWORD_FILE
note "a repository"

# typed STATUS [PROMPT ANSWER]... -- ARGUMENT...: what the terminal showed is in $SHOWN, what was printed in $REPORT
typed() {
    local wanted=$1 status=0
    shift
    "$PTY" -o "$REPORT" "$@" > "$SHOWN" 2> "$SANDBOX/stderr" || status=$?
    assert_eq "$status" "$wanted" "status of $*: $(tail -n 20 "$SHOWN" "$SANDBOX/stderr" "$REPORT")"
    [ ! -s "$SANDBOX/stderr" ] || fail "$*: $(cat "$SANDBOX/stderr" "$SHOWN")"
}
one_document() { assert_eq "$(jq -s length "$REPORT" 2>&1)" 1 "JSON documents of $*: $(cat "$REPORT")"; }
complaints() { tr -d '\r' < "$SHOWN" | grep -c '^kvss: ' || :; }

declare -A SEEN
# asks_in ARGUMENT...: the passphrase is asked for once. MORE: what is asked for after it
MORE=()
asks_in() {
    local args=("$@")
    SEEN[$1]=1
    [[ $1 != key ]] || SEEN["$1 $2"]=1
    typed 0 "$ASKS" "$RIGHT" "${MORE[@]}" -- "$KVSS" "${args[@]}"
    assert_eq "$(complaints)" 0 "complaints of $*: $(cat "$SHOWN")"
    [ -s "$REPORT" ] || fail "$* printed nothing"
    ! grep -q "$RIGHT" "$SHOWN" "$REPORT" || fail "$*: the passphrase is shown"
    again "$@"
    typed 0 "$ASKS" "$RIGHT" "${MORE[@]}" -- "$KVSS" "${args[@]}" --json
    assert_eq "$(complaints)" 0 "complaints of $* --json: $(cat "$SHOWN")"
    one_document "$@"
    assert_eq "$(report 'has("error")')" false "$* --json"
    again "$@"
    typed "$EXIT_FAILED" "$ASKS" wrong -- "$KVSS" "${args[@]}" --json
    assert_eq "$(complaints)" 1 "complaints of $* with a wrong passphrase: $(cat "$SHOWN")"
    assert_match "$(cat "$SHOWN")" '[Pp]assphrase.* (wrong|not)|(wrong|no) .*passphrase' "$*: the message"
    one_document "$@"
    assert_eq "$(report .error.errno)" EACCES "$* --json with a wrong passphrase"
    typed "$EXIT_FAILED" "$ASKS" wrong -- "$KVSS" "${args[@]}"
    assert_eq "$(complaints)" 1 "complaints of $* with a wrong passphrase: $(cat "$SHOWN")"
    assert_eq "$(cat "$REPORT")" "" "$*: what is printed where it failed"
}
# so that a command that changed something can run once more
again() { :; }
asks_nothing() {
    SEEN[$1]=1
    typed 0 -- "$KVSS" "$@" --json
    assert_eq "$(complaints)" 0 "complaints of $*: $(cat "$SHOWN")"
    one_document "$@"
}

asks_in list points
asks_in list points vm
asks_in list hosts
asks_in show latest
asks_in protect latest
asks_in protect --off latest
asks_in verify latest
asks_in status
asks_in stats
asks_in fsck
asks_in repair index
asks_in unlock
asks_in upgrade
asks_in prune
asks_in forget --keep-last 9
asks_in backup vm
asks_in backup vm --each
asks_in restore latest vm --yes
asks_in restore --latest vm --dry-run
again() { rm -rf "$SANDBOX/files"; }
asks_in restore latest vm --images-only --to "$SANDBOX/files"
again() { :; }
asks_in key list
note "one passphrase"

# ---- one that asks before it replaces, for the passphrase first
MORE=('type the name of the VM' vm)
asks_in restore latest vm
# ---- two repositories
MORE=("$ASKS" "$RIGHT")
asks_in copy latest --to "$SANDBOX/second"
typed "$EXIT_FAILED" "$ASKS" "$RIGHT" "$ASKS" wrong -- "$KVSS" copy latest --to "$SANDBOX/second" --json
assert_match "$(cat "$SHOWN")" 'target'
one_document copy
# ---- new passphrases, typed twice
NEW='New passphrase' REPEAT='Repeat passphrase'
MORE=("$NEW" another "$REPEAT" another)
again() { [ "$1 $2" != 'key change' ] || { RIGHT=another && MORE=("$NEW" third "$REPEAT" third); }; }
asks_in key add
asks_in key change
typed 0 "$ASKS" third -- "$KVSS" list points --json
RIGHT=third
typed "$EXIT_FAILED" "$ASKS" "$RIGHT" "$NEW" a "$REPEAT" b -- "$KVSS" key add --json
assert_match "$(cat "$SHOWN")" 'passphrases do not match'
one_document key add
typed 0 "$ASKS" "$RIGHT" -- "$KVSS" key list --json
id=$(report '[.keys[] | select(.current | not)][0].id')
typed 0 "$ASKS" "$RIGHT" -- "$KVSS" key remove "$id" --json
assert_eq "$(complaints)" 0 "complaints of key remove: $(cat "$SHOWN")"
one_document key remove
# ---- and a new master key: the last passphrase, and then the one that replaced it
MORE=("$NEW" fourth "$REPEAT" fourth)
again() { RIGHT=fourth && MORE=("$NEW" fifth "$REPEAT" fifth); }
asks_in key rotate --remove-other-keys
typed 0 "$ASKS" fifth -- "$KVSS" list points --json
# ---- a new repository
SEEN[init]=1
KVSS_REPOSITORY=$SANDBOX/third typed 0 'Passphrase for the new' one "$REPEAT" one -- "$KVSS" init --json
one_document init
KVSS_REPOSITORY=$SANDBOX/third typed 0 "$ASKS" one -- "$KVSS" list points --json
KVSS_REPOSITORY=$SANDBOX/fourth typed "$EXIT_FAILED" 'Passphrase for the new' one "$REPEAT" two -- "$KVSS" init
assert_eq "$(complaints)" 1 "complaints of init"
[ ! -e "$SANDBOX/fourth" ] || fail "a repository was made"
# ---- keys instead of text
typed "$EXIT_FAILED" "$ASKS" ^D -- "$KVSS" list points
assert_match "$(cat "$SHOWN")" 'no passphrase entered'
typed "$EXIT_FAILED" "$ASKS" '' -- "$KVSS" list points
typed "$EXIT_INTERRUPTED" "$ASKS" ^C -- "$KVSS" list points
assert_match "$(cat "$SHOWN")" 'kvss: interrupted; nothing was changed' "what is said of an interrupt"
# ---- what needs no repository, or only looks at it
asks_nothing check vm
asks_nothing recover
asks_nothing checkpoint drop vm
asks_nothing guest status vm
asks_nothing tag vm list
for what in vms writers providers; do asks_nothing list "$what"; done

for command in $("$KVSS" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
    [ -n "${SEEN[$command]:-}" ] || fail "kvss $command was not tried with a passphrase that is typed"
done
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
