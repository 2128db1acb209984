#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# M4d, M4e of what agents tell: Windows guests (answers reconstructed from public reports, tests/golden/agent), whose EFI partitions and
# CDs are in nobody's way while a FAT volume with a drive letter is; and what Linux guests have mounted that no agent lists. The answers
# come through libvirt, from a scripted agent. B3: this one starts no vssadmin, so nothing is known of the guest's writers, and not claimed.
# In `make test` 16-windows-writers has Windows guests, the unit test vm_windows what their agents tell.
# only: full
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_conditions.sh
. "$(dirname "$0")/../lib/functions_conditions.sh"
# shellcheck source=tests/lib/functions_agent.sh
. "$(dirname "$0")/../lib/functions_agent.sh"

kvss_setup
guest_define win tokens=off
guest_start win
guest_wait win
lifecycle_start
disk=$(guest_agent win guest-get-fsinfo | jq -c '[.return[] | select(.mountpoint == "/mnt/vda")][0].disk')
linux=$(guest_agent win guest-get-osinfo)
linux_fs=$(guest_agent win guest-get-fsinfo)
info=$(guest_agent win guest-info)
fake_start win

windows() { # GOLDEN
    fake_answer win guest-get-osinfo < "$TESTS/golden/agent/$1.osinfo.json"
    jq --argjson disk "$disk" '(.return[] | select(.disk == "DISK") | .disk) = $disk' "$TESTS/golden/agent/$1.fsinfo.json" |
        fake_answer win guest-get-fsinfo
}

for answer in server-2022 windows-10-bios windows-11; do
    windows $answer
    kvss_json check win
    assert_report_vm win '[.conditions[] | select(.ok) | .clause] | join(" ")' "M4a M4b M4c M4d M4e"
    assert_report_vm win .method child-vm-snapshot
    assert_report_vm win .level file-system
    note "$answer: $(report_vm win '.conditions[0].why')"
done
assert_refuses win 'not known whether its writers succeeded' --require application
backup win
assert_report_vm win .method child-vm-snapshot
assert_report_vm win .consistency file-system
kvss_json show "$POINT"
assert_eq "$(report '[.details[0].frozen[] | select(.frozen) | .mountpoint] | sort | join(" ")')" 'C:\ System Reserved' "frozen"
windows fat-with-letter
assert_broken win M4e 'F:\\ is FAT32'

# ---- a Linux guest: what lies elsewhere, or lies on its disks and cannot be frozen
mounts() { # LINE...: of its mountinfo
    printf '%s\n' "$@" | base64 -w 0 | jq -R '{return: {count: length, "buf-b64": ., eof: true}}' | fake_answer win guest-file-read
}
fake_answer win guest-get-osinfo <<< "$linux"
fake_answer win guest-get-fsinfo <<< "$linux_fs"
fake_answer win guest-file-open <<< '{"return": 1000}'
fake_answer win guest-file-close <<< '{"return": {}}'
mounts '91 24 0:44 / /srv/data rw,relatime shared:50 - nfs4 fs.example:/export rw,vers=4.2' \
    '92 24 0:45 / /mnt/host rw - virtiofs host rw' '93 24 0:46 / /merged rw - overlay overlay rw,lowerdir=/l,upperdir=/u'
kvss_json check win
assert_report_vm win .method child-vm-snapshot
assert_match "$(report_vm win '.warnings | join("; ")')" 'from elsewhere.*/srv/data \(nfs4\), /mnt/host \(virtiofs\)'
assert_match "$(report_vm win '.conditions[4].why')" 'the overlay at /merged is based on these'
mounts '92 24 0:45 / /tank/db rw,noatime - zfs tank/db rw,xattr,noacl'
assert_broken win M4e '/tank/db is zfs'
mounts '92 24 0:45 / /pool rw - bcachefs /dev/vdb:/dev/vdc rw'
kvss_json check win
assert_match "$(report_vm win '.conditions[4].why')" '/pool is bcachefs'
# one that keeps its files to itself: not more is claimed than is known
jq '(.return.supported_commands[] | select(.name == "guest-file-open") | .enabled) = false' <<< "$info" | fake_answer win guest-info
kvss_json check win
assert_report_vm win .method child-vm-snapshot
assert_match "$(report_vm win '.conditions[4].why')" 'whether there are others, such as ZFS, cannot be seen'
