/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/settings.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/num.h"
#include "base/strv.h"
#include "cli/conf.h"
#include "cli/options.h"
#include "cli/policy_options.h"
#include <errno.h>
#include <string.h>

#define SYSTEM_FILE "/etc/kvss/kvss.conf"
#define FILE_MAX ((size_t)64 << 20)
#define TIMEOUT_MAX_S 600
#define LEVEL_MAX 19
#define RETRIES_MAX 100
#define DURATION_MAX_S (365 * 24 * 3600)
#define WAIT_MAX_S (7 * 24 * 3600)
#define DISK_WORD_MAX 512

/* What a value must be, beside what is in the table. */
enum kind {
    KIND_TEXT,
    KIND_PATH,
    KIND_TIMEOUT,
    KIND_RETRIES,
    KIND_COMPRESSION,
    KIND_WAIT,
    KIND_SIZE,
    KIND_DURATION,
    KIND_PATHS,
    KIND_DISKS,
    KIND_DISK_NAMES, /* of one VM: without it */
};

static const struct setting {
    const char *name, *env; /* in kvss.conf; in the environment, NULL: not there */
    size_t offset;
    const char *choices;
    enum kind kind;
} settings[] = {
    { "repository", "KVSS_REPOSITORY", offsetof(struct settings, repository), NULL, KIND_TEXT },
    { "connect", "KVSS_CONNECT", offsetof(struct settings, connect), NULL, KIND_TEXT },
    { "password-file", "KVSS_PASSWORD_FILE", offsetof(struct settings, password_file), NULL, KIND_TEXT },
    { "key-file", "KVSS_KEY_FILE", offsetof(struct settings, key_file), NULL, KIND_TEXT },
    { "password-command", "KVSS_PASSWORD_COMMAND", offsetof(struct settings, password_command), NULL, KIND_TEXT },
    { "key-memory", NULL, offsetof(struct settings, key_memory), NULL, KIND_SIZE },
    { "writers-dir", NULL, offsetof(struct settings, writers_dir), NULL, KIND_PATH },
    { "providers-dir", NULL, offsetof(struct settings, providers_dir), NULL, KIND_PATH },
    { "provider-objects-dir", NULL, offsetof(struct settings, provider_objects_dir), NULL, KIND_PATH },
    { "snapshot-dir", NULL, offsetof(struct settings, snapshot_dir), NULL, KIND_PATH },
    { "save-dir", NULL, offsetof(struct settings, save_dir), NULL, KIND_PATH },
    { "agent-timeout", NULL, offsetof(struct settings, agent_timeout), NULL, KIND_TIMEOUT },
    { "freeze-limit", NULL, offsetof(struct settings, freeze_limit), NULL, KIND_TIMEOUT },
    { "compression", NULL, offsetof(struct settings, compression), NULL, KIND_COMPRESSION },
    { "method", NULL, offsetof(struct settings, method), POLICY_METHODS, KIND_TEXT },
    { "require", NULL, offsetof(struct settings, require), POLICY_LEVELS, KIND_TEXT },
    { "fallback", NULL, offsetof(struct settings, fallback), POLICY_FALLBACKS, KIND_TEXT },
    { "live-state", NULL, offsetof(struct settings, live_state), "yes|no", KIND_TEXT },
    { "provider", NULL, offsetof(struct settings, provider), NULL, KIND_TEXT },
    { "keep-copies", NULL, offsetof(struct settings, keep_copies), "yes|no", KIND_TEXT },
    { "retries", NULL, offsetof(struct settings, retries), NULL, KIND_RETRIES },
    { "bwlimit", NULL, offsetof(struct settings, bwlimit), NULL, KIND_SIZE },
    { "on-failure", NULL, offsetof(struct settings, on_failure), "fail|skip", KIND_TEXT },
    { "scratch-limit", NULL, offsetof(struct settings, scratch_limit), NULL, KIND_SIZE },
    { "scratch-reserve", NULL, offsetof(struct settings, scratch_reserve), NULL, KIND_SIZE },
    { "writer-copy-limit", NULL, offsetof(struct settings, writer_copy_limit), NULL, KIND_SIZE },
    { "wait", NULL, offsetof(struct settings, wait), NULL, KIND_WAIT },
    { "exclude", NULL, offsetof(struct settings, exclude), NULL, KIND_TEXT },
    { "exclude-disk", NULL, offsetof(struct settings, exclude_disk), NULL, KIND_DISKS },
    { "encryption", NULL, offsetof(struct settings, encryption), "required|optional", KIND_TEXT },
    { "prune-grace", NULL, offsetof(struct settings, prune_grace), NULL, KIND_DURATION },
    { "restore-paths", NULL, offsetof(struct settings, restore_paths), NULL, KIND_PATHS },
};

