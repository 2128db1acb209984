/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows guests. There the agent's freeze is a VSS backup inside the guest, but its requester asks for no writer's status after the
 * freeze (qga/vss-win32/requester.cpp), so that it succeeds although SQL Server has timed out. Application consistency needs evidence (B3),
 * and the guest's own vssadmin has it: it is asked before anything is touched, and after the thaw.
 *
 * vssadmin speaks the language of the guest. Its form is the same in all of them: a name in quotes, the GUIDs of the writer and its
 * instance in braces, the number of a VSS_WRITER_STATE in brackets, and the last error in words. */
#include "base/guid.h"
#include "base/text.h"
#include "writers/vm/vm_internal.h"
#include "writers/vm/windows_writers.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)1 << 20)
#define WRITERS_MAX 256
#define BEFORE_MS 60000u /* vssadmin asks all writers for their metadata, too */
#define AFTER_MS 90000u
#define REGISTRY_MS 10000u
/* The VSS_BACKUP_TYPE that the agent requests from the guest's writers. Older agents do not look at it. */
#define AGENT_KEY "HKLM\\SYSTEM\\CurrentControlSet\\Services\\QEMU Guest Agent VSS Provider"
#define AGENT_TYPE "VssOption"

/* ---- What vssadmin prints ---------------------------------------------------------------------------------------------------*/

/* The next line of *at as a word, without the blanks around it; NULL: there is none. Cuts the text. */
static char *next_line(char **at)
{
    char *line = strsep(at, "\n");

    if (!line)
        return NULL;
    while (isspace((unsigned char)*line))
        line++;
    for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]); n--)
        line[n - 1] = '\0';
    text_clean(line, false); /* it may be of any code page */
    return line;
}

/* What is behind the first colon: "State: [1] Stable". NULL: nothing. */
static char *value_in(char *line)
{
    char *colon = strchr(line, ':');

    if (!colon)
        return NULL;
    for (colon++; isspace((unsigned char)*colon); colon++)
        ;
    return *colon ? colon : NULL;
}

/* The name in 'quotes' or, in German, "such"; cut in place. NULL: it is none. */
static char *quoted(char *value)
{
    size_t n = value ? strlen(value) : 0;

    if (n < 3 || (value[0] != '\'' && value[0] != '"') || value[n - 1] != value[0])
        return NULL;
    value[n - 1] = '\0';
    return value + 1;
}

/* The number in "[1] Stable"; -1: it is no state. */
static int state_number(const char *value)
{
    int n = 0;

    if (*value++ != '[' || !isdigit((unsigned char)*value))
        return -1;
    while (isdigit((unsigned char)*value) && n < 1000)
        n = n * 10 + (*value++ - '0');
    return *value == ']' && n < 1000 ? n : -1;
}

static struct vm_record_guest_writer *writer_begin(struct vm_record_guest *g, const char *name)
{
    struct vm_record_guest_writer *more = reallocarray(g->writers, g->n_writers + 1, sizeof(*more));

    if (!more)
        return NULL;
    g->writers = more;
    more += g->n_writers;
    *more = (struct vm_record_guest_writer){ .name = strdup(name) };
    if (!more->name)
        return NULL;
    g->n_writers++;
    return more;
}

static int keep(char **to, const char *text)
{
    return (*to = strdup(text)) ? 0 : -ENOMEM;
}

/* One more line about the writer, each of which comes once and in this order. 0: it is not one that is waited for. */
static int writer_line(struct vm_record_guest_writer *w, char *line)
{
    char *value = value_in(line);
    struct guid id;
    int r = 0;

    if (!value)
        return 0;
    if (!w->instance) {
        if (guid_parse(value, &id))
            r = keep(w->id ? &w->instance : &w->id, id.text);
    } else if (!w->state) {
        r = state_number(value) < 0 ? 0 : keep(&w->state, value);
    } else if (!w->error) {
        r = keep(&w->error, value);
    }
    return r;
}

static bool is_complete(const struct vm_record_guest_writer *w)
{
    return w->instance && w->state && w->error;
}

