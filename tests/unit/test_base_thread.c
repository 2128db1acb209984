/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/clock.h"
#include "base/thread.h"
#include "test.h"
#include <signal.h>
#include <string.h>

struct seen {
    char name[16];
    sigset_t blocked;
};

static void *look(void *arg)
{
    struct seen *s = arg;

    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    pthread_sigmask(SIG_SETMASK, NULL, &s->blocked);
    return s;
}

static void requests_are_blocked(void **state)
{
    struct seen s = { "" };
    sigset_t before, after;
    pthread_t thread;
    void *ret = NULL;

    (void)state;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(thread_start(&thread, "kvss-test-of-a-long-name", look, &s), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(pthread_join(thread, &ret), 0);
    assert_ptr_equal(ret, &s);
    assert_string_equal(s.name, "kvss-test-of-a-");
    assert_true(sigismember(&s.blocked, SIGINT) && sigismember(&s.blocked, SIGTERM) && sigismember(&s.blocked, SIGHUP));
    assert_false(sigismember(&s.blocked, SIGSEGV) || sigismember(&s.blocked, SIGABRT));
    for (int sig = 1; sig < 32; sig++)
        assert_int_equal(sigismember(&before, sig), sigismember(&after, sig));
}

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool there;
};

static void *come(void *arg)
{
    struct meeting *m = arg;

    pthread_mutex_lock(&m->lock);
    m->there = true;
    pthread_cond_signal(&m->changed);
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

static void waits_have_deadlines(void **state)
{
    struct meeting m = { .lock = PTHREAD_MUTEX_INITIALIZER };
    uint64_t begun = clock_mono_ms();

    (void)state;
    thread_cond_init(&m.changed);
    pthread_mutex_lock(&m.lock);
    while (thread_cond_wait_until(&m.changed, &m.lock, begun + 30))
        ;
    assert_true(clock_mono_ms() >= begun + 30);
    assert_int_equal(thread_start(NULL, "kvss-test", come, &m), 0); /* detached */
    while (!m.there)
        assert_true(thread_cond_wait_until(&m.changed, &m.lock, clock_mono_ms() + 60000));
    pthread_mutex_unlock(&m.lock);
    pthread_cond_destroy(&m.changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_blocked),
        cmocka_unit_test(waits_have_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
