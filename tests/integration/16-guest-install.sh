#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# `kvss guest install` brings kvss-guest, its hook and its writers into a running guest through the guest agent, also where /usr/sbin is a
# symbolic link and over an older version; `kvss guest status` shows what is there; where it cannot be done the reason is named and nothing
# is changed. What was installed works in the next backup. M2.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"

kvss_setup
archive=$KVSS_BUILD/data/kvss-guest.tar
of_vm() { report ".vms[] | select(.name == \"$1\") | $2"; } # NAME FILTER
# shellcheck disable=SC2016 # for the shell that runs it
sums='while read -r f; do echo "$f $(stat -c %a:%u:%g "$f") $(md5sum < "$f")"; done'
in_guest() { guest_sh web "cd / && find usr etc -type f | grep kvss-guest | sort | $sums"; }

# ---- the archive: files only, root's, and nothing of this build in it
belongs() {
    printf '%s\n' etc/qemu/fsfreeze-hook.d/kvss-guest usr/sbin/kvss-guest
    (cd "$TESTS/../data/guest/writers" && printf 'usr/share/kvss-guest/writers/%s\n' *)
}
assert_eq "$(tar -tvf "$archive" --numeric-owner | awk '{ print $1, $2, $NF }')" "$(belongs | sed 's|^|-rwxr-xr-x 0/0 |')" "the archive"

guest_define web words=kvss.hook=yes
guest_define mute agent=no tokens=off
guest_start web
guest_wait web
poll 60 guest_agent web guest-ping

# ---- none there; a VM that is off
kvss_json guest status
assert_eq "$(of_vm web '[.installed, .guest] | tojson')" '[false,null]' "web has none"
assert_match "$(of_vm web .why)" 'could not start /usr/sbin/kvss-guest' "and says so"
assert_match "$(of_vm mute .why)" 'the VM is off' "a VM that is off"
kvss guest status web > "$SANDBOX/text"
assert_match "$(cat "$SANDBOX/text")" '^web: no kvss-guest: ' "in words"

# ---- into a guest whose /usr/sbin is a link, as distributions make it
guest_sh web 'mkdir -p /usr/bin && cp -a /usr/sbin/. /usr/bin/ && rm -rf /usr/sbin && ln -s bin /usr/sbin'
kvss_json guest install --from "$archive" web
assert_eq "$(of_vm web .installed)" true "installed"
assert_eq "$(of_vm web .guest.version)" "$("$KVSS" --version | cut -d ' ' -f 2)" "version in the guest"
assert_eq "$(guest_sh web 'readlink /usr/sbin')" bin "the link of the guest"
mkdir "$SANDBOX/unpacked"
tar -C "$SANDBOX/unpacked" -xpf "$archive"
assert_eq "$(in_guest | sed 's|^usr/bin/|usr/sbin/|' | sort)" "$(cd "$SANDBOX/unpacked" && find usr etc -type f | sort | eval "$sums")" "the files in the guest"
kvss guest status web > "$SANDBOX/text"
assert_match "$(tr '\n' ' ' < "$SANDBOX/text")" "^web: kvss-guest .*freeze hook *no writers: copy " "status in words"
note "installed"

# ---- over what is there; it takes part in the next backup
guest_sh web 'echo old > /usr/sbin/kvss-guest'
guest_writer web orders 3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55
kvss_json guest install --from "$archive" web
assert_eq "$(of_vm web '[.installed, (.guest.writers | map(.name) | join(" "))] | join(" ")')" "true orders" "installed again"
backup web --require application
assert_report_vm web .consistency application
note "over an older one, and backed up"

# ---- refused, with nothing changed: in use, off, no agent, no guest-exec, no archive, what is no archive
before=$(in_guest)
refused() { # PATTERN ARGUMENT...
    kvss_fails "$EXIT_REFUSED" guest install --from "$archive" "${@:2}"
    assert_match "$OUTPUT" "$1" "why it is refused"
}
refused 'VM mute: the VM is not running.*by hand: unpack .*kvss-guest\.tar' mute
guest_start mute
refused 'VM mute: the VM has no channel for the guest agent' mute
guest_sh web 'sed -i s/agent_block=.*/agent_block=guest-exec/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
refused 'VM web: the guest agent does not allow guest-exec' web
guest_sh web 'sed -i s/agent_block=.*/agent_block=/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
guest_sh web 'sed -i s/agent_block=.*/agent_block=guest-file-write/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
refused 'VM web: the guest agent does not allow guest-file-write' web
guest_sh web 'sed -i s/agent_block=.*/agent_block=/ /run/kvss/agent.conf; agentctl stop; sleep 0.5; agentctl start'
poll 60 guest_agent web guest-ping
kvss_fails "$EXIT_FAILED" guest install --from "$SANDBOX/none" web
assert_match "$OUTPUT" "cannot open $SANDBOX/none" "no archive"
head -c 100000 /dev/urandom > "$SANDBOX/noise"
kvss_fails "$EXIT_FAILED" guest install --from "$SANDBOX/noise" web
assert_match "$OUTPUT" 'VM web: tar in the guest ended with exit code' "what is no archive"
kvss_fails "$EXIT_USAGE" guest install
kvss_fails "$EXIT_USAGE" guest status --from "$archive"
kvss_fails "$EXIT_USAGE" guest remove web
assert_eq "$(in_guest)" "$before" "files in the guest"
assert_eq "$(guest_sh web 'ls /run | grep -c tar || :')" 0 "archives left in the guest"
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
