#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Every call of libvirt, of its getters too, forgets the failure of the one before. So none is among the arguments of what reads that
# failure: what they tell is asked for beforehand.
set -u
cd "$(dirname "$0")/../.." || exit 1

reads='hv_virt_error|hv_virt_code|agent_error|virGetLastError(Message|Code)?'
# a call that tells of it, with its arguments, down to three levels of brackets
call='\b(?:hv_virt_error|agent_error|log_\w+|err_\w+|str\w+)'
call+='\((?:[^();{}]|\((?:[^();{}]|\((?:[^();{}]|\([^();{}]*\))*\))*\))*\)'

failed=0
seen=0
for file in src/hypervisor/*/*.c; do
    while IFS= read -r -d '' text; do
        grep -qE "\\b($reads)\\b" <<< "$text" || continue
        seen=$((seen + 1))
        # but for what reads it, and handles, which are no calls of libvirt's
        others=$(grep -oE '\b(vir[A-Z][A-Za-z0-9]*|hv_[a-z_]+) ?\(' <<< "$text" | grep -vE "^($reads|hv_handle) ?\\(")
        [ -z "$others" ] || { echo "$file: $(tr -s ' \n' ' ' <<< "$text") asks libvirt with $others" && failed=1; }
    done < <(grep -Pzo "$call" "$file")
done
[ $seen -ge 40 ] || { echo "only $seen places that read libvirt's failure were found" && failed=1; }
exit $failed
