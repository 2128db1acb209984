/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/process_stat.h"
#include "base/clock.h"
#include "test.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICKS 5u /* of processor time, that a child uses at least */
#define LONG_MS 60000u

static uint64_t used(pid_t pid)
{
    struct process_stat st;

    return process_stat((uint64_t)pid, &st) == 0 ? st.user + st.system : 0;
}

/* Works for ever; or starts one that does, and waits. */
static pid_t worker(bool through_another)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    setpgid(0, 0);
    if (through_another && fork() != 0)
        for (;;)
            pause();
    for (volatile uint64_t i = 0;; i++)
        ;
}

static uint64_t await_ticks(uint64_t more_than)
{
    uint64_t until = clock_mono_ms() + LONG_MS, ticks;

    while ((ticks = process_started_ticks((uint64_t)getpid())) <= more_than && clock_mono_ms() < until)
        usleep(10000);
    return ticks;
}

static void its_own_time_is_that_of_a_process(void **state)
{
    struct process_stat st;

    (void)state;
    assert_int_equal(process_stat((uint64_t)getpid(), &st), 0);
    assert_true(st.state == 'R');
    assert_true(st.start > 0);
    assert_int_equal(process_stat(INT32_MAX, &st), -ENOENT);
    assert_true(process_started_ticks(INT32_MAX) == 0);
}

static void what_it_has_started_counts_while_it_lives_and_when_it_has_ended(void **state)
{
    (void)state;
    for (unsigned through_another = 0; through_another < 2; through_another++) {
        uint64_t before = process_started_ticks((uint64_t)getpid());
        pid_t pid = worker(through_another);
        assert_true(pid > 0);
        uint64_t alive = await_ticks(before + TICKS);
        assert_true(alive > before + TICKS);
        if (through_another)
            assert_true(used(pid) < TICKS); /* it was the other one */
        kill(-pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        if (!through_another)
            assert_true(process_started_ticks((uint64_t)getpid()) >= alive);
    }
}

static void its_own_work_does_not_count(void **state)
{
    uint64_t before = process_started_ticks((uint64_t)getpid()), own = used(getpid());

    (void)state;
    while (used(getpid()) < own + TICKS)
        ;
    assert_true(process_started_ticks((uint64_t)getpid()) == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_own_time_is_that_of_a_process),
        cmocka_unit_test(what_it_has_started_counts_while_it_lives_and_when_it_has_ended),
        cmocka_unit_test(its_own_work_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
