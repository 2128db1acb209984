# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_writers.sh: kvss-guest and writers in test guests. A test sources it after functions_kvss.sh.

KVSS_GUEST=$KVSS_BUILD/src/guest/kvss-guest
[ -x "$KVSS_GUEST" ] || skip "$KVSS_GUEST is not built"
EVENTS=/run/kvss-test.events # in the guest: what its writers were told

# guest_put NAME PATH MODE < BYTES: a file in the guest, through its console (a command line holds so much at a time)
guest_put() {
    local piece pieces=$SANDBOX/pieces
    rm -rf "$pieces"
    mkdir "$pieces"
    gzip -9 | base64 -w 0 | split -b 60000 - "$pieces/"
    guest_sh "$1" "mkdir -p '${2%/*}'; rm -f /run/put"
    for piece in "$pieces"/*; do guest_sh "$1" "printf %s '$(< "$piece")' >> /run/put"; done
    guest_sh "$1" "base64 -d < /run/put | gunzip > '$2.new' && chmod $3 '$2.new' && mv '$2.new' '$2' && rm /run/put"
}

# guest_install NAME: kvss-guest, and its part of the agent's hook (which is used with words=kvss.hook=yes)
guest_install() {
    strip -o "$SANDBOX/kvss-guest" "$KVSS_GUEST"
    guest_put "$1" /usr/sbin/kvss-guest 755 < "$SANDBOX/kvss-guest"
    guest_put "$1" /etc/qemu/fsfreeze-hook.d/kvss-guest 755 < "$TESTS/../data/guest/fsfreeze-hook"
}

# guest_writer NAME WRITER ID [TIMEOUT-MS]: a writer in the guest that notes each event and the guest's uptime in $EVENTS, notes "position N" as its
# invariant, N being the event's place in the log, and does what the file $EVENTS.WRITER.EVENT says, if there is one.
guest_writer() {
    guest_put "$1" "/etc/kvss/writers.d/$2" 755 <<END
#!/bin/sh
cat > /dev/null
[ "\$1" != identify ] || {
    echo '{"api": 1, "name": "$2", "id": "$3", "backup_types": ["copy"], "timeout_ms": ${4:-60000},
        "components": [{"name": "$2-data", "files": [{"path": "/mnt/vda", "filespec": "*"}]}]}'
    exit
}
echo "$2 \$1 \$(cut -d' ' -f1 /proc/uptime)" >> $EVENTS
[ ! -e "$EVENTS.$2.\$1" ] || . "$EVENTS.$2.\$1"
[ "\$1" != thaw ] || echo "{\"components\": [{\"name\": \"$2-data\", \"backup_metadata\": \"position \$(wc -l < $EVENTS)\"}]}"
END
}

# guest_does NAME WRITER EVENT COMMAND: what the writer does in that event from now on; "": nothing any more
guest_does() {
    if [ -n "${4:-}" ]; then guest_put "$1" "$EVENTS.$2.$3" 644 <<< "$4"; else guest_sh "$1" "rm -f $EVENTS.$2.$3"; fi
}

# guest_events NAME [WRITER]: in their order, in one line
guest_events() { guest_sh "$1" "awk '{ if (\"${2:-}\" == \"\" || \$1 == \"${2:-}\") print \$2 }' $EVENTS" | tr '\n' ' '; }
guest_forget() { guest_sh "$1" ": > $EVENTS"; }
