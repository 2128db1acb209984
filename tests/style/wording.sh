#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What users read is plain English: none of the words and constructions below is in a text of the source (tests/tools/texts.awk), in
# a manual page or in README.md, and no text of the source has the number of a clause. Each rule is PATTERN (case does not matter),
# an example that it must find, and what to write instead; that it finds the example is checked first, through the same pipe.
set -u
cd "$(dirname "$0")/../.." || exit 1

rules() { # PATTERN | EXAMPLE | INSTEAD
    cat <<'END'
\b(tell|tells|told|telling)\b | kvss fsck tells more | show, report, list
\banew\b | the index was made anew | again, rebuilt
\b(put|puts|putting|taken?) back\b | what was done is put back | undo, roll back, restore
\b(by itself|by themselves)\b | what passes by itself is tried again | temporary, automatically
\bfor ever\b | it is gone for ever | permanently
, for (it|they|the|a|an|its|QEMU|libvirt)\b | not possible, for QEMU cannot save it | because
, since (it|they|the|a|an|its|what|another|no|all|QEMU|libvirt)\b | full, since it has no checkpoint | because
\bbegin of\b | an id, or the begin of one | prefix
\b(is|are|was|were|be|been|read|reads|them|it|disks) whole\b | the disk was read whole | in full, intact, complete
\bwhole number\b | not a whole number | number
\bin all($|[.,;:)]) | the space used, per VM and in all | in total
\b(it|that|which|result|point) stands\b | it stands, and its journal is deleted | is complete, is final
\blets? go\b | all guests were let go | thawed, resumed
\b(guests?|VMs?|writers?|it|they) (is|are|was|were) held\b | the guest was held for 3 s | frozen, paused
\bGUEST HELD\b | the column GUEST HELD | GUEST PAUSED
\b(is|are|was|were) gone\b | the session is gone | deleted, missing, stale, no longer exists
\b(lie|lies|lay) (on|in|at|beside|below|there|where)\b | the guest's /home lies on disk vdb | is on, is stored in
\bso many\b | at most so many bytes | N
\ball the same\b | it is restored all the same | anyway
\brecords? of changes\b | the record of changes is wrong | dirty bitmap
\bas at the instant\b | its memory as at the instant | as of the backup, from the backup
\bbeside\b | snapshot files are placed beside the images | next to, in addition to, while
\b(is|be|was) had\b | if a VM cannot be had that way | exists, is possible
\b(go|goes|going|went) on\b | the guest goes on without it | continues, keeps
\bwhat there is\b | it lists what there is | the ...
\bin force\b | the master key in force | current
\blooks? whether\b | it looks whether all is complete | checks that
\bof which (libvirt|no|nothing|its|the repository|somebody)\b | a bitmap of which libvirt knows no checkpoint | split the sentence
\bany more\b | it is not there any more | no longer
\b(is|was|it's) no (GUID|file|folder|text|JSON|name|array|object|disk|saved) | the id is no GUID | is not a
\bcannot (tell|make)\b | cannot make the folder | cannot determine, cannot create
\bordinary file\b | it is not an ordinary file | regular file
\b(somebody|exchanged by)\b | it was exchanged by somebody | someone else, replaced by
\bpassed over\b | the key is passed over | skipped
\bcut short\b | the pack is cut short | truncated
\bgave no reason\b | the writer gave no reason | no reason given
\bno cause was given\b | no cause was given | no reason given
\bgives? back\b | prune gives back the space | frees
\bmust stay free\b | 1 GiB must stay free | must be left free
\b(make|not enough) room\b | not enough room in the pool: make room | free space, not enough space
\bexclude each other\b | --all and --vm exclude each other | cannot be combined
\b(session|owner)s? ([0-9]+ |%s )?(has|had|have) died\b | session 1 has died | crashed
\b(was|were) asked for\b | Saved State was asked for | was requested
\bspeaks interface\b | it speaks interface 2 | uses
\bnot more to\b|\bmore on this one\b | more on this one in kvss(1) | is described in
\bthe same again\b | The same again: | Repeat
\bit is done\b | with --move it is done | allow it with
\bonce more\b | press it once more to stop at once | again
\bplugged into (nothing|none)\b | the NIC is plugged into nothing | not connected
\blead(s)? nowhere\b | a port leads nowhere now | is no longer connected
\bmakes no sense\b | the answer makes no sense | is invalid
\b(does|do) not understand\b|\bnot understood\b | a line is not understood | invalid
\bis asked, and\b|\bnobody can be asked\b | nobody can be asked | no terminal
\bin the manner of\b | backup in the manner of VSS | like, as
\bnor is it\b|\bneither is it\b | nor is it read | split the sentence
\bis none any\b|\bis there already\b | the file is there already | already exists
\b(is|are|was|were) there no more\b | the medium is there no more | no longer exists
\bnot there\b | the image is not there | does not exist, is missing
END
}

