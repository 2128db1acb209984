/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/text.h"
#include "cli/options.h"
#include "base/buf.h"
#include "base/strv.h"
#include <errno.h>
#include <getopt.h>
#include <string.h>

#define OPTIONS_MAX 64
#define HELP_COLUMN 28
#define FIRST_VALUE 256 /* above all letters */

/* What getopt_long() wants, and our option for each of its values. */
struct parser {
    struct option longs[OPTIONS_MAX + 1];
    char shorts[2 * OPTIONS_MAX + 3];
    const struct cli_option *of[OPTIONS_MAX];
    void *to[OPTIONS_MAX];
    size_t n;
};

static bool is_optional(const struct cli_option *o)
{
    return o->arg && o->arg[0] == '[';
}

static void add_options(struct parser *p, const struct cli_option *options, void *to)
{
    for (; options && options->name && p->n < OPTIONS_MAX; options++) {
        int has_arg = is_optional(options) ? optional_argument : options->arg ? required_argument : no_argument;
        p->longs[p->n] = (struct option){ options->name, has_arg, NULL, FIRST_VALUE + (int)p->n };
        if (options->letter) {
            char letter[3] = { options->letter, options->arg ? ':' : '\0', '\0' };
            strcat(p->shorts, letter);
        }
        p->of[p->n] = options;
        p->to[p->n++] = to;
    }
}

static int unknown_option(const struct parser *p, const char *word, struct err *err)
{
    const char *names[OPTIONS_MAX];

    if (strncmp(word, "--", 2))
        return err_set(err, EINVAL, "unknown option %s", word);
    for (size_t i = 0; i < p->n; i++)
        names[i] = p->longs[i].name;
    const char *like = text_similar(word + 2, names, p->n);
    if (like)
        return err_set(err, EINVAL, "unknown option %s; did you mean --%s?", word, like);
    return err_set(err, EINVAL, "unknown option %s", word);
}

bool choice_has(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (!strncmp(c, value, n) && (c[n] == '|' || c[n] == '\0'))
            return true;
    return false;
}

static int options_take(const struct cli_option *o, void *to, const char *value, struct err *err)
{
    char *place = (char *)to + o->offset;

    if (!o->arg) {
        *(bool *)(void *)place = true;
        return 0;
    }
    if (!value && is_optional(o))
        value = "";
    else if (!*value)
        return err_set(err, EINVAL, "option --%s: the value must not be empty", o->name);
    if (o->choices && !choice_has(o->choices, value))
        return err_set(err, EINVAL, "option --%s: '%s' is not one of %s", o->name, value, o->choices);
    if (o->list)
        return strv_add((char ***)(void *)place, value) < 0 ? err_nomem(err) : 0;
    *(const char **)(void *)place = value;
    return 0;
}

void options_free(const struct cli_option *options, void *to)
{
    for (; options && options->name; options++)
        if (options->list)
            strv_free(*(char ***)(void *)((char *)to + options->offset));
}

static size_t options_index_of(const struct parser *p, int c)
{
    if (c >= FIRST_VALUE)
        return (size_t)(c - FIRST_VALUE);
    size_t i = 0;
    while (i < p->n && p->of[i]->letter != c)
        i++;
    return i;
}

int options_parse(const struct option_set *set, int argc, char **argv, bool stop_early, int *ret_index, struct err *err)
{
    struct parser p = { .n = 0 };
    int c;

    strcpy(p.shorts, stop_early ? "+:" : ":");
    add_options(&p, set->global, set->global_to);
    add_options(&p, set->own, set->own_to);
    optind = 0; /* begin anew, also glibc's own state */
    opterr = 0;
    while ((c = getopt_long(argc, argv, p.shorts, p.longs, NULL)) != -1) {
        const char *word = argv[optind - 1];
        if (c == ':')
            return err_set(err, EINVAL, "option %s needs a value", word);
        if (c == '?')
            return optopt && optopt < FIRST_VALUE && strncmp(word, "--", 2) ? err_set(err, EINVAL, "unknown option -%c", optopt)
                   : optopt >= FIRST_VALUE                                  ? err_set(err, EINVAL, "option %s takes no value", word)
                                                                            : unknown_option(&p, word, err);
        size_t i = options_index_of(&p, c);
        int r = i < p.n ? options_take(p.of[i], p.to[i], optarg, err) : err_set(err, EINVAL, "unknown option %s", word);
        if (r < 0)
            return r;
    }
    *ret_index = optind;
    return 0;
}

void options_print(const struct cli_option *options, FILE *f)
{
    for (; options && options->name; options++) {
        char head[80];
        const char *before = is_optional(options) ? "[=" : options->arg ? " " : "";
        const char *arg = is_optional(options) ? options->arg + 1 : options->arg ? options->arg : "";
        int n = snprintf(head, sizeof(head), "  %c%c%s --%s%s%s", options->letter ? '-' : ' ', options->letter ? options->letter : ' ',
                         options->letter ? "," : " ", options->name, before, arg);
        fprintf(f, "%s%*s%s\n", head, n < HELP_COLUMN - 1 ? HELP_COLUMN - n : 2, "", options->help);
    }
}
