#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The keys of a VM's record are spelled in one place, src/writers/vm/vm_record_keys.h, and read by the command where it prints reports: all else
# goes through struct vm_record, or struct vm_record_listed where it is an entry of a listing. Looked for are the keys that nothing else in src/
# has a use for; and reading by a key from what comes out of point_vms(), whatever the variable is called.
set -u
cd "$(dirname "$0")/../.." || exit 1

keys='covered down_ms frozen_ms image_size not_covered not_quiesced refcount_bits restore_path stored_as why_type why_whole'
failed=0
for key in $keys; do
    grep -q "^#define KEY_[A-Z0-9_]* \"$key\"" src/writers/vm/vm_record_keys.h || { echo "$key: not a key of the record" && failed=1; }
    found=$(git grep -nF "\"$key\"" -- 'src/*.c' 'src/*.h' ':!src/cli/*' ':!src/writers/vm/vm_record_keys.h' | grep -vE ':[0-9]+:(/?| ?)\*|:[0-9]+:.*/\*[^"]*"'"$key")
    [ -z "$found" ] || { echo "$found" && failed=1; }
done

# the listing's VMs are had from point_vms() alone: of variables that hold a point's listing or a backup's report
found=$(git grep -nE 'json_object_get\(([a-z]+->)*(meta|metas\[[a-z]+\]|report), "vms"\)' -- 'src/*.c' ':!src/cli/*' ':!src/requester/point/stored_point.c')
[ -z "$found" ] || { echo "$found" && echo "  use point_vms()" && failed=1; }
by_key() { # FILE...: entries of a listing that are read by a key
    awk '
    FNR == 1 || /^\}/ { delete entries }
    match($0, /json_array_foreach \(point_vms\([^)]*\), [a-z]+, [a-z]+\)/) {
        name = substr($0, RSTART, RLENGTH - 1)
        sub(/.*, /, "", name)
        entries[name] = 1
    }
    match($0, /const json_t \*(listed|[a-z]+ = [^;]*point_find_vm\()/) {
        name = substr($0, RSTART + 14)
        sub(/[^a-z].*/, "", name)
        entries[name] = 1
    }
    { for (name in entries) if ($0 ~ "json_[a-z_]+\\(" name ", \"") print FILENAME ":" FNR ":" $0 }
    ' "$@"
}
mapfile -t sources < <(git ls-files 'src/*.c' ':!src/cli/*')
found=$(by_key "${sources[@]}")
[ -z "$found" ] || { echo "$found" && echo "  use vm_record_listed()" && failed=1; }

# the check itself finds what it is about
sample=$(mktemp)
cat > "$sample" <<'C'
    json_array_foreach (point_vms(meta), i, vm)
        names[n++] = json_get_text(vm, "name");
}
    const json_t *one = point_find_vm(meta, uuid);
    x = json_object_get(one, "uuid");
}
    x = json_get_text(vm, "name");
C
[ "$(by_key "$sample" | wc -l)" = 2 ] || { echo "by_key finds: $(by_key "$sample")" && failed=1; }
rm "$sample"
exit $failed
