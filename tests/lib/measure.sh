# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# measure.sh: how long a command takes, and how much processor time it uses with all that it starts. Sourced by tests/run.
#
# Machines are shared, so processor time is what two runs can be compared by. It is that of a control group (version 2) of the command's
# own, where root can make one: its virtual machines and daemons are in it too. Elsewhere it is that of the processes that were waited for.

MEASURE_GROUPS=

# measure_begin: looks whether control groups can be made.
measure_begin() {
    local mount own
    mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    [ -n "$mount" ] || return 0
    MEASURE_GROUPS=$mount${own%/}/kvss-tests.$$
    if ! mkdir "$MEASURE_GROUPS" 2> /dev/null; then
        MEASURE_GROUPS=
    elif [ ! -r "$MEASURE_GROUPS/cpu.stat" ]; then
        measure_end
    fi
}

# measure_end: removes them. One in which something lives on stays.
measure_end() {
    [ -z "$MEASURE_GROUPS" ] || rmdir "$MEASURE_GROUPS"/*/ "$MEASURE_GROUPS" 2> /dev/null
    MEASURE_GROUPS=
}

# measured NAME FILE COMMAND...: runs the command (a program, no function) and appends "NAME ELAPSED CPU", in seconds, to FILE; they are in
# $ELAPSED and $CPU too. Its process is in FILE.NAME.pid meanwhile. Returns its status. For a shell that starts nothing else meanwhile.
measured() {
    local name=$1 file=$2 pidfile group began used status=0
    shift 2
    pidfile=$file.${name//\//-}.pid
    group=${MEASURE_GROUPS:+$MEASURE_GROUPS/${name//\//-}}
    [ -z "$group" ] || mkdir -p "$group"
    _measure_used "$group" "$file.$BASHPID"
    used=$USED
    began=${EPOCHREALTIME/[.,]/}
    (
        [ -z "$group" ] || echo "$BASHPID" > "$group/cgroup.procs"
        exec "$@"
    ) < /dev/null &
    echo $! > "$pidfile"
    wait $! || status=$?
    rm -f "$pidfile"
    _measure_seconds ELAPSED $((${EPOCHREALTIME/[.,]/} - began))
    _measure_used "$group" "$file.$BASHPID"
    _measure_seconds CPU $((USED - used))
    [ -z "$group" ] || rmdir "$group" 2> /dev/null
    echo "$name $ELAPSED $CPU" >> "$file"
    return $status
}

_measure_seconds() { printf -v "$1" %d.%02d $(($2 / 1000000)) $(($2 / 10000 % 100)); }

# Sets $USED to the microseconds that the group, or what this shell has waited for, has used.
_measure_used() { # GROUP SCRATCH
    if [ -n "$1" ]; then
        USED=$(sed -n 's/^usage_usec //p' "$1/cpu.stat")
    else
        times > "$2"
        USED=$(awk -F '[ms ]+' 'NR == 2 { printf "%d", (($1 + $3) * 60 + $2 + $4) * 1000000 }' "$2")
        rm -f "$2"
    fi
}
