/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of what this host remembers: read with limits, replaced as a whole, one kvss at a time. */
#include "requester/repository/known.h"
#include "base/clock.h"
#include "base/guid.h"
#include "base/io.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define SYSTEM_KNOWN "/var/lib/kvss/known"
#define ADDRESSES "addresses"
#define LOCK_TRIES 1000u
#define LOCK_STEP_MS 20u
#define VERSION 1
#define KEY_ID_BYTES 16u

void known_free(struct known *k)
{
    if (!k)
        return;
    free(k->dir);
    free(k->path);
    json_decref(k->doc);
    free(k->strange);
    json_decref(k->missing);
    json_decref(k->returned);
    json_decref(k->unsigned_points);
    json_decref(k->unfinished);
    json_decref(k->cut);
    json_decref(k->notes);
    store_catalogue_free(k->catalogue);
    store_host_key_free(k->key);
    free(k);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------------------*/

static bool is_hex(const char *s, size_t n)
{
    return s && strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

static bool known_is_state(const char *s)
{
    static const char *const states[] = { "seen", "prepared", "ours", "forgotten" };

    for (size_t i = 0; s && i < ARRAY_SIZE(states); i++)
        if (!strcmp(s, states[i]))
            return true;
    return false;
}

static bool point_ok(const char *id, json_t *point)
{
    json_t *made = json_object_get(point, "made_us"), *vms = json_object_get(point, "vms"), *checkpoint;
    const char *uuid;

    if (!is_hex(id, STORE_ID_LEN) || !known_is_state(json_get_text(point, "state")) || (made && !json_is_integer(made)) ||
        (vms && !json_is_object(vms)))
        return false;
    json_object_foreach (vms, uuid, checkpoint)
        if (!json_is_string(checkpoint))
            return false;
    return true;
}

static int repository_known_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;

    if (n > KNOWN_BYTES_MAX)
        return err_set(err, EINVAL, "it is too long");
    int r = json_parse_object(text, n, "damaged", &doc, err);
    if (r < 0)
        return r;
    if (json_get_u64(doc, "known") != VERSION)
        return err_set(err, EINVAL, "it was not written by this version of kvss");
    *ret = TAKE_PTR(doc);
    return 0;
}

static bool hosts_ok(json_t *hosts)
{
    json_t *h, *seq, *waived;
    const char *key;

    if (!hosts)
        return true;
    if (!json_is_object(hosts))
        return false;
    json_object_foreach (hosts, key, h) {
        seq = json_object_get(h, "seq");
        waived = json_object_get(h, "waived");
        if (!is_hex(key, STORE_HOST_KEY_LEN) || !json_get_text(h, "name") || strlen(json_get_text(h, "name")) > STORE_HOST_NAME_MAX ||
            (seq && (!json_is_integer(seq) || !is_hex(json_get_text(h, "head"), STORE_ID_LEN))) || (waived && !json_is_integer(waived)))
            return false;
    }
    return true;
}

int known_parse(const char *text, size_t n, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    json_t *points, *point;
    const char *id;

    int r = repository_known_parse(text, n, &doc, err);
    if (r < 0)
        return r;
    const char *key = json_get_text(doc, "key");
    json_t *opened_by = json_object_get(doc, "opened_by");
    points = json_object_get(doc, "points");
    const json_t *generation = json_object_get(doc, "generation");
    if ((opened_by && !is_hex(json_string_value(opened_by), 2 * KEY_ID_BYTES)) || (generation && !json_is_integer(generation)) ||
        !json_is_boolean(json_object_get(doc, "encrypted")) || !key || (*key && !is_hex(key, STORE_ID_LEN)) || !json_is_object(points) ||
        json_object_size(points) > KNOWN_POINTS_MAX || !hosts_ok(json_object_get(doc, "hosts")))
        return err_set(err, EINVAL, "damaged: an entry is missing or invalid");
    json_object_foreach (points, id, point)
        if (!point_ok(id, point))
            return err_set(err, EINVAL, "damaged: the entry for restore point %.70s is invalid", id);
    *ret = TAKE_PTR(doc);
    return 0;
}

int known_parse_addresses(const char *text, size_t n, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *doc = NULL;
    json_t *list, *guid;
    struct guid ignored;
    const char *path;
    size_t i;

    int r = repository_known_parse(text, n, &doc, err);
    if (r < 0)
        return r;
    if (!json_is_object(json_object_get(doc, "addresses")))
        return err_set(err, EINVAL, "damaged: the list of addresses is missing");
    json_object_foreach (json_object_get(doc, "addresses"), path, list) {
        if (!json_is_array(list))
            return err_set(err, EINVAL, "damaged: an address has no list");
        json_array_foreach (list, i, guid)
            if (!json_is_string(guid) || !guid_parse(json_string_value(guid), &ignored))
                return err_set(err, EINVAL, "damaged: an address has an invalid GUID");
    }
    *ret = TAKE_PTR(doc);
    return 0;
}

static int repository_known_load(const char *path, int (*parser)(const char *, size_t, json_t **, struct err *), json_t **ret,
                                 struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct err why = ERR_INIT;

    int r = io_read_file(path, KNOWN_BYTES_MAX, &text, &why);
    if (r == -ENOENT)
        return 1;
    if (r >= 0)
        r = parser((const char *)text.data, text.len, ret, &why);
    if (r < 0)
        return err_set(err, why.code,
                       "cannot read what this host knows about repositories, %s: %s; remove the file to trust what is found next", path,
                       why.text);
    return 0;
}

int known_load(const struct known *k, json_t **ret, struct err *err)
{
    int r = repository_known_load(k->path, known_parse, ret, err);

    if (r <= 0)
        return r;
    *ret = json_pack("{s:i, s:b, s:s, s:{}}", "known", VERSION, "encrypted", false, "key", "", "points");
    return *ret ? 1 : err_nomem(err);
}

static char *addresses_path(const struct known *k)
{
    return io_path(k->dir, ADDRESSES);
}

int known_load_addresses(const struct known *k, json_t **ret, struct err *err)
{
    _cleanup_free_ char *path = addresses_path(k);

    int r = path ? repository_known_load(path, known_parse_addresses, ret, err) : err_nomem(err);
    if (r <= 0)
        return r;
    *ret = json_pack("{s:i, s:{}}", "known", VERSION, "addresses");
    return *ret ? 0 : err_nomem(err);
}

/* ---- Writing ----------------------------------------------------------------------------------------------------------------*/

/* What was forgotten longest ago is given up first, then what others made. */
static void shorten(json_t *points, const char *state)
{
    const char *id;
    json_t *point;
    void *next;

    if (json_object_size(points) <= KNOWN_POINTS_MAX / 2)
        return;
    json_object_foreach_safe (points, next, id, point)
        if (!strcmp(json_get_text(point, "state"), state) && json_object_size(points) > KNOWN_POINTS_MAX / 2)
            json_object_del(points, id);
}

static int repository_known_save(const char *path, const json_t *doc, struct err *err)
{
    _cleanup_free_ char *text = json_dumps(doc, JSON_COMPACT);

    if (!text)
        return err_nomem(err);
    return io_replace_file(path, text, strlen(text), 0600, err);
}

int known_save(const struct known *k, json_t *doc, struct err *err)
{
    shorten(json_object_get(doc, "points"), "forgotten");
    shorten(json_object_get(doc, "points"), "seen");
    shorten(json_object_get(doc, "points"), "ours");
    return repository_known_save(k->path, doc, err);
}

int known_save_addresses(const struct known *k, const json_t *doc, struct err *err)
{
    _cleanup_free_ char *path = addresses_path(k);

    return path ? repository_known_save(path, doc, err) : err_nomem(err);
}

/* ---- The folder -------------------------------------------------------------------------------------------------------------*/

static int folder(const char *given, char **ret, struct err *err)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (given)
        *ret = strdup(given);
    else if (geteuid() == 0)
        *ret = strdup(SYSTEM_KNOWN);
    else if (state && *state == '/')
        *ret = str_format("%s/kvss/known", state);
    else if (home && *home == '/')
        *ret = str_format("%s/.local/state/kvss/known", home);
    else
        return err_set(err, ENOENT, "set HOME or XDG_STATE_HOME");
    return *ret ? 0 : err_nomem(err);
}