static int collect(char *text, struct vm_record_guest *g, struct err *err)
{
    struct vm_record_guest_writer *w = NULL;
    int r = 0;

    for (char *line; r >= 0 && (line = next_line(&text));) {
        /* The quotes are cut off, so a line that is no name is looked at first. */
        if (w && !is_complete(w)) {
            r = writer_line(w, line);
            continue;
        }
        char *name = quoted(value_in(line));
        if (!name)
            continue;
        if (g->n_writers >= WRITERS_MAX)
            return err_set(err, EFBIG, "vssadmin in the guest lists more than %d writers", WRITERS_MAX);
        if (!(w = writer_begin(g, name)))
            r = -ENOMEM;
    }
    if (r < 0)
        return err_nomem(err);
    if (!w || !is_complete(w))
        return err_set(err, EBADMSG, w ? "the list of vssadmin in the guest is incomplete" : "vssadmin in the guest lists no writers");
    return 0;
}

/* Only languages that were seen in published output: of a guess, a restore point could be called better than it is. */
static bool means_no_error(const char *text)
{
    return !strcasecmp(text, "No error") || !strcasecmp(text, "Kein Fehler");
}

/* Its requester has finished, or is about to. */
static bool has_come_through(const struct vm_record_guest_writer *w)
{
    int n = state_number(w->state);

    return n == VSS_WS_STABLE || n == VSS_WS_WAITING_FOR_BACKUP_COMPLETE;
}

/* What all that have come through say, if it is the same and not known here; NULL: the language is, or there is no telling. */
static const char *says_otherwise(const struct vm_record_guest *g)
{
    const char *same = NULL;

    for (size_t i = 0; i < g->n_writers; i++) {
        const struct vm_record_guest_writer *w = &g->writers[i];
        if (means_no_error(w->error) || (same && has_come_through(w) && strcmp(w->error, same)))
            return NULL;
        if (has_come_through(w))
            same = w->error;
    }
    return g->n_writers > 1 ? same : NULL;
}

/* From "last error" to error: NULL where there is none, else "[8] Failed: Timed out". */
static int settle_errors(struct vm_record_guest *g)
{
    const char *unknown = says_otherwise(g);

    if (unknown &&
        !(g->failure = str_format("vssadmin in the guest reports \"%.200s\" for its writers: kvss does not know this language", unknown)))
        return -ENOMEM;
    for (size_t i = 0; i < g->n_writers; i++) {
        struct vm_record_guest_writer *w = &g->writers[i];
        _cleanup_free_ char *last = TAKE_PTR(w->error);
        if (has_come_through(w) && (g->failure || means_no_error(last)))
            continue;
        if (!(w->error = str_format("%.200s: %.1024s", w->state, last)))
            return -ENOMEM;
    }
    return 0;
}

int vm_windows_parse(const char *output, struct vm_record_guest *ret, struct err *err)
{
    _cleanup_free_ char *text = strdup(output);
    struct vm_record_guest g = { .known = true, .version = strdup(VM_WRITER_WINDOWS) };

    int r = text && g.version ? collect(text, &g, err) : err_nomem(err);
    if (r >= 0 && settle_errors(&g) < 0)
        r = err_nomem(err);
    if (r < 0) {
        vm_record_guest_clear(&g);
        return r;
    }
    vm_record_guest_clear(ret);
    *ret = g;
    return 0;
}

const char *vm_windows_backup_type(const char *output)
{
    /* VSS_BACKUP_TYPE; the agent takes no other value, but its own default. */
    static const char *const names[] = { NULL, "full", "incremental", "differential", "log", "copy" };
    const char *at = strstr(output, AGENT_TYPE);
    unsigned value = 0;

    if (!at || sscanf(at + strlen(AGENT_TYPE), " REG_DWORD 0x%8x", &value) != 1 || !value || value >= ARRAY_SIZE(names))
        return names[VSS_BT_FULL];
    return names[value];
}

/* ---- Asking ---------------------------------------------------------------------------------------------------------------*/

static int list_writers(struct hv_domain *d, unsigned ms, const struct par_cancel *cancel, struct vm_record_guest *ret, struct err *err)
{
    static const char *const more[] = { "writers", NULL };
    const struct hv_agent_run run = {
        .path = "vssadmin.exe", .word = "list", .more = more, .input = "", .out_max = OUTPUT_MAX, .timeout_ms = ms, .cancel = cancel
    };
    _cleanup_free_ char *out = NULL;
    int status = 0;

    int r = hv_agent_exec(d, &run, &out, &status, err);
    if (r >= 0 && status)
        r = err_set(err, EIO, "vssadmin list writers ended in the guest with exit code %d", status);
    return r < 0 ? r : vm_windows_parse(out, ret, err);
}

