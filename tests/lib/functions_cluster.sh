# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# functions_cluster.sh: a real cluster of two nodes, n1 and n2, by Corosync and Pacemaker (tests/lib/cluster-node). A test sources it after
# functions_kvss.sh. Each node has daemons, libvirtd, host UUID, /run and /var of its own; they share the network and $SHARED, where images,
# definitions and the repository are. virsh, kvss, guest_sh and the like work on the node $NODE; on NODE COMMAND... on another one.

SHARED=$SANDBOX/shared
NODES=(n1 n2)
NODE=n1
MONITOR=2s # how often the cluster looks at a VM
IMAGES=$SHARED
for _tool in pacemakerd corosync crm_mon crm_resource cibadmin crm_simulate; do
    command -v "$_tool" > /dev/null || skip "$_tool is missing: apt-get install --no-install-recommends \$(cat tests/packages.txt)"
done
[ -e /usr/lib/ocf/resource.d/heartbeat/VirtualDomain ] || skip "the resource agent VirtualDomain is missing"

for _node in "${NODES[@]}"; do RUN_DIRS+=("$SANDBOX/$_node/root/var/lib/kvss/sessions"); done

_node_pid() { cat "$SANDBOX/$1/pid"; }

# on NODE COMMAND...: on that node, as root
on() { nsenter -t "$(_node_pid "$1")" -m -u -i -p env -C "$SANDBOX" "${@:2}"; }

# Functions of the other files act on $NODE, once there are nodes
as_owner() { if [ -e "$SANDBOX/$NODE/ready" ]; then on "$NODE" "$@"; else command "$@"; fi; }
guestctl() { on "$NODE" "$(_guestctl_path)" "$@"; }

