/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room that has to stay free beside scratch files. The watching itself is tested on guests (81-scratch-full). */
#include "test.h"

#include "base/num.h"
#include "providers/providers.h"

static void the_reserve_is_a_share_of_the_file_system_but_bounded(void **state)
{
    (void)state;
    assert_int_equal(provider_scratch_reserve(0, 20 * MIB), MIB);
    assert_int_equal(provider_scratch_reserve(0, 20 * GIB), GIB);
    assert_int_equal(provider_scratch_reserve(0, 8192 * GIB), GIB);
    assert_int_equal(provider_scratch_reserve(5 * GIB, 20 * MIB), 5 * GIB); /* what was asked for counts */
    assert_int_equal(provider_scratch_reserve(0, 0), 0);
}

static void too_little_room_is_told_with_the_remedy(void **state)
{
    struct err err = ERR_INIT;

    assert_ok(provider_scratch_room(*state, 1, &err));
    assert_int_equal(err.code, 0);
    assert_fails(ENOSPC, provider_scratch_room(*state, (uint64_t)1 << 60, &err));
    assert_int_equal(err.hresult, VSS_E_INSUFFICIENT_STORAGE);
    assert_non_null(strstr(err.text, *state));
    assert_non_null(strstr(err.text, "free space, set snapshot-dir"));
}

static void a_place_that_cannot_be_looked_at_is_left_to_the_job(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_ok(provider_scratch_room("/nonexistent/scratch", (uint64_t)1 << 60, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reserve_is_a_share_of_the_file_system_but_bounded),
        test_in_dir(too_little_room_is_told_with_the_remedy),
        cmocka_unit_test(a_place_that_cannot_be_looked_at_is_left_to_the_job),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
