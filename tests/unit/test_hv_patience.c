/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls that may have to wait for a QEMU: they end by a limit or soon after the command was told to end, and what is left behind harms
 * nobody (B2). libvirt's own test driver has the VM. */
#include "test.h"

#include "base/clock.h"
#include "base/par.h"
#include "hypervisor/host/patience.h"
#include <pthread.h>

#define LIMIT_MS 150u
#define LONG_MS 20000u

struct world {
    struct hv hv;
    struct hv_domain d;
    struct par_cancel cancel;
};

/* What a call has, and what the test can see of it. */
struct parcel {
    bool *let_go, *freed; /* or NULL */
    int result;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));

    assert_int_equal(virInitialize(), 0);
    w->hv.conn = virConnectOpen("test:///default");
    assert_non_null(w->hv.conn);
    w->hv.uri = virConnectGetURI(w->hv.conn);
    w->hv.answer_ms = LIMIT_MS;
    w->hv.cancel = &w->cancel;
    pthread_mutex_init(&w->hv.lock, NULL);
    w->d.name = strdup("test");
    w->d.hv = &w->hv;
    w->d.handle = virDomainLookupByName(w->hv.conn, "test");
    assert_non_null(w->d.handle);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    patient_line_free(w->d.line);
    patience_close(&w->hv);
    virDomainFree(w->d.handle);
    virConnectClose(w->hv.conn);
    pthread_mutex_destroy(&w->hv.lock);
    free(w->hv.uri);
    free(w->d.name);
    free(w);
    return 0;
}

static bool is_set(bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_SEQ_CST);
}

static void wait_for(bool *flag)
{
    for (uint64_t end = clock_mono_ms() + LONG_MS; !is_set(flag) && clock_mono_ms() < end;)
        clock_sleep_ms(2);
    assert_true(is_set(flag));
}

static struct parcel *parcel_new(bool *let_go, bool *freed, int result)
{
    struct parcel *p = malloc(sizeof(*p));

    *p = (struct parcel){ .let_go = let_go, .freed = freed, .result = result };
    return p;
}

static void parcel_free(void *arg)
{
    struct parcel *p = arg;

    if (p && p->freed)
        __atomic_store_n(p->freed, true, __ATOMIC_SEQ_CST);
    free(p);
}

/* As long as QEMU hangs: until the test lets go. */
static int hang(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    struct parcel *p = arg;

    (void)conn;
    if (!dom || strcmp(virDomainGetName(dom), "test") != 0)
        return err_set(err, ENOENT, "another VM");
    while (p->let_go && !is_set(p->let_go))
        clock_sleep_ms(2);
    return p->result < 0 ? err_set(err, -p->result, "as was asked") : p->result;
}

static int connected(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)arg, (void)err;
    return conn && !dom ? 7 : -EINVAL;
}

static void what_the_call_did_comes_back(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free };
    struct world *w = *state;
    struct err err = ERR_INIT;
    void *p = parcel_new(NULL, NULL, 3);

    assert_int_equal(patiently(&w->d, &call, &p, &err), 3);
    assert_non_null(p);
    parcel_free(p);
    p = parcel_new(NULL, NULL, -EACCES);
    assert_fails(EACCES, patiently(&w->d, &call, &p, &err));
    assert_string_equal(err.text, "as was asked");
    parcel_free(p);
}

static void a_call_about_no_vm_has_the_connection_alone(void **state)
{
    const struct patient_call call = { .fn = connected };
    struct world *w = *state;
    struct err err = ERR_INIT;
    void *none = NULL;

    assert_int_equal(patiently_at(&w->hv, "the VM", &call, &none, &err), 7);
}

/* Until the call that was left behind has returned, and is forgotten. */
static void goes_on(struct world *w, bool *let_go, bool *freed)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free };
    uint64_t end = clock_mono_ms() + LONG_MS;
    void *p = parcel_new(NULL, NULL, 5);
    struct err err = ERR_INIT;
    int r;

    __atomic_store_n(let_go, true, __ATOMIC_SEQ_CST);
    while ((r = patiently(&w->d, &call, &p, &err)) != 5 && clock_mono_ms() < end)
        clock_sleep_ms(5);
    assert_int_equal(r, 5);
    wait_for(freed);
    parcel_free(p);
}

static void b2_a_call_that_hangs_is_left_behind_and_the_next_ones_fail_at_once(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free };
    const struct patient_call anyway = { .fn = hang, .free_arg = parcel_free, .about_hung = true };
    struct world *w = *state;
    bool let_go = false, freed = false;
    struct err err = ERR_INIT;
    void *p = parcel_new(&let_go, &freed, 0), *other = parcel_new(NULL, NULL, 5);

    assert_fails(ETIMEDOUT, patiently(&w->d, &call, &p, &err));
    assert_non_null(strstr(err.text, "VM test: QEMU does not respond"));
    assert_null(p); /* the call's own from now on */
    uint64_t begun = clock_mono_ms();
    assert_fails(ETIMEDOUT, patiently(&w->d, &call, &other, &err));
    assert_true(clock_mono_ms() - begun < LIMIT_MS);
    assert_non_null(other); /* it was not begun */
    assert_int_equal(patiently(&w->d, &anyway, &other, &err), 5);
    assert_false(is_set(&freed));

    goes_on(w, &let_go, &freed);
    parcel_free(other);
}

