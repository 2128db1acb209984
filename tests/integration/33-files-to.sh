#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The files of writers that are programs, into a folder (kvss restore --files-to): for those who will not have them in their own places, or
# on a host where the writer is not installed. The writer hears nothing, their own places and VMs stay as they are, and what root is careful
# about elsewhere it is here: owners, set-id bits, folders and links of others, what is there already. B2, M24.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

STRANGERS=yes # kvss() adds nothing about VMs
kvss_setup
files=$SANDBOX/files out=$SANDBOX/extracted
mkdir -p "$files/private/below" "$files/users"
echo content > "$files/one"
head -c 3M /dev/urandom > "$files/private/below/two"
ln -s one "$files/link"
ln -s /etc/passwd "$files/away"
printf '#!/bin/sh\n' | tee "$files/root-suid" > "$files/users/suid"
chmod 750 "$files/private"
chown 12345:54321 "$files/private/below/two"
chmod 640 "$files/private/below/two"
chmod 4755 "$files/root-suid"
chown 64777:64777 "$files/users" "$files/users/suid"
chmod 4755 "$files/users/suid"

# writer NAME ID COMPONENT LOGICAL-PATH: of the same files
mkdir -p "$WRITERS"
writer() {
    cat > "$WRITERS/$2" << END
#!/bin/sh
echo "\$1" >> $SANDBOX/$2.log
cat > /dev/null
[ "\$1" != identify ] || echo '{"api": 1, "name": "$1", "id": "5d4e7a10-0d2b-4c55-8a63-0000000000$2", "backup_types": ["copy"],
"components": [{"name": "$3", "logical_path": "$4", "files": [{"path": "$files", "filespec": "*", "recursive": true}]},
{"name": "second", "files": [{"path": "$files/private", "filespec": "*", "recursive": true}]}]}'
END
    chmod 755 "$WRITERS/$2"
}
writer 'The ../ service' 01 data 'a/b'
virsh -q define /dev/stdin << END
<domain type='qemu'><name>off</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/off.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
qemu-img create -q -f qcow2 "$IMAGES/off.qcow2" 8M
tree() { (cd "$1" && find . ! -name . -printf '%P %y %m %U:%G %l %T@ ' \( -type f -exec sha256sum '{}' \; -o -printf '\n' \) | sort); }
tree "$files" > "$SANDBOX/tree"
backup off
: > "$SANDBOX/01.log"
rm "$WRITERS/01" # not on this host any more
definition off > "$SANDBOX/off.xml"
image=$(stat -c '%i %Y' "$IMAGES/off.qcow2")

note "a dry run says where, and makes nothing"
echo changed > "$files/one"
mkdir "$SANDBOX/elsewhere"
ln -s "$SANDBOX/elsewhere" "$SANDBOX/place"
kvss_json restore --dry-run latest --files-to "$SANDBOX/place/new"
assert_eq "$(report '.vms | length')" 0 "VMs in the plan"
assert_eq "$(report '[.files[].path] | join(" ")')" "$SANDBOX/place/new/The .._ service/a_b_data $SANDBOX/place/new/The .._ service/second" "places"
assert_eq "$(report '.files[0].real')" "$SANDBOX/elsewhere/new/The .._ service/a_b_data" "the real place"
assert_eq "$(ls -A "$SANDBOX/elsewhere")" "" "what a dry run made"
kvss restore --dry-run latest --files-to "$SANDBOX/place/new" > "$SANDBOX/printed"
assert_match "$(cat "$SANDBOX/printed")" "restored under $SANDBOX/place/new/The .._ service/a_b_data, actual path $SANDBOX/elsewhere" "the plan"

note "the files are there, as they were"
kvss_json restore latest --files-to "$out"
place="$out/The .._ service/a_b_data"
assert_eq "$(report '.files[0] | "\(.path) \(.real)"')" "$place null" "the report"
sed 's/^users\/suid f 4755/users\/suid f 755/' "$SANDBOX/tree" > "$SANDBOX/wanted"
tree "$place$files" | diff "$SANDBOX/wanted" - >&2 || fail "the files are not what they were"
tree "$out/The .._ service/second$files/private" > "$SANDBOX/second"
assert_match "$(cat "$SANDBOX/second")" 'below/two f 640 12345:54321' "the other component"
assert_eq "$(report '[.files[0].set_ids[] | "\(.path) \(.kept)"] | sort | join(" ")')" "$place$files/root-suid true $place$files/users/suid false" "set-id bits"
assert_eq "$(stat -c %a "$out" "$out/The .._ service" "$place" | tr '\n' ' ')" "700 700 700 " "modes of what leads there"
assert_eq "$(cat "$files/one")" changed "the file in its own place"
assert_eq "$(cat "$SANDBOX/01.log")" "" "what the writer was told"
assert_eq "$(stat -c '%i %Y' "$IMAGES/off.qcow2")" "$image" "the image of the VM"
definition off | diff "$SANDBOX/off.xml" - >&2 || fail "the VM is another"
! compgen -G "/var/lib/kvss/sessions/*" > /dev/null || assert_eq "$(kvss recover 2>&1)" "" "what is left to recover"

note "what is there is not replaced without a word"
kvss_fails "$EXIT_FAILED" restore latest --files-to "$out"
assert_match "$OUTPUT" "already exists; use --overwrite to replace it" "why"
echo mine > "$place$files/one"
chown 12345 "$place$files/private"
kvss_fails "$EXIT_REFUSED" restore latest --files-to "$out" --overwrite
assert_eq "$(cat "$place$files/one")" mine "a file that nobody agreed to replace"
kvss restore latest --files-to "$out" --overwrite --yes > "$SANDBOX/printed"
assert_eq "$(cat "$place$files/one")" content "the file"
assert_eq "$(stat -c %u "$place$files/private")" 12345 "owner of a folder that was there"

note "somebody else's link does not lead root anywhere"
mkdir -m 777 "$SANDBOX/shared" && mkdir "$SANDBOX/roots"
as_user ln -s "$SANDBOX/roots" "$SANDBOX/shared/link"
for place in "$SANDBOX/shared/link" "$SANDBOX/shared/link/new"; do
    kvss_fails "$EXIT_REFUSED" restore latest --files-to "$place"
    kvss_fails "$EXIT_REFUSED" restore --dry-run latest --files-to "$place"
done
assert_eq "$(ls -A "$SANDBOX/roots")" "" "what is where the link leads"

note "nothing of VMs goes with it"
for more in off --images-only --start --name=x "--to=$out" --trust-definition --disk=vda; do
    kvss_fails "$EXIT_USAGE" restore latest --files-to "$out" "$more"
done
backup off
kvss_fails "$EXIT_FAILED" restore latest --files-to "$out"
assert_match "$OUTPUT" "contains no files of writers" "why"
