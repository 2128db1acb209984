#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What tests/lib/sandbox promises: private, several at once, and nothing left however it ends.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"

# sandboxes within this one; theirs must not show here, nor this one's there
export KVSS_SANDBOX_DIR=$SANDBOX/inner
mkdir -m 711 "$KVSS_SANDBOX_DIR"
sandbox() { "$TESTS/lib/sandbox" "$@"; }
no_folder() { [ -z "$(ls "$KVSS_SANDBOX_DIR")" ]; }
no_process() { ! pgrep -f "$1" > /dev/null; }

guest_define here
network_define outer-net 192.168.78.1

# status and output are the command's
assert_status 42 sandbox --no-libvirt sh -c 'echo said; exit 42'
assert_eq "$OUTPUT" said
assert_status 77 setpriv --reuid 64777 --clear-groups "$TESTS/lib/sandbox" true
assert_match "$OUTPUT" "needs root"

# private: machines, networks, /run, /etc and /var/lib; and two at the same time have one id and one name each
# shellcheck disable=SC2016 # for the inner shell
inner='set -e
. "$0"
test -z "$(virsh list --all --name)"
test -z "$(virsh net-list --all --name)"
test ! -e /run/outside
guest_define twin fs=none
guest_start twin
network_define lab 192.168.78.1
touch /etc/kvss/inside /etc/inside /var/lib/inside /var/lib/kvss/inside /run/inside
echo "twin $(virsh domid twin)"
for i in $(seq 300); do [ ! -e "$SANDBOX/../both" ] || exit 0; sleep 0.1; done
exit 1'
touch /run/outside
sandbox bash -c "$inner" "$TESTS/lib/functions.sh" > "$SANDBOX/one" 2>&1 &
one=$!
sandbox bash -c "$inner" "$TESTS/lib/functions.sh" > "$SANDBOX/two" 2>&1 &
two=$!
poll 60 grep twin "$SANDBOX/one"
poll 60 grep twin "$SANDBOX/two"
pgrep -f guest=twin > /dev/null || fail "the guests of the inner sandboxes do not run"
touch "$KVSS_SANDBOX_DIR/both"
wait $one || fail "first of two: $(cat "$SANDBOX/one")"
wait $two || fail "second of two: $(cat "$SANDBOX/two")"
rm "$KVSS_SANDBOX_DIR/both"
assert_eq "$(cat "$SANDBOX/one" "$SANDBOX/two")" $'twin 1\ntwin 1'
assert_eq "$(virsh -q list --all --name)" here
assert_no_file /etc/kvss/inside /etc/inside /var/lib/inside /var/lib/kvss/inside /run/inside
no_process guest=twin || fail "QEMU outlives its sandbox"
no_folder || fail "left: $(ls "$KVSS_SANDBOX_DIR")"

# what is started in the background ends with it
sandbox --no-libvirt sh -c 'setsid sleep 4711 > /dev/null 2>&1 & true'
no_process 'sleep 4711' || fail "a process outlives its sandbox"

# ended by a signal; killed outright: the next one removes the folder
"$TESTS/lib/sandbox" --no-libvirt sleep 4712 &
poll 10 pgrep -x -f 'sleep 4712'
kill -TERM $!
wait $! && fail "a sandbox that was told to end says 0"
no_process 'sleep 4712' || fail "a process outlives its sandbox after SIGTERM"
no_folder || fail "left after SIGTERM: $(ls "$KVSS_SANDBOX_DIR")"
setsid "$TESTS/lib/sandbox" --no-libvirt sleep 4713 &
poll 10 pgrep -x -f 'sleep 4713'
kill -KILL "$(pgrep -o -f 'lib/sandbox --no-libvirt sleep 4713')"
poll 10 no_process 'sleep 4713'
sandbox --no-libvirt true
no_folder || fail "left after SIGKILL: $(ls "$KVSS_SANDBOX_DIR")"

# an ordinary user's guests
session_mode
guest_define mine fs=none
assert_eq "$(virsh -q list --all --name)" mine
assert_eq "$(virsh uri | head -n 1)" qemu:///session
guest_start mine
guest_wait mine
assert_nothing_left
