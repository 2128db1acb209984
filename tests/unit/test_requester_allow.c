/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Places that a restore may write to: no link and no ".." leads out of them. */
#include "test.h"

#include "base/buf.h"
#include "base/io.h"
#include "base/strv.h"
#include "requester/trust/allow.h"
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void expect(char *const *places, const char *dir, const char *rest, int wanted)
{
    _cleanup_free_ char *path = str_format("%s/%s", dir, rest);

    if (allow_has(places, path) != wanted)
        fail_msg("%s is%s allowed", path, wanted ? " not" : "");
}

static void places_hold_what_is_below_them(void **state)
{
    char dir[] = "/tmp/kvss-test-allow-XXXXXX";
    _cleanup_strv_ char **places = NULL;

    (void)state;
    assert_non_null(mkdtemp(dir));
    _cleanup_free_ char *in = str_format("%s/in", dir), *out = str_format("%s/out", dir), *way = str_format("%s/in/way", dir);
    _cleanup_free_ char *link = str_format("%s/in/link", dir), *target = str_format("%s/file", out), *by = str_format("%s/by", dir);
    _cleanup_free_ char *back = str_format("%s/back", out), *inner = str_format("%s/inner", in), *slash = str_format("%s/slash//", dir);
    assert_int_equal(mkdir(in, 0700), 0);
    assert_int_equal(mkdir(out, 0700), 0);
    assert_int_equal(symlink(out, way), 0);
    assert_int_equal(symlink(target, link), 0); /* dangling */
    assert_int_equal(symlink(in, by), 0);
    assert_int_equal(symlink(inner, back), 0);
    assert_int_equal(allow_add(&places, by), 0); /* a place may be named by a link */
    assert_int_equal(allow_add(&places, NULL), 0);
    assert_int_equal(allow_add(&places, slash), 0);
    expect(places, dir, "in/a", 1);
    expect(places, dir, "in", 1);
    expect(places, dir, "by/new/folder/a", 1);
    expect(places, dir, "out/../in/a", 1);
    expect(places, dir, "out/back", 1);
    expect(places, dir, "slash/x", 1);
    expect(places, dir, "slashed", 0);
    expect(places, dir, "inside/a", 0);
    expect(places, dir, "out/a", 0);
    expect(places, dir, "in/../out/a", 0);
    expect(places, dir, "in/way/a", 0);
    expect(places, dir, "in/link", 0);
    expect(places, dir, "in/new/../../out/a", 0);
    expect(places, dir, "in/new/..", 0);
    expect(places, dir, "in/..new/...", 1);
    expect(NULL, dir, "in/a", 0);
    assert_int_equal(allow_has((char *[]){ (char *)"/", NULL }, target), 1);
    assert_int_equal(allow_has((char *[]){ (char *)"/dev", NULL }, "/dev/null"), 1);
    _cleanup_free_ char *remove = str_format("rm -r %s", dir);
    assert_int_equal(system(remove), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_hold_what_is_below_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
