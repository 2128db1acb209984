#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2153 # POINT is set by backup()
# Hosts sign for what they do to a repository (B4): what another host forgot is missed by nobody; what the storage hides, puts back or cuts
# off is seen by all, also by a host that was never there before, and nothing is pruned meanwhile; so is a restore point that somebody with
# the repository's key has made up, and somebody who signs under the name of another. Whoever is killed before signing makes up for it.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

# host NAME COMMAND...: on another host that uses the repository, with a name, a memory and a key of its own
host() {
    mkdir -p "$SANDBOX/state-$1"
    # shellcheck disable=SC2016 # of the inner shell
    unshare --uts --mount sh -c 'hostname "$1" && mount --bind "$2" /var/lib/kvss && shift 2 && exec "$@"' sh "$1" "$SANDBOX/state-$1" "${@:2}"
}
point_file() { echo "$KVSS_REPOSITORY/points/$1"; }
quiet() { # COMMAND...: it has nothing to warn of
    "$@" > /dev/null 2> "$SANDBOX/stderr" || fail "$* fails: $(cat "$SANDBOX/stderr")"
    ! grep -q kvss: "$SANDBOX/stderr" || fail "$* warns: $(cat "$SANDBOX/stderr")"
}
warns() { # TEXT COMMAND...
    "${@:2}" > /dev/null 2> "$SANDBOX/stderr" || fail "${*:2} fails: $(cat "$SANDBOX/stderr")"
    assert_match "$(cat "$SANDBOX/stderr")" "$1" "what ${*:2} warns of"
}

kvss_setup
qemu-img create -q -f qcow2 "$IMAGES/off.qcow2" 8M
qemu-io -c "write -q -P 0x5a 1M 3M" "$IMAGES/off.qcow2"
virsh -q define /dev/stdin << END
<domain type='$GUEST_TYPE'><name>off</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/off.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
backup off
first=$POINT
backup off
second=$POINT

note "each host has a key that nobody else can read, and is listed"
assert_eq "$(stat -c %a /var/lib/kvss/host.key)" 600 "mode of the key"
host web02 "$KVSS" backup off > /dev/null 2>&1
theirs=$(kvss list points --json 2> "$SANDBOX/stderr" | jq -r '.points[-1].id')
assert_match "$(cat "$SANDBOX/stderr")" "a host that was not known before.*web02" "what the first command says"
kvss_json list hosts
assert_eq "$(report '[.hosts[] | [.name, .points, .believed, .this_host]] | sort | map(tostring) | join(" ")')" \
    "$(printf '%s\n' "[\"$(hostname)\",2,true,true]" '["web02",1,true,false]' | LC_ALL=C sort | paste -sd ' ')" "the hosts"
assert_eq "$(grep -rlF "$(sed -n 's/^private=//p' /var/lib/kvss/host.key)" "$KVSS_REPOSITORY" /var/lib/kvss | wc -l)" 1 "files with the private key"
quiet kvss list points
quiet host web02 "$KVSS" list points

note "what another host forgot is not missed"
cp "$(point_file "$second")" "$SANDBOX/copy"
quiet host web02 "$KVSS" forget "$second"
quiet kvss list points
quiet kvss prune
quiet kvss backup off

note "what the storage puts back is seen, by every host"
cp "$SANDBOX/copy" "$(point_file "$second")"
warns "1 restore point that was forgotten is in the repository again .${second:0:12}" kvss list points
warns "in the repository again" host web02 "$KVSS" list points
rm "$(point_file "$second")"

note "what it hides is missed by all, and nothing is pruned"
mv "$(point_file "$theirs")" "$SANDBOX/hidden"
warns "${theirs:0:12}.*no host signed for removing it" kvss list points
warns "${theirs:0:12}" host new01 "$KVSS" list points
kvss_fails "$EXIT_DAMAGED" fsck
assert_match "$(cat "$REPORT")" "MISSING: restore point ${theirs:0:12}" "what fsck reports"
kvss_fails "$EXIT_REFUSED" prune
assert_match "$OUTPUT" "${theirs:0:12}.*--accept-rollback" "why prune is refused"
mv "$SANDBOX/hidden" "$(point_file "$theirs")"
quiet kvss prune
quiet kvss fsck

note "a point that somebody made who has the key of the repository, and is no host"
forged=$("$KVSS_BUILD/tests/tools/forgepoint" "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$theirs" 65536 102)
touch -d '1 day ago' "$(point_file "$forged")"
warns "no host has signed 1 restore point .${forged:0:12}" kvss list points
kvss_json fsck
assert_eq "$(report '.unsigned[]')" "$forged" "what fsck reports"
kvss forget "$forged" > /dev/null 2>&1
quiet kvss list points

note "killed when the restore point was there, and not signed for yet"
(KVSS_TEST_FAULT=kill:publish-point:done "$KVSS" backup off > /dev/null 2>&1) || :
find "$KVSS_REPOSITORY/points" -type f -exec touch -d '1 day ago' {} +
quiet kvss list points
quiet kvss backup off
quiet host web02 "$KVSS" list points

note "the newest entry of another host is cut off"
kvss_json list hosts
mv "$KVSS_REPOSITORY/catalogue/$(report '.hosts[] | select(.name == "web02").head')" "$SANDBOX/entry"
warns "the catalogue is truncated: .* has seen entry number .* host web02" kvss list points
kvss_fails "$EXIT_REFUSED" prune
kvss_fails "$EXIT_DAMAGED" fsck
assert_match "$(cat "$REPORT")" "MISSING: the catalogue is truncated" "what fsck reports"
"$KVSS" check off --json > "$REPORT" 2> /dev/null || :
assert_eq "$(report '[.findings[].id | select(. == "repository-catalogue-cut")] | length > 0')" true "whether check finds it"
status=0
host web02 "$KVSS" backup off > /dev/null 2>&1 || status=$?
assert_eq $status "$EXIT_REFUSED" "status of a backup of web02, whose entry it is"
quiet kvss --accept-rollback prune
quiet host web02 "$KVSS" --accept-rollback prune
quiet host web02 "$KVSS" backup off
quiet kvss prune

note "a host that was installed again, or somebody in its name"
rm -r "$SANDBOX/state-web02"
host web02 "$KVSS" backup off > /dev/null 2>&1
warns "in the name of host web02 with a key" kvss list points
kvss --accept-host-keys list points > /dev/null 2>&1
quiet kvss list points