/* Not known where the registry cannot be asked; no failure. */
static int ask_backup_type(struct hv_domain *d, const struct par_cancel *cancel, struct vm_record_guest *g)
{
    static const char *const more[] = { AGENT_KEY, "/v", AGENT_TYPE, NULL };
    const struct hv_agent_run run = {
        .path = "reg.exe", .word = "query", .more = more, .input = "", .out_max = OUTPUT_MAX, .timeout_ms = REGISTRY_MS, .cancel = cancel
    };
    _cleanup_free_ char *out = NULL;
    int status = 0;

    int r = hv_agent_exec(d, &run, &out, &status, NULL); /* it fails where there is no such value */
    return r < 0 ? 0 : keep(&g->backup_type, vm_windows_backup_type(out));
}

int vm_windows_ask(struct hv_domain *d, const struct par_cancel *cancel, struct vm_record_guest *ret, struct err *err)
{
    int r = list_writers(d, BEFORE_MS, cancel, ret, err);

    if (r >= 0 && ask_backup_type(d, cancel, ret) < 0)
        r = err_nomem(err);
    if (r < 0)
        vm_record_guest_clear(ret);
    return r;
}

/* ---- In a backup ----------------------------------------------------------------------------------------------------------*/

static bool is_there(const struct vm_record_guest *g, const struct vm_record_guest_writer *w)
{
    for (size_t i = 0; i < g->n_writers; i++)
        if (!strcmp(g->writers[i].id, w->id) && !strcmp(g->writers[i].instance, w->instance))
            return true;
    return false;
}

/* Why what the guest's writers did is no evidence for application consistency; *ret NULL: it is. */
static int judge(const struct vm_record_guest *before, const struct vm_record_guest *after, char **ret)
{
    *ret = NULL;
    for (size_t i = 0; i < after->n_writers; i++)
        if (after->writers[i].error)
            return (*ret = str_format("%s: %s", after->writers[i].name, after->writers[i].error)) ? 0 : -ENOMEM;
    if (after->failure)
        return (*ret = strdup(after->failure)) ? 0 : -ENOMEM;
    for (size_t i = 0; i < before->n_writers; i++)
        if (!is_there(after, &before->writers[i]))
            return (*ret = str_format("%s: it ended, or was restarted, during the backup", before->writers[i].name)) ? 0 : -ENOMEM;
    return 0;
}

/* Less is claimed then, unless more is required. */
static int not_proven(struct vm *vm, const char *why, struct err *err)
{
    vm->unproven = true;
    if (vm->report->policy.require > VM_LEVEL_FILE_SYSTEM) {
        err_vss(err, VSS_E_WRITERERROR_NONRETRYABLE, EIO, "%s", why);
        return vm_guest_failed(vm, err);
    }
    if (vm->report->level < VM_LEVEL_APPLICATION) /* was known, and is a warning of the report */
        return 0;
    return strv_addf(&vm->warnings, "the backup is only file-system consistent because of a writer in the guest: %s", why) < 0
               ? err_nomem(err)
               : 0;
}

int vm_windows_end(struct vm *vm, struct err *err)
{
    const struct vm_record_guest *before = &vm->report->guest;
    _cleanup_free_ char *why = NULL;
    struct err failed = ERR_INIT;

    if (!vm->report->windows || !before->known)
        return 0;
    int r = list_writers(vm->dom, AFTER_MS, vm->writer->config.cancel, &vm->guest, &failed);
    if (r == -EINTR || r == -ENOMEM)
        return err_move(err, &failed);
    if (r < 0) {
        vm->guest.known = true; /* that they were asked, and did not answer, is what is known */
        r = keep(&vm->guest.version, VM_WRITER_WINDOWS) | keep(&vm->guest.failure, failed.text);
    }
    if (r >= 0 && before->backup_type)
        r = keep(&vm->guest.backup_type, before->backup_type);
    if (r < 0 || judge(before, &vm->guest, &why) < 0)
        return err_nomem(err);
    vm->guest.completed = (struct vm_opt){ true, !why };
    return why ? not_proven(vm, why, err) : 0;
}
