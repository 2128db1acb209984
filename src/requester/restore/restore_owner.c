/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who a restored image belongs to. What the restore point says is obeyed where it gives nobody anything that he does not have: files of a
 * VM are QEMU's, root's, or of whoever has the file that is replaced; and none of them is to be run, so none gets set-id bits. */
#include "base/io.h"
#include "requester/stage/stage.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define MODE_KEPT 0775 /* no set-id bits, and written by nobody but owner and group */
#define NAMES_MAX 16384

struct owners {
    uid_t qemu_uid;
    gid_t qemu_gid;
    bool replaces;
    struct stat old; /* of what is replaced */
};

/* Who runs swtpm, by the names that distributions give him. */
static bool is_tpms(uid_t uid, gid_t gid, bool group)
{
    static const char *const names[] = { "tss", "swtpm" };
    char text[NAMES_MAX];
    struct passwd pw, *found = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (getpwnam_r(names[i], &pw, text, sizeof(text), &found) == 0 && found && (group ? pw.pw_gid == gid : pw.pw_uid == uid))
            return true;
    return false;
}

static void find_owners(const struct restore *r, const char *target, struct owners *ret)
{
    *ret = (struct owners){ .qemu_uid = geteuid(), .qemu_gid = getegid() };
    if (r->s->hv)
        hv_qemu_ids(r->s->hv, &ret->qemu_uid, &ret->qemu_gid);
    ret->replaces = lstat(target, &ret->old) == 0 && S_ISREG(ret->old.st_mode);
}

static bool uid_may_have(const struct owners *o, uid_t uid, bool tpm)
{
    return uid == 0 || uid == o->qemu_uid || uid == geteuid() || (o->replaces && uid == o->old.st_uid) || (tpm && is_tpms(uid, 0, false));
}

static bool gid_may_have(const struct owners *o, gid_t gid, bool tpm)
{
    return gid == 0 || gid == o->qemu_gid || gid == getegid() || (o->replaces && gid == o->old.st_gid) || (tpm && is_tpms(0, gid, true));
}

/* As owner_apply() takes it, without names, which may mean somebody else here. */
static struct owner owner_settle(const struct restore *r, const char *target, const struct owner *recorded, bool tpm,
                                 const struct owners *may)
{
    uid_t uid;
    gid_t gid;

    if (!owner_here(recorded, &uid, &gid))
        return (struct owner){ 0 };
    bool user = uid_may_have(may, uid, tpm), group = gid_may_have(may, gid, tpm);
    if (geteuid() == 0 && (!user || !group))
        log_warning(r->rq->config.log,
                    "%s belonged to user %u, group %u, which is neither QEMU nor root nor the owner of what it replaces: it belongs to "
                    "QEMU now (chown changes that)",
                    target, (unsigned)uid, (unsigned)gid);
    return (struct owner){
        .known = true,
        .mode = recorded->mode & MODE_KEPT,
        .uid = user ? uid : may->qemu_uid,
        .gid = group ? gid : may->qemu_gid,
    };
}

/* An image is of use without its owner, too: on file systems that keep none (exFAT), or let root give nothing away (NFS). */
int restore_give_away(const struct restore *r, int fd, const struct owner *recorded, const char *target, bool tpm, struct err *err)
{
    struct err why = ERR_INIT;
    struct owners may;

    find_owners(r, target, &may);
    const struct owner settled = owner_settle(r, target, recorded, tpm, &may);
    int rc = owner_apply(fd, &settled, may.qemu_uid, may.qemu_gid, OWNER_PLAIN & MODE_KEPT, &why);
    if (rc == 0)
        return 0;
    if (rc != -EPERM && rc != -EINVAL && rc != -EOPNOTSUPP && rc != -ENOSYS)
        return err_move(err, &why);
    log_warning(r->rq->config.log, "%s: %s", target, why.text);
    return 0;
}
