/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What others chose reaches no terminal as it is. */
#include "test.h"

#include "base/text.h"

static void becomes(const char *from, bool newlines, const char *wanted)
{
    _cleanup_free_ char *s = strdup(from);

    text_clean(s, newlines);
    assert_string_equal(s, wanted);
}

static void what_is_harmless_stays(void **state)
{
    (void)state;
    becomes("", false, "");
    becomes("web01 (\xc3\xa4\xc3\xb6\xc3\xbc, \xe4\xb8\xad\xe6\x96\x87, \xf0\x9f\x98\x80)\tx", false,
            "web01 (\xc3\xa4\xc3\xb6\xc3\xbc, \xe4\xb8\xad\xe6\x96\x87, \xf0\x9f\x98\x80)\tx");
    becomes("a\nb", true, "a\nb");
}

static void what_a_terminal_obeys_is_replaced(void **state)
{
    (void)state;
    becomes("a\x1b[2Jb\x07\x7f", false, "a?[2Jb??");
    becomes("a\nb\r", false, "a?b?");
    becomes("\xc2\x9b"
            "31m",
            false, "?31m");         /* CSI as one character, C1 */
    becomes("\xc2\x85", true, "?"); /* NEL */
    becomes("\xe2\x80\xae"
            "fdp.exe",
            false, "?fdp.exe"); /* right to left from here on */
    becomes("\xe2\x81\xa6x\xe2\x81\xa9", false, "?x?");
    becomes("web\xe2\x80\x8b"
            "01",
            false, "web?01"); /* looks like another VM */
    becomes("\xef\xbb\xbfx", false, "?x");
    becomes("\xf3\xa0\x81\x81", false, "?"); /* a tag */
    becomes("\xe2\x80\xa8", true, "?");
}

static void what_is_no_utf8_is_replaced(void **state)
{
    (void)state;
    becomes("\xff\xfe", false, "??");
    becomes("\x9b"
            "31m",
            false, "?31m");           /* CSI to a terminal of 8 bits */
    becomes("\xc0\x9b", false, "??"); /* spelled too long */
    becomes("\xe0\x82\x9b", false, "???");
    becomes("\xed\xa0\x80", false, "?"); /* half of a pair */
    becomes("\xf4\x90\x80\x80", false, "?");
    becomes("cut \xe4\xb8", false, "cut ??");
}

static void is_word(const char *s, const char *wanted)
{
    char *word = text_shell_word(s);

    assert_string_equal(word, wanted);
    free(word);
}

static void what_may_be_copied_to_a_shell_is_one_word(void **state)
{
    (void)state;
    is_word("/srv/vms/web-01_vda.qcow2", "/srv/vms/web-01_vda.qcow2");
    is_word("", "''");
    is_word("/srv/my vms", "'/srv/my vms'");
    is_word("/x;reboot", "'/x;reboot'");
    is_word("$(id)`id`\n", "'$(id)`id`\n'");
    is_word("a'; id; 'b", "'a'\\''; id; '\\''b'");
    is_word("~root", "'~root'");
    is_word("f\xc3\xbcr", "'f\xc3\xbcr'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_harmless_stays),
        cmocka_unit_test(what_a_terminal_obeys_is_replaced),
        cmocka_unit_test(what_is_no_utf8_is_replaced),
        cmocka_unit_test(what_may_be_copied_to_a_shell_is_one_word),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
