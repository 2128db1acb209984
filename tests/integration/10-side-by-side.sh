#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Guests are frozen side by side: if the agent of one is slow, the others wait for it, frozen. With one connection for all, libvirt 9.0 now and
# then sends a request only when another thread's has been answered: that guest is then frozen late or, worse, thawed late. B1, B2.
# In `make test` 10-one-instant freezes several VMs.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_agent.sh
. "$(dirname "$0")/../lib/functions_agent.sh"

kvss_setup
for vm in a b; do
    guest_define $vm tokens=off
    guest_start $vm
done
for vm in a b; do
    guest_wait $vm
    fake_start $vm
done
fake_mode a slowish
for round in {1..6}; do
    kvss_json backup b a --type copy
    ms=$(report_vm b .frozen_ms)
    note "round $round: b was frozen for $ms ms, a for $(report_vm a .frozen_ms) ms"
    assert_ge "${ms%.*}" 2500 "milliseconds that b was frozen while a's agent took 3 s"
done
ALLOW_CHECKPOINTS='kvss-*' assert_nothing_left
