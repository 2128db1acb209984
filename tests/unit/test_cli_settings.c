/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kvss.conf and the environment: what is wrong is named with file and line; the first that sets a value wins. */
#include "test.h"

#include "cli/options.h"
#include "cli/settings.h"

static int read_conf(const char *dir, const char *text, struct settings *s, struct err *err)
{
    _cleanup_free_ char *path = io_path(dir, "kvss.conf");

    write_text(path, text);
    return settings_from_file(path, s, err);
}

static void values_are_read_and_comments_passed_over(void **state)
{
    _cleanup_(settings_clear) struct settings s = { 0 };
    struct err err = ERR_INIT;

    assert_ok(read_conf(*state, "# a comment\nrepository = /srv/backup folder\n\n; another\nagent-timeout=20\nmethod = child\n", &s, &err));
    assert_string_equal(s.repository, "/srv/backup folder");
    assert_string_equal(s.agent_timeout, "20");
    assert_string_equal(s.method, "child");
    assert_null(s.connect);
}

static void vms_have_sections_of_their_own(void **state)
{
    _cleanup_(settings_clear) struct settings s = { 0 };
    struct err err = ERR_INIT;

    assert_ok(read_conf(*state, "require = saved-state\n[vm web 01]\nmethod = child\n[vm db01]\nrequire = application\nfallback = fail\n",
                        &s, &err));
    assert_ok(read_conf(*state, "[vm db01]\nrequire = file-system\nmethod = child\n", &s, &err)); /* a second file only adds */
    assert_int_equal(s.n_vms, 2);
    assert_string_equal(s.vms[0].vm, "web 01");
    assert_string_equal(s.vms[0].method, "child");
    assert_null(s.vms[0].require);
    assert_string_equal(s.vms[1].require, "application");
    assert_string_equal(s.vms[1].fallback, "fail");
    assert_string_equal(s.vms[1].method, "child");
    assert_string_equal(s.require, "saved-state");
}

static void sets_have_sections_of_their_own(void **state)
{
    _cleanup_(settings_clear) struct settings s = { 0 };
    struct err err = ERR_INIT;

    assert_ok(read_conf(*state,
                        "exclude-disk = w*:vdb a:b:vdc\n[set shop 1]\nvms = db* web\nexclude = db9\n[vm shop 1]\nexclude-disk = vdc\n"
                        "[set empty]\n[set t]\ntags = x y\n",
                        &s, &err));
    assert_ok(read_conf(*state, "[set t]\ntags = z\nvms = v\n", &s, &err)); /* a second file only adds */
    assert_int_equal(s.n_sets, 3);
    assert_string_equal(s.sets[0].name, "shop 1");
    assert_string_equal(s.sets[0].vms, "db* web");
    assert_string_equal(s.sets[0].exclude, "db9");
    assert_null(s.sets[0].tags);
    assert_string_equal(s.sets[1].name, "empty");
    assert_null(s.sets[1].vms);
    assert_string_equal(s.sets[2].tags, "x y");
    assert_string_equal(s.sets[2].vms, "v");
    assert_int_equal(s.n_vms, 1);
    assert_string_equal(s.vms[0].exclude_disk, "vdc");
    assert_string_equal(s.exclude_disk, "w*:vdb a:b:vdc");
}