/* Nobody else may have a hand in it. */
static int check_folder(const char *dir, struct err *err)
{
    struct stat st;

    if (lstat(dir, &st) < 0)
        return err_errno(err, errno, "cannot access %s", dir);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022))
        return err_set(err, EPERM, "%s is not a folder owned by the user running kvss and writable only by that user", dir);
    return 0;
}

/* Others hold it for moments. */
static int lock_folder(const char *dir, int *ret, struct err *err)
{
    _cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_errno(err, errno, "cannot open %s", dir);
    for (unsigned i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(err, errno, "cannot lock %s", dir);
        if (i == LOCK_TRIES)
            return err_set(err, EBUSY, "cannot lock %s: it is locked by another kvss", dir);
        clock_sleep_ms(LOCK_STEP_MS);
    }
    *ret = TAKE_FD(fd);
    return 0;
}

int known_lock(const struct known *k, int *ret, struct err *err)
{
    return lock_folder(k->dir, ret, err);
}

int known_open(const struct requester *rq, struct known **ret, int *ret_lock, struct err *err)
{
    struct known *k = calloc(1, sizeof(*k));

    if (!k)
        return err_nomem(err);
    int r = folder(rq->config.known_dir, &k->dir, err);
    if (r >= 0)
        r = io_mkdir_p(k->dir, 0700, err);
    if (r >= 0)
        r = check_folder(k->dir, err);
    if (r >= 0 && !(k->path = io_path(k->dir, store_guid(rq->store))))
        r = err_nomem(err);
    if (r >= 0)
        r = lock_folder(k->dir, ret_lock, err);
    if (r < 0) {
        known_free(k);
        return r;
    }
    *ret = k;
    return 0;
}

char *known_address(const char *location)
{
    _cleanup_free_ char *cwd = location[0] == '/' ? NULL : getcwd(NULL, 0);
    _cleanup_free_ char *absolute = cwd ? io_path(cwd, location) : strdup(location);
    char *real = absolute ? realpath(absolute, NULL) : NULL;

    return real ? real : TAKE_PTR(absolute);
}

/* ---- Before it is open ------------------------------------------------------------------------------------------------------*/

char *known_first_key(const struct requester *rq)
{
    _cleanup_json_ json_t *addresses = NULL;
    _cleanup_free_ char *dir = NULL, *address = known_address(rq->config.repository), *found = NULL;
    json_t *guid;
    size_t i;

    if (!address || folder(rq->config.known_dir, &dir, NULL) < 0 ||
        known_load_addresses(&(struct known){ .dir = dir }, &addresses, NULL) < 0)
        return NULL;
    json_array_foreach (json_object_get(json_object_get(addresses, "addresses"), address), i, guid) {
        _cleanup_free_ char *path = io_path(dir, json_string_value(guid));
        _cleanup_json_ json_t *doc = NULL;
        const struct known k = { .dir = dir, .path = path };
        if (!path || known_load(&k, &doc, NULL) < 0 || !json_get_text(doc, "opened_by"))
            continue;
        free(found);
        found = strdup(json_get_text(doc, "opened_by"));
    }
    return TAKE_PTR(found);
}
