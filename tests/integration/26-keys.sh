#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck disable=SC2016 # nothing is to be expanded: there is no shell
# Where the key comes from: a program, systemd's credentials, files that others can read; and key objects that a storage plants, which
# cost neither time nor memory and stop nothing. No VM is needed.
# shellcheck source=tests/lib/functions.sh
. "$(dirname "$0")/../lib/functions.sh"
# shellcheck source=tests/lib/functions_kvss.sh
. "$(dirname "$0")/../lib/functions_kvss.sh"

kvss_setup
secret="only a test" # kvss_setup's
file=$KVSS_PASSWORD_FILE
unset KVSS_PASSWORD_FILE

# ---- a program prints it
cat > "$SANDBOX/ask" <<'END'
#!/bin/bash
case $1 in
right) printf 'a word of warning\n' >&2; cat "$2" ;;
no) echo "the store is locked" >&2; exit 7 ;;
long) head -c 100000 /dev/zero | tr '\0' x ;;
silent) exit 0 ;;
count) printf '%s\n' "$#" "$@" > "$2"; exit 1 ;;
esac
END
chmod 755 "$SANDBOX/ask"
kvss_json --password-command "$SANDBOX/ask right $file" list points
printf 'password-command = %s right "%s"\n' "$SANDBOX/ask" "$file" > "$SANDBOX/kvss.conf"
kvss --config "$SANDBOX/kvss.conf" list points > /dev/null 2> "$SANDBOX/stderr"
assert_match "$(cat "$SANDBOX/stderr")" 'warning: password-command: .*a word of warning' "its standard error"
KVSS_PASSWORD_COMMAND="$SANDBOX/ask right $file" kvss list points > /dev/null 2>&1
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/ask no" list points
assert_match "$OUTPUT" 'password-command: .* failed \(exit code 7\): the store is locked' "one that fails"
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/ask long" list points
assert_match "$OUTPUT" 'exceeded 4096 bytes' "one that prints too much"
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/ask silent" list points
assert_match "$OUTPUT" 'printed no passphrase' "one that prints nothing"
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/nothing" list points
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/ask 'open" list points
assert_match "$OUTPUT" 'quotation mark' "one that is not closed"
kvss_fails "$EXIT_FAILED" --password-command "$SANDBOX/ask count $SANDBOX/args "'$(id) ; touch\ `x` "a  b"' list points
assert_eq "$(tr '\n' '|' < "$SANDBOX/args")" "7|count|$SANDBOX/args|"'$(id)|;|touch\|`x`|a  b|' "words, without a shell"
# what is named nearer goes first, whatever its kind
kvss --config "$SANDBOX/kvss.conf" --password-file "$file" list points > /dev/null 2> "$SANDBOX/stderr"
assert_eq "$(cat "$SANDBOX/stderr")" "" "messages where an option names a file"
KVSS_PASSWORD=$secret kvss --config "$SANDBOX/kvss.conf" list points > /dev/null
note "a program"

# ---- systemd's credentials
mkdir -m 700 "$SANDBOX/credentials"
(umask 077 && cp "$file" "$SANDBOX/credentials/kvss.passphrase")
CREDENTIALS_DIRECTORY=$SANDBOX/credentials kvss list points > /dev/null
(umask 077 && echo wrong > "$SANDBOX/credentials/kvss.passphrase")
CREDENTIALS_DIRECTORY=$SANDBOX/credentials kvss_fails "$EXIT_FAILED" list points
CREDENTIALS_DIRECTORY=$SANDBOX/credentials kvss --password-file "$file" list points > /dev/null
rm "$SANDBOX/credentials/kvss.passphrase"
(umask 077 && head -c 32 /dev/urandom > "$SANDBOX/credentials/kvss.key")
kvss --password-file "$file" key add --new-key-file "$SANDBOX/credentials/kvss.key" > /dev/null
CREDENTIALS_DIRECTORY=$SANDBOX/credentials kvss list points > /dev/null
note "credentials"

