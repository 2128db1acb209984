/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/num.h"
#include "base/strv.h"
#include "cli/ask.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/render.h"
#include "cli/restore_first.h"
#include "cli/settings.h"
#include <errno.h>
#include <string.h>

#define DAYS_MAX 3650

struct restore_options {
    bool latest, overwrite, keep_mac, start, no_start, paused, discard_memory, images_only, dry_run, yes, move, trust, no_writers, undo;
    const char *at, *to, *pool, *name, *wait, *files_to, *backup_first;
    char **disks, **networks, **allow, **writers;
};

#define AT(field) offsetof(struct restore_options, field)
static const struct cli_option options[] = {
    { "latest", 0, NULL, "the newest restore point that contains the VMs", AT(latest), NULL, false },
    { "at", 0, "TIME", "the newest restore point at or before TIME", AT(at), NULL, false },
    { "to", 0, "FOLDER", "restore all images into FOLDER", AT(to), NULL, false },
    { "pool", 0, "POOL", "restore all images into a storage pool", AT(pool), NULL, false },
    { "disk", 0, "TARGET[=PATH]", "restore disk to PATH; without PATH: only that disk", AT(disks), NULL, true },
    { "overwrite", 0, NULL, "replace existing files even if not the VM's own", AT(overwrite), NULL, false },
    { "name", 0, "NAME", "restore a copy called NAME, keep the original", AT(name), NULL, false },
    { "keep-mac", 0, NULL, "let the copy keep the MAC addresses", AT(keep_mac), NULL, false },
    { "network", 0, "OLD=NEW", "connect NICs on OLD to NEW (or to none)", AT(networks), NULL, true },
    { "start", 0, NULL, "start the VM, even if it was off when backed up", AT(start), NULL, false },
    { "no-start", 0, NULL, "do not start the VM", AT(no_start), NULL, false },
    { "paused", 0, NULL, "start the VM, paused", AT(paused), NULL, false },
    { "discard-memory", 0, NULL, "boot instead of resuming the saved memory", AT(discard_memory), NULL, false },
    { "images-only", 0, NULL, "just extract disk images into --to; no VM", AT(images_only), NULL, false },
    { "writer", 0, "NAME[/COMPONENT]", "only files of this other writer (repeatable)", AT(writers), NULL, true },
    { "no-writers", 0, NULL, "only VMs, no files of other writers", AT(no_writers), NULL, false },
    { "files-to", 0, "FOLDER", "extract only other writers' files into FOLDER", AT(files_to), NULL, false },
    { "wait", 0, "[SECONDS]", "if a VM is in use by another job, wait for it", AT(wait), NULL, false },
    { "allow-path", 0, "PATH", "allow writing to PATH and below", AT(allow), NULL, true },
    { "trust-definition", 0, NULL, "allow all that the definition runs and opens", AT(trust), NULL, false },
    { "move", 0, NULL, "replace the VM and put its images at a new place", AT(move), NULL, false },
    { "backup-first", 0, "[DAYS]", "first back up what it replaces, protected for DAYS", AT(backup_first), NULL, false },
    { "undo", 0, NULL, "bring back what a --backup-first restore replaced", AT(undo), NULL, false },
    { "yes", 'y', NULL, "do not ask before replacing a VM", AT(yes), NULL, false },
    { "dry-run", 'n', NULL, "only show what would be done", AT(dry_run), NULL, false },
    { NULL },
};

