#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# A way back from a restore: what it replaces is backed up first (--backup-first), is protected for some days, and comes back with --undo, also
# the memory of a VM that ran. Where nobody agreed, or that backup fails, nothing is restored; where nothing is replaced there is no backup.
# M13, B1.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
# define NAME: a VM without a system
define() {
    qemu-img create -q -f qcow2 "$IMAGES/$1-vda.qcow2" 4M
    cat > "$SANDBOX/vm.xml" <<END
<domain type='qemu'><name>$1</name><memory unit='MiB'>16</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$1-vda.qcow2'/>
<target dev='vda' bus='virtio'/></disk></devices></domain>
END
    virsh -q define "$SANDBOX/vm.xml"
}
fill() { qemu-io -f qcow2 -c "write -q -P $2 0 1M" "$IMAGES/$1-vda.qcow2"; }
holds() { assert_eq "$(qemu-io -f qcow2 -U -r -c "read -q -P $2 0 1M" "$IMAGES/$1-vda.qcow2")" "" "what is wrong where $1 holds $2"; }
define app
define db
fill app 0x11
fill db 0x21
backup app db
old=$POINT
fill app 0x12
fill db 0x22
virsh -q start db

# ---- nobody agreed: nothing is backed up either
kvss_fails "$EXIT_REFUSED" restore "$old" app --backup-first
assert_points 1
holds app 0x12
kvss_fails "$EXIT_USAGE" restore "$old" app --backup-first=soon
kvss_fails "$EXIT_USAGE" restore "$old" app --backup-first --name copy
kvss_fails "$EXIT_USAGE" restore --undo
kvss_fails "$EXIT_USAGE" restore --undo --latest app
kvss_fails "$EXIT_FAILED" restore --undo app --yes
assert_match "$OUTPUT" 'no restore made with --backup-first on this host holds app: there is nothing to undo' "nothing to undo"
kvss_json restore "$old" app --backup-first --dry-run
assert_points 1

# ---- both VMs are replaced, of which one runs; --latest is what it was before that backup
kvss restore --latest --backup-first=3 --yes > "$REPORT"
holds app 0x11
holds db 0x21
assert_state db 'shut off'
assert_match "$(tail -n 1 "$REPORT")" '^What was replaced is in restore point [0-9a-f]{12}, protected until .*kvss restore --undo app db$' "what people read"
kvss_json list points --label 'before restore of *'
assert_eq "$(report '.points | length')" 1 "restore points made first"
assert_eq "$(report '.points[0].label')" "before restore of ${old:0:12}" "the label"
assert_eq "$(report '.points[0].vms | map(.name + " " + .method) | join(", ")')" "app offline, db saved-state" "what is in it"
until=$(date -d "$(report '.points[0].protected.until')" +%s)
[ $((until - $(date +%s))) -gt $((2 * 86400)) ] || fail "protected until $(report '.points[0].protected.until')"

# ---- and back, first one and then the other
kvss_json restore --undo app --yes
holds app 0x12
holds db 0x21
kvss_json restore --undo db --yes
holds db 0x22
assert_state db running
kvss_fails "$EXIT_FAILED" restore --undo app nobody --yes
note "restored, and undone"

# ---- an undo can be undone; the newest counts
kvss_json restore "$old" app --yes --backup-first
first=$(report .backup_first.point)
assert_eq "$(report .backup_first.until)" null "how long it is protected without a number"
fill app 0x13
kvss_json restore --undo app --yes --backup-first
holds app 0x12
[ "$(report .backup_first.point)" != "$first" ] || fail "the same restore point again"
kvss_json restore --undo app --yes
holds app 0x13

# ---- nothing is replaced, or it cannot be backed up
before=$(point_count)
rm "$IMAGES/app-vda.qcow2"
kvss_fails "$EXIT_REFUSED" restore "$old" app --yes --backup-first
assert_match "$OUTPUT" 'nothing was restored: the backup that was to be made first failed: .*disk vda' "a VM that cannot be backed up"
[ ! -e "$IMAGES/app-vda.qcow2" ] || fail "it was restored"
virsh -q undefine app --checkpoints-metadata
kvss_json restore "$old" app --backup-first
assert_eq "$(report 'has("backup_first")')" false "a backup of nothing"
assert_points "$before"
holds app 0x11
note "not where it cannot be"

# ---- an undo is a restore: from a repository that was put in the place of the one that is known, nothing comes onto this host
mkdir "$SANDBOX/other-host"
# shellcheck disable=SC2016 # of the inner shell
as_other_host() { unshare --mount sh -c 'mount --bind "$0" /var/lib/kvss && "$@"' "$SANDBOX/other-host" "$@"; }
mv "$KVSS_REPOSITORY" "$SANDBOX/true"
as_other_host "$KVSS" init > /dev/null
as_other_host "$KVSS" backup app --no-writers --label 'before restore of all' > /dev/null
fill app 0x14
kvss_fails "$EXIT_REFUSED" restore --undo app --yes
assert_match "$OUTPUT" 'not the repository that this host knows' "why it is refused"
holds app 0x14
rm -r "$KVSS_REPOSITORY"
mv "$SANDBOX/true" "$KVSS_REPOSITORY"
as_other_host "$KVSS" --accept-new-repository backup app --no-writers --label 'before restore of all' > /dev/null # its label makes it no way back of this host
kvss_json restore --undo app --yes
holds app 0x13
note "not from another repository"

# ---- images of a VM that is not defined cannot be backed up; single disks come back as such
virsh -q undefine app --checkpoints-metadata
before=$(point_count)
kvss_fails "$EXIT_REFUSED" restore "$old" app --overwrite --yes --backup-first
assert_match "$OUTPUT" 'VM app is not on this host, but files that the restore would replace are' "why it is refused"
holds app 0x13
assert_points "$before"
kvss restore "$old" app --overwrite --yes > /dev/null
fill app 0x15
kvss restore "$old" app --disk vda --yes --backup-first > "$REPORT"
assert_match "$(tail -n 1 "$REPORT")" 'To bring it back: kvss restore --undo app --disk vda$' "what people read"
kvss_json restore --undo app --disk vda --yes
holds app 0x15
note "a VM without a definition, and single disks"
