/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/owner.h"
#include "requester/internal.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define NAMES_MAX 16384

int owner_record(json_t *o, const struct stat *st)
{
    char text[NAMES_MAX];
    struct passwd pw, *user = NULL;
    struct group gr, *group = NULL;

    json_object_set_new(o, "mode", json_integer(st->st_mode & 07777));
    json_object_set_new(o, "uid", json_integer(st->st_uid));
    json_object_set_new(o, "gid", json_integer(st->st_gid));
    if (getpwuid_r(st->st_uid, &pw, text, sizeof(text), &user) == 0 && user)
        json_object_set_new(o, "user", json_text(user->pw_name));
    if (getgrgid_r(st->st_gid, &gr, text, sizeof(text), &group) == 0 && group)
        json_object_set_new(o, "group", json_text(group->gr_name));
    return json_object_get(o, "gid") ? 0 : -ENOMEM;
}

static uid_t recorded_uid(const json_t *o)
{
    char text[NAMES_MAX];
    struct passwd pw, *found = NULL;
    const char *name = json_get_text(o, "user");

    if (name && getpwnam_r(name, &pw, text, sizeof(text), &found) == 0 && found)
        return found->pw_uid;
    return (uid_t)json_get_u64(o, "uid");
}

static gid_t recorded_gid(const json_t *o)
{
    char text[NAMES_MAX];
    struct group gr, *found = NULL;
    const char *name = json_get_text(o, "group");

    if (name && getgrnam_r(name, &gr, text, sizeof(text), &found) == 0 && found)
        return found->gr_gid;
    return (gid_t)json_get_u64(o, "gid");
}

int owner_apply(int fd, const json_t *o, uid_t fallback_uid, gid_t fallback_gid, mode_t allowed, struct err *err)
{
    bool known = json_is_integer(json_object_get(o, "uid"));
    mode_t mode = known ? (mode_t)(json_get_u64(o, "mode") & allowed) : 0600;

    if (geteuid() == 0 && fchown(fd, known ? recorded_uid(o) : fallback_uid, known ? recorded_gid(o) : fallback_gid) < 0)
        return err_errno(err, errno, "cannot set the owner of a restored file");
    if (fchmod(fd, mode) < 0)
        return err_errno(err, errno, "cannot set the mode of a restored file");
    return 0;
}

bool owner_recorded(const json_t *o, uid_t *ret_uid, gid_t *ret_gid)
{
    if (!json_is_integer(json_object_get(o, "uid")))
        return false;
    *ret_uid = recorded_uid(o);
    *ret_gid = recorded_gid(o);
    return true;
}

bool owner_is_root(const json_t *o)
{
    return json_is_integer(json_object_get(o, "uid")) && recorded_uid(o) == 0;
}

mode_t owner_set_ids(const json_t *o)
{
    return (mode_t)(json_get_u64(o, "mode") & (S_ISUID | S_ISGID));
}

int owner_apply_link(int fd, const json_t *o, struct err *err)
{
    if (geteuid() == 0 && fchownat(fd, "", recorded_uid(o), recorded_gid(o), AT_EMPTY_PATH) < 0)
        return err_errno(err, errno, "cannot set the owner of a restored link");
    return 0;
}
