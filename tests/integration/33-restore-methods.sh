#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Files of writers are restored as the writer wants it (M22, M24; behaviours 34, 36): each of the eight restore methods, where its file is there,
# absent, newer, busy or on a read-only file system; to its own place, to an alternate location that the writer declares or sets as the target in
# PreRestore, or into a folder. What VSS documents, or refused, with nothing changed. A service is stopped for it, and started again whoever
# dies. A part of it without KVSS_TEST_FULL=1.
# timeout: 1800
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"
# shellcheck source=tests/lib/functions_systemd.sh
. "$(dirname "$0")/../lib/functions_systemd.sh"

STRANGERS=yes # kvss() adds nothing about VMs
kvss_setup
# its file, on a file system that can be read-only
volume=$SANDBOX/volume files=$SANDBOX/volume/files other=$SANDBOX/other folder=$SANDBOX/folder
mkdir "$volume"
truncate -s 64M "$volume.img"
mkfs.ext4 -q "$volume.img"
mount -o loop "$volume.img" "$volume" 2> "$SANDBOX/stderr" || skip "no loop devices: $(cat "$SANDBOX/stderr")"
cleanup_fn umount -l "$volume"
systemd_start
# root's own manager of this sandbox is a user's one
mkdir "$SANDBOX/bin"
printf '#!/bin/sh\nexec /usr/bin/systemctl --user "$@"\n' > "$SANDBOX/bin/systemctl"
chmod 755 "$SANDBOX/bin/systemctl"
PATH=$SANDBOX/bin:$PATH
printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep 10000\n' > "$UNITS/app.service"
systemctl daemon-reload
unit_is() { [ "$(systemctl show --property=ActiveState --value app.service)" = "$1" ]; }

mkdir "$files"
mkdir -p "$WRITERS"
cat > "$WRITERS/app" <<END
#!/bin/bash
cat > $SANDBOX/input.\$1
echo "\$1" >> $SANDBOX/events
. $SANDBOX/wants
case \$1 in
identify) echo '{"api": 1, "name": "App", "id": "5d4e7a10-0d2b-4c55-8a63-000000000077", "backup_types": ["copy"], "restore_method": "'\$method'",
    "service": "app.service", "alternate_locations": ['\$locations'],
    "components": [{"name": "data", "files": [{"path": "$files", "filespec": "*", "recursive": true}]}]}' ;;
pre-restore) [ -z "\$target" ] || echo '{"components": [{"name": "data", "logical_path": "", "restore_target": "'\$target'"}]}' ;;
esac
END
chmod 755 "$WRITERS/app"
LOCATION='{"path":"'$files'","filespec":"*","recursive":true,"destination":"'$other'"}'
wants() { printf 'method=%q locations=%q target=%q\n' "$1" "${2:-}" "${3:-}" > "$SANDBOX/wants"; } # METHOD [LOCATIONS [TARGET]]
virsh -q define /dev/stdin << END
<domain type='qemu'><name>off</name><memory unit='MiB'>32</memory><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/off.qcow2'/><target dev='vda' bus='virtio'/></disk>
</devices></domain>
END
qemu-img create -q -f qcow2 "$IMAGES/off.qcow2" 1M

