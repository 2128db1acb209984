#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The command as its manual promises: exit codes, messages that say what was tried on what and what to do, --json that is JSON, help
# for every command; no VM is needed for most of it, and none is touched.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

# ---- help and usage
for args in --help 'backup --help' 'restore --help' 'check --help' 'init --help' 'list --help' 'show --help' 'verify --help'; do
    # shellcheck disable=SC2086 # words
    kvss $args > "$SANDBOX/out"
    assert_match "$(cat "$SANDBOX/out")" '[Uu]sage' "kvss $args"
done
assert_match "$(kvss --version)" '[0-9]+\.[0-9]+'
for args in '' 'frobnicate' 'backup --no-such-option' 'backup --method sideways x' 'backup --require everything x' 'restore' 'show' \
    'list nothing'; do
    # shellcheck disable=SC2086 # words
    kvss_fails "$EXIT_USAGE" $args
done
kvss_fails "$EXIT_USAGE" bakcup x
assert_match "$OUTPUT" 'backup' "hint for a misspelt command"

# ---- no repository, wrong password
guest_define web01 agent=no tokens=off
guest_define web02 agent=no tokens=off
lifecycle_start
kvss_fails "$EXIT_FAILED" backup web01
assert_match "$OUTPUT" 'KVSS_REPOSITORY|--repo' "message without a repository"
export KVSS_CONNECT=qemu:///system KVSS_PASSWORD_FILE=$SANDBOX/password
(umask 077 && echo right > "$SANDBOX/password" && echo wrong > "$SANDBOX/wrong")
KVSS_REPOSITORY=$SANDBOX/none kvss_fails "$EXIT_FAILED" backup web01
assert_match "$OUTPUT" "$SANDBOX/none" "message about a repository that is not there"
assert_match "$OUTPUT" 'kvss init' "message about a repository that is not there"
assert_eq "$(grep -o 'kvss init' <<< "$OUTPUT" | wc -l)" 1 "times that the remedy is told"
mkdir "$SANDBOX/empty"
KVSS_REPOSITORY=$SANDBOX/empty kvss_fails "$EXIT_FAILED" list points
assert_eq "$(grep -o 'kvss init' <<< "$OUTPUT" | wc -l)" 1 "times that the remedy is told of an empty folder"
KVSS_REPOSITORY=$SANDBOX/none kvss_fails "$EXIT_REFUSED" check web01
assert_match "$(cat "$REPORT")" "to do: there is no repository in $SANDBOX/none yet" "what check says before init"
kvss_fails "$EXIT_USAGE" --json
assert_match "$(report .error.text)" 'missing command' "kvss --json alone"
export KVSS_REPOSITORY=$SANDBOX/repository
kvss_json init
assert_eq "$(report .repository)" "$KVSS_REPOSITORY" repository
assert_eq "$(report .encrypted)" true encrypted
kvss_fails "$EXIT_FAILED" init
assert_match "$OUTPUT" "$KVSS_REPOSITORY" "message of a second init"
KVSS_PASSWORD_FILE=$SANDBOX/wrong kvss_fails "$EXIT_FAILED" list points
assert_match "$OUTPUT" '[Pp]ass(word|phrase)' "message about a wrong password"
(unset KVSS_PASSWORD_FILE; kvss_fails "$EXIT_FAILED" list points < /dev/null; assert_match "$OUTPUT" '[Pp]ass(word|phrase)')
grep -r right "$KVSS_REPOSITORY" && fail "the password is in the repository"
note "repository"

# ---- VMs and points that are not there
kvss_fails "$EXIT_FAILED" backup web1
assert_match "$OUTPUT" 'web1' "the unknown VM"
assert_match "$OUTPUT" 'web0[12]' "what is like it"
kvss_fails "$EXIT_FAILED" check nosuch
kvss_fails "$EXIT_USAGE" backup
assert_match "$OUTPUT" '--all' "backup without a VM"
kvss_fails "$EXIT_USAGE" backup --all web01
kvss_fails "$EXIT_FAILED" show latest
kvss_fails "$EXIT_FAILED" restore --yes latest
kvss_fails "$EXIT_FAILED" show deadbeef
assert_match "$OUTPUT" deadbeef
KVSS_CONNECT='qemu+unix:///system?socket=/nonexistent' kvss_fails "$EXIT_FAILED" list vms
assert_match "$OUTPUT" 'nonexistent' "message about libvirt"
note "what is not there"

# ---- lists
for what in writers providers vms points; do
    kvss_json list $what
    kvss list $what > "$SANDBOX/out"
done
kvss_json list writers
assert_eq "$(report '.writers[0].name')" "Microsoft Hyper-V VSS Writer" "M20"
assert_eq "$(report '.writers[0].id' | tr -d '{}' | tr '[:upper:]' '[:lower:]')" 66841cd4-6ded-4f4b-8f17-fd23f8ddc3de "M21"
assert_eq "$(report '.writers[0].state_name')" Stable
assert_eq "$(report '[.writers[0].components[].caption] | sort | join(" ")')" \
    'Backup Using Saved State\web01 Backup Using Saved State\web02' "captions (behaviour 2)"