/* What exclude each other; NULL where nothing does. */
static const char *conflict(const struct restore_options *o, bool parts)
{
    bool whole = o->to || o->pool || o->name || o->networks;

    if (o->start + o->no_start + o->paused > 1)
        return "--start, --no-start and --paused cannot be combined";
    if (o->to && o->pool)
        return "--to and --pool cannot be combined";
    if (o->keep_mac && !o->name)
        return "--keep-mac works only with --name";
    if (o->move && (o->name || o->images_only || (!o->to && !o->pool && (parts || !o->disks))))
        return "--move needs --to, --pool or --disk TARGET=PATH, and cannot be combined with --name or --images-only";
    if (o->images_only && !o->to)
        return "--images-only needs --to FOLDER";
    if (o->images_only && (o->name || o->networks || o->start || o->no_start || o->paused))
        return "--images-only only writes files: it cannot be combined with --name, --network, --start, --no-start or --paused";
    if (o->backup_first && (o->images_only || o->name))
        return "--backup-first cannot be combined with --name or --images-only, which replace no VM";
    if (parts && !o->images_only && (whole || o->start || o->no_start || o->paused))
        return "--disk TARGET restores single disks into an existing VM: apart from it, only --discard-memory and --overwrite are allowed";
    return NULL;
}

/* The same of --files-to, which is about no VM. */
static const char *conflict_files(const struct restore_options *o, char *const *vms)
{
    bool of_vms = *vms || o->to || o->pool || o->disks || o->name || o->keep_mac || o->networks || o->start || o->no_start || o->paused ||
                  o->discard_memory || o->images_only || o->move || o->trust || o->backup_first || o->undo;

    if (o->no_writers && (o->writers || o->files_to))
        return "--no-writers cannot be combined with --writer or --files-to";
    if (o->writers && !*vms && of_vms)
        return "--writer without VM names restores no VMs: it cannot be combined with options for VMs (to extract files elsewhere use "
               "--files-to)";
    if (o->writers && o->images_only)
        return "--images-only extracts only disk images: it cannot be combined with --writer";
    return o->files_to && of_vms
               ? "--files-to only extracts files of other writers: it cannot be combined with VM names or with options for VMs"
               : NULL;
}

/* Disks with a place, or disks without: the two mean different things. */
static int check_disks(char *const *disks, bool *ret_parts, struct err *err)
{
    size_t with = 0, n = strv_len(disks);

    for (size_t i = 0; i < n; i++)
        with += strchr(disks[i], '=') != NULL;
    *ret_parts = n && !with;
    if (with && with < n)
        return cli_usage(
            err,
            "--disk TARGET=PATH restores the VM with that disk at PATH, --disk TARGET restores only that disk; use one form or the other");
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
            return cli_usage(err, "--disk %s: missing path", disks[i]);
        if (strv_addf(ret, "%.*s%s%s", equals ? (int)(equals - disks[i]) : (int)strlen(disks[i]), disks[i], equals ? "=" : "",
                      path ? path : "") < 0)
            return err_nomem(err), EXIT_FAILED;
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
    return r < 0 ? err_nomem(err) : 0;
}

/* ---- The question -----------------------------------------------------------------------------------------------------------*/

static int refused(struct err *err)
{
    err_set(err, ECANCELED, "restore cancelled, nothing was changed: the VM name was not entered");
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
        _cleanup_free_ char *prompt = str_format("To continue, type the name of the VM (%s): ", name);
        code = prompt ? ask_word(cli, terminal, prompt, name, err) : refused(err);
        any = true;
    }
    return any ? code : ask_word(cli, terminal, "To continue, type yes: ", "yes", err);
}

/* On a terminal a plan is made first, shown, and agreed to; *ret is what was agreed to, NULL where nothing needs to be. Elsewhere the
 * restore itself refuses. */
static int cmd_restore_ask(struct cli *cli, const struct requester_restore *job, json_t **ret, struct err *err)
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

/* What a restore needs beside itself; all owned. */
struct restore_aids {
    json_t *agreed, *first; /* the plan; the backup of what it replaces */
    char *point, *undo;     /* ids */
};

