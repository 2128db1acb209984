#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss check says beforehand what would go wrong, and the remedy: each thing is broken for real, on a real guest, found by its id, told in
# words, mended by the remedy, and not found any more. Nothing is touched. Demand 7 of the peers' users; B2.
# timeout: 420
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

mkdir "$SANDBOX/repository" && mount -t tmpfs tmpfs "$SANDBOX/repository" # not beside the images
kvss_setup
guest_define web tokens=off words=kvss.hook=yes
guest_start web
guest_wait web
mkdir -m 711 "$SANDBOX/volume"

# findings: ids of what the last check found, but for notes
findings() { report '[.findings[], .vms[].findings[] | select(.level != "note") | .id] | sort | join(" ")'; }
finding() { report "[.findings[], .vms[].findings[] | select(.id == \"$1\")][0] | $2"; } # ID FILTER

# finds STATUS ID TEXT REMEDY [OPTION...]: exactly that is found, with that text and remedy
finds() {
    local status=$1 id=$2 text=$3 remedy=$4 got=0
    shift 4
    kvss check web --json "$@" > "$REPORT" 2> "$SANDBOX/stderr" || got=$?
    assert_eq "$got" "$status" "status of kvss check $*: $(cat "$SANDBOX/stderr")"
    assert_eq "$(findings)" "$id" "what was found"
    [ -n "$text" ] || return 0
    assert_match "$(finding "$id" .text)" "$text" "text of $id"
    assert_match "$(finding "$id" .remedy)" "$remedy" "remedy of $id"
    note "$id: $(finding "$id" .text | cut -c 1-150)"
}
sound() { finds 0 '' '' '' "$@"; }

sound
assert_eq "$(report .repository.state)" ok "state of the repository"
assert_report_vm web .agent ok
lifecycle_start

# ---- the agent
agent_is() { # CODE TEXT
    kvss_json check web --agent-timeout 3
    assert_report_vm web .agent "$1"
    assert_match "$(report_vm web '.conditions[0].why')" "$2" "what is told of the agent"
}
guest_sh web 'agentctl hang'
agent_is not-responding 'does not answer: restart'
guest_sh web 'agentctl resume; agentctl stop'
poll 20 guest_sh web '! pidof qemu-ga'
poll 20 bash -c 'virsh dumpxml web | grep -q "state=.disconnected."'
agent_is not-connected 'is not running in the guest: install and start'
guest_sh web 'sed -i s/agent_block=.*/agent_block=guest-fsfreeze-freeze/ /run/kvss/agent.conf; agentctl start'
poll 20 guest_agent web guest-ping
agent_is no-freeze 'not allowed to freeze.*allow guest-fsfreeze'
guest_sh web 'agentctl stop; sed -i s/agent_block=.*/agent_block=/ /run/kvss/agent.conf; agentctl start'
poll 20 guest_agent web guest-ping
note "the agent"

# ---- scratch files: where, who, how much
S=$SANDBOX/volume/scratch
finds "$EXIT_REFUSED" scratch-missing "$S" 'create the folder' --snapshot-dir "$S"
mkdir -m 700 "$S"
finds "$EXIT_REFUSED" scratch-closed-to-qemu "no search permission on $S" "chmod o\+x $S" --snapshot-dir "$S"
kvss_fails "$EXIT_FAILED" backup web --snapshot-dir "$S" # and so it would be
chmod o+x "$S"
mount -t tmpfs -o size=64m,mode=711 tmpfs "$S"
sound --snapshot-dir "$S" --scratch-reserve 1M
finds "$EXIT_REFUSED" scratch-full 'must be left free' 'free space' --snapshot-dir "$S" --scratch-reserve 65M
finds 0 scratch-small 'free for scratch files' 'free space' --snapshot-dir "$S" --scratch-reserve 65535K
mount -o remount,ro "$S"
finds "$EXIT_REFUSED" scratch-not-writable 'Read-only file system' 'snapshot-dir' --snapshot-dir "$S" --scratch-reserve 1M
umount "$S"