# token_drive of functions_guest.sh, for guests on $NODE: no process of nsenter's is between
token_drive() {
    local name ports=()
    for name; do ports+=("$(guest_port "$name" token)"); done
    DRIVE_LOG=$SANDBOX/drive.log
    DRIVE_LAST=$(($# - 1))
    rm -f "$DRIVE_LOG"
    nsenter -t "$(_node_pid "$NODE")" -m "$(_guestctl_path)" -p "${TOKEN_PAUSE_MS:-200}" -l "$DRIVE_LOG" drive "${ports[@]}" &
    DRIVE_PID=$!
    cleanup_fn token_drive_stop
    poll 20 test -s "$DRIVE_LOG"
}

# cluster_setup: the two nodes run, each VM that cluster_vm has entered is started by them
cluster_setup() {
    local node number=0 address
    KVSS=$(realpath "$KVSS")
    KVSS_BUILD=$(realpath "$KVSS_BUILD")
    ip link set lo up
    for node in "${NODES[@]}"; do
        number=$((number + 1))
        mkdir -p "$SANDBOX/$node"
        _corosync_conf > "$SANDBOX/$node/corosync.conf"
        _cib > "$SANDBOX/$node/cib.xml"
        echo "6f1b0000-0000-4000-8000-00000000000$number" > "$SANDBOX/$node/uuid"
    done
    for node in "${NODES[@]}"; do node_start "$node"; done
    for node in "${NODES[@]}"; do poll 60 test -e "$SANDBOX/$node/ready"; done
    poll 60 _cluster_complete
}

# What the file says is taken by all nodes, each in the place of its own number.
_corosync_conf() {
    local i
    cat << END
totem {
  version: 2
  cluster_name: kvss
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  token: 3000
}
quorum {
  provider: corosync_votequorum
  two_node: 1
  wait_for_all: 0
}
system {
  move_to_root_cgroup: no
  sched_rr: no
}
logging {
  to_stderr: no
  to_syslog: no
  to_logfile: yes
  logfile: /var/log/corosync/corosync.log
  timestamp: on
}
nodelist {
END
    for ((i = 0; i < ${#NODES[@]}; i++)); do
        echo "  node {"
        echo "    name: ${NODES[i]}"
        echo "    nodeid: $((i + 1))"
        echo "    ring0_addr: 127.0.0.1$((i + 1))"
        echo "  }"
    done
    echo "}"
}

RESOURCES=()
# cluster_vm NAME [PARAMETER=VALUE...] [-- OPTION=VALUE...]: a VM for cluster_setup to start, as resource vm-NAME: parameters of the agent;
# node=NODE: where it starts; after --: options of guest_define. Its definition is $SHARED/NAME.xml.
cluster_vm() {
    local name=$1 node=n1 parameters='' item
    shift
    mkdir -p "$SHARED"
    chmod 755 "$SHARED"
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        item=$1
        shift
        case $item in
        node=*) node=${item#*=} ;;
        *) parameters+="<nvpair id=\"vm-$name-${item%%=*}\" name=\"${item%%=*}\" value=\"${item#*=}\"/>" ;;
        esac
    done
    [ $# = 0 ] || shift
    # the agent looks for a line that ends with the name
    guest_xml "$name" "dir=$SHARED" "uuid=$(_vm_uuid "$name")" "$@" | sed "s|</name>|&\n|" > "$SHARED/$name.xml"
    RESOURCES+=("<primitive id=\"vm-$name\" class=\"ocf\" provider=\"heartbeat\" type=\"VirtualDomain\">
<instance_attributes id=\"vm-$name-ia\">
<nvpair id=\"vm-$name-config\" name=\"config\" value=\"$SHARED/$name.xml\"/>
<nvpair id=\"vm-$name-hv\" name=\"hypervisor\" value=\"qemu:///system\"/>$parameters</instance_attributes>
<meta_attributes id=\"vm-$name-ma\"><nvpair id=\"vm-$name-mt\" name=\"migration-threshold\" value=\"2\"/>
<nvpair id=\"vm-$name-rs\" name=\"resource-stickiness\" value=\"100\"/></meta_attributes>
<operations><op id=\"vm-$name-mon\" name=\"monitor\" interval=\"$MONITOR\" timeout=\"30s\"/>
<op id=\"vm-$name-start\" name=\"start\" interval=\"0\" timeout=\"90s\"/>
<op id=\"vm-$name-stop\" name=\"stop\" interval=\"0\" timeout=\"15s\"/></operations></primitive>")
    CONSTRAINTS+="<rsc_location id=\"at-$name\" rsc=\"vm-$name\" node=\"$node\" score=\"50\"/>"
}
CONSTRAINTS=''

_vm_uuid() { printf '%s' "$1" | md5sum | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/'; }

_cib() {
    cat << END
<cib crm_feature_set="3.16.1" validate-with="pacemaker-3.9" epoch="1" num_updates="0" admin_epoch="1">
<configuration><crm_config><cluster_property_set id="options">
<nvpair id="o1" name="stonith-enabled" value="false"/><nvpair id="o2" name="no-quorum-policy" value="ignore"/>
<nvpair id="o3" name="dc-deadtime" value="2s"/></cluster_property_set></crm_config>
<nodes/><resources>${RESOURCES[*]}${MORE_RESOURCES:-}</resources><constraints>$CONSTRAINTS${MORE_CONSTRAINTS:-}</constraints></configuration>
<status/></cib>
END
}

# node_start NAME / node_kill NAME: as its power is turned on, or lost
node_start() {
    local pid
    # its standard files are none of the test's: a pipe that a test reads would never end
    unshare --mount --pid --uts --ipc --fork --kill-child --mount-proc "$TESTS/lib/cluster-node" "$1" "$SANDBOX/$1" \
        < /dev/null > "$SANDBOX/$1/output" 2>&1 &
    pid=$!
    echo $pid > "$SANDBOX/$1/outer"
    until pgrep -P $pid > "$SANDBOX/$1/pid"; do
        kill -0 $pid || fail "node $1 does not start: $(cat "$SANDBOX/$1/output")"
        sleep 0.02
    done
}
node_kill() {
    local pid
    pid=$(_node_pid "$1")
    kill -KILL "$pid"
    while kill -0 "$pid" 2> /dev/null; do sleep 0.05; done
}

_cluster_complete() {
    local nodes
    nodes=$(on "$NODE" crm_mon --output-as=xml) || return 1
    [ "$(_xpath 'count(//nodes/node[@online="true" and @unclean="false"])' <<< "$nodes")" = ${#NODES[@]} ] || return 1
    # what was not probed everywhere yet is not there
    [ "$(_xpath 'count(//resources/resource[@role="Started" or @role="Stopped"])' <<< "$nodes")" -ge ${#RESOURCES[@]} ] && _cluster_idle
}
_cluster_idle() {
    local simulated
    simulated=$(on "$NODE" crm_simulate -L -R --output-as=xml) || return 1
    [ "$(_xpath 'count(//actions/*)' <<< "$simulated")" = 0 ] && [[ ! $simulated =~ ' pending="'[A-Z] ]]
}

_xpath() { xmllint --xpath "$1" -; }

# resource NAME ATTRIBUTE: of the resource of a VM, as crm_mon tells: role, managed, failed, node (where it is), fails (of all nodes together)
resource() {
    local all
    all=$(on "${ASK:-$NODE}" crm_mon -r --output-as=xml)
    case $2 in
    node) _xpath "string(//resources//resource[@id='vm-$1']/node/@name)" <<< "$all" ;;
    fails) _xpath "sum(//node_history//resource_history[@id='vm-$1']/@fail-count)" <<< "$all" ;;
    *) _xpath "string(//resources//resource[@id='vm-$1']/@$2)" <<< "$all" ;;
    esac
}
_resource_is() { [ "$(resource "$1" "$2")" = "$3" ]; }
# resource_wait NAME ATTRIBUTE VALUE [SECONDS]
resource_wait() { poll "${4:-60}" _resource_is "$1" "$2" "$3"; }

# vm_runs NAME: the nodes whose libvirt has it running, however the cluster sees that
vm_runs() {
    local node list=()
    for node in "${NODES[@]}"; do
        [ "$(on "$node" virsh -q domstate "$1" 2> /dev/null)" != running ] || list+=("$node")
    done
    echo "${list[*]}"
}

# cluster_before / assert_cluster_calm VM...: between the two the cluster has started, stopped, moved and failed nothing, but the VMs named,
# which run where they ran, with no failure counted; and nothing of kvss is left in its configuration
_cluster_operations() { # every start, stop, migration of the log, and everything that failed
    local node
    for node in "${NODES[@]}"; do
        sed -nE "s/.*(notice|error|warning): (Result of|Transition [0-9]+ action) .*(start|stop|migrate|promote|demote) operation for ([^ ]*).*/$node \4 \3/p" \
            "$SANDBOX/$node/root/var/log/pacemaker/pacemaker.log"
    done
}
_cluster_config() { # but what the cluster notes itself when a resource is refreshed
    on "$NODE" cibadmin -Q -o configuration | sed -E '/last-lrm-refresh/d; s/ (epoch|num_updates|cib-last-written|update-(origin|client|user))="[^"]*"//g'
}
cluster_before() {
    _cluster_operations > "$SANDBOX/operations"
    _cluster_config > "$SANDBOX/configuration"
    CLUSTER_NODES=()
    local vm
    for vm; do CLUSTER_NODES+=("$vm $(resource "$vm" node)"); done
}
assert_cluster_calm() {
    local item more
    for item in "${CLUSTER_NODES[@]}"; do
        resource_wait "${item% *}" role Started
        assert_eq "$(resource "${item% *}" node)" "${item#* }" "node of ${item% *}"
        assert_eq "$(resource "${item% *}" fails)" 0 "failures of ${item% *}"
        assert_eq "$(resource "${item% *}" managed)" true "the cluster manages ${item% *}"
        assert_eq "$(vm_runs "${item% *}")" "${item#* }" "hosts that run ${item% *}"
    done
    poll 30 _cluster_idle
    more=$(_cluster_operations | diff "$SANDBOX/operations" - | sed -n 's/^> //p' || :)
    for item; do more=$(grep -v " vm-$item " <<< "$more" || :); done
    assert_eq "$more" "" "what the cluster has done"
    diff "$SANDBOX/configuration" <(_cluster_config) >&2 || fail "the configuration of the cluster is not as before"
}