/* All that comes before it. */
static int settle(struct cli *cli, struct requester_restore *job, const struct restore_options *o, struct restore_aids *a, struct err *err)
{
    uint64_t days = 0;

    if (o->backup_first && *o->backup_first && num_parse_u64(o->backup_first, 1, DAYS_MAX, &days, NULL) < 0)
        return cli_usage(err, "--backup-first: '%s' is not a number of days from 1 to %d", o->backup_first, DAYS_MAX);
    int code = o->undo ? restore_find_undo(cli, job->vms, &a->undo, err) : EXIT_OK;
    if (a->undo)
        job->point = a->undo;
    if (code == EXIT_OK)
        code = cmd_restore_ask(cli, job, &a->agreed, err);
    if (a->agreed) { /* the very point, even if there is a newer one by now */
        job->agreed = a->agreed;
        job->point = json_string_value(json_object_get(a->agreed, "point"));
    }
    if (code == EXIT_OK && o->backup_first && !job->dry_run)
        code = restore_backup_first(cli, job, (unsigned)days, &a->point, &a->first, err);
    return code;
}

static int restore(struct cli *cli, struct requester_restore *job, const struct restore_options *o, struct err *err)
{
    struct restore_aids a = { 0 };
    json_t *report = NULL;

    int code = settle(cli, job, o, &a, err);
    if (code == EXIT_OK) {
        int r = requester_restore(cli->rq, job, &report, err);
        if (r >= 0 && a.first)
            json_object_set(report, "backup_first", a.first);
        code = cli_finish(cli, r, report, job->dry_run ? render_restore_plan : render_restore);
    }
    json_decref(a.agreed);
    json_decref(a.first);
    free(a.point);
    free(a.undo);
    return code;
}

/* ---- The command ------------------------------------------------------------------------------------------------------------*/

static int cmd_restore_run(struct cli *cli, const void *opts, char **args, struct err *err)
{
    const struct restore_options *o = opts;
    bool newest = o->latest || o->at || o->undo, parts = false;
    _cleanup_free_ char *to = o->to ? absolute(o->to) : NULL, *files_to = o->files_to ? absolute(o->files_to) : NULL;
    _cleanup_strv_ char **disks = NULL, **allow = NULL, **always = NULL;

    if (o->latest + (o->at != NULL) + o->undo > 1)
        return cli_usage(err, "--latest, --at and --undo cannot be combined");
    if (o->undo && !*args)
        return cli_usage(err, "missing argument: kvss restore --undo VM...");
    if (!newest && !*args)
        return cli_usage(err, "missing argument: name a restore point, or use --latest or --at TIME (see kvss restore --help)");
    int code = check_disks(o->disks, &parts, err);
    if (code == EXIT_OK)
        code = absolute_disks(o->disks, &disks, err);
    if (code != EXIT_OK)
        return code;
    char **vms = newest ? args : args + 1;
    const char *why = conflict_files(o, vms);
    if (why || (why = conflict(o, parts)))
        return cli_usage(err, "%s", why);
    if ((o->to && !to) || (o->files_to && !files_to))
        return err_errno(err, errno ? errno : ENOMEM, "cannot determine the current folder"), EXIT_FAILED;
    struct requester_restore job = {
        .point = newest ? NULL : args[0],
        .at = o->at,
        .vms = *vms ? vms : NULL,
        .to = to,
        .pool = o->pool,
        .disks = disks,
        .overwrite = o->overwrite,
        .name = o->name,
        .keep_mac = o->keep_mac,
        .networks = o->networks,
        .state = o->start      ? "running"
                 : o->no_start ? "off"
                 : o->paused   ? "paused"
                               : NULL,
        .discard_memory = o->discard_memory,
        .images_only = o->images_only,
        .dry_run = o->dry_run,
        .move = o->move,
        .yes = o->yes,
        .trust_definition = o->trust,
        .files_to = files_to,
        .writers = o->writers,
        .no_writers = o->no_writers,
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
    return restore(cli, &job, o, err);
}

const struct cli_command cmd_restore = {
    .name = "restore",
    .args = "POINT|--latest|--at TIME|--undo [VM...]",
    .summary = "restore VMs from a restore point",
    .about = "Existing VMs are turned off and replaced. Without VM: everything in the restore\n"
             "point, including the files of other writers. POINT is a restore point ID, a\n"
             "unique prefix of one (6 or more hex digits), or \"latest\".",
    .max_args = -1,
    .options = options,
    .options_size = sizeof(struct restore_options),
    .run = cmd_restore_run,
};
