#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss's units are sandboxed (`systemd-analyze security` 4.0 or better), and kvss-recover.service still puts back what a backup left that was
# killed with its watchdog: guest thawed, job ended, checkpoint and scratch files gone. Run by systemd itself, with all its settings, and
# QEMU's tools are in bounds of their own in there, too. B2, M22.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_fault.sh
. "$(dirname "$0")/../lib/functions_fault.sh"
# shellcheck source=tests/lib/functions_systemd.sh
. "$(dirname "$0")/../lib/functions_systemd.sh"

command -v systemd-analyze > /dev/null || skip "systemd-analyze is missing: run make deps"
mkdir "$SANDBOX/units"
for unit in "$KVSS_BUILD"/data/*.service; do
    sed "s|^ExecStart=[^ ]*/kvss |ExecStart=$KVSS |" "$unit" > "$SANDBOX/units/${unit##*/}"
    systemd-analyze security --offline=true --threshold=40 --no-pager "$SANDBOX/units/${unit##*/}" > "$SANDBOX/score" ||
        fail "${unit##*/}: $(cat "$SANDBOX/score")"
    note "$(tail -n 1 "$SANDBOX/score" | tr -cd '[:print:]')"
done

export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # looking for leaks takes ptrace
mkdir -p "$UNITS"
cp "$SANDBOX/units/kvss-recover.service" "$UNITS/"
{
    sed '/^ExecStart=/d; /^Condition/d' "$SANDBOX/units/kvss-recover.service"
    echo "[Service]"
    echo "ExecStart=$KVSS_BUILD/tests/tools/confined $SANDBOX/image -- qemu-img info /proc/self/fd/3"
    echo "StandardError=file:$SANDBOX/lacks"
} > "$UNITS/tool.service"
qemu-img create -q -f qcow2 "$SANDBOX/image" 1M
systemd_start
cp -a "$XDG_RUNTIME_DIR/systemd/inaccessible" /run/systemd/ # the system's manager would have made it
# start UNIT: as it says at boot, to its end
start() {
    systemctl --user start "$1" > "$SANDBOX/started" 2>&1 ||
        fail "$1: $(cat "$SANDBOX/started") $(systemctl --user show "$1" -p Result -p ExecMainStatus) $(cat "$SANDBOX/manager")"
}
start tool.service
assert_eq "$(tail -n 1 "$SANDBOX/lacks")" lacks=0 "what QEMU's tools go without in the unit"

# ---- a backup is killed, with its watchdog, while its guest is frozen and its job runs
kvss_setup
guest_define web tokens=off
guest_start web
guest_wait web
poll 60 guest_agent web guest-ping
fault_backup killall:backup-job:done web
wait "$FAULT_PID" || :
assert_match "$(guest_agent web guest-fsfreeze-status)" frozen "web, after the backup was killed"
[ -n "$(ls /var/lib/kvss/sessions)" ] || fail "no session was left: nothing was proved"
start kvss-recover.service
assert_match "$(guest_agent web guest-fsfreeze-status)" thawed "web, after the unit"
assert_eq "$(ls /var/lib/kvss/sessions)" "" "sessions left"
assert_nothing_left
assert_state web running
note "recovered by the unit"
