# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_volumes.sh: file systems of which providers make shadow copies. Sourced by functions_kvss.sh.
#
# With KVSS_TEST_PROVIDER=btrfs or reflink, which tests/run sets, a test runs with that provider in place of `qemu`: the disks lie on such a
# file system (reflink: XFS; reflink-btrfs: btrfs), and the configuration asks for it. Its assertions are the same.

# volume_make TYPE FOLDER [SIZE]: a file system of that type, in a file, mounted there; closed to others as libvirt's folder for images is
volume_make() {
    local image
    mkdir -p "$2"
    image=$(mktemp "$SANDBOX/volume.XXXXXX")
    truncate -s "${3:-4G}" "$image"
    case $1 in
    btrfs) mkfs.btrfs -q "$image" ;;
    xfs) mkfs.xfs -q "$image" ;;
    *) fail "volume_make: $1" ;;
    esac
    mount -o loop "$image" "$2" 2> "$SANDBOX/stderr" || skip "$1 cannot be mounted: $(cat "$SANDBOX/stderr")"
    cleanup_fn umount -l "$2"
    chmod 711 "$2"
}

# what kvss.conf says of it
volumes_conf() { echo "provider = ${KVSS_TEST_PROVIDER%-*}"; }

volumes_setup() {
    case ${KVSS_TEST_PROVIDER:-} in
    '') return ;;
    btrfs | reflink-btrfs) volume_make btrfs "$IMAGES" ;;
    reflink) volume_make xfs "$IMAGES" ;;
    *) fail "KVSS_TEST_PROVIDER=$KVSS_TEST_PROVIDER" ;;
    esac
    mkdir -p /etc/kvss
    volumes_conf >> /etc/kvss/kvss.conf
}
