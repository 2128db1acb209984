#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Options and commands in --help and in the manual pages are the same. Commands are found from `kvss --help`: lines of the shape
# "  NAME  what it does" below a line "Commands:". Each has docs/man/kvss-NAME.rst; options common to all are in docs/man/kvss.rst.
# Every page has EXAMPLES, whose command lines name only commands and options that exist, and refers only to pages that exist.
set -u
cd "$(dirname "$0")/../.." || exit 1
kvss=${KVSS_BUILD:-build}/src/cli/kvss
[ -x "$kvss" ] || { echo "the command is not built: $kvss" && exit 1; }

failed=0
complain() {
    echo "$1"
    failed=1
}

options_in_help() {
    grep -oE -- '(^|[[:space:],|[])--[a-z][a-z0-9-]+' | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u
}

# Options that a page documents: definition terms, that is, lines that begin with an option.
options_in_page() {
    grep -E '^(\*\*|``)?-' "$1" | grep -oE -- '--[a-z][a-z0-9-]+' | sort -u
}

# compare NAME HELP-OPTIONS PAGE
compare() {
    local here
    here=$(options_in_page "$3")
    diff <(echo "$2") <(echo "$here") > /dev/null && return
    complain "$1: options only in --help: $(comm -23 <(echo "$2") <(echo "$here") | paste -sd ' '); only in $3: $(comm -13 <(echo "$2") <(echo "$here") | paste -sd ' ')"
}

main_help=$("$kvss" --help) || complain "kvss --help fails"
[ -z "$("$kvss" --help 2>&1 > /dev/null)" ] || complain "kvss --help writes to stderr"
common=$(options_in_help <<< "$main_help")
compare kvss "$common" docs/man/kvss.rst

commands=$(sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\)\( .*\)\?$/\1/p' <<< "$main_help" | sort -u)
[ "$(wc -w <<< "$commands")" -ge 5 ] || complain "kvss --help lists only these commands: $commands"
words=" $(tr '\n' ' ' <<< "$commands") "
declare -A options=()
for command in $commands; do
    page=docs/man/kvss-$command.rst
    [ -e "$page" ] || { complain "$command has no manual page" && continue; }
    help=$("$kvss" "$command" --help) || complain "kvss $command --help fails"
    awk -v name="kvss $command --help" 'length($0) > 80 { print name ": wider than 80 columns: " $0; bad = 1 } END { exit bad }' \
        <<< "$help" || failed=1
    options[$command]=$(options_in_help <<< "$help")
    compare "kvss $command" "${options[$command]}" "$page"
done

# section PAGE HEADING: the lines of that section
section() {
    awk -v heading="$2" '/^=+$/ { inside = before == heading } { if (inside && seen++ > 1) print before; before = $0 }
        !inside { seen = 0 } END { if (inside) print before }' "$1"
}

# example_lines PAGE: each kvss command line in its EXAMPLES, those that go on in the next line joined
example_lines() {
    section "$1" EXAMPLES | sed -e ':a' -e '/\\$/{N;s/\\\n//;ba' -e '}' | grep -oE '^    kvss .*' | sed 's/ *|.*//; s/^ *//'
}

for page in docs/man/*.rst; do
    name=$(basename "$page" .rst)
    for heading in DESCRIPTION EXAMPLES "SEE ALSO"; do
        grep -qx "$heading" "$page" || complain "$page has no section $heading"
    done
    while read -r _ line; do
        command=
        for word in $line; do
            case $word in --*) continue ;; esac
            [[ $words != *" $word "* ]] || { command=$word && break; }
        done
        [ -n "$command" ] || { complain "$page: an example names no command: kvss $line" && continue; }
        known=" ${common//$'\n'/ } ${options[$command]//$'\n'/ } "
        for word in $line; do
            [[ $word =~ ^\[?(--[a-z][a-z0-9-]+) ]] || continue
            [[ $known == *" ${BASH_REMATCH[1]} "* ]] || complain "$page: an example has an option that kvss $command has not: ${BASH_REMATCH[1]}"
        done
    done < <(example_lines "$page")
    while read -r other; do
        [ -e "docs/man/$other.rst" ] || complain "$page refers to a page that does not exist: $other"
    done < <(grep -oE '\*\*kvss[a-z.-]*\*\*\\\([0-9]\)' "$page" | sed -E 's/^\*\*([^*]*).*/\1/' | sort -u)
done
for page in docs/man/kvss-*.rst; do
    name=$(basename "$page" .rst)
    grep -qE "^:Manual section: *1$" "$page" || continue
    grep -qx "${name#kvss-}" <<< "$commands" || complain "$page describes a command that --help does not list"
done
exit $failed
