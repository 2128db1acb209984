/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keeper: a connection that it was given lives on when its owner dies, until the other end closes it (B2). */
#include "test.h"

#include "base/clock.h"
#include "base/keeper.h"
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static struct keeper *start(void)
{
    struct keeper *k = NULL;
    struct err err = ERR_INIT;
    _cleanup_free_ char *self = realpath("/proc/self/exe", NULL); /* under valgrind the link itself leads to valgrind */
    char *argv[] = { self, (char *)"--keep", NULL };

    assert_ok(keeper_start(argv, &k, &err));
    return k;
}

/* Whether the other end of fd has been closed by all who had it, after a while. */
static bool hung_up(int fd, int wait_ms)
{
    struct pollfd p = { .fd = fd, .events = POLLRDHUP };

    return poll(&p, 1, wait_ms) == 1 && (p.revents & (POLLHUP | POLLRDHUP));
}

static void connection(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* An owner that holds a connection and dies at once, perhaps before the keeper has read what it was sent. */
static void b2_a_connection_outlives_its_killed_owner(void **state)
{
    (void)state;
    int fds[2], status;

    connection(fds);
    pid_t owner = fork();
    if (owner == 0) {
        struct keeper *k = start();
        uint32_t id;
        if (keeper_hold(k, fds[1], &id, NULL) == 0 && keeper_established(k, id, NULL) == 0)
            raise(SIGKILL);
        test_child_end(false);
    }
    close(fds[1]);
    assert_int_equal(waitpid(owner, &status, 0), owner);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(hung_up(fds[0], 500));
    close(fds[0]); /* the server closes: the keeper has nothing left and ends */
}

/* QEMU cannot end its job while it waits for someone to take what it sends. */
static void b2_what_is_sent_to_a_dead_owner_is_taken(void **state)
{
    (void)state;
    int fds[2], status;
    char bytes[65536] = { 0 };

    connection(fds);
    pid_t owner = fork();
    if (owner == 0) {
        struct keeper *k = start();
        uint32_t id;
        if (keeper_hold(k, fds[1], &id, NULL) == 0 && keeper_established(k, id, NULL) == 0)
            raise(SIGKILL);
        test_child_end(false);
    }
    close(fds[1]);
    assert_int_equal(waitpid(owner, &status, 0), owner);
    for (int i = 0; i < 64; i++) /* far more than a socket holds */
        assert_int_equal(io_write(fds[0], bytes, sizeof(bytes)), 0);
    assert_false(hung_up(fds[0], 100));
    close(fds[0]);
}

/* A server that waits for the rest of a greeting, or is about to send its own, would wait for ever. */
static void b2_a_greeting_that_a_dead_owner_began_is_given_up(void **state)
{
    (void)state;
    static const char wanted[] = "IHAVEOPT\0\0\0\2\0\0\0";
    char bytes[64] = { 0 };
    int greeting[2], established[2], status;

    connection(greeting);
    connection(established);
    pid_t owner = fork();
    if (owner == 0) {
        struct keeper *k = start();
        uint32_t one, two;
        if (keeper_hold(k, greeting[1], &one, NULL) == 0 && keeper_hold(k, established[1], &two, NULL) == 0 &&
            keeper_established(k, two, NULL) == 0)
            raise(SIGKILL);
        test_child_end(false);
    }
    close(greeting[1]);
    close(established[1]);
    assert_int_equal(waitpid(owner, &status, 0), owner);
    assert_int_equal(recv(greeting[0], bytes, sizeof(bytes), 0), sizeof(wanted));
    assert_memory_equal(bytes, wanted, sizeof(wanted));
    assert_false(hung_up(greeting[0], 200)); /* the server closes */
    assert_int_equal(recv(established[0], bytes, sizeof(bytes), MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    close(greeting[0]);
    close(established[0]);
}

/* The same where the owner lives on and says so. */
static void b2_what_nobody_reads_any_more_is_taken(void **state)
{
    (void)state;
    char bytes[65536] = { 0 };
    uint32_t id;
    int fds[2];
    struct keeper *k = start();

    connection(fds);
    assert_int_equal(keeper_hold(k, fds[1], &id, NULL), 0);
    assert_int_equal(keeper_established(k, id, NULL), 0);
    close(fds[1]);
    keeper_discard(k);
    for (int i = 0; i < 64; i++)
        assert_int_equal(io_write(fds[0], bytes, sizeof(bytes)), 0);
    assert_false(hung_up(fds[0], 100));
    close(fds[0]);
    keeper_free(k);
    keeper_discard(NULL);
}

static void it_ends_when_the_other_ends_have_closed(void **state)
{
    (void)state;
    int a[2], b[2];
    uint32_t id;
    struct keeper *k = start();

    connection(a);
    connection(b);
    assert_int_equal(keeper_hold(k, a[1], &id, NULL), 0);
    assert_int_equal(keeper_hold(k, b[1], &id, NULL), 0);
    close(a[1]);
    close(b[1]);
    assert_false(hung_up(a[0], 200));
    close(a[0]);
    assert_false(hung_up(b[0], 200)); /* one that goes does not take the others along */
    shutdown(b[0], SHUT_RDWR);
    uint64_t began = clock_mono_ms();
    keeper_free(k); /* waits for its end */
    assert_true(hung_up(b[0], 0));
    assert_true(clock_mono_ms() - began < 2900);
    close(b[0]);
}

static void signals_that_end_a_session_do_not_end_it(void **state)
{
    (void)state;
    int fds[2];
    uint32_t id;
    struct keeper *k = start();

    connection(fds);
    assert_int_equal(keeper_hold(k, fds[1], &id, NULL), 0);
    close(fds[1]);
    /* at once, before it has set itself up, and again when it probably has */
    assert_int_equal(kill(keeper_pid(k), SIGTERM), 0);
    assert_false(hung_up(fds[0], 300));
    assert_int_equal(kill(keeper_pid(k), SIGTERM), 0);
    assert_int_equal(kill(keeper_pid(k), SIGINT), 0);
    assert_false(hung_up(fds[0], 300));
    close(fds[0]);
    keeper_free(k);
}

static void a_keeper_that_is_gone_is_told(void **state)
{
    (void)state;
    int fds[2], r = 0;
    uint32_t id;
    struct keeper *k = start();
    struct err err = ERR_INIT;

    connection(fds);
    assert_int_equal(kill(keeper_pid(k), SIGKILL), 0);
    for (int i = 0; i < 500 && r == 0; i++) {
        r = keeper_hold(k, fds[1], &id, &err);
        clock_sleep_ms(2);
    }
    assert_int_equal(r, -EPIPE);
    assert_non_null(strstr(err.text, "has died"));
    keeper_free(k);
    assert_int_equal(keeper_hold(NULL, fds[1], &id, NULL), 0);
    close(fds[0]);
    close(fds[1]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(b2_a_connection_outlives_its_killed_owner),
        cmocka_unit_test(b2_what_is_sent_to_a_dead_owner_is_taken),
        cmocka_unit_test(b2_a_greeting_that_a_dead_owner_began_is_given_up),
        cmocka_unit_test(b2_what_nobody_reads_any_more_is_taken),
        cmocka_unit_test(it_ends_when_the_other_ends_have_closed),
        cmocka_unit_test(signals_that_end_a_session_do_not_end_it),
        cmocka_unit_test(a_keeper_that_is_gone_is_told),
    };

    if (argc == 2 && !strcmp(argv[1], "--keep"))
        return keeper_run(0, NULL) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
