/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/strv.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/render.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

struct restore_options {
    bool latest, overwrite, keep_mac, start, no_start, paused, discard_memory, images_only, dry_run, yes, move, trust;
    const char *at, *to, *pool, *name, *wait;
    char **disks, **networks, **allow;
};

#define AT(field) offsetof(struct restore_options, field)
static const struct cli_option options[] = {
    { "latest", 0, NULL, "the newest restore point that holds the VMs", AT(latest), NULL, false },
    { "at", 0, "TIME", "the newest of that time or before", AT(at), NULL, false },
    { "to", 0, "FOLDER", "put all images there", AT(to), NULL, false },
    { "pool", 0, "POOL", "put all images into a storage pool", AT(pool), NULL, false },
    { "disk", 0, "TARGET[=PATH]", "put one disk there; without PATH: only it", AT(disks), NULL, true },
    { "overwrite", 0, NULL, "also over files that are not the VM's own", AT(overwrite), NULL, false },
    { "name", 0, "NAME", "as a copy of that name, beside the VM", AT(name), NULL, false },
    { "keep-mac", 0, NULL, "the copy keeps the MAC addresses", AT(keep_mac), NULL, false },
    { "network", 0, "OLD=NEW", "plug NICs of OLD into NEW, or into none", AT(networks), NULL, true },
    { "start", 0, NULL, "run it, whatever its state was", AT(start), NULL, false },
    { "no-start", 0, NULL, "do not run it", AT(no_start), NULL, false },
    { "paused", 0, NULL, "start it paused", AT(paused), NULL, false },
    { "discard-memory", 0, NULL, "boot it instead of resuming its memory", AT(discard_memory), NULL, false },
    { "images-only", 0, NULL, "only files into --to, without libvirt", AT(images_only), NULL, false },
    { "wait", 0, "[SECONDS]", "wait for others that hold a VM", AT(wait), NULL, false },
    { "allow-path", 0, "PATH", "let it write there, or below it", AT(allow), NULL, true },
    { "trust-definition", 0, NULL, "whatever the definition runs and opens here", AT(trust), NULL, false },
    { "move", 0, NULL, "replace the VM and put its images at the place given", AT(move), NULL, false },
    { "yes", 'y', NULL, "do not ask before a VM is replaced", AT(yes), NULL, false },
    { "dry-run", 'n', NULL, "only tell what would be done", AT(dry_run), NULL, false },
    { NULL },
};

/* What exclude each other; NULL where nothing does. */
static const char *conflict(const struct restore_options *o, bool parts)
{
    bool whole = o->to || o->pool || o->name || o->networks;

    if (o->start + o->no_start + o->paused > 1)
        return "--start, --no-start and --paused exclude each other";
    if (o->to && o->pool)
        return "--to and --pool exclude each other";
    if (o->keep_mac && !o->name)
        return "--keep-mac belongs to --name";
    if (o->move && (o->name || o->images_only || (!o->to && !o->pool && (parts || !o->disks))))
        return "--move belongs to --to, --pool or --disk TARGET=PATH, without --name and --images-only";
    if (o->images_only && !o->to)
        return "--images-only needs --to FOLDER";
    if (o->images_only && (o->name || o->networks || o->start || o->no_start || o->paused))
        return "--images-only writes files and registers nothing: --name, --network, --start, --no-start and --paused are for VMs";
    if (parts && !o->images_only && (whole || o->start || o->no_start || o->paused))
        return "--disk TARGET restores disks into a VM that stays as it is: only --discard-memory and --overwrite go with it";
    return NULL;
}

/* Disks with a place, or disks without: the two mean different things. */
static int check_disks(char *const *disks, bool *ret_parts, struct err *err)
{
    size_t with = 0, n = strv_len(disks);

    for (size_t i = 0; i < n; i++)
        with += strchr(disks[i], '=') != NULL;
    *ret_parts = n && !with;
    if (with && with < n)
        return cli_usage(err, "--disk TARGET=PATH says where a disk of the whole VM goes, --disk TARGET that only this disk is wanted; "
                              "not both");
    return EXIT_OK;
}

/* Caller frees. NULL: no memory, or no current folder. */
static char *absolute(const char *path)
{
    _cleanup_free_ char *here = *path == '/' ? NULL : getcwd(NULL, 0);

    return *path == '/' ? strdup(path) : here ? str_format("%s/%s", here, path) : NULL;
}

/* The shell's current folder is the command's, not the requester's. */
static int absolute_disks(char *const *disks, char ***ret, struct err *err)
{
    for (size_t i = 0; disks && disks[i]; i++) {
        const char *equals = strchr(disks[i], '=');
        _cleanup_free_ char *path = equals && equals[1] ? absolute(equals + 1) : NULL;
        if (equals && !equals[1])
            return cli_usage(err, "--disk %s: a path is missing", disks[i]);
        if (strv_addf(ret, "%.*s%s%s", equals ? (int)(equals - disks[i]) : (int)strlen(disks[i]), disks[i], equals ? "=" : "",
                      path ? path : "") < 0)
            return err_set(err, ENOMEM, "out of memory"), EXIT_FAILED;
    }
    return EXIT_OK;
}

