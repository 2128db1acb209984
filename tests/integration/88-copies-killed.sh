#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# kvss copy, and a backup, killed at each point from when the restore point is durable until this host has signed for it (B4): either there
# is none, or the next command of this host that writes signs for it, whatever it is for. No other host ever misses or mistrusts anything.
# timeout: 1200
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

requires strace -V
requires strace -f -e trace=none true
grep -q KVSS_TEST_FAULT "$KVSS" || skip "this build has no fault points"
host() { # NAME COMMAND...: on another host that uses the repository
    mkdir -p "$SANDBOX/state-$1"
    # shellcheck disable=SC2016 # of the inner shell
    unshare --uts --mount sh -c 'hostname "$1" && mount --bind "$2" /var/lib/kvss && shift 2 && exec "$@"' sh "$1" "$SANDBOX/state-$1" "${@:2}"
}
quiet() { # COMMAND...: it has nothing to warn of
    "$@" > /dev/null 2> "$SANDBOX/stderr" || fail "$* fails: $(cat "$SANDBOX/stderr")"
    ! grep -q kvss: "$SANDBOX/stderr" || fail "$* warns, after $what: $(cat "$SANDBOX/stderr")"
}
age() { find "$1/points" -type f -exec touch -d '1 day ago' {} +; }

kvss_setup
what=nothing
qemu-img create -q -f qcow2 "$IMAGES/off.qcow2" 8M
virsh -q define /dev/stdin << END
<domain type='$GUEST_TYPE'><name>off</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/off.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
backup off

# ---- copies: killed at the Nth call that makes something durable, or visible, until there is none left
vault=$SANDBOX/vault
"$KVSS_BUILD/tests/tools/newrepo" "$vault" "$KVSS_PASSWORD_FILE"
kvss -q copy --to "$vault" --all > /dev/null 2>&1
quiet host web02 "$KVSS" -r "$vault" list points
points() { find "$vault/points" -type f | wc -l; }
calls=fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlinkat,syncfs
killed=0 made=0
for ((n = 1; ; n++)); do
    qemu-io -f qcow2 -c "write -q -P $((n % 255)) 1M 64k" "$IMAGES/off.qcow2"
    kvss -q backup off > /dev/null
    before=$(points) status=0
    what="the copy that was killed at step $n"
    (strace -f -qq -o /dev/null -e "trace=$calls" -e "inject=$calls:signal=KILL:when=$n" \
        "$KVSS" -q copy --to "$vault" latest || exit $?) > /dev/null 2>&1 || status=$?
    [ $status != 0 ] || break
    killed=$((killed + 1))
    [ "$(points)" = "$before" ] || made=$((made + 1))
    age "$vault"
    # Whatever writes next. It may be told of nothing that another host could not mend.
    case $((n % 3)) in
    0) quiet kvss -r "$vault" protect --until 2099-12-31 latest ;;
    1) quiet kvss -r "$vault" prune ;;
    2) quiet kvss copy --to "$vault" latest ;;
    esac
    quiet kvss -r "$vault" list points
    quiet host web02 "$KVSS" -r "$vault" list points
    quiet host web02 "$KVSS" -r "$vault" fsck
done
note "copies killed at $killed steps; $made of them had made the restore point"
assert_ge $killed 5 "steps"
assert_ge $made 2 "restore points of copies that were killed"

# ---- backups, at the steps that they tell of
for step in prepare-point:begin prepare-point:done publish-point:begin publish-point:done; do
    what="the backup that was killed at $step"
    (KVSS_TEST_FAULT=kill:$step "$KVSS" backup off || exit $?) > /dev/null 2>&1 || :
    poll 60 sh -c '! pgrep -x kvss > /dev/null'
    age "$KVSS_REPOSITORY"
    quiet kvss prune
    quiet host web02 "$KVSS" list points
    quiet host web02 "$KVSS" fsck
done
