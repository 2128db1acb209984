#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# All shell scripts pass shellcheck.
set -u
cd "$(dirname "$0")/../.." || exit 1
command -v shellcheck > /dev/null || { echo "shellcheck is not installed" && exit 77; }

scripts=()
while read -r file; do
    [ -f "$file" ] || continue
    head -n 1 "$file" | grep -Eq '^#!.*\b(ba|da)?sh\b' && scripts+=("$file")
done < <(git ls-files)
[ ${#scripts[@]} -ge 8 ] || { echo "only ${#scripts[@]} scripts were found" && exit 1; }
# SC1091, SC2034: sourced files are checked by themselves, and share variables. SC2016: what is in single quotes is meant for the shell of a guest.
shellcheck --severity=info --exclude=SC1091,SC2016,SC2034 "${scripts[@]}"
