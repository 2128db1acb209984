/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fault points: at each step of an effect a test may have its process die, fail, hang or be interrupted. Compiled only into builds
 * for tests (meson: -Dfault_points=true); what is shipped has nothing of it. See docs/architecture.md.
 *
 *   KVSS_TEST_FAULT=ACTION:VERB:WHEN[:N]   at the Nth time (1) that an effect of this kind gets so far
 *     ACTION  kill     SIGKILL to this process
 *             killall  SIGKILL to the watchdog of the session too
 *             killdog  SIGKILL to the watchdog only, and on
 *             fail     the step is reported as failed, and the effect stays open
 *             hang     this thread sleeps for ever
 *             wait     ... until there is a file KVSS_TEST_FAULT_LOG.go
 *             int, term   SIGINT or SIGTERM to this process, and on
 *     WHEN    begin    entered and on disk, not brought about yet
 *             done     brought about, not marked so yet
 *             undo     about to be undone
 *             settled  reversed, or meant to stay, not marked so yet
 *             after    ... and marked so
 *   KVSS_TEST_FAULT_LOG=FILE   gets a line "verb VERB" for each kind of effect there is, "WHEN VERB" for each step that is
 *                              reached, and "fault ACTION WHEN VERB" where one was made
 *
 * Only the owner of a session has faults, and whoever recovers dead sessions; the watchdog has none. */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/strv.h"
#include "journal/journal_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>

#define NOTICED_MS 50u /* until a signal has been taken note of */

struct journal_fault {
    char *action, *verb, *when, *log;
    unsigned nth, seen; /* seen: atomic */
};

static const char *const when_names[] = { "begin", "done", "undo", "settled", "after" };

void journal_fault_free(struct journal_fault *f)
{
    if (!f)
        return;
    free(f->action);
    free(f->verb);
    free(f->when);
    free(f->log);
    free(f);
}
DEFINE_CLEANUP(struct journal_fault *, journal_fault_free)

static void fault_note(const struct journal_fault *f, const char *a, const char *b, const char *c, const char *d)
{
    _cleanup_free_ char *line = str_format("%s %s%s%s%s%s\n", a, b, *c ? " " : "", c, *d ? " " : "", d);
    _cleanup_close_ int fd = f->log ? open(f->log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;

    if (line && fd >= 0)
        (void)io_write(fd, line, strlen(line));
}

static int fault_parse(struct journal_fault *f, const char *spec, struct err *err)
{
    unsigned nth = 1;
    char dummy;

    int n = sscanf(spec, "%m[a-z]:%m[a-z-]:%m[a-z]:%u%c", &f->action, &f->verb, &f->when, &nth, &dummy);
    if (n < 3 || n > 4 || !nth)
        return err_set(err, EINVAL, "KVSS_TEST_FAULT is not ACTION:VERB:WHEN[:N]: %s", spec);
    f->nth = nth;
    for (size_t i = 0; i < ARRAY_SIZE(when_names); i++)
        if (!strcmp(f->when, when_names[i]))
            return 0;
    return err_set(err, EINVAL, "KVSS_TEST_FAULT: there is no step %s", f->when);
}

int journal_fault_arm(struct journal *j, struct err *err)
{
    const char *spec = getenv("KVSS_TEST_FAULT"), *log = getenv("KVSS_TEST_FAULT_LOG");
    _cleanup_(journal_fault_free_p) struct journal_fault *f = NULL;

    if (!spec && !log)
        return 0;
    f = calloc(1, sizeof(*f));
    if (!f || (log && !(f->log = strdup(log))))
        return err_nomem(err);
    int r = spec ? fault_parse(f, spec, err) : 0;
    if (r < 0)
        return r;
    for (const struct journal_verb *v = j->verbs; v->name; v++)
        fault_note(f, "verb", v->name, "", "");
    j->fault = TAKE_PTR(f);
    return 0;
}

static int fault_act(const struct journal *j, const struct journal_fault *f, struct err *err)
{
    pid_t watchdog = journal_watch_pid(j->watch);

    if (!strcmp(f->action, "fail"))
        return err_set(err, EIO, "a test wants %s to fail (%s)", f->verb, f->when);
    if (!strcmp(f->action, "hang"))
        for (;;)
            clock_sleep_ms(1000);
    if (!strcmp(f->action, "wait")) {
        _cleanup_free_ char *go = str_format("%s.go", f->log);
        while (go && !io_exists(go))
            clock_sleep_ms(20);
        return 0;
    }
    if (!strcmp(f->action, "int") || !strcmp(f->action, "term")) {
        kill(getpid(), f->action[0] == 'i' ? SIGINT : SIGTERM);
        clock_sleep_ms(NOTICED_MS);
        return 0;
    }
    if ((!strcmp(f->action, "killall") || !strcmp(f->action, "killdog")) && watchdog > 0)
        kill(watchdog, SIGKILL);
    if (!strcmp(f->action, "killdog"))
        return 0;
    if (!strncmp(f->action, "kill", 4))
        kill(getpid(), SIGKILL);
    return err_set(err, EINVAL, "KVSS_TEST_FAULT: there is no action %s", f->action);
}

int journal_fault(struct journal *j, const struct journal_verb *verb, enum fault_when when, struct err *err)
{
    struct journal_fault *f = j->fault;

    if (!f)
        return 0;
    fault_note(f, when_names[when], verb->name, "", "");
    if (!f->action || strcmp(f->verb, verb->name) || strcmp(f->when, when_names[when]) ||
        __atomic_add_fetch(&f->seen, 1, __ATOMIC_SEQ_CST) != f->nth)
        return 0;
    fault_note(f, "fault", f->action, f->when, verb->name);
    return fault_act(j, f, err);
}