/* In a section [vm NAME]. */
static const struct setting vm_settings[] = {
    { "method", NULL, offsetof(struct vm_settings, method), POLICY_METHODS, KIND_TEXT },
    { "require", NULL, offsetof(struct vm_settings, require), POLICY_LEVELS, KIND_TEXT },
    { "fallback", NULL, offsetof(struct vm_settings, fallback), POLICY_FALLBACKS, KIND_TEXT },
    { "exclude-disk", NULL, offsetof(struct vm_settings, exclude_disk), NULL, KIND_DISK_NAMES },
};

/* In a section [set NAME]. */
static const struct setting set_settings[] = {
    { "vms", NULL, offsetof(struct set_settings, vms), NULL, KIND_TEXT },
    { "tags", NULL, offsetof(struct set_settings, tags), NULL, KIND_TEXT },
    { "exclude", NULL, offsetof(struct set_settings, exclude), NULL, KIND_TEXT },
};

static char **settings_value_of(void *s, const struct setting *t)
{
    return (char **)(void *)((char *)s + t->offset);
}

void settings_clear(struct settings *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        free(*settings_value_of(s, &settings[i]));
    for (size_t v = 0; v < s->n_vms; v++) {
        for (size_t i = 0; i < ARRAY_SIZE(vm_settings); i++)
            free(*settings_value_of(&s->vms[v], &vm_settings[i]));
        free(s->vms[v].vm);
    }
    free(s->vms);
    for (size_t v = 0; v < s->n_sets; v++) {
        for (size_t i = 0; i < ARRAY_SIZE(set_settings); i++)
            free(*settings_value_of(&s->sets[v], &set_settings[i]));
        free(s->sets[v].name);
    }
    free(s->sets);
    memset(s, 0, sizeof(*s));
}

int settings_put_first(char **setting, const char *value)
{
    if (!value)
        return 0;
    free(*setting);
    *setting = strdup(value);
    return *setting ? 0 : -ENOMEM;
}

static int check_number(const struct setting *t, const char *value, uint64_t min, uint64_t max, struct err *err)
{
    uint64_t n;

    if (num_parse_u64(value, min, max, &n, NULL) < 0)
        return err_set(err, EINVAL, "%s = %s: not a number%s from %llu to %llu", t->name, value,
                       t->kind == KIND_TIMEOUT || t->kind == KIND_WAIT ? " of seconds" : "", (unsigned long long)min,
                       (unsigned long long)max);
    return 0;
}

int64_t settings_duration(const char *value)
{
    static const struct {
        char unit;
        uint64_t seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 24 * 3600 } };
    char number[16];
    uint64_t n = 0;
    size_t len = value ? strlen(value) : 0;

    if (len == 1 && *value == '0')
        return -1;
    if (len < 2 || len > sizeof(number))
        return 0;
    memcpy(number, value, len - 1);
    number[len - 1] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(units); i++)
        if (value[len - 1] == units[i].unit && num_parse_u64(number, 0, DURATION_MAX_S / units[i].seconds, &n, NULL) >= 0)
            return n ? (int64_t)(n * units[i].seconds) : -1;
    return 0;
}

int settings_words(const char *value, char ***ret)
{
    static const char blanks[] = " \t";
    int r = 0;

    for (const char *at = value; r >= 0 && at && *at; at += strcspn(at, blanks)) {
        at += strspn(at, blanks);
        _cleanup_free_ char *word = strndup(at, strcspn(at, blanks));
        r = !word ? -ENOMEM : *word ? strv_add(ret, word) : 0;
    }
    return r;
}

static int check_paths(const struct setting *t, const char *value, struct err *err)
{
    _cleanup_strv_ char **paths = NULL;

    if (settings_words(value, &paths) < 0)
        return err_nomem(err);
    for (char **p = paths; p && *p; p++)
        if (**p != '/')
            return err_set(err, EINVAL, "%s = %s: %s is not an absolute path", t->name, value, *p);
    return 0;
}

/* Restore points record the word that left out a disk, so it has to be text, and short. */
static bool disk_word_fits(const char *word)
{
    _cleanup_json_ json_t *text = strlen(word) <= DISK_WORD_MAX ? json_string(word) : NULL;

    return text != NULL;
}

bool settings_is_disk(const char *word)
{
    const char *colon = strrchr(word, ':');

    return colon && colon != word && colon[1] && disk_word_fits(word);
}

static int check_disk_words(const struct setting *t, const char *value, struct err *err)
{
    _cleanup_strv_ char **words = NULL;

    if (settings_words(value, &words) < 0)
        return err_nomem(err);
    for (char **w = words; w && *w; w++)
        if (!settings_is_disk(*w))
            return err_set(err, EINVAL, "%s = %s: %s is not VM:DISK", t->name, value, *w);
    return 0;
}