/* What the page promises of any bytes. */
static void lines_hold_anything(void **state)
{
    static const struct {
        const char *text, *repository, *vm;
    } cases[] = {
        { "repository = /a ; b # c\n", "/a ; b # c", NULL },
        { "repository = /a;b\n", "/a;b", NULL },
        { "repository = /x=y = z\n", "/x=y = z", NULL },
        { " \t repository \t=\t /a b \t\r\n", "/a b", NULL },
        { "repository = \"/a\"", "\"/a\"", NULL },
        { "repository: /a", "/a", NULL },
        { "\xef\xbb\xbfrepository = /a\n", "/a", NULL },
        { "repository = /caf\xe9\n", "/caf\xe9", NULL },
        { "  # repository = /no\n\t; repository = /no\n#[vm no]\nrepository = [/a]\n", "[/a]", NULL },
        { "repository = /a\n  [vm a[b]c]\n   method = child\n", "/a", "a[b]c" },
        { "repository = /a\n[vm x;y # z]\nmethod = child\n", "/a", "x;y # z" },
        { "repository = /a\n[vm \t k=v]\nmethod = child\n", "/a", "k=v" },
        { "repository = /a\n[vm ]]\nmethod=child", "/a", "]" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_(settings_clear) struct settings s = { 0 };
        struct err err = ERR_INIT;
        assert_ok(read_conf(*state, cases[i].text, &s, &err));
        assert_string_equal(s.repository, cases[i].repository);
        assert_int_equal(s.n_vms, cases[i].vm != NULL);
        if (cases[i].vm) {
            assert_string_equal(s.vms[0].vm, cases[i].vm);
            assert_string_equal(s.vms[0].method, "child");
        }
    }
}

/* A comment, a value, a name and blanks of each length about which a buffer of a parser might end. */
static void lines_have_any_length(void **state)
{
    static const size_t lengths[] = { 48, 49, 50, 51, 127, 128, 199, 200, 201, 255, 256, 1023, 1024, 4096, 65536, 1000000 };

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        _cleanup_(settings_clear) struct settings s = { 0 };
        struct err err = ERR_INIT;
        size_t n = lengths[i];
        _cleanup_free_ char *x = malloc(n + 1), *text = NULL;
        assert_non_null(x);
        memset(x, 'x', n);
        x[n] = '\0';
        text = str_format("# %s repository = /no\n; %sconnect = /no\nrepository = /%s\n%*s\n[vm %s]\nmethod = child\nno", x, x, x, (int)n,
                          "", x);
        assert_fails(EINVAL, read_conf(*state, text, &s, &err));
        assert_non_null(strstr(err.text, "kvss.conf:7: expected 'name"));
        assert_null(s.connect);
        assert_int_equal(strlen(s.repository), n + 1);
        assert_string_equal(s.vms[0].vm, x);
    }
}

static void what_is_set_already_stays(void **state)
{
    _cleanup_(settings_clear) struct settings s = { .repository = strdup("/from/an/option") };
    struct err err = ERR_INIT;

    assert_ok(read_conf(*state, "repository = /srv/backup\nconnect = qemu:///system\n", &s, &err));
    assert_string_equal(s.repository, "/from/an/option");
    assert_string_equal(s.connect, "qemu:///system");
}

