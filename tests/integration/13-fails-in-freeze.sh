#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All or nothing (M10, B1; behaviours 24, 26, 27, 32): one VM of three cannot be frozen in PrepareForSnapshot, in several real
# ways. Each time: the exit code is not 0, VM and cause are named, the repository holds nothing, all three VMs are as before and go
# on, nothing is left behind, also when the agent comes round later. Then an ordinary backup works.
# That is the default; what other policies do is in 80-policy.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
guest_define one tokens=driven words=kvss.hook=yes
guest_define two tokens=driven disks=2
guest_define mute tokens=driven agent=no
for vm in one two mute; do guest_start $vm; done
for vm in one two mute; do guest_wait $vm; done
token_drive one two mute
boot=$(guest_bootid mute)
facts_before one two mute

# ---- the freeze hook in the guest hangs, so the agent does not answer the freeze
hook=/etc/qemu/fsfreeze-hook.d/slow
guest_sh one "printf '#!/bin/sh\n[ \$1 != freeze ] || sleep 13\n' > $hook && chmod +x $hook"
assert_all_or_nothing one 'did not answer' --agent-timeout 8
guest_sh one "rm $hook"

# ---- the freeze hook refuses
guest_sh one "printf '#!/bin/sh\n[ \$1 != freeze ] || exit 1\n' > $hook && chmod +x $hook"
assert_all_or_nothing one 'frozen|freeze'
guest_sh one "rm $hook"

# ---- the agent hangs after it was asked whether it is there: a writer sees to that
writer_install saboteur <<END
[ "\$event" != prepare-backup ] || $(guestctl_path) sh "$(guest_port two shell)" 'agentctl hang'
END
assert_all_or_nothing two 'did not answer|does not answer|has changed' --agent-timeout 8
rm "$WRITERS/saboteur"
guest_sh two 'agentctl resume'
poll 30 guest_agent two guest-ping
sleep 2 # whatever was still in its channel is carried out
assert_match "$(guest_agent two guest-fsfreeze-status)" thawed
assert_tokens_flow
assert_nothing_left

# ---- another program has frozen one: it cannot be asked, is saved instead, and stays frozen, since it is not kvss's to thaw
virsh -q domfsfreeze two > /dev/null
kvss_json backup two
assert_report_vm two .method saved-state
assert_match "$(guest_agent two guest-fsfreeze-status)" frozen
virsh -q domfsthaw two > /dev/null
assert_tokens_flow

assert_eq "$(guest_bootid mute)" "$boot" "boot id of mute"
assert_points 1
backup one two mute
assert_report_vm two .method child-vm-snapshot
assert_tokens_flow
