/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/settings.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/num.h"
#include "cli/options.h"
#include <errno.h>
#include <ini.h>
#include <string.h>

#define SYSTEM_FILE "/etc/kvss/kvss.conf"
#define FILE_MAX ((size_t)1 << 20)
#define TIMEOUT_MAX_S 600
#define LEVEL_MAX 19

static const struct setting {
    const char *name, *env; /* in kvss.conf; in the environment, NULL: not there */
    size_t offset;
    const char *choices;
    bool absolute;          /* must be an absolute path */
} settings[] = {
    { "repository", "KVSS_REPOSITORY", offsetof(struct settings, repository), NULL, false },
    { "connect", "KVSS_CONNECT", offsetof(struct settings, connect), NULL, false },
    { "password-file", "KVSS_PASSWORD_FILE", offsetof(struct settings, password_file), NULL, false },
    { "key-file", "KVSS_KEY_FILE", offsetof(struct settings, key_file), NULL, false },
    { "writers-dir", NULL, offsetof(struct settings, writers_dir), NULL, true },
    { "snapshot-dir", NULL, offsetof(struct settings, snapshot_dir), NULL, true },
    { "save-dir", NULL, offsetof(struct settings, save_dir), NULL, true },
    { "agent-timeout", NULL, offsetof(struct settings, agent_timeout), NULL, false },
    { "freeze-limit", NULL, offsetof(struct settings, freeze_limit), NULL, false },
    { "compression", NULL, offsetof(struct settings, compression), NULL, false },
    { "method", NULL, offsetof(struct settings, method), "auto|child|saved-state", false },
    { "require", NULL, offsetof(struct settings, require), "application|file-system|saved-state", false },
};

static char **value_of(struct settings *s, const struct setting *t)
{
    return (char **)(void *)((char *)s + t->offset);
}

void settings_clear(struct settings *s)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        free(*value_of(s, &settings[i]));
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

static int check(const struct setting *t, const char *value, struct err *err)
{
    uint64_t number;

    if (!*value)
        return err_set(err, EINVAL, "%s has no value", t->name);
    if (t->choices && !choice_has(t->choices, value))
        return err_set(err, EINVAL, "%s = %s: not one of %s", t->name, value, t->choices);
    if (t->absolute && value[0] != '/')
        return err_set(err, EINVAL, "%s = %s: not an absolute path", t->name, value);
    bool timed = !strcmp(t->name, "agent-timeout") || !strcmp(t->name, "freeze-limit");
    if (timed && num_parse_u64(value, 1, TIMEOUT_MAX_S, &number, NULL) < 0)
        return err_set(err, EINVAL, "%s = %s: not a number of seconds from 1 to %d", t->name, value, TIMEOUT_MAX_S);
    if (!strcmp(t->name, "compression") && strcmp(value, "none") && num_parse_u64(value, 1, LEVEL_MAX, &number, NULL) < 0)
        return err_set(err, EINVAL, "%s = %s: neither none nor a level from 1 to %d", t->name, value, LEVEL_MAX);
    return 0;
}

int settings_check(const struct settings *s, const char *where, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        char *value = *value_of((struct settings *)s, &settings[i]);
        if (value && check(&settings[i], value, err) < 0)
            return err_context(err, "%s", where);
    }
    return 0;
}

int settings_from_env(struct settings *s, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        char **to = value_of(s, &settings[i]);
        const char *value = settings[i].env ? getenv(settings[i].env) : NULL;
        if (*to || !value || !*value)
            continue;
        if (!(*to = strdup(value)))
            return err_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

/* ---- kvss.conf ------------------------------------------------------------------------------------------------------------*/

struct reading {
    struct settings *s;
    const char *seen[ARRAY_SIZE(settings)];
    struct err err; /* of the first line that is wrong */
};

static int take_line(void *priv, const char *section, const char *name, const char *value)
{
    struct reading *r = priv;
    struct err *e = r->err.code ? NULL : &r->err;

    if (*section)
        return err_set(e, EINVAL, "there are no sections in kvss.conf, and this is [%s]", section), 0;
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++) {
        const struct setting *t = &settings[i];
        if (strcmp(t->name, name))
            continue;
        if (r->seen[i])
            return err_set(e, EINVAL, "%s is set a second time", name), 0;
        r->seen[i] = t->name;
        if (check(t, value, e) < 0)
            return 0;
        char **to = value_of(r->s, t);
        if (!*to && !(*to = strdup(value)))
            return err_set(e, ENOMEM, "out of memory"), 0;
        return 1;
    }
    return err_set(e, EINVAL, "unknown setting '%s'", name), 0;
}

int settings_from_file(const char *path, struct settings *s, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct reading r = { .s = s };
    struct err why = ERR_INIT;

    int rc = io_read_file(path, FILE_MAX, &text, &why);
    if (rc == -ENOENT)
        return rc;
    if (rc < 0)
        return err_move(err, &why);
    int line = ini_parse_string(text.data ? (const char *)text.data : "", take_line, &r);
    if (line > 0 && r.err.code)
        return err_set(err, EINVAL, "%s:%d: %s", path, line, r.err.text);
    if (line > 0)
        return err_set(err, EINVAL, "%s:%d: not 'name = value'", path, line);
    return line < 0 ? err_set(err, ENOMEM, "cannot read %s", path) : 0;
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