/* After several limits. */
static void *later(void *arg)
{
    clock_sleep_ms(4 * LIMIT_MS);
    __atomic_store_n((bool *)arg, true, __ATOMIC_SEQ_CST);
    return NULL;
}

static void extra_time_is_given(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free, .extra_ms = LONG_MS };
    struct world *w = *state;
    bool let_go = false;
    struct err err = ERR_INIT;
    pthread_t thread;
    void *p = parcel_new(&let_go, NULL, 4);

    assert_int_equal(pthread_create(&thread, NULL, later, &let_go), 0);
    assert_int_equal(patiently(&w->d, &call, &p, &err), 4);
    pthread_join(thread, NULL);
    parcel_free(p);
}

/* Processor time of a QEMU that works, and of one that does not. */
static uint64_t half_the_time(const void *arg)
{
    return arg ? clock_mono_ms() / 2 : 0;
}

static uint64_t no_more(const void *arg)
{
    return arg ? 5000 : 0;
}

static void b2_what_is_worked_on_is_waited_for(void **state)
{
    const struct patient_call busy = { .fn = hang, .free_arg = parcel_free, .work = half_the_time };
    const struct patient_call idle = { .fn = hang, .free_arg = parcel_free, .work = no_more };
    struct world *w = *state;
    bool let_go = false, freed = false;
    struct err err = ERR_INIT;
    pthread_t thread;
    void *p = parcel_new(&let_go, NULL, 6);

    assert_int_equal(pthread_create(&thread, NULL, later, &let_go), 0);
    assert_int_equal(patiently(&w->d, &busy, &p, &err), 6);
    pthread_join(thread, NULL);
    parcel_free(p);

    let_go = false;
    p = parcel_new(&let_go, &freed, 6);
    assert_fails(ETIMEDOUT, patiently(&w->d, &idle, &p, &err));
    goes_on(w, &let_go, &freed);
}

/* The test driver's VM has no QEMU that could fail to answer. */
static void a_long_job_goes_on_while_qemu_answers(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free, .long_job = true };
    struct world *w = *state;
    bool let_go = false;
    struct err err = ERR_INIT;
    pthread_t thread;
    void *p = parcel_new(&let_go, NULL, 4);

    assert_int_equal(pthread_create(&thread, NULL, later, &let_go), 0);
    assert_int_equal(patiently(&w->d, &call, &p, &err), 4);
    pthread_join(thread, NULL);
    parcel_free(p);
}

static int stop(virConnectPtr conn, virDomainPtr dom, void *arg, struct err *err)
{
    (void)conn, (void)arg, (void)err;
    /* What is told to end knows it by the VM. */
    return virDomainSetMetadata(dom, VIR_DOMAIN_METADATA_TITLE, "stopped", NULL, NULL, VIR_DOMAIN_AFFECT_CURRENT);
}

static void b2_a_command_that_is_told_to_end_leaves_soon_and_stops_the_job(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free, .extra_ms = 60000, .stop = stop };
    struct world *w = *state;
    bool let_go = false, freed = false;
    struct err err = ERR_INIT;
    void *p = parcel_new(&let_go, &freed, 0);

    w->cancel.raised = 1;
    uint64_t begun = clock_mono_ms();
    assert_fails(EINTR, patiently(&w->d, &call, &p, &err));
    assert_true(clock_mono_ms() - begun < LONG_MS);
    assert_non_null(strstr(err.text, "interrupted"));
    char *title = NULL;
    for (uint64_t end = clock_mono_ms() + LONG_MS; !title && clock_mono_ms() < end; clock_sleep_ms(5))
        title = virDomainGetMetadata(w->d.handle, VIR_DOMAIN_METADATA_TITLE, NULL, VIR_DOMAIN_AFFECT_CURRENT);
    assert_string_equal(title, "stopped");
    free(title);
    w->cancel.raised = 0;
    goes_on(w, &let_go, &freed);
}

static void a_line_that_is_ready_is_used_and_kept(void **state)
{
    const struct patient_call call = { .fn = hang, .free_arg = parcel_free };
    struct world *w = *state;
    struct err err = ERR_INIT;
    void *p = parcel_new(NULL, NULL, 1);

    hv_domain_ready(&w->d);
    void *line = w->d.line;
    assert_non_null(line);
    hv_domain_ready(&w->d); /* there is one */
    assert_ptr_equal(w->d.line, line);
    assert_int_equal(patiently(&w->d, &call, &p, &err), 1);
    assert_non_null(w->d.line);
    parcel_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_the_call_did_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(a_call_about_no_vm_has_the_connection_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(b2_a_call_that_hangs_is_left_behind_and_the_next_ones_fail_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(extra_time_is_given, setup, teardown),
        cmocka_unit_test_setup_teardown(b2_what_is_worked_on_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_job_goes_on_while_qemu_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(b2_a_command_that_is_told_to_end_leaves_soon_and_stops_the_job, setup, teardown),
        cmocka_unit_test_setup_teardown(a_line_that_is_ready_is_used_and_kept, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