first=$(report '.writers[0].instance_id')
components=$(report '.writers[0].components')
kvss_json list writers
assert_ne "$(report '.writers[0].instance_id')" "$first" "instance id of another start (behaviour 3)"
assert_eq "$(report '.writers[0].components')" "$components" "components (behaviour 1)"
words=$(kvss list writers)
for text in 'Writer name:' 'Writer Id:' 'Writer Instance Id:' 'State:.*Stable' 'Last error: No error' '66841cd4'; do
    assert_match "$words" "$text" "kvss list writers, in the manner of vssadmin"
done
kvss_json list vms
assert_eq "$(report '[.vms[].name] | sort | join(" ")')" "web01 web02"
assert_untouched web01 web02

# ---- by UUID, all, twice; a copy
backup --all
assert_eq "$(report '[.vms[].name] | sort | join(" ")')" "web01 web02"
backup --copy "$(virsh -q domuuid web01)" web01
assert_eq "$(report '[.vms[].name] | join(" ")')" web01
assert_eq "$(report .type)" copy
assert_points 2
kvss_json list points web02
assert_eq "$(report '.points | length')" 1 "points that hold web02"
kvss_fails "$EXIT_FAILED" restore --yes "$POINT" web02
assert_match "$OUTPUT" web02
assert_untouched web01 web02

# ---- the configuration file stands behind the environment
printf 'repository = %s\npassword-file = %s\nconnect = qemu:///system\n' "$KVSS_REPOSITORY" "$KVSS_PASSWORD_FILE" > /etc/kvss/kvss.conf
(unset KVSS_REPOSITORY KVSS_PASSWORD_FILE KVSS_CONNECT; assert_points 2)
chmod 644 "$SANDBOX/password"
kvss list points > /dev/null 2> "$SANDBOX/stderr" || :
assert_match "$(cat "$SANDBOX/stderr")" 'password' "a password file that all can read"

# ---- names that no restore point holds, and the newest that holds the VMs named
chmod 600 "$SANDBOX/password"
kvss_fails "$EXIT_FAILED" list points web03
assert_match "$OUTPUT" "no restore point contains VM 'web03'; did you mean 'web0[12]'" "a misspelt VM"
kvss_fails "$EXIT_FAILED" forget --keep-last 1 --vm web01,web2 --dry-run
assert_match "$OUTPUT" "no restore point contains VM 'web2'" "a misspelt VM"
kvss_json restore latest web02 --dry-run --yes # the newest point of all holds web01 alone
assert_eq "$(report .point)" "$(kvss list points web02 --json | jq -r '.points[-1].id')" "the newest that holds web02"
note "names"

# ---- a report that cannot be printed is a failure that is told, of every kind of output
for args in 'list points' 'list points --json' stats 'key list' 'show latest' 'check web01' 'list vms' 'verify latest' --help --version 'help backup'; do
    # shellcheck disable=SC2086 # words
    for to in /dev/full closed; do
        status=0
        if [ $to = closed ]; then "$KVSS" $args >&- 2> "$SANDBOX/stderr" || status=$?; else "$KVSS" $args > $to 2> "$SANDBOX/stderr" || status=$?; fi
        assert_eq "$status" "$EXIT_FAILED" "status of kvss $args > $to"
        assert_match "$(cat "$SANDBOX/stderr")" 'lost: (No space left on device|Bad file descriptor)' "kvss $args > $to"
    done
done
"$KVSS" verify latest <&- > "$SANDBOX/out" 2>&- || fail "without stdin and stderr: $?"
note "lost output"

# ---- signals that were ignored stay ignored (nohup)
mkfifo "$SANDBOX/fifo"
# shellcheck disable=SC2030,SC2031 # meant
(trap '' HUP TERM; unset KVSS_PASSWORD_FILE; exec "$KVSS" verify latest --password-file "$SANDBOX/fifo" > "$SANDBOX/out" 2>&1) &
pid=$!
sleep 1
kill -HUP $pid
kill -TERM $pid
sleep 0.5
cat "$SANDBOX/password" > "$SANDBOX/fifo"
status=0
wait $pid || status=$?
assert_eq "$status" 0 "status of a command that ignores SIGHUP: $(cat "$SANDBOX/out")"

# ---- what editors put before a passphrase
printf '\xef\xbb\xbfright\n' > "$SANDBOX/marked"
printf '\xff\xfer\0i\0g\0h\0t\0\n\0' > "$SANDBOX/wide"
chmod 600 "$SANDBOX/marked" "$SANDBOX/wide"
KVSS_PASSWORD_FILE=$SANDBOX/marked kvss_fails "$EXIT_FAILED" list points
assert_match "$OUTPUT" 'byte-order mark' "a byte-order mark"
KVSS_PASSWORD_FILE=$SANDBOX/wide kvss_fails "$EXIT_FAILED" list points
assert_match "$OUTPUT" 'UTF-16' "UTF-16"
