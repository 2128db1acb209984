# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions.sh: what integration tests are made of. A test is a bash script tests/integration/NN-name.sh that
# begins with
#     . "$(dirname "$0")/../lib/functions.sh"
# and runs in a sandbox (tests/lib/sandbox). It passes by ending with status 0; the first command that fails
# ends it and is named with its file and line. Guests: functions_guest.sh. Token files: functions_image.sh.

set -eEuo pipefail
shopt -s inherit_errexit

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
KVSS_BUILD=${KVSS_BUILD:-$TESTS/../build}
SESSION=no                                  # yes: qemu:///session as the ordinary user (session_mode)
IMAGES=/var/lib/libvirt/images              # where guest_define puts disks
export LIBVIRT_DEFAULT_URI=qemu:///system

# ---- ends -----------------------------------------------------------------------------------------------

_cleanups=()

# cleanup_fn COMMAND [ARG...]: to be run when the test ends, however it ends; the last one first.
cleanup_fn() { _cleanups+=("$(printf '%q ' "$@")"); }

_at_exit() {
    local status=$? i
    trap - ERR
    set +e
    for ((i = ${#_cleanups[@]} - 1; i >= 0; i--)); do eval "${_cleanups[i]}"; done
    if [ $status != 0 ] && [ $status != 77 ]; then _show_guests; fi
    exit $status
}
trap _at_exit EXIT

_where() { # LEVELS: file:line of the caller so many functions up
    local level=$1
    while [[ ${BASH_SOURCE[level + 1]:-} == */lib/functions*.sh ]]; do level=$((level + 1)); done
    echo "$(basename "${BASH_SOURCE[level + 1]:-?}"):${BASH_LINENO[level]}"
}

_on_error() {
    local status=$?
    # a failed command substitution is told of by the subshell already
    [ "$BASH_SUBSHELL" != 0 ] || echo "FAILED at $(_where 1): status $status: $1" >&2
    return $status
}
trap '_on_error "$BASH_COMMAND"' ERR

# fail TEXT...: ends the test.
fail() {
    echo "FAILED at $(_where 0): $*" >&2
    exit 1
}
die() { fail "$@"; }

# skip REASON...: ends the test without a verdict.
skip() {
    echo "$*"
    exit 77
}

# other_kernel REASON: begins the test anew on a kernel that has what this one lacks (tests/lib/uml). All takes ten times as long there, so
# with KVSS_TEST_FULL=1 only, or OTHER_KERNEL=always.
other_kernel() {
    [ -n "${KVSS_TEST_FULL:-}${OTHER_KERNEL:-}" ] || skip "$1; with KVSS_TEST_FULL=1 User Mode Linux is used"
    [ -z "${KVSS_OTHER_KERNEL-}" ] || skip "$1, not here nor with $(uname -r)"
    KVSS_OTHER_KERNEL=yes exec "$TESTS/lib/uml" "$TESTS/lib/sandbox" "$0"
}

# requires COMMAND [ARG...]: skips the test unless the command succeeds.
requires() { "$@" > /dev/null 2>&1 || skip "this machine cannot: $*"; }

# ---- asserts --------------------------------------------------------------------------------------------

# assert_eq GOT WANTED [WHAT]
assert_eq() { [ "$1" = "$2" ] || fail "${3:-value} is '$1', not '$2'"; }

# assert_ne GOT UNWANTED [WHAT]
assert_ne() { [ "$1" != "$2" ] || fail "${3:-value} is '$1'"; }

# assert_ge / assert_le / assert_gt NUMBER NUMBER [WHAT]
assert_ge() { (($1 >= $2)) || fail "${3:-value}: $1 is not >= $2"; }
assert_le() { (($1 <= $2)) || fail "${3:-value}: $1 is not <= $2"; }
assert_gt() { (($1 > $2)) || fail "${3:-value}: $1 is not > $2"; }

# assert_match TEXT EXTENDED-REGEX [WHAT]
assert_match() { [[ $1 =~ $2 ]] || fail "${3:-text} does not match '$2': $1"; }
assert_no_match() { ! [[ $1 =~ $2 ]] || fail "${3:-text} matches '$2': $1"; }

# assert_file PATH... / assert_no_file PATH...
assert_file() { local f; for f; do [ -e "$f" ] || fail "$f is missing"; done; }
assert_no_file() { local f; for f; do [ ! -e "$f" ] || fail "$f is there"; done; }

# assert_status WANTED COMMAND [ARG...]: runs it; its output is left in $OUTPUT (stdout and stderr together).
assert_status() {
    local wanted=$1 got=0
    shift
    OUTPUT=$("$@" 2>&1) || got=$?
    [ "$got" = "$wanted" ] || fail "status $got instead of $wanted: $*: $OUTPUT"
}

# assert_same_file A B: same bytes
assert_same_file() { cmp -- "$1" "$2" || fail "$1 and $2 differ"; }

# poll SECONDS COMMAND [ARG...]: until the command succeeds. Time in which somebody waited for a processor is not counted, ten times the
# limit at most: other tests run at the same time.
poll() {
    local begun=${EPOCHREALTIME/[.,]/} limit=$(($1 * 1000000)) waited _STALLED
    _stalled
    local stalled=$_STALLED
    shift
    until "$@" > /dev/null 2>&1; do
        _stalled
        waited=$((${EPOCHREALTIME/[.,]/} - begun))
        [ $((waited - (_STALLED - stalled))) -lt "$limit" ] && [ $waited -lt $((10 * limit)) ] || fail "not within the time allowed: $*"
        sleep 0.1
    done
}

# Sets $_STALLED to the microseconds in which some process was ready to run and had no processor; 0 where the kernel does not count them.
_stalled() {
    local line
    _STALLED=0
    ! read -r line 2> /dev/null < /proc/pressure/cpu || _STALLED=${line##*total=}
}

# libvirtd_restart [SIGNAL]: as an upgrade does it, or a crash: for a second nobody is there
libvirtd_restart() {
    local pid
    pid=$(cat /run/libvirtd.pid)
    kill -s "${1:-TERM}" "$pid"
    while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
    sleep 1
    libvirtd --daemon --pid-file /run/libvirtd.pid
    poll 20 virsh -q uri
}

# ---- the ordinary user ----------------------------------------------------------------------------------

# as_user COMMAND [ARG...]: as $SANDBOX_USER, with its own home; libvirt is qemu:///session. For programs, not
# for functions. Its disk images belong below ~$SANDBOX_USER.
as_user() {
    env -C /run/kvss-test HOME=/run/kvss-test XDG_RUNTIME_DIR=/run/user/64777 USER="$SANDBOX_USER" \
        LOGNAME="$SANDBOX_USER" LIBVIRT_DEFAULT_URI=qemu:///session \
        setpriv --reuid 64777 --regid 64777 --groups "$(stat -c %g /dev/kvm 2> /dev/null || echo 64777)" \
        --no-new-privs "$@"
}

# session_mode: from here on guests are the ordinary user's, on qemu:///session.
session_mode() {
    SESSION=yes
    IMAGES=/run/kvss-test/images
    as_user mkdir -p "$IMAGES"
}

# as_owner COMMAND [ARG...]: as whoever owns the guests.
as_owner() { if [ "$SESSION" = yes ]; then as_user "$@"; else command "$@"; fi; }

virsh() { as_owner virsh "$@"; }

# ---- helpers built from C -------------------------------------------------------------------------------

# Where tests/tools/guestctl is: in the build folder, else built on the spot.
_guestctl_path() {
    local program=$KVSS_BUILD/tests/tools/guestctl
    if [ ! -x "$program" ]; then
        program=$SANDBOX/guestctl
        [ -x "$program" ] || gcc -std=gnu17 -O1 -D_GNU_SOURCE -I "$TESTS/guest" -o "$program" \
            "$TESTS"/tools/guestctl*.c "$TESTS/guest/tokens.c"
    fi
    echo "$program"
}

guestctl() { "$(_guestctl_path)" "$@"; }

# shellcheck source=tests/lib/functions_guest.sh
. "$TESTS/lib/functions_guest.sh"
# shellcheck source=tests/lib/functions_boot.sh
. "$TESTS/lib/functions_boot.sh"
# shellcheck source=tests/lib/functions_image.sh
. "$TESTS/lib/functions_image.sh"
# shellcheck source=tests/lib/functions_left.sh
. "$TESTS/lib/functions_left.sh"

[ -n "${SANDBOX:-}" ] || skip "runs only in a sandbox: tests/lib/sandbox $0"