static int allowed_paths(const struct settings *s, char *const *given, char ***ret_allow, char ***ret_always, struct err *err)
{
    int r = settings_words(s->restore_paths, ret_always);

    for (size_t i = 0; r >= 0 && given && given[i]; i++) {
        _cleanup_free_ char *path = absolute(given[i]);
        r = path ? strv_add(ret_allow, path) : -ENOMEM;
    }
    return r < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

/* ---- The question -----------------------------------------------------------------------------------------------------------*/

static int refused(struct err *err)
{
    err_set(err, ECANCELED, "nothing was changed: the name was not typed");
    return EXIT_REFUSED;
}

/* Has one word typed. */
static int ask_word(const struct cli *cli, FILE *terminal, const char *prompt, const char *word, struct err *err)
{
    char answer[512];
    int r = ask_line(terminal, prompt, answer, sizeof(answer), &cli->cancel, err);

    if (r == -EINTR)
        return EXIT_INTERRUPTED;
    return r >= 0 && !strcmp(answer, word) ? EXIT_OK : refused(err);
}

static int ask_names(const struct cli *cli, FILE *terminal, const json_t *plan, struct err *err)
{
    int code = EXIT_OK;
    bool any = false;
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(plan, "vms"), i, vm) {
        const char *name = json_string_value(json_object_get(vm, "name"));
        if (!name || !render_is_replaced(vm) || code != EXIT_OK)
            continue;
        _cleanup_free_ char *prompt = str_format("To go on, type the name of the VM (%s): ", name);
        code = prompt ? ask_word(cli, terminal, prompt, name, err) : refused(err);
        any = true;
    }
    return any ? code : ask_word(cli, terminal, "To go on, type yes: ", "yes", err);
}

/* On a terminal a plan is made first, shown, and agreed to; *ret is what was agreed to, NULL where nothing needs to be. Elsewhere the
 * restore itself refuses. */
static int ask(struct cli *cli, const struct requester_restore *job, json_t **ret, struct err *err)
{
    struct requester_restore rehearsal = *job;
    FILE *terminal = NULL;
    json_t *plan = NULL;

    if (job->yes || job->dry_run || ask_terminal(&terminal, NULL) < 0)
        return EXIT_OK;
    rehearsal.dry_run = true;
    int r = requester_restore(cli->rq, &rehearsal, &plan, err), code = cli_code(cli, r);
    bool refused = json_array_size(json_object_get(plan, "refused")) > 0;
    if (r >= 0 && (refused || json_is_true(json_object_get(plan, "asks")))) {
        json_t *clean = json_deep_copy(plan);
        out_clean(clean);
        render_restore_question(terminal, clean);
        code = refused ? EXIT_OK : ask_names(cli, terminal, clean, err); /* what is refused the restore says itself */
        json_decref(clean);
        *ret = refused ? NULL : json_incref(plan);
    }
    json_decref(plan);
    fclose(terminal);
    return code;
}

static int restore(struct cli *cli, struct requester_restore *job, struct err *err)
{
    json_t *agreed = NULL, *report = NULL;

    int code = ask(cli, job, &agreed, err);
    if (agreed) { /* the very point, even if there is a newer one by now */
        job->agreed = agreed;
        job->point = json_string_value(json_object_get(agreed, "point"));
    }
    if (code == EXIT_OK) {
        int r = requester_restore(cli->rq, job, &report, err);
        code = cli_finish(cli, r, report, job->dry_run ? render_restore_plan : render_restore);
    }
    json_decref(agreed);
    return code;
}

/* ---- The command ------------------------------------------------------------------------------------------------------------*/

static int run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct restore_options *o = opts;
    bool newest = o->latest || o->at, parts = false;
    _cleanup_free_ char *to = o->to ? absolute(o->to) : NULL;
    _cleanup_strv_ char **disks = NULL, **allow = NULL, **always = NULL;

    if (newest && o->latest && o->at)
        return cli_usage(err, "--latest and --at exclude each other");
    if (!newest && !*args)
        return cli_usage(err, "name a restore point, or give --latest or --at TIME; see kvss restore --help");
    int code = check_disks(o->disks, &parts, err);
    if (code == EXIT_OK)
        code = absolute_disks(o->disks, &disks, err);
    if (code != EXIT_OK)
        return code;
    const char *why = conflict(o, parts);
    if (why)
        return cli_usage(err, "%s", why);
    char **vms = newest ? args : args + 1;
    struct requester_restore job = {
        .point = newest ? NULL : args[0], .at = o->at, .vms = *vms ? vms : NULL, .to = to, .pool = o->pool, .disks = disks,
        .overwrite = o->overwrite, .name = o->name, .keep_mac = o->keep_mac, .networks = o->networks,
        .state = o->start ? "running" : o->no_start ? "off" : o->paused ? "paused" : NULL, .discard_memory = o->discard_memory,
        .images_only = o->images_only, .dry_run = o->dry_run, .move = o->move, .yes = o->yes,
        .trust_definition = o->trust,
    };
    if (cli_wait(cli, o->wait, &job.wait_ms, err) < 0)
        return EXIT_USAGE;
    int r = cli_prepare(cli, err);
    if (r >= 0)
        r = allowed_paths(&cli->settings, o->allow, &allow, &always, err);
    if (r < 0)
        return EXIT_FAILED;
    job.allow = allow;
    job.allow_always = always;
    return restore(cli, &job, err);
}

const struct cli_command cmd_restore = {
    .name = "restore",
    .args = "POINT|--latest|--at TIME [VM...]",
    .summary = "bring VMs back from a restore point",
    .about = "VMs that exist are turned off and replaced. Without VM: all that the restore\n"
             "point holds, and the files of other writers. POINT is an id, the begin of one\n"
             "(at least 6 digits), or latest.",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct restore_options),
    .run = run,
};