# ---- one case
# the state that the file is in before the restore
state_make() {
    case $1 in
    present) echo other > "$files/one" ;;
    absent) rm "$files/one" ;;
    newer) echo newer > "$files/one" && touch -d tomorrow "$files/one" ;;
    busy) echo other > "$files/one" && exec 7<> "$files/one" ;;
    read-only) echo other > "$files/one" && mount -o remount,ro "$volume" ;;
    esac
}
state_end() {
    exec 7>&-
    mount -o remount,rw "$volume"
}
# where METHOD STATE WAY: where the file comes back: original, alternate, folder; refused: before PreRestore; failed: after it
where() {
    local original=original
    if [ "$3" = folder ]; then
        echo folder
        return
    fi
    case $1 in
    custom | restore-at-reboot) echo refused && return ;;
    restore-to-alternate-location) [ "$3" = original ] && echo refused || echo alternate; return ;;
    restore-if-not-there)
        case $2 in absent) ;; read-only) original=refused ;; *) original=failed ;; esac ;;
    restore-if-can-replace | restore-at-reboot-if-cannot-replace)
        case $2 in busy) original=failed ;; read-only) original=refused ;; esac ;;
    *) [ "$2" != read-only ] || original=refused ;;
    esac
    case "$3 $original $1" in
    "target "*) [[ $1 == *stop* && $original == refused ]] && echo refused || echo alternate ;;
    "declared original "* | "original "* | "declared refused "*stop*) echo $original ;;
    *) echo alternate ;;
    esac
}
content() { cat "$1" 2> /dev/null || echo none; }
case_run() { # METHOD STATE WAY
    local want got status=0 before
    want=$(where "$@")
    rm -rf "$other" "$folder"
    echo stored > "$files/one"
    state_make "$2"
    before=$(content "$files/one")
    : > "$SANDBOX/events"
    if [ "$3" = folder ]; then
        kvss restore "${POINTS[$1 $3]}" --files-to "$folder" > "$SANDBOX/out" 2>&1 || status=$?
    else
        kvss restore --yes "${POINTS[$1 $3]}" --writer app > "$SANDBOX/out" 2>&1 || status=$?
    fi
    got=none
    [ "$(content "$files/one")" != stored ] || got=original
    [ "$(content "$other/one")" != stored ] || got=alternate
    [ "$(find "$folder" -name one -exec cat {} + 2> /dev/null)" != stored ] || got=folder
    if [ $status != 0 ]; then
        [ $got = none ] || fail "$*: it failed, but the file is in its $got place"
        assert_eq "$(content "$files/one")" "$before" "$*: the file after a restore that failed"
        [ ! -e "$other" ] || fail "$*: $other is left after a restore that failed"
        got=failed
        grep -q pre-restore "$SANDBOX/events" || got=refused
    else
        [ "$got" = original ] || assert_eq "$(content "$files/one")" "$before" "$*: the file that was not to be replaced"
    fi
    state_end
    assert_eq "$got" "$want" "$*: $(cat "$SANDBOX/out"); result"
    [ "$want" != failed ] && [ "$want" != refused ] || grep -q 'writer App, component data\|Read-only file system' "$SANDBOX/out" || fail "$*: $(cat "$SANDBOX/out")"
    case $want$status in original0 | alternate0) assert_eq "$(jq -r '.components[0].file_restore_status' "$SANDBOX/input.post-restore")" all "$*: status" ;; esac
    cases=$((cases + 1))
}

METHODS="restore-if-not-there restore-if-can-replace stop-restore-start restore-to-alternate-location restore-at-reboot
    restore-at-reboot-if-cannot-replace custom restore-stop-start"
STATES="present absent newer busy read-only" WAYS="original declared target folder"
declare -A POINTS=()
cases=0
systemctl start app.service
for method in $METHODS; do
    for way in $WAYS; do
        case $way in original | folder) wants "$method" ;; declared) wants "$method" "$LOCATION" ;; target) wants "$method" "$LOCATION" alternate ;; esac
        echo stored > "$files/one"
        backup off
        POINTS[$method $way]=$POINT
        n=0
        for state in $STATES; do
            n=$((n + 1))
            # a sample: each method with each way, each state with each way
            [ -n "${KVSS_TEST_FULL:-}" ] || [ $(((n + cases) % 4)) = 0 ] || continue
            case_run "$method" "$state" "$way"
        done
    done
    note "$method: $cases cases so far"
done

# ---- the service: stopped while the files are replaced, not touched where it is off, and it runs again whoever is killed
[ -z "${KVSS_TEST_FULL:-}" ] || assert_eq $cases 160 "cases"
running() { systemctl show --property=InvocationID --value app.service; }
POINT=${POINTS[stop-restore-start original]}
wants stop-restore-start
before=$(running)
kvss restore --yes "$POINT" --writer App/data > "$SANDBOX/out"
unit_is active || fail "the service does not run after the restore"
assert_ne "$(running)" "$before" "the service: it was not stopped"
systemctl stop app.service
kvss restore --yes "$POINT" --writer app > "$SANDBOX/out"
unit_is inactive || fail "a service that was off was started"
systemctl start app.service
echo other > "$files/one"
for step in kill:stopped-service:begin kill:staged-file:done kill:replaced-file:done fail:replaced-file:done kill:started-service:begin; do
    KVSS_TEST_FAULT=$step kvss restore --yes "$POINT" --writer app > "$SANDBOX/out" 2>&1 && fail "$step: the restore went well"
    poll 30 eval "! pgrep -x kvss > /dev/null"
    kvss recover > "$SANDBOX/out" 2>&1
    poll 30 unit_is active
    assert_eq "$(ls "$files") $(cat "$files/one")" "one other" "$step: files"
done
note "killed"

# ---- in a service that already runs on the new files, nothing is exchanged: it is stopped first
cat > "$SANDBOX/holds" <<END
#!/bin/bash
exec 9< $files/one
cat <&9 > $SANDBOX/held
exec sleep 10000
END
chmod 755 "$SANDBOX/holds"
sed -i "s|^ExecStart=.*|ExecStart=$SANDBOX/holds|" "$UNITS/app.service"
systemctl daemon-reload
systemctl restart app.service
poll 10 grep -qx other "$SANDBOX/held"
printf 'target= failure=yes\n' >> "$SANDBOX/wants"
# shellcheck disable=SC2016 # for the writer
sed -i 's/^pre-restore)/post-restore) [ -z "${failure:-}" ] || { echo no >\&2; exit 1; } ;;\n&/' "$WRITERS/app"
status=0
kvss restore --yes "$POINT" --writer app > "$SANDBOX/out" 2>&1 || status=$?
assert_ne $status 0 "a restore that its writer refuses in the end"
poll 30 unit_is active
wants stop-restore-start
poll 10 cmp -s "$SANDBOX/held" "$files/one"

