#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# The source is formatted by clang-format 14 and .clang-format. To format: git ls-files '*.[ch]' | xargs clang-format-14 -i
set -u
cd "$(dirname "$0")/../.." || exit 1

tool=$(command -v clang-format-14) || { echo "clang-format-14 is not installed (package clang-format-14)" && exit 1; }
mapfile -t files < <(git ls-files -- '*.[ch]')
[ ${#files[@]} -ge 100 ] || { echo "only ${#files[@]} files were found" && exit 1; }
"$tool" --dry-run --Werror "${files[@]}" 2>&1 | grep -E 'error: ' | sort -u | head -n 40
exit "${PIPESTATUS[0]}"
