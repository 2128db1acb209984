/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patience: how long others are waited for. */
#include "test.h"

#include "requester/session/claim.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

static void without_patience_there_is_no_waiting(void **state)
{
    (void)state;
    struct requester rq = { 0 };
    struct patience p = patience_begin(0);
    struct err err = ERR_INIT;

    assert_int_equal(patience_wait(&rq, &p, &err), 0);
}

static void patience_ends_but_not_that_without_an_end(void **state)
{
    (void)state;
    struct requester rq = { 0 };
    struct patience p = patience_begin(300), forever = patience_begin(UINT64_MAX);
    struct err err = ERR_INIT;
    int n = 0;

    while (patience_wait(&rq, &p, &err) == 1)
        n++;
    assert_true(n >= 1);
    assert_int_equal(patience_wait(&rq, &forever, &err), 1);
}

static void an_interruption_ends_it(void **state)
{
    (void)state;
    struct par_cancel cancel = { 0 };
    struct requester rq = { .config = { .cancel = &cancel } };
    struct patience forever = patience_begin(UINT64_MAX);
    struct err err = ERR_INIT;

    par_cancel_raise(&cancel);
    assert_fails(EINTR, patience_wait(&rq, &forever, &err));
}

/* kill -9 leaves the file of a VM behind: recovery takes it away, unless somebody has it. */
static void a_sweep_takes_what_nobody_has(void **state)
{
    _cleanup_free_ char *sessions = io_path(*state, "sessions"), *vms = io_path(*state, "vms");
    _cleanup_free_ char *dead = io_path(vms, "dead"), *held = io_path(vms, "held");

    claims_sweep(sessions); /* there is none */
    assert_int_equal(mkdir(vms, 0700), 0);
    write_text(dead, "{}");
    write_text(held, "{}");
    _cleanup_close_ int fd = open(held, O_RDWR);
    assert_int_equal(flock(fd, LOCK_SH), 0);
    claims_sweep(sessions);
    assert_false(io_exists(dead));
    assert_true(io_exists(held));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_patience_there_is_no_waiting),
        cmocka_unit_test(patience_ends_but_not_that_without_an_end),
        cmocka_unit_test(an_interruption_ends_it),
        test_in_dir(a_sweep_takes_what_nobody_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
