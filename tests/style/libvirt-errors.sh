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

# In every such call that reads it: what else is called, but for what reads it, and handles, which are no calls of libvirt's
perl -0777 -ne '
    while (/('"$call"')/g) {
        my $text = $1;
        next unless $text =~ /\b('"$reads"')\b/;
        $seen++;
        my @others = grep { !/^('"$reads"'|hv_handle) ?\($/ } $text =~ /\b((?:vir[A-Z][A-Za-z0-9]*|hv_[a-z_]+) ?\()/g;
        next unless @others;
        $text =~ s/\s+/ /g;
        print "$ARGV: $text asks libvirt with @others\n";
        $failed = 1;
    }
    END {
        if ($seen < 40) { print "only $seen places that read the failure of libvirt were found\n"; $failed = 1 }
        exit $failed;
    }' src/hypervisor/*/*.c
