/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/session/claim.h"
#include "base/clock.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LOOK_MS 200u
#define OWNER_MAX 4096
#define BRIEF_TRIES 5u /* who takes a file away that a dead owner left has its lock for a moment */
#define BRIEF_MS 10u
#define RECOVERY_MS 60000u /* so long a watchdog may take to put back what a killed session did */

struct held_claim {
    char *path;
    int fd;
};

struct claims {
    size_t n;
    struct held_claim *list;
};

/* ---- Waiting --------------------------------------------------------------------------------------------------------------*/

struct patience patience_begin(uint64_t wait_ms)
{
    uint64_t now = clock_mono_ms();

    return (struct patience){ .end_ms = wait_ms == 0 ? 0 : wait_ms > UINT64_MAX - now ? UINT64_MAX : now + wait_ms };
}

int patience_wait(struct requester *rq, const struct patience *p, struct err *err)
{
    int r = p->stubborn ? 0 : job_cancelled(rq, err);

    if (r < 0 || clock_mono_ms() >= p->end_ms)
        return r;
    clock_sleep_ms(LOOK_MS);
    return 1;
}

/* ---- The file of one VM ---------------------------------------------------------------------------------------------------*/

static int claims_dir(const char *sessions, char **ret, struct err *err)
{
    _cleanup_free_ char *parent = io_dirname(sessions);

    *ret = parent ? io_path(parent, "vms") : NULL;
    if (!*ret)
        return err_nomem(err);
    return io_mkdir_p(*ret, 0700, err);
}

/* Who has it, by what is written in the file. */
static int held_by_another(const char *path, const char *what_is, struct err *err)
{
    _cleanup_json_ json_t *o = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;

    if (io_read_file(path, OWNER_MAX, &text, NULL) < 0 ||
        json_parse_object((const char *)text.data, text.len, "the owner of the lock", &o, NULL) < 0)
        return err_set(err, EBUSY, "%s is in use by another kvss session; end it, or use --wait to wait for it", what_is);
    const char *what = json_get_text(o, "what"), *host = json_get_text(o, "host"), *since = json_get_text(o, "since");
    char local[40];
    int64_t us;
    if (since && clock_parse(since, &us, NULL) == 0)
        since = clock_format_local(us, local);
    return err_set(err, EBUSY,
                   "%s is in use by another kvss session: %s, pid %" PRIu64 ", host %s, since %s; end it, or use --wait to wait for it",
                   what_is, what ? what : "unknown", json_get_u64(o, "pid"), host ? host : "unknown", since ? since : "unknown");
}

static int write_owner(int fd, const char *what, struct err *err)
{
    char host[HOST_NAME_MAX + 1] = "", since[32];

    (void)gethostname(host, sizeof(host) - 1);
    _cleanup_json_ json_t *o = json_pack("{s:s, s:I, s:o, s:s}", "what", what, "pid", (json_int_t)getpid(), "host", json_text(host),
                                         "since", clock_format(clock_wall_us(), since));
    _cleanup_free_ char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    if (!text)
        return err_nomem(err);
    int r = ftruncate(fd, 0) < 0 ? -errno : io_pwrite(fd, text, strlen(text), 0);
    return r < 0 ? err_errno(err, -r, "cannot record the owner of the lock") : 0;
}

/* The name may have gone, with its last owner, between the opening and the lock. */
static bool is_still_there(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Whoever has the lock alone takes the file away. */
static void drop_if_free(int fd, const char *path)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_still_there(fd, path))
        (void)unlink(path);
}

/* 0: ours; -EBUSY: another's, with its owner in err. */
static int try_claim(struct held_claim *c, bool shared, const char *what, const char *what_is, struct err *err)
{
    for (unsigned brief = 0;;) {
        _cleanup_close_ int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_errno(err, errno, "cannot open %s", c->path);
        if (flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0) {
            if (errno != EWOULDBLOCK)
                return err_errno(err, errno, "cannot lock %s", c->path);
            if (brief++ == BRIEF_TRIES)
                return held_by_another(c->path, what_is, err);
            clock_sleep_ms(BRIEF_MS);
            continue;
        }
        if (!is_still_there(fd, c->path))
            continue;
        int r = write_owner(fd, what, err);
        if (r < 0) {
            drop_if_free(fd, c->path); /* on a full disk the name can be made, and nothing be written */
            return r;
        }
        c->fd = TAKE_FD(fd);
        return 0;
    }
}

void claims_sweep(const char *sessions)
{
    _cleanup_free_ char *parent = io_dirname(sessions), *dir = parent ? io_path(parent, "vms") : NULL;
    _cleanup_closedir_ DIR *d = dir ? opendir(dir) : NULL;
    const struct dirent *e;

    while (d && (e = readdir(d))) {
        _cleanup_free_ char *path = io_path(dir, e->d_name);
        _cleanup_close_ int fd = path && e->d_name[0] != '.' ? open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW) : -1;
        if (fd >= 0)
            drop_if_free(fd, path);
    }
}

void claims_free(struct claims *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n; i++) {
        struct held_claim *e = &c->list[i];
        if (e->fd >= 0) {
            drop_if_free(e->fd, e->path); /* where others read the VM too, the file is theirs as well */
            close(e->fd);
        }
        free(e->path);
    }
    free(c->list);
    free(c);
}
DEFINE_CLEANUP(struct claims *, claims_free)

/* ---- All VMs of a session -------------------------------------------------------------------------------------------------*/