static void mistakes_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {
        { "repository = /a\nrepositroy = /b\n", "kvss.conf:2: unknown setting 'repositroy'" },
        { "repository = /a\nrepository = /b\n", "kvss.conf:2: repository is set more than once" },
        { "\n\nmethod = sideways\n", "kvss.conf:3: method = sideways: not one of" },
        { "agent-timeout = 0\n", "kvss.conf:1: agent-timeout = 0: not a number of seconds" },
        { "agent-timeout = soon\n", "kvss.conf:1: agent-timeout" },
        { "compression = best\n", "kvss.conf:1: compression = best: must be none or a level from 1 to 19" },
        { "compression = 20\n", "kvss.conf:1: compression = 20: must be none" },
        { "snapshot-dir = here\n", "kvss.conf:1: snapshot-dir = here: not an absolute path" },
        { "repository =\n", "kvss.conf:1: repository: the value must not be empty" },
        { "[section]\nrepository = /a\n", "kvss.conf:1: unknown section [section]" },
        { "# \n[disk vda]\n", "kvss.conf:2: unknown section [disk vda]" },
        { "[]\n", "kvss.conf:1: unknown section []" },
        { "[vm ]\n", "kvss.conf:1: unknown section [vm ]" },
        { "[vm a\n", "kvss.conf:1: a section header needs a closing ]" },
        { "[vm a] ; why\n", "kvss.conf:1: a section header needs a closing ]" },
        { "retries = 3 ; tries\n", "kvss.conf:1: retries = 3 ; tries: not a number" },
        { "= /a\n", "kvss.conf:1: expected 'name = value'" },
        { "[vm web]\nrepository = /a\n", "kvss.conf:2: unknown setting 'repository' in [vm web]" },
        { "[vm web]\nrequire = file-system\n[vm db]\nrequire = all\n", "kvss.conf:4: require = all: not one of" },
        { "[vm web]\nrequire = file-system\n[vm web]\nrequire = application\n", "kvss.conf:4: require is set more than once" },
        { "[vmweb]\nrequire = file-system\n", "kvss.conf:1: unknown section [vmweb]" },
        { "fallback = skip\n", "kvss.conf:1: fallback = skip: not one of auto|saved-state|file-system|crash|fail" },
        { "bwlimit = fast\n", "kvss.conf:1: bwlimit = fast: not a size" },
        { "scratch-reserve = 0\n", "kvss.conf:1: scratch-reserve = 0: not a size" },
        { "wait = for a while\n", "kvss.conf:1: wait = for a while: not a number of seconds" },
        { "retries = many\n", "kvss.conf:1: retries = many: not a number from 0 to 100" },
        { "exclude-disk = vdb\n", "kvss.conf:1: exclude-disk = vdb: vdb is not VM:DISK" },
        { "[vm web]\nexclude-disk = vdb web:vdc\n", "kvss.conf:2: exclude-disk = vdb web:vdc: web:vdc is not a DISK, for example vdb" },
        { "exclude-disk = web:\xff\n", "kvss.conf:1: exclude-disk = web:?: web:? is not VM:DISK" },
        { "exclude-disk = web:vdb :vdc\n", "kvss.conf:1: exclude-disk = web:vdb :vdc: :vdc is not VM:DISK" },
        { "[set ]\n", "kvss.conf:1: unknown section [set ]" },
        { "[set a]\nvms = b\nmethod = child\n", "kvss.conf:3: unknown setting 'method' in [set a]" },
        { "[set a]\nvms = b\n[set a]\nvms = c\n", "kvss.conf:4: vms is set more than once" },
        { "just words\n", "kvss.conf:1: expected 'name = value'" },
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        _cleanup_(settings_clear) struct settings s = { 0 };
        struct err err = ERR_INIT;
        assert_fails(EINVAL, read_conf(*state, wrong[i].text, &s, &err));
        if (!strstr(err.text, wrong[i].says))
            fail_msg("'%s' does not say '%s'", err.text, wrong[i].says);
    }
}

static void a_file_that_is_not_there_is_told_apart(void **state)
{
    (void)state;
    struct settings s = { 0 };
    struct err err = ERR_INIT;

    assert_int_equal(settings_from_file("/nonexistent/kvss.conf", &s, &err), -ENOENT);
    assert_int_equal(err.code, 0);
}

static void the_environment_goes_before_files(void **state)
{
    _cleanup_(settings_clear) struct settings s = { 0 };
    struct err err = ERR_INIT;

    setenv("KVSS_REPOSITORY", "/from/the/environment", 1);
    setenv("KVSS_CONNECT", "", 1); /* as if it were not set */
    assert_ok(settings_from_env(&s, &err));
    assert_ok(read_conf(*state, "repository = /srv/backup\nconnect = qemu:///session\n", &s, &err));
    unsetenv("KVSS_REPOSITORY");
    unsetenv("KVSS_CONNECT");
    assert_string_equal(s.repository, "/from/the/environment");
    assert_string_equal(s.connect, "qemu:///session");
}

/* ---- Options --------------------------------------------------------------------------------------------------------------*/