# FILE...: what the sources say to users
texts() { awk -f tests/tools/texts.awk "$@" | awk -F '\t' '$3 != "Microsoft Hyper-V VSS Writer"'; }
# FILE...: pages, without literals and the names of keys and values (``...``, *...*, **...**, `...`) and indented blocks of output
pages() {
    awk '{ if (/^ *\|? *[$#] /) next; gsub(/``[^`]*``|\*\*[^*]*\*\*|\*[^*]*\*|`[^`]*`/, "X"); print FILENAME ":" FNR "\t-\t" $0 }' "$@"
}
# A clause of the specification, and the VM writer's name, in texts of the source
CLAUSE=$(printf '\t[^\t]*\t')'((|.*[^A-Za-z0-9,._-])(M[0-9]{1,2}[a-e]?|B[0-9]{1,2})([^A-Za-z0-9,._-]|$)|.*(behaviour [0-9]|Hyper-V))'

found() { # NAME LIST: lines of the list that the rules find, as "PLACE: TEXT: write INSTEAD"
    local pattern instead
    while IFS= read -r rule; do
        pattern=${rule%% | *} instead=${rule##* | }
        grep -iE -- "$(printf '\t[^\t]*\t.*')($pattern)" "$1" | sed -E "s/^([^\t]*)\t[^\t]*\t(.*)/\1: \2/" | sed "s|\$|  [write: $instead]|"
    done < <(rules)
}

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0

# ---- Each rule finds its example, in a source and in a page.
rules | sed -E 's/^.* \| (.*) \| .*$/\1/' > "$work/examples"
[ "$(wc -l < "$work/examples")" -ge 50 ] || { echo "the rules were not read" && exit 1; }
while IFS= read -r rule; do
    example=${rule% | *} && example=${example##* | }
    pattern=${rule%% | *}
    printf 'int f(void)\n{\n    return err_set(err, EIO, "VM %%s: "\n        "%s", name);\n}\n' "$example" > "$work/example.c"
    printf 'DESCRIPTION\n===========\n\nHere %s.\n' "$example" > "$work/example.rst"
    texts "$work/example.c" | grep -qiE -- "	[^	]*	.*($pattern)" || { echo "not found in a source: $example" && failed=1; }
    pages "$work/example.rst" | grep -qiE -- "	[^	]*	.*($pattern)" || { echo "not found in a page: $example" && failed=1; }
done < <(rules)
for example in 'M4a: no agent' 'VM web: M4a failed' 'pass-through disk (M11)' 'the limit of B2' 'M9: use it' 'see behaviour 43' 'Microsoft Hyper-V VSS Writer: no'; do
    printf 'int f(void)\n{\n    log_error(log, "%s");\n}\n' "$example" > "$work/example.c"
    texts "$work/example.c" | grep -qE -- "$CLAUSE" || { echo "no clause found in: $example" && failed=1; }
done

# ---- The texts
mapfile -t sources < <(git ls-files -- 'src/*.[ch]')
texts "${sources[@]}" > "$work/texts"
[ "$(wc -l < "$work/texts")" -ge 2000 ] || { echo "only $(wc -l < "$work/texts") texts were found in the source" && failed=1; }
pages README.md docs/man/*.rst > "$work/pages"
found "$work/texts" > "$work/found"
found "$work/pages" >> "$work/found"
grep -E -- "$CLAUSE" "$work/texts" | sed 's/$/  [clauses, and the name of the VM writer, belong into JSON and -v]/' >> "$work/found"
[ ! -s "$work/found" ] || { sort -u "$work/found" && failed=1; }
exit $failed
