# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_systemd.sh: a manager of systemd in the sandbox. A test sources it after functions.sh.

MANAGER=/lib/systemd/systemd
[ -x "$MANAGER" ] || skip "systemd is missing: run make deps"

# systemd_start: systemd, as a user's manager is: root's own, which may do all that a unit asks for (systemctl --user). Units are in $UNITS;
# what it says is in $SANDBOX/manager.
export XDG_RUNTIME_DIR=/run/systemd-test
UNITS=$XDG_RUNTIME_DIR/systemd/user
systemd_start() {
    mkdir -p "$UNITS" /run/systemd/system /run/cgroup
    mount -t cgroup2 none /run/cgroup 2> "$SANDBOX/stderr" || skip "control groups: $(cat "$SANDBOX/stderr")"
    CGROUP=/run/cgroup/kvss-test-$$-$RANDOM
    mkdir "$CGROUP"
    printf '[Unit]\nDescription=nothing\n' > "$UNITS/default.target"
    (
        echo "$BASHPID" > "$CGROUP/cgroup.procs"
        exec unshare --mount --cgroup --propagation slave bash -c "mount -t cgroup2 none /sys/fs/cgroup &&
            exec $MANAGER --user --unit=default.target"
    ) > "$SANDBOX/manager" 2>&1 &
    systemd_manager=$!
    cleanup_fn systemd_end
    poll 20 test -S "$XDG_RUNTIME_DIR/systemd/private"
    poll 20 test -e "$XDG_RUNTIME_DIR/systemd/inaccessible/sock"
}
systemd_end() {
    systemctl --user exit 2> /dev/null || :
    wait "$systemd_manager" || :
    find "$CGROUP" -depth -type d -exec rmdir {} + || :
}