static int check_disk_names(const struct setting *t, const char *value, struct err *err)
{
    _cleanup_strv_ char **words = NULL;

    if (settings_words(value, &words) < 0)
        return err_nomem(err);
    for (char **w = words; w && *w; w++)
        if (strchr(*w, ':') || !disk_word_fits(*w))
            return err_set(err, EINVAL, "%s = %s: %s is not a DISK, for example vdb", t->name, value, *w);
    return 0;
}

static int cli_settings_check(const struct setting *t, const char *value, struct err *err)
{
    uint64_t size;

    if (!*value)
        return err_set(err, EINVAL, "%s: the value must not be empty", t->name);
    if (t->choices && !choice_has(t->choices, value))
        return err_set(err, EINVAL, "%s = %s: not one of %s", t->name, value, t->choices);
    switch (t->kind) {
    case KIND_PATH: return value[0] == '/' ? 0 : err_set(err, EINVAL, "%s = %s: not an absolute path", t->name, value);
    case KIND_TIMEOUT: return check_number(t, value, 1, TIMEOUT_MAX_S, err);
    case KIND_RETRIES: return check_number(t, value, 0, RETRIES_MAX, err);
    case KIND_COMPRESSION:
        if (!strcmp(value, "none") || num_parse_u64(value, 1, LEVEL_MAX, &(uint64_t){ 0 }, NULL) >= 0)
            return 0;
        return err_set(err, EINVAL, "%s = %s: must be none or a level from 1 to %d", t->name, value, LEVEL_MAX);
    case KIND_WAIT: return check_number(t, value, 0, WAIT_MAX_S, err);
    case KIND_SIZE:
        return num_parse_size(value, &size, NULL) < 0 || !size
                   ? err_set(err, EINVAL, "%s = %s: not a size such as 20M or 1.5GiB", t->name, value)
                   : 0;
    case KIND_DURATION:
        return settings_duration(value) == 0
                   ? err_set(err, EINVAL, "%s = %s: not a duration such as 24h, 90m or 2d (at most one year), and not 0", t->name, value)
                   : 0;
    case KIND_PATHS: return check_paths(t, value, err);
    case KIND_DISKS: return check_disk_words(t, value, err);
    case KIND_DISK_NAMES: return check_disk_names(t, value, err);
    case KIND_TEXT: break;
    }
    return 0;
}

int cli_wait(const struct cli *cli, const char *option, uint64_t *ret_ms, struct err *err)
{
    const char *value = option ? option : cli->settings.wait;
    uint64_t seconds = 0;

    if (value && *value && num_parse_u64(value, 0, WAIT_MAX_S, &seconds, NULL) < 0)
        return err_set(err, EINVAL, "--wait: '%s' is not a number of seconds from 0 to %d", value, WAIT_MAX_S);
    *ret_ms = value && !*value ? UINT64_MAX : seconds * 1000;
    return 0;
}

uint64_t settings_size(const char *value)
{
    uint64_t size = 0;

    if (value)
        (void)num_parse_size(value, &size, NULL);
    return size;
}

int settings_check(const struct settings *s, const char *where, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        char *value = *settings_value_of((struct settings *)s, &settings[i]);
        if (value && cli_settings_check(&settings[i], value, err) < 0)
            return err_context(err, "%s", where);
    }
    return 0;
}

int settings_from_env(struct settings *s, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        char **to = settings_value_of(s, &settings[i]);
        const char *value = settings[i].env ? getenv(settings[i].env) : NULL;
        if (*to || !value || !*value)
            continue;
        if (!(*to = strdup(value)))
            return err_nomem(err);
    }
    return 0;
}

/* ---- kvss.conf ------------------------------------------------------------------------------------------------------------*/

struct settings_reading {
    struct settings *s;
    char **seen; /* "SECTION\nNAME" of what the file has set */
};

static const struct setting *find_setting(const struct setting *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(table[i].name, name))
            return &table[i];
    return NULL;
}

/* The settings of a VM, made where there are none yet. NULL: out of memory. */
static struct vm_settings *settings_of_vm(struct settings *s, const char *vm)
{
    for (size_t i = 0; i < s->n_vms; i++)
        if (!strcmp(s->vms[i].vm, vm))
            return &s->vms[i];
    struct vm_settings *more = reallocarray(s->vms, s->n_vms + 1, sizeof(*more));
    if (!more)
        return NULL;
    s->vms = more;
    more[s->n_vms] = (struct vm_settings){ .vm = strdup(vm) };
    return more[s->n_vms].vm ? &more[s->n_vms++] : NULL;
}

