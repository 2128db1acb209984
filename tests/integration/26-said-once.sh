#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# One failure is said once: its text, and the cause in it, are on stderr once, whatever was logged on the way; with --json the document on
# stdout, the only one, has it once too (beside the list "failures", for programs), and without it stdout is empty. M10.
# In `make test` 26-cli and 82-check-explains have what is said of failures.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define web01 agent=no tokens=off size=8M
guest_define broken agent=no tokens=off size=8M
rm "$IMAGES/broken-vda.qcow2"
backup web01
failures=0

count() { # TEXT IN: how often
    local rest=${2//"$1"/}
    echo $(((${#2} - ${#rest}) / ${#1}))
}
# what comes last: the writer's, the system's; without VSS's code, and what a command adds. Of several VMs the last one's line.
cause() { [[ $1 != *$'\n'* ]] || { tail -n 1 <<< "$1" && return; }; sed -n '$p' <<< "$1" | sed 's/\. Everything that was not restored is unchanged$//; s/ (VSS_[^)]*)$//; s/.*: //'; }
# what is said beside progress and warnings
said() { grep -vE '^kvss: warning: |^[^ ]+ [^ ]+ +\[[#.> -]*\] ' <<< "$OUTPUT" || :; }

# once STATUS PATTERN ARGUMENT...: it fails so, with and without --json, and says why once
once() {
    local status=$1 pattern=$2 text document
    shift 2
    kvss_fails "$status" "$@" --json < /dev/null
    document=$(cat "$REPORT")
    [ "$(jq -s length <<< "$document")" = 1 ] || fail "kvss $* --json: not one document: $document"
    text=$(jq -r .error.text <<< "$document")
    assert_match "$(tr '\n' ' ' <<< "$text")" "$pattern" "kvss $* --json: its text"
    assert_eq "$(count "$(cause "$text")" "$(jq -r '[del(.failures) | .. | strings] | join("\n")' <<< "$document")")" 1 "kvss $* --json: causes in the document"
    [[ $(said) == *"kvss: $text" ]] || fail "kvss $* --json: on stderr is $(said)"
    assert_eq "$(count "$text" "$OUTPUT")" 1 "kvss $* --json: texts on stderr ($OUTPUT)"
    assert_eq "$(count "$(cause "$text")" "$OUTPUT")" 1 "kvss $* --json: causes on stderr ($OUTPUT)"

    kvss_fails "$status" "$@" < /dev/null
    [ ! -s "$REPORT" ] || fail "kvss $*: on stdout is $(cat "$REPORT")"
    assert_match "$(said | tail -n "$(wc -l <<< "$text")" | tr '\n' ' ')" "^kvss: .*($pattern)" "kvss $*: its text"
    assert_eq "$(count "$(cause "$text")" "$OUTPUT")" 1 "kvss $*: causes on stderr ($OUTPUT)"
    failures=$((failures + 1))
    note "$*: $(tr '\n' ' ' <<< "$text" | cut -c 1-150)"
}

# ---- what is not there
for command in check backup 'restore latest --yes' 'checkpoint drop' 'list points' 'forget --keep-last 1 --vm'; do
    # shellcheck disable=SC2086 # words
    once "$EXIT_FAILED" nosuch $command nosuch
done
for command in show 'restore --yes' verify forget; do
    # shellcheck disable=SC2086
    once "$EXIT_FAILED" deadbeef $command deadbeef
done

# ---- keys, repository, configuration, libvirt
ALL=('list points' 'backup web01' 'restore latest web01 --yes' 'show latest' verify 'forget latest' prune fsck stats 'unlock')
right=$KVSS_PASSWORD_FILE
echo wrong > "$SANDBOX/wrong"
for command in "${ALL[@]}"; do
    # shellcheck disable=SC2086
    {
        export KVSS_PASSWORD_FILE=$SANDBOX/wrong
        [ "$command" = unlock ] || once "$EXIT_FAILED" '[Pp]assphrase' $command
        export KVSS_PASSWORD_FILE=$SANDBOX/missing
        [ "$command" = unlock ] || once "$EXIT_FAILED" "$SANDBOX/missing" $command
        export KVSS_PASSWORD_FILE=$right
        once "$EXIT_FAILED" "$SANDBOX/none" -r "$SANDBOX/none" $command
        once "$EXIT_FAILED" "$right" -r "$right" $command
        once "$EXIT_USAGE" "$SANDBOX/no.conf.*No such file" --config "$SANDBOX/no.conf" $command
    }
done
printf 'repositery = /x\n' > "$SANDBOX/bad.conf"
mkdir "$SANDBOX/folder.conf"
once "$EXIT_USAGE" repositery --config "$SANDBOX/bad.conf" backup web01
once "$EXIT_USAGE" "$SANDBOX/folder.conf" --config "$SANDBOX/folder.conf" backup web01
for command in 'list vms' 'check web01' 'backup web01' 'restore latest web01 --yes'; do
    # shellcheck disable=SC2086
    once "$EXIT_FAILED" /nonexistent -c 'qemu+unix:///system?socket=/nonexistent' $command
done

once "$EXIT_FAILED" "$KVSS_REPOSITORY" init
once "$EXIT_FAILED" "$SANDBOX/none" copy --to "$SANDBOX/none" latest

# ---- wrong use
once "$EXIT_USAGE" no-such-option backup --no-such-option web01
once "$EXIT_USAGE" bakcup bakcup web01
once "$EXIT_USAGE" --all backup --all web01

# ---- backups: refused, and failed in the middle
once "$EXIT_REFUSED" "VM broken: disk vda .*does not exist" backup broken web01
guest_define broken2 agent=no tokens=off size=8M
rm "$IMAGES/broken2-vda.qcow2"
once "$EXIT_REFUSED" "VM broken2?: disk vda .*does not exist.* VM broken2?: disk vda" backup --all
install -D -m 755 "$TESTS/writers/veto" "$WRITERS/veto"
for event in prepare-backup prepare-snapshot freeze thaw post-snapshot backup-complete; do
    printf 'EVENT=%s\nFILES=%s\n' "$event" "$SANDBOX" > "$WRITERS/.veto.conf"
    once "$EXIT_FAILED" "told to veto in $event" backup web01
done
rm "$WRITERS/veto" "$WRITERS/.veto.conf"

# ---- restores: beforehand, and in the middle of backups and restores
for to in '--images-only --to' '--name copy --to' '--name copy --disk vda='; do
    # shellcheck disable=SC2086
    if [ "${to: -1}" = = ]; then once "$EXIT_FAILED" "/proc.*space|/proc/none" restore latest web01 ${to}/proc/none/image
    else once "$EXIT_FAILED" "/proc.*space|/proc/none" restore latest web01 $to /proc/none; fi
done
once "$EXIT_REFUSED" 'would be replaced.*--yes' restore latest web01
if grep -q KVSS_TEST_FAULT "$KVSS"; then
    for step in replaced-file:begin delete-vm:begin register-vm:begin; do
        export KVSS_TEST_FAULT=fail:$step
        once "$EXIT_FAILED" "a test wants ${step%:*} to fail" restore latest web01 --yes
    done
    for step in part-file:begin save-vm:begin publish-point:begin; do
        export KVSS_TEST_FAULT=fail:$step
        [[ $step != save* ]] || guest_start web01
        once "$EXIT_FAILED" "a test wants ${step%:*} to fail" backup web01
    done
    unset KVSS_TEST_FAULT
fi
note "$failures failures, each twice"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
