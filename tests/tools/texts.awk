# SPDX-License-Identifier: LGPL-2.1-or-later
# Lists the string literals of C sources that hold more than one word, those next to each other as one, as FILE:LINE<TAB>CALL<TAB>TEXT:
# every text that a user can see is among them. CALL is the function or macro whose argument it is, or "-".
#   git ls-files 'src/*.[ch]' | xargs awk -f tests/tools/texts.awk
function flush() {
    if (text ~ / /)
        print FILENAME ":" line "\t" call "\t" text
    text = ""
    open = 0
}
FNR == 1 {
    flush()
    depth = 0
    comment = 0
    name = ""
}
/^[ \t]*#[ \t]*(include|error)/ { next }
{
    rest = $0
    while (rest != "") {
        if (comment) {
            at = index(rest, "*/")
            comment = at == 0
            rest = at ? substr(rest, at + 2) : ""
            continue
        }
        if (match(rest, /^[ \t]+/)) {
            rest = substr(rest, RLENGTH + 1)
            continue
        }
        if (!match(rest, /^"([^"\\]|\\.)*"/) && !match(rest, /^'([^'\\]|\\.)*'/) && !match(rest, /^[A-Za-z_][A-Za-z_0-9]*/))
            RLENGTH = rest ~ /^\/[*\/]/ ? 2 : 1
        token = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        if (token == "/*")
            comment = 1
        if (token == "//")
            rest = ""
        if (token == "/*" || token == "//")
            continue
        if (token ~ /^"/) {
            if (!open) {
                open = 1
                line = FNR
                call = depth && calls[depth] != "" ? calls[depth] : "-"
            }
            text = text substr(token, 2, length(token) - 2)
            continue
        }
        if (open && token ~ /^PRI[a-zX0-9]+$/)
            continue
        if (open)
            flush()
        if (token == "(")
            calls[++depth] = name
        else if (token == ")" && depth > 0)
            depth--
        name = token ~ /^[A-Za-z_]/ ? token : ""
    }
}
END { flush() }