struct own {
    bool copy;
    const char *method, *read;
};
struct common {
    bool json;
    const char *repository;
};
static const struct cli_option own_options[] = {
    { "copy", 0, NULL, "", offsetof(struct own, copy), NULL },
    { "method", 'm', "METHOD", "", offsetof(struct own, method), "auto|child" },
    { "read", 0, "[PERCENT]", "", offsetof(struct own, read), NULL },
    { NULL },
};
static const struct cli_option common_options[] = {
    { "json", 0, NULL, "", offsetof(struct common, json), NULL },
    { "repository", 'r', "FOLDER", "", offsetof(struct common, repository), NULL },
    { NULL },
};

static int parse(struct common *c, struct own *o, char **argv, int *first, struct err *err)
{
    struct option_set set = { common_options, own_options, c, o };
    int argc = 0;

    while (argv[argc])
        argc++;
    return options_parse(&set, argc, argv, false, first, err);
}

#define ARGV(...) ((char *[]){ (char *)"kvss", __VA_ARGS__, NULL })

static void options_stand_anywhere(void **state)
{
    (void)state;
    struct common c = { 0 };
    struct own o = { 0 };
    struct err err = ERR_INIT;
    char **argv = ARGV((char *)"web", (char *)"--copy", (char *)"-r", (char *)"/srv", (char *)"db", (char *)"--method=child",
                       (char *)"--json", (char *)"--", (char *)"--copy");
    int first = 0;

    assert_ok(parse(&c, &o, argv, &first, &err));
    assert_true(o.copy && c.json);
    assert_string_equal(o.method, "child");
    assert_string_equal(c.repository, "/srv");
    assert_string_equal(argv[first], "web");
    assert_string_equal(argv[first + 1], "db");
    assert_string_equal(argv[first + 2], "--copy");
}

static void assert_refused(char **argv, const char *says)
{
    struct common c = { 0 };
    struct own o = { 0 };
    struct err err = ERR_INIT;
    int first;

    assert_fails(EINVAL, parse(&c, &o, argv, &first, &err));
    if (!strstr(err.text, says))
        fail_msg("'%s' does not say '%s'", err.text, says);
}

static void a_value_in_brackets_may_be_missing(void **state)
{
    (void)state;
    struct common c = { 0 };
    struct own o = { 0 };
    struct err err = ERR_INIT;
    char **bare = ARGV((char *)"--read", (char *)"5"), **with = ARGV((char *)"--read=5");
    int first = 0;

    assert_ok(parse(&c, &o, bare, &first, &err));
    assert_string_equal(o.read, "");
    assert_string_equal(bare[first], "5");
    assert_ok(parse(&c, &o, with, &first, &err));
    assert_string_equal(o.read, "5");
}

static void wrong_options_are_explained(void **state)
{
    (void)state;
    assert_refused(ARGV((char *)"--methud", (char *)"child"), "did you mean --method?");
    assert_refused(ARGV((char *)"--method"), "--method needs a value");
    assert_refused(ARGV((char *)"-r"), "-r needs a value");
    assert_refused(ARGV((char *)"-x"), "unknown option -x");
    assert_refused(ARGV((char *)"--copy=yes"), "takes no value");
    assert_refused(ARGV((char *)"--method", (char *)"chil"), "'chil' is not one of auto|child");
    assert_refused(ARGV((char *)"--repository", (char *)""), "must not be empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        test_in_dir(values_are_read_and_comments_passed_over),
        test_in_dir(vms_have_sections_of_their_own),
        test_in_dir(sets_have_sections_of_their_own),
        test_in_dir(lines_hold_anything),
        test_in_dir(lines_have_any_length),
        test_in_dir(what_is_set_already_stays),
        test_in_dir(mistakes_name_file_and_line),
        cmocka_unit_test(a_file_that_is_not_there_is_told_apart),
        test_in_dir(the_environment_goes_before_files),
        cmocka_unit_test(options_stand_anywhere),
        cmocka_unit_test(a_value_in_brackets_may_be_missing),
        cmocka_unit_test(wrong_options_are_explained),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