static int settings_take(struct settings_reading *r, void *to, const struct setting *t, const char *section, const char *value,
                         struct err *err)
{
    _cleanup_free_ char *key = str_format("%s\n%s", section, t->name);

    if (key && strv_has(r->seen, key))
        return err_set(err, EINVAL, "%s is set more than once", t->name);
    int e = cli_settings_check(t, value, err);
    if (e < 0)
        return e;
    char **place = settings_value_of(to, t);
    if (!key || strv_add(&r->seen, key) < 0 || (!*place && !(*place = strdup(value))))
        return err_nomem(err);
    return 0;
}

/* "vm NAME": NAME is all that comes after the blanks, brackets, blanks and signs too. NULL: it is no section of that kind. */
static const char *named_section(const char *section, const char *kind)
{
    size_t n = strlen(kind), blanks = strncmp(section, kind, n) ? 0 : strspn(section + n, " \t");

    return blanks && section[n + blanks] ? section + n + blanks : NULL;
}

static int take_vm_line(struct settings_reading *r, const char *vm, const char *name, const char *value, struct err *err)
{
    const struct setting *t = find_setting(vm_settings, ARRAY_SIZE(vm_settings), name);
    struct vm_settings *to = t ? settings_of_vm(r->s, vm) : NULL;

    if (!t)
        return err_set(err, EINVAL, "unknown setting '%s' in [vm %s]: only method, require, fallback and exclude-disk can be set per VM",
                       name, vm);
    return to ? settings_take(r, to, t, vm, value, err) : err_nomem(err);
}

/* NULL: out of memory. */
static struct set_settings *settings_of_set(struct settings *s, const char *name)
{
    for (size_t i = 0; i < s->n_sets; i++)
        if (!strcmp(s->sets[i].name, name))
            return &s->sets[i];
    struct set_settings *more = reallocarray(s->sets, s->n_sets + 1, sizeof(*more));
    if (!more)
        return NULL;
    s->sets = more;
    more[s->n_sets] = (struct set_settings){ .name = strdup(name) };
    return more[s->n_sets].name ? &more[s->n_sets++] : NULL;
}

static int take_set_line(struct settings_reading *r, const char *section, const char *name, const char *value, struct err *err)
{
    const char *set = named_section(section, "set");
    const struct setting *t = name ? find_setting(set_settings, ARRAY_SIZE(set_settings), name) : NULL;

    if (name && !t)
        return err_set(err, EINVAL, "unknown setting '%s' in [set %s]: only vms, tags and exclude can be set there", name, set);
    struct set_settings *to = settings_of_set(r->s, set);
    if (!to)
        return err_nomem(err);
    return t ? settings_take(r, to, t, section, value, err) : 0;
}

/* A section's line by itself has a VM known, so that `check` can ask whether there is one. */
static int settings_take_line(void *priv, const char *section, const char *name, const char *value, struct err *err)
{
    struct settings_reading *r = priv;
    const char *vm = named_section(section, "vm");

    if (named_section(section, "set"))
        return take_set_line(r, section, name, value, err);
    if (!name && !vm)
        return err_set(err, EINVAL, "unknown section [%s]: sections are [vm NAME] and [set NAME]", section);
    if (!name)
        return settings_of_vm(r->s, vm) ? 0 : err_nomem(err);
    if (vm)
        return take_vm_line(r, vm, name, value, err);
    const struct setting *t = find_setting(settings, ARRAY_SIZE(settings), name);
    return t ? settings_take(r, r->s, t, "", value, err) : err_set(err, EINVAL, "unknown setting '%s'", name);
}

int settings_from_file(const char *path, struct settings *s, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct settings_reading r = { .s = s };
    struct err why = ERR_INIT;
    size_t line = 0;

    int rc = io_read_file(path, FILE_MAX, &text, &why);
    if (rc == -ENOENT)
        return rc;
    if (rc < 0)
        return err_move(err, &why);
    rc = conf_parse((char *)text.data, text.len, settings_take_line, &r, &line, &why);
    strv_free(r.seen);
    return rc < 0 ? err_set(err, why.code, "%s:%zu: %s", path, line, why.text) : 0;
}

static char *user_file(void)
{
    const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

    if (config && *config == '/')
        return str_format("%s/kvss/kvss.conf", config);
    return home && *home == '/' ? str_format("%s/.config/kvss/kvss.conf", home) : NULL;
}

int settings_from_files(struct settings *s, struct err *err)
{
    _cleanup_free_ char *user = user_file();
    int r = user ? settings_from_file(user, s, err) : 0;

    if (r == -ENOENT)
        r = 0;
    if (r >= 0)
        r = settings_from_file(SYSTEM_FILE, s, err);
    return r == -ENOENT ? 0 : r;
}
