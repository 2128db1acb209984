/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/owner.h"
#include "base/json.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 16384
#define NAME_MAX_LEN 256 /* of a user or group; the kernel knows none, and login names are shorter */

#define KEY_MODE "mode"
#define KEY_UID "uid"
#define KEY_GID "gid"
#define KEY_USER "user"
#define KEY_GROUP "group"

void owner_clear(struct owner *o)
{
    free(o->user);
    free(o->group);
    *o = (struct owner){ 0 };
}

int owner_of(const struct stat *st, struct owner *ret, struct err *err)
{
    char text[NAMES_MAX];
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;
    _cleanup_owner_ struct owner o = { .known = true, .mode = st->st_mode & 07777, .uid = st->st_uid, .gid = st->st_gid };

    if (getpwuid_r(st->st_uid, &pw, text, sizeof(text), &user) == 0 && user && !(o.user = strdup(pw.pw_name)))
        return err_nomem(err);
    if (getgrgid_r(st->st_gid, &gr, text, sizeof(text), &group) == 0 && group && !(o.group = strdup(gr.gr_name)))
        return err_nomem(err);
    owner_clear(ret);
    *ret = o;
    o = (struct owner){ 0 };
    return 0;
}

int owner_to_json(const struct owner *owner, json_t *o)
{
    if (!owner->known)
        return 0;
    int r = json_object_set_new(o, KEY_MODE, json_integer(owner->mode));
    r |= json_object_set_new(o, KEY_UID, json_integer(owner->uid));
    r |= json_object_set_new(o, KEY_GID, json_integer(owner->gid));
    if (owner->user)
        r |= json_object_set_new(o, KEY_USER, json_text(owner->user));
    if (owner->group)
        r |= json_object_set_new(o, KEY_GROUP, json_text(owner->group));
    return r < 0 ? -ENOMEM : 0;
}

static int name_from(const json_t *o, const char *key, char **ret)
{
    const char *name = json_get_text(o, key);

    if (!name || !*name || strlen(name) > NAME_MAX_LEN)
        return 0;
    return (*ret = strdup(name)) ? 0 : -ENOMEM;
}

int owner_from_json(const json_t *o, struct owner *ret, struct err *err)
{
    json_int_t uid = json_integer_value(json_object_get(o, KEY_UID));
    uint64_t gid = json_get_u64(o, KEY_GID);
    _cleanup_owner_ struct owner owner = { .mode = (mode_t)(json_get_u64(o, KEY_MODE) & 07777) };

    if (json_is_integer(json_object_get(o, KEY_UID)) && uid >= 0 && uid < UINT32_MAX && gid < UINT32_MAX) {
        owner.known = true;
        owner.uid = (uid_t)uid;
        owner.gid = (gid_t)gid;
        if (name_from(o, KEY_USER, &owner.user) < 0 || name_from(o, KEY_GROUP, &owner.group) < 0)
            return err_nomem(err);
    }
    owner_clear(ret);
    *ret = owner;
    owner = (struct owner){ 0 };
    return 0;
}

static uid_t uid_here(const struct owner *o)
{
    char text[NAMES_MAX];
    struct passwd pw, *found = NULL;

    if (o->user && getpwnam_r(o->user, &pw, text, sizeof(text), &found) == 0 && found)
        return found->pw_uid;
    return o->uid;
}

static gid_t gid_here(const struct owner *o)
{
    char text[NAMES_MAX];
    struct group gr, *found = NULL;

    if (o->group && getgrnam_r(o->group, &gr, text, sizeof(text), &found) == 0 && found)
        return found->gr_gid;
    return o->gid;
}

int owner_apply(int fd, const struct owner *o, uid_t fallback_uid, gid_t fallback_gid, mode_t allowed, struct err *err)
{
    mode_t mode = o->known ? o->mode & allowed : 0600;

    if (geteuid() == 0 && fchown(fd, o->known ? uid_here(o) : fallback_uid, o->known ? gid_here(o) : fallback_gid) < 0)
        return err_errno(err, errno, "cannot set the owner of a restored file");
    if (fchmod(fd, mode) < 0)
        return err_errno(err, errno, "cannot set the mode of a restored file");
    return 0;
}

bool owner_here(const struct owner *o, uid_t *ret_uid, gid_t *ret_gid)
{
    if (!o->known)
        return false;
    *ret_uid = uid_here(o);
    *ret_gid = gid_here(o);
    return true;
}

bool owner_is_root(const struct owner *o)
{
    return o->known && uid_here(o) == 0;
}

mode_t owner_set_ids(const struct owner *o)
{
    return o->mode & (S_ISUID | S_ISGID);
}

int owner_apply_link(int fd, const struct owner *o, struct err *err)
{
    if (geteuid() == 0 && fchownat(fd, "", uid_here(o), gid_here(o), AT_EMPTY_PATH) < 0)
        return err_errno(err, errno, "cannot set the owner of a restored link");
    return 0;
}
