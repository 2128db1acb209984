# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_agent.sh: a scripted guest agent (tests/fault/fake-agent) in the place of the real one, on the real channel.

# fake_start NAME: it answers questions as the real one did, until fake_answer says otherwise; mode "good".
fake_start() {
    local name=$1 command
    guest_sh "$name" 'mkdir -p /run/fake; rm -f /run/fake/*'
    for command in guest-info guest-get-fsinfo guest-get-osinfo; do
        fake_answer "$name" $command < <(guest_agent "$name" $command)
    done
    guest_sh "$name" "agentctl stop; echo $(base64 -w 0 "$TESTS/fault/fake-agent") | base64 -d > /run/fake/run; chmod +x /run/fake/run"
    fake_mode "$name" good
    guest_sh "$name" 'setsid /run/fake/run < /dev/null > /run/fake/errors 2>&1 &'
    poll 20 guest_agent "$name" guest-ping
}

# fake_answer NAME COMMAND < JSON: what it answers from now on
fake_answer() { guest_sh "$1" "echo $(jq -c . | base64 -w 0) | base64 -d > /run/fake/$2.json"; }

# fake_exec NAME PROGRAM STATUS < OUTPUT: a program that it runs from now on; as PROGRAM.after, what that prints once the guest was frozen
fake_exec() {
    guest_sh "$1" "mkdir -p /run/fake/exec; rm -f /run/fake/was-frozen; echo $(jq -cn --argjson status "$3" --arg out "$(base64 -w 0)" \
        '{return: {exited: true, exitcode: $status, "out-data": $out}}' | base64 -w 0) | base64 -d > '/run/fake/exec/$2'"
}

# fake_no_exec NAME: it can run nothing any more
fake_no_exec() { guest_sh "$1" 'rm -rf /run/fake/exec'; }

# fake_mode NAME MODE: how it misbehaves from now on (fake-agent lists the modes)
fake_mode() { guest_sh "$1" "echo $2 > /run/fake/mode; : > /run/fake/log"; }