# ---- the repository
KVSS_REPOSITORY=$SANDBOX/nowhere finds "$EXIT_REFUSED" repository-missing "$SANDBOX/nowhere" 'mount it; kvss init'
(umask 077 && echo wrong > "$SANDBOX/wrong")
KVSS_PASSWORD_FILE=$SANDBOX/wrong finds "$EXIT_REFUSED" repository-key 'pass(phrase|word)' 'correct passphrase'
cp -r "$KVSS_REPOSITORY" "$IMAGES/backup"
KVSS_REPOSITORY=$IMAGES/backup finds 0 repository-beside-images 'same file system as images of web' 'another disk'
rm -r "$IMAGES/backup"
(unset KVSS_PASSWORD_FILE; sound < /dev/null; assert_eq "$(report .repository.state)" not-opened "state of the repository")
mount --bind "$KVSS_REPOSITORY" "$KVSS_REPOSITORY"
mount -o remount,bind,ro "$KVSS_REPOSITORY"
finds "$EXIT_REFUSED" repository-not-writable 'Read-only' 'mount it writable'
umount "$KVSS_REPOSITORY"
mount -t tmpfs -o size=32m tmpfs "$S"
KVSS_REPOSITORY=$S kvss init > /dev/null
KVSS_REPOSITORY=$S finds "$EXIT_REFUSED" repository-full 'is full \(.* free\)' 'forget --prune'
umount "$S"

# ---- settings of a VM that is not there
printf '[vm wbe]\nfallback = fail\n' > /etc/kvss/kvss.conf
finds 0 settings-of-unknown-vm 'section \[vm wbe\]' 'correct the name'
rm /etc/kvss/kvss.conf
assert_untouched web

# ---- what was left: a checkpoint of a restore point that is gone
backup web
sound
kvss forget "$POINT" > /dev/null
finds 0 checkpoint-stale 'kvss-.* no longer exists in the repository' 'virsh checkpoint-delete web kvss-'
remedy=$(finding checkpoint-stale .remedy)
eval "${remedy#*or: }" > /dev/null
sound
# ... a hook in the guest that failed
guest_sh web "printf '#!/bin/sh\n[ \$1 != freeze ] || exit 1\n' > /etc/qemu/fsfreeze-hook.d/no && chmod +x /etc/qemu/fsfreeze-hook.d/no"
backup web --fallback saved-state
finds 0 last-freeze-failed 'could not be quiesced' 'hook in the guest'
finds 0 'freeze-failed last-freeze-failed' '' '' --try-freeze --fallback saved-state
assert_match "$(finding freeze-failed .text)" 'test freeze failed' "text of freeze-failed"
finds "$EXIT_REFUSED" 'freeze-failed last-freeze-failed' '' '' --try-freeze
guest_sh web 'rm /etc/qemu/fsfreeze-hook.d/no'
backup web
sound
sound --try-freeze
assert_match "$(finding freeze-works .text)" 'test freeze succeeded: the guest was frozen for [0-9]+ ms' "a freeze that was tried"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
# ... a bitmap that libvirt does not know any more
name=$(virsh -q checkpoint-list web --name | head -n 1)
mapfile -t points < <(kvss list points --json | jq -r '.points[].id')
kvss forget "${points[@]}" > /dev/null
virsh -q checkpoint-delete web "$name" --metadata > /dev/null
guest_stop web
finds 0 bitmap-stale "$name" "kvss checkpoint drop web"
remedy=$(finding bitmap-stale .remedy)
eval "${remedy#*: }"
sound
# ... a session that died, and its watchdog too
guest_start web
guest_wait web
"$KVSS" backup web --quiet --bwlimit 64K > "$SANDBOX/out" 2>&1 &
pid=$!
has_job() { virsh -q domjobinfo web | grep -q 'Operation:.*Backup'; }
while ! has_job; do kill -0 $pid || fail "the backup ended early: $(cat "$SANDBOX/out")"; sleep 0.05; done
pkill -KILL -x kvss
wait $pid 2> /dev/null || :
kvss check web --json > "$REPORT" 2> /dev/null || :
assert_match "$(finding session-dead .text)" 'crashed; changes not undone yet: [0-9]+' "text of session-dead"
assert_match "$(kvss check web || :)" 'remedy: run kvss recover' "kvss check, for people"
kvss recover > /dev/null
sound
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
