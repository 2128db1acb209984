/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls the functions of src/hypervisor one by one and prints what they return, for tests/integration. */
#include "hvtool.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const tables[] = { hvtool_domain_commands, hvtool_storage_commands };

static const struct command *find(const char *name)
{
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
        for (const struct command *c = tables[t]; c->name; c++)
            if (strcmp(c->name, name) == 0)
                return c;
    return NULL;
}

static int usage(void)
{
    fprintf(stderr, "usage: hvtool [-c URI] COMMAND [ARGUMENT...]\n");
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
        for (const struct command *c = tables[t]; c->name; c++)
            fprintf(stderr, "  %s %s\n", c->name, c->usage);
    return 2;
}

static void print_log(void *priv, enum log_level level, const char *line)
{
    (void)priv, (void)level;
    fprintf(stderr, "log: %s\n", line);
}

const char *argument(const struct call *c, int i, const char *otherwise)
{
    return i < c->argc ? c->argv[i] : otherwise;
}

int with_domain(struct call *c, int (*fn)(struct call *c, struct hv_domain *d, struct err *err), struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;

    int r = hv_domain_get(c->hv, c->argv[0], &d, err);
    return r < 0 ? r : fn(c, d, err);
}

static int run(const char *uri, const struct command *command, int argc, char **argv, struct err *err)
{
    const struct log log = { .write = print_log, .max = LOG_LEVEL_DEBUG };
    struct hv_config config = { .uri = uri, .log = &log };
    struct call call = { .argc = argc, .argv = argv };

    int r = command->offline ? 0 : hv_open(&config, &call.hv, err);
    if (r == 0)
        r = command->fn(&call, err);
    hv_close(call.hv);
    return r;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    const char *uri = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2 && strcmp(argv[1], "-c") == 0) {
        uri = argv[2];
        argv += 2;
        argc -= 2;
    }
    const struct command *command = argc > 1 ? find(argv[1]) : NULL;
    if (!command || argc - 2 < command->min_args)
        return usage();
    int r = run(uri, command, argc - 2, argv + 2, &err);
    if (r == 0)
        return 0;
    fprintf(stderr, "hvtool: %s: %s\n", strerrorname_np(-r), err.text);
    if (err.code != -r)
        fprintf(stderr, "hvtool: the error object says %d\n", err.code);
    return 1;
}
