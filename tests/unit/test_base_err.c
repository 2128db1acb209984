/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"
#include <kvss/error.h>

static void set_returns_minus_code_and_keeps_text(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&err, EINVAL, "cannot read %s", "x"), -EINVAL);
    assert_int_equal(err.code, EINVAL);
    assert_string_equal(err.text, "cannot read x");
}

static void codes_are_taken_with_either_sign_and_never_zero(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(&err, -ENOENT, "x"), -ENOENT);
    assert_int_equal(err.code, ENOENT);
    assert_int_equal(err_set(&err, 0, "x"), -EIO);
}

static void everything_accepts_no_error_object(void **state)
{
    struct err src = ERR_INIT;

    (void)state;
    assert_int_equal(err_set(NULL, EINVAL, "x"), -EINVAL);
    assert_int_equal(err_errno(NULL, ENOENT, "x"), -ENOENT);
    assert_int_equal(err_vss(NULL, 0x80042301, EBUSY, "x"), -EBUSY);
    assert_int_equal(err_context(NULL, "x"), -EIO);
    assert_int_equal(err_move(NULL, NULL), 0);
    err_set(&src, EBUSY, "x");
    assert_int_equal(err_move(NULL, &src), -EBUSY);
    err_clear(NULL);
}

static void errno_appends_the_cause(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_errno(&err, ENOENT, "cannot open %s", "/a"), -ENOENT);
    assert_string_equal(err.text, "cannot open /a: No such file or directory");
}

static void vss_code_stands_beside_errno_and_is_replaced(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_vss(&err, 0x80042301, EPROTO, "wrong order");
    assert_int_equal(err.hresult, 0x80042301);
    assert_int_equal(err.code, EPROTO);
    err_context(&err, "backup");
    assert_int_equal(err.hresult, 0x80042301);
    err_set(&err, EIO, "other");
    assert_int_equal(err.hresult, 0);
}

static void context_is_put_before(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_set(&err, ETIMEDOUT, "agent is silent");
    assert_int_equal(err_context(&err, "cannot freeze %s", "web01"), -ETIMEDOUT);
    assert_string_equal(err.text, "cannot freeze web01: agent is silent");
}

static void the_same_context_twice_is_one(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_set(&err, ETIMEDOUT, "VM web01: no answer");
    assert_int_equal(err_context(&err, "VM %s", "web01"), -ETIMEDOUT);
    assert_string_equal(err.text, "VM web01: no answer");
    err_context(&err, "VM %s", "web0"); /* another one */
    assert_string_equal(err.text, "VM web0: VM web01: no answer");
}

static void the_object_is_named_once(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_set(&err, EIO, "cannot create the scratch file of disk vda of VM web01: no space in VM web010");
    err_context(&err, "VM %s, disk %s", "web01", "vda");
    assert_string_equal(err.text, "VM web01, disk vda: cannot create the scratch file: no space in VM web010");
    err_context(&err, "VM %s", "web01");
    assert_string_equal(err.text, "VM web01, disk vda: cannot create the scratch file: no space in VM web010");
    err_set(&err, EIO, "cannot resume it: VM web01: QEMU does not respond: VM web010: no");
    err_context(&err, "VM %s", "web01");
    assert_string_equal(err.text, "VM web01: cannot resume it: QEMU does not respond: VM web010: no");
    err_set(&err, EIO, "cannot start VM web01 from its saved state: libvirt: cannot start VM web010");
    err_context(&err, "VM %s", "web01");
    assert_string_equal(err.text, "VM web01: cannot start it from its saved state: libvirt: cannot start VM web010");
    err_set(&err, EIO, "cannot turn off VM web01: it and VM web01 cannot VM web01");
    err_context(&err, "VM %s", "web01");
    assert_string_equal(err.text, "VM web01: cannot turn off VM web01: it and VM web01 cannot VM web01");
    err_set(&err, EIO, "the end of it");
    err_context(&err, "it");
    assert_string_equal(err.text, "it: the end of it");
}

static void context_without_an_error_is_one(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    assert_int_equal(err_context(&err, "backup"), -EIO);
    assert_int_equal(err.code, EIO);
    assert_string_equal(err.text, "backup");
}

static void text_may_be_built_from_itself(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_set(&err, EIO, "inner");
    err_set(&err, EINVAL, "outer (%s)", err.text);
    assert_string_equal(err.text, "outer (inner)");
}

static void long_text_is_cut_and_terminated(void **state)
{
    struct err err = ERR_INIT;
    char text[KVSS_ERR_TEXT_MAX * 2];

    (void)state;
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    err_set(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.text), KVSS_ERR_TEXT_MAX - 1);
    err_context(&err, "%s", text);
    assert_int_equal(strlen(err.text), KVSS_ERR_TEXT_MAX - 1);
    err_errno(&err, EIO, "%s", text);
    assert_int_equal(strlen(err.text), KVSS_ERR_TEXT_MAX - 1);
}

/* JSON takes only whole UTF-8 characters. */
static void cut_falls_between_characters(void **state)
{
    static const char *const chars[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    struct err err = ERR_INIT;

    (void)state;
    for (size_t c = 0; c < ARRAY_SIZE(chars); c++)
        for (size_t lead = 0; lead < 4; lead++) {
            _cleanup_buf_ struct buf b = BUF_INIT;
            buf_add(&b, "abcd", lead);
            while (b.len < KVSS_ERR_TEXT_MAX + 8)
                buf_adds(&b, chars[c]);
            err_set(&err, EIO, "%s", (const char *)b.data);
            size_t len = strlen(err.text);
            assert_int_equal((len - lead) % strlen(chars[c]), 0);
            assert_in_range(len, KVSS_ERR_TEXT_MAX - 4, KVSS_ERR_TEXT_MAX - 1);
        }
}

static void text_steers_no_terminal(void **state)
{
    struct err err = ERR_INIT;

    (void)state;
    err_set(&err, EIO, "name \x1b[2J\x7f\r of a guest\n\tnext");
    assert_string_equal(err.text, "name ?[2J?? of a guest\n\tnext");
    err_context(&err, "a\x1b");
    assert_string_equal(err.text, "a?: name ?[2J?? of a guest\n\tnext");
}

static void move_copies_all_of_it(void **state)
{
    struct err a = ERR_INIT, b = ERR_INIT;

    (void)state;
    err_vss(&a, 7, EBUSY, "busy");
    assert_int_equal(err_move(&b, &a), -EBUSY);
    assert_int_equal(b.code, EBUSY);
    assert_int_equal(b.hresult, 7);
    assert_string_equal(b.text, "busy");
    err_clear(&b);
    assert_int_equal(b.code, 0);
    assert_int_equal(b.hresult, 0);
    assert_string_equal(b.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_returns_minus_code_and_keeps_text),
        cmocka_unit_test(codes_are_taken_with_either_sign_and_never_zero),
        cmocka_unit_test(everything_accepts_no_error_object),
        cmocka_unit_test(errno_appends_the_cause),
        cmocka_unit_test(vss_code_stands_beside_errno_and_is_replaced),
        cmocka_unit_test(context_is_put_before),
        cmocka_unit_test(the_same_context_twice_is_one),
        cmocka_unit_test(the_object_is_named_once),
        cmocka_unit_test(context_without_an_error_is_one),
        cmocka_unit_test(text_may_be_built_from_itself),
        cmocka_unit_test(long_text_is_cut_and_terminated),
        cmocka_unit_test(cut_falls_between_characters),
        cmocka_unit_test(text_steers_no_terminal),
        cmocka_unit_test(move_copies_all_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
