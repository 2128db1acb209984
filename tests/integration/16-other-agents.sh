#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# QEMU's guest agents of other releases (tests/lib/other-agents: Debian's before and after this one) behave as the manual page says: the
# guest is frozen, its writers take part through guest-exec and the agent's hook, kvss-guest can be installed through it, and nothing stays
# frozen. M2, M4a, M7, B2.
# In `make test` 16-guest-writers has the agent of this release.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_writers.sh
. "$(dirname "$0")/../lib/functions_writers.sh"

agents=$KVSS_BUILD/agents
[ -n "$(ls "$agents" 2> /dev/null)" ] || skip "no other agent could be fetched: the mirror has neither Debian 11 nor 13"
kvss_setup
image=/var/lib/libvirt/images/agents.raw
for suite in "$agents"/*/; do
    truncate -s 64M "$image"
    mke2fs -q -F -t ext4 -d "$suite" "$image"
    chmod 666 "$image"
    name=$(basename "$suite")
    guest_define "$name" fs=ext4,ext4 format=qcow2,raw images=,"$image" words=kvss.hook=yes tokens=off
    guest_start "$name"
    guest_wait "$name"
    here=$(guest_agent "$name" guest-info | jq -r '.return.version')
    # as an upgrade of the guest would
    guest_sh "$name" 'agentctl stop; sleep 0.3; for f in $(cd /mnt/vdb && find usr lib lib64 -type f); do
        mkdir -p "/${f%/*}"; cp "/mnt/vdb/$f" "/$f.new" && mv "/$f.new" "/$f"; done; umount /mnt/vdb; agentctl start'
    poll 60 guest_agent "$name" guest-ping
    version=$(guest_agent "$name" guest-info | jq -r '.return.version')
    [ "$version" != "$here" ] || fail "the agent of $name is still $here"

    kvss_json check "$name"
    assert_report_vm "$name" '[.method, .level] | join(" ")' 'child-vm-snapshot file-system'
    kvss_json guest install --from "$KVSS_BUILD/data/kvss-guest.tar" "$name"
    guest_writer "$name" orders 3b0f1d5e-5a5c-4d0c-9a3e-2f6f7a1c9e55
    backup "$name" --require application
    assert_report_vm "$name" .consistency application
    kvss_json show "$POINT"
    assert_eq "$(report '.details[0].guest | [.completed, .broken, .by_hook, .hook] | join(" ")')" "true false true true" "the session with agent $version"
    assert_eq "$(guest_agent "$name" guest-fsfreeze-status | jq -r .return)" thawed "freeze status of agent $version"
    guest_sh "$name" 'echo x > /mnt/vda/after && sync'
    # a writer that refuses: the agent's hook fails, and nothing stays frozen
    guest_does "$name" orders freeze 'echo "busy" >&2; exit 1'
    kvss_fails "$EXIT_FAILED" backup "$name" --retries 0
    assert_match "$OUTPUT" "$name.*orders.*busy" "a veto with agent $version"
    poll 20 guest_sh "$name" 'echo y > /mnt/vda/after && sync'
    # one that may not start programs, by the option that this agent knows
    guest_sh "$name" 'sed -i s/agent_block=.*/agent_block=guest-exec/ /run/kvss/agent.conf; agentctl stop; sleep 0.5
        agentctl start || { sed -i s/--block-rpcs/--blacklist/ "$(command -v agentctl)"; agentctl start; }'
    poll 60 guest_agent "$name" guest-ping
    kvss_fails "$EXIT_REFUSED" backup "$name" --require application
    assert_match "$OUTPUT" 'does not allow guest-exec' "reason with agent $version"
    backup "$name"
    assert_report_vm "$name" .consistency file-system
    note "agent $version: application with guest-exec, file-system without"
    virsh destroy "$name" > /dev/null
    rm -f "$image"
done
