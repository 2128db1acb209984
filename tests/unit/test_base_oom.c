/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each function of the base layer while memory runs out at its Nth allocation: it fails cleanly, and loses nothing. Not base/xml.h:
 * libxml2 2.9 itself frees twice where an XPath meets that. */
#include "oom.h"

#include "base/par.h"
#include "base/proc.h"
#include "base/progress.h"
#include "base/strv.h"

static int grow_buf(void *ctx)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    (void)ctx;
    for (int i = 0; i < 100; i++) {
        size_t len = b.len;
        if (buf_addf(&b, "line %d\n", i) < 0 || buf_add(&b, "0123456789", 10) < 0) {
            assert_true(b.len >= len);
            return -ENOMEM;
        }
    }
    _cleanup_free_ char *s = buf_take_str(&b);
    return s ? 0 : -ENOMEM;
}

static int strings(void *ctx)
{
    _cleanup_strv_ char **v = strv_split("a,b,c,d", ',');
    _cleanup_strv_ char **copy = strv_copy(v);
    _cleanup_free_ char *joined = strv_join(copy, "-");

    (void)ctx;
    if (!v || !copy || !joined)
        return -ENOMEM;
    size_t n = strv_len(v);
    int r = strv_addf(&v, "%d", 5);
    assert_int_equal(strv_len(v), r < 0 ? n : n + 1);
    return r;
}

static int files(void *ctx)
{
    _cleanup_free_ char *sub = io_path(ctx, "a/b");
    _cleanup_free_ char *top = io_path(ctx, "a");
    _cleanup_free_ char *file = sub ? io_path(sub, "f") : NULL;
    _cleanup_free_ char *copy = sub ? io_path(sub, "copy") : NULL;
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (!top || !file || !copy)
        return -ENOMEM;
    int r = io_mkdir_p(sub, 0700, NULL);
    if (r == 0)
        r = io_replace_file(file, "text", 4, 0600, NULL);
    if (r == 0)
        r = io_copy_file(file, copy, 0600, NULL);
    if (r == 0)
        r = io_read_file(copy, 100, &b, NULL);
    if (r == 0)
        r = io_remove_tree(top, NULL);
    if (r < 0) {
        long left = __atomic_exchange_n(&oom.countdown, -1, __ATOMIC_SEQ_CST);
        assert_int_equal(io_remove_tree(top, NULL), 0);
        __atomic_store_n(&oom.countdown, left, __ATOMIC_SEQ_CST);
    }
    return r;
}

static int run_child(void *ctx)
{
    _cleanup_buf_ struct buf out = BUF_INIT, tail = BUF_INIT;
    char *const env[] = { (char *)"A=1", NULL };
    struct proc_run run = {
        .argv = PROC_ARGV("sh", "-c", "echo a; echo b >&2"), .env = env, .in = "x", .in_len = 1, .out_max = 100, .timeout_ms = 60000
    };
    int status = 7;

    (void)ctx;
    int r = proc_run(&run, &out, &tail, &status, NULL);
    assert_int_equal(status, r < 0 ? 7 : 0);
    return r;
}

static int start_child(void *ctx)
{
    struct proc *p = NULL;

    (void)ctx;
    int r = proc_start(PROC_ARGV("sleep", "60"), NULL, &p, NULL);
    assert_true((r == 0) == (p != NULL));
    proc_stop(p, 5000);
    return r;
}

static int count(void *ctx, size_t i, struct err *err)
{
    (void)i, (void)err;
    __atomic_add_fetch((int *)ctx, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int threads(void *ctx)
{
    int calls = 0;

    (void)ctx;
    int r = par_each(4, 0, count, &calls, NULL);
    assert_int_equal(calls, r < 0 ? 0 : 4);
    return r;
}

static int counters(void *ctx)
{
    struct progress *p = NULL;
    struct progress_task *t = NULL;

    (void)ctx;
    int r = progress_new(&p, NULL);
    if (r == 0)
        r = progress_task_new(p, "x", 1, &t, NULL);
    progress_free(p);
    return r;
}

static void buffers_without_memory(void **state)
{
    oom_each(grow_buf, *state, 0);
}

static void strings_without_memory(void **state)
{
    oom_each(strings, *state, 0);
}

static void files_without_memory(void **state)
{
    oom_each(files, *state, 0);
}

static void children_without_memory(void **state)
{
    oom_each(run_child, *state, 0);
    oom_each(start_child, *state, EAGAIN);
}

static void threads_without_memory(void **state)
{
    oom_each(threads, *state, EAGAIN);
}

static void counters_without_memory(void **state)
{
    oom_each(counters, *state, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_without_memory),  cmocka_unit_test(strings_without_memory), test_in_dir(files_without_memory),
        cmocka_unit_test(children_without_memory), cmocka_unit_test(threads_without_memory), cmocka_unit_test(counters_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