/* What all claims of one session have in common. */
struct taking {
    struct requester *rq;
    struct hv *hv;
    const struct claim_for *purpose;
    const char *dir, *sessions;
    const struct journal_verb *verbs;
    const struct patience *patience;
};

/* d NULL: this host does not have it. */
static int claim_vm(const struct taking *t, struct held_claim *c, const struct hv_domain *d, const char *uuid, struct err *err)
{
    bool shared = !t->purpose->change && d && (d->state == HV_OFF || d->state == HV_SAVED), told = false;
    _cleanup_free_ char *what_is = str_format("VM %s", d ? d->name : uuid);
    struct err why = ERR_INIT;

    for (;;) {
        int r = what_is ? try_claim(c, shared, t->purpose->what, what_is, &why) : err_nomem(&why);
        if (r != -EBUSY)
            return r < 0 ? err_move(err, &why) : 0;
        r = patience_wait(t->rq, t->patience, err);
        if (r <= 0)
            return r < 0 ? r : err_move(err, &why);
        if (!told)
            log_warning(t->rq->config.log, "%s: waiting", why.text);
        told = true;
    }
}

/* A job of another program, or of a session that has no claim: libvirt tells. If it does not end in time, the VM is refused later. */
static int wait_for_jobs(const struct taking *t, struct hv_domain *d, struct err *err)
{
    bool busy = false, told = false;

    while (d && t->patience->end_ms) {
        _cleanup_free_ char *what = NULL;
        if (hv_domain_busy(d, &busy, &what, NULL) < 0 || !busy)
            return 0;
        if (!told)
            log_warning(t->rq->config.log, "VM %s is in use by another job (%s): waiting", d->name, what ? what : "unknown");
        told = true;
        int r = patience_wait(t->rq, t->patience, err);
        if (r <= 0)
            return r;
    }
    return 0;
}

/* Its last owner was killed, and the watchdog is still putting back what it did. */
static int wait_for_recovery(const struct taking *t, const char *uuid, struct err *err)
{
    const struct patience short_one = patience_begin(RECOVERY_MS);

    for (;;) {
        int r = journal_group_held(t->sessions, t->verbs, uuid, err);
        if (r <= 0)
            return r;
        r = patience_wait(t->rq, &short_one, err);
        if (r <= 0)
            return r;
    }
}

static int claim_add(const struct taking *t, struct claims *c, const char *uuid, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct held_claim *e = &c->list[c->n];

    int r = hv_domain_find(t->hv, uuid, &d, err);
    if (r < 0 && (r != -ENOENT || !t->purpose->change))
        return r;
    err_clear(err);
    *e = (struct held_claim){ io_path(t->dir, uuid), -1 };
    if (!e->path)
        return err_nomem(err);
    c->n++;
    r = claim_vm(t, e, d, uuid, err);
    if (r >= 0)
        r = wait_for_recovery(t, uuid, err);
    return r < 0 ? r : wait_for_jobs(t, d, err);
}

int claims_take(struct requester *rq, struct hv *hv, char *const *uuids, const struct claim_for *purpose, const struct patience *patience,
                struct claims **ret, struct err *err)
{
    _cleanup_(claims_free_p) struct claims *c = calloc(1, sizeof(*c));
    _cleanup_strv_ char **sorted = strv_copy(uuids);
    _cleanup_free_ struct journal_verb *verbs = NULL;
    _cleanup_free_ char *sessions = NULL, *dir = NULL;

    if (!c || (!sorted && uuids && *uuids) || !(c->list = calloc(strv_len(uuids) + 1, sizeof(*c->list))))
        return err_nomem(err);
    strv_sort(sorted); /* all sessions claim in the same order, so that no two wait for each other */
    int r = sessions_dir(&sessions, err);
    if (r >= 0)
        r = claims_dir(sessions, &dir, err);
    if (r >= 0)
        r = session_verbs(&verbs, err);
    const struct taking t = { rq, hv, purpose, dir, sessions, verbs, patience };
    for (char **u = sorted; r >= 0 && u && *u; u++)
        if ((r = patience->stubborn ? 0 : job_cancelled(rq, err)) >= 0) /* each VM is looked up, and there may be hundreds */
            r = claim_add(&t, c, *u, err);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(c);
    return 0;
}

/* ---- The writers that are programs ----------------------------------------------------------------------------------------*/

int claims_take_writers(struct requester *rq, const struct patience *patience, struct claims **ret, struct err *err)
{
    _cleanup_(claims_free_p) struct claims *c = calloc(1, sizeof(*c));
    _cleanup_free_ char *sessions = NULL, *dir = NULL;
    struct err why = ERR_INIT;
    bool told = false;

    if (!c || !(c->list = calloc(1, sizeof(*c->list))))
        return err_nomem(err);
    int r = sessions_dir(&sessions, err);
    if (r >= 0)
        r = claims_dir(sessions, &dir, err);
    if (r < 0)
        return r;
    c->list[0] = (struct held_claim){ io_path(dir, "writers"), -1 };
    c->n = 1;
    if (!c->list[0].path)
        return err_nomem(err);
    while ((r = try_claim(&c->list[0], false, "backup", "the snapshot set of the writers", &why)) == -EBUSY) {
        r = patience_wait(rq, patience, err);
        if (r <= 0)
            return r < 0 ? r : err_vss(err, VSS_E_SNAPSHOT_SET_IN_PROGRESS, EBUSY, "%s", why.text);
        if (!told)
            log_warning(rq->config.log, "%s: waiting", why.text);
        told = true;
    }
    if (r < 0)
        return err_move(err, &why);
    *ret = TAKE_PTR(c);
    return 0;
}