# ---- files that others can read
cp "$SANDBOX/credentials/kvss.key" "$SANDBOX/key"
for mode in 600 644 640; do
    chmod $mode "$SANDBOX/key"
    kvss --key-file "$SANDBOX/key" list points > /dev/null 2> "$SANDBOX/stderr"
    [ $mode = 600 ] && assert_eq "$(cat "$SANDBOX/stderr")" "" "messages of a key file of its owner alone" && continue
    assert_match "$(cat "$SANDBOX/stderr")" "warning: key file $SANDBOX/key can be read by others: run chmod 600" "mode $mode"
    (umask 077 && printf 'x%.0s' {1..40} > "$SANDBOX/new")
    chmod $mode "$SANDBOX/new"
    kvss --password-file "$file" key add --new-key-file "$SANDBOX/new" > /dev/null 2> "$SANDBOX/stderr"
    assert_match "$(cat "$SANDBOX/stderr")" "warning: key file $SANDBOX/new can be read by others" "a new one of mode $mode"
done
note "files that others can read"

# ---- key objects that a storage plants: in version 1, where any of them might be a key; then in one where they are not even tried
export KVSS_PASSWORD_FILE=$file
two=$KVSS_REPOSITORY
export KVSS_REPOSITORY=$SANDBOX/one
kvss init --repository-version 1 > /dev/null
zeros=$(printf '0%.0s' {1..120})
plant() { # ID LOG_N R P
    printf 'kvss key 1\nkind=passphrase\ncreated=2026-01-01T00:00:00Z\nlabel=x\nkdf=scrypt\nlog_n=%s\nr=%s\np=%s\nsalt=%.32s\nwrapped=%s\n' \
        "$2" "$3" "$4" "$zeros" "$zeros" > "$KVSS_REPOSITORY/keys/$(printf '%032x' "$1")"
}
for i in {0..29}; do plant "$i" 19 8 1; done
for i in {30..49}; do plant "$i" 22 16 4; done
for i in {50..59}; do plant "$i" 17 8 4; done # within the limit, and dearer than the one that opens
for i in {60..69}; do head -c 3000 /dev/urandom > "$KVSS_REPOSITORY/keys/$(printf '%032x' "$i")"; done
begun=$(date +%s%N)
/usr/bin/time -f %M -o "$SANDBOX/memory" "$KVSS" list points > /dev/null 2> "$SANDBOX/stderr" || fail "$(cat "$SANDBOX/stderr")"
assert_le $((($(date +%s%N) - begun) / 1000000)) 5000 "ms with 70 planted keys"
assert_le "$(tail -n 1 "$SANDBOX/memory")" 200000 "KiB of memory"
assert_match "$(cat "$SANDBOX/stderr")" 'skipped: it needs 512 MiB of memory, but key-memory allows 128 MiB' "what is said of them"
cp "$KVSS_REPOSITORY"/keys/????????????????????????00* "$two/keys"
KVSS_REPOSITORY=$two "$KVSS" list points > /dev/null 2> "$SANDBOX/stderr"
assert_eq "$(cat "$SANDBOX/stderr")" "" "what is said of them in version 2"
printf 'key-memory = 512K\n' > "$SANDBOX/kvss.conf"
"$KVSS" --config "$SANDBOX/kvss.conf" list points > /dev/null 2>&1 && fail "key-memory does not count"

# ---- no core file, and keys that are not swapped out
mkfifo "$SANDBOX/fifo"
exec 9<> "$SANDBOX/fifo"
"$KVSS" keeper < "$SANDBOX/fifo" &
poll 20 pgrep -x kvss-keeper
assert_match "$(grep 'core file' "/proc/$(pgrep -x kvss-keeper)/limits")" '^Max core file size +0 ' "size of a core file"
kill -KILL "$(pgrep -x kvss-keeper)"