# forge POINT FROM TO: a restore point whose metadata of the writer have other words
forge() {
    local tool=$KVSS_BUILD/tests/tools/document name
    for name in $("$tool" list "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$1" | grep '^wmd/'); do
        "$tool" get "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$1" "$name" > "$SANDBOX/wmd"
        grep -q 'friendlyName="App"' "$SANDBOX/wmd" || continue
        sed -i "s|\"$2\"|\"$3\"|" "$SANDBOX/wmd"
        "$tool" put "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" "$1" "$name" "$SANDBOX/wmd"
    done
}
POINT_ALTERNATE=${POINTS[restore-to-alternate-location declared]}

# ---- what the restore point wants is done only where the writer that is installed here wants it, too
wants stop-restore-start
sed -i 's/app.service/other.service/' "$WRITERS/app"
status=0
kvss restore --yes "$POINT" --writer app > "$SANDBOX/out" 2>&1 || status=$?
assert_eq $status "$EXIT_REFUSED" "a service that the writer does not name"
assert_match "$(cat "$SANDBOX/out")" 'wants the service app.service to be stopped, which the writer on this host does not name'
sed -i 's/other.service/gone.service/' "$WRITERS/app"
wants restore-to-alternate-location
status=0
kvss restore --yes "${POINTS[restore-to-alternate-location declared]}" --writer app > "$SANDBOX/out" 2>&1 || status=$?
assert_eq $status "$EXIT_REFUSED" "an alternate location that the writer does not declare"
assert_match "$(cat "$SANDBOX/out")" "allow-path $other" "the remedy"
kvss restore --yes "${POINTS[restore-to-alternate-location declared]}" --writer app --allow-path "$other" > "$SANDBOX/out"
assert_eq "$(cat "$other/one")" stored "the file in the alternate location"
assert_match "$(cat "$SANDBOX/out")" "restored to the writer's alternate location $other" "what is said of it"
assert_eq "$(stat -c '%a %u' "$other")" "$(stat -c '%a %u' "$files")" "owner and mode of the folder that was made"
echo mine > "$other/one"
status=0
kvss restore --yes "${POINTS[restore-to-alternate-location declared]}" --writer app --allow-path "$other" > "$SANDBOX/out" 2>&1 || status=$?
assert_ne $status 0 "a file that is in the alternate location already"
assert_eq "$(cat "$other/one")" mine "that file"
kvss_fails "$EXIT_USAGE" restore --yes "$POINT" --writer app --to /tmp/look
# a restore point that would lead out of it
forged=$(forge "$POINT_ALTERNATE" "$other" "$other/../../etc/cron.d")
status=0
kvss restore --yes "$forged" --writer app --allow-path / > "$SANDBOX/out" 2>&1 || status=$?
assert_ne $status 0 "a destination with .. in it"
assert_match "$(cat "$SANDBOX/out")" 'is not a plain path'

# ---- one that does not want to hear of it, and needs a restart of the host
sed -i 's/"api": 1,/"api": 1, "writer_restore": "never", "reboot": true,/' "$WRITERS/app"
wants restore-if-can-replace
echo stored > "$files/one"
backup off
echo other > "$files/one"
: > "$SANDBOX/events"
kvss restore --yes "$POINT" --writer app > "$SANDBOX/out" 2>&1
assert_eq "$(cat "$files/one") $(sort -u "$SANDBOX/events" | tr '\n' ' ')" "stored identify " "file, and events"
assert_match "$(cat "$SANDBOX/out")" 'writer App: restart this host to complete the restore' "what is left to do"

# ---- which files: of a writer, none, one that the point does not have
POINT=${POINTS[stop-restore-start original]}
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" --writer apps
assert_match "$OUTPUT" "contains no files of writer 'apps'"
kvss_fails "$EXIT_USAGE" restore --yes "$POINT" --no-writers --writer app
echo other > "$files/one"
kvss restore --yes "$POINT" --no-writers > "$SANDBOX/out"
assert_eq "$(cat "$files/one")" other "the file after a restore of VMs only"
rm "$WRITERS/app"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT"
assert_match "$OUTPUT" 'writer App is not installed on this host.*--no-writers.*--files-to' "a writer that is not here"
kvss restore --yes "$POINT" --no-writers > "$SANDBOX/out"
ALLOW_CHECKPOINTS='' assert_nothing_left
