/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mutaterepo FOLDER PASSWORD-FILE SEED OUTSIDE [HOST-KEY [KIND]]: changes one object of a repository, as somebody who can write to its
 * storage and, in most cases, has its key: what is sealed is opened, changed by its structure, signed if that is needed, and sealed again.
 * Prints what was done. OUTSIDE is a folder that links lead to, HOST-KEY the key of a host ("-": none). The seed says what is changed,
 * unless KIND does: catalogue, config, keys or ring. */
#include "mutate_repository.h"
#include "base/num.h"
#include "base/strv.h"
#include "store/index/index_table.h"
#include "store/lock/lock.h"
#include "store/object/signed.h"
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STRANGER 64777

/* ---- Objects ---------------------------------------------------------------------------------------------------------------------*/

/* Below a folder, packs lie one deeper. */
static void list_files(const char *dir, char ***ret)
{
    _cleanup_closedir_ DIR *d = opendir(dir);

    for (struct dirent *e; d && (e = readdir(d));) {
        _cleanup_free_ char *path = io_path(dir, e->d_name);
        struct stat st;
        if (e->d_name[0] == '.' || !path || lstat(path, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            list_files(path, ret);
        else
            (void)strv_add(ret, path);
    }
}

char *mutation_pick(struct mutation *m, const char *folder)
{
    _cleanup_free_ char *dir = io_path(m->folder, folder);
    _cleanup_strv_ char **files = NULL;
    struct stat st;

    if (dir && stat(dir, &st) == 0 && S_ISREG(st.st_mode))
        return TAKE_PTR(dir);
    if (dir)
        list_files(dir, &files);
    return files ? strdup(files[(size_t)random() % strv_len(files)]) : NULL;
}

static int load(const char *path, struct buf *ret)
{
    return io_read_file(path, (size_t)256 << 20, ret, NULL);
}

static int save(const char *path, const struct buf *b)
{
    return io_replace_file(path, b->data, b->len, 0600, NULL);
}

/* ---- Bytes -----------------------------------------------------------------------------------------------------------------------*/

static uint64_t number(void)
{
    static const uint64_t of[] = { 0,
                                   1,
                                   2,
                                   85,
                                   127,
                                   128,
                                   255,
                                   256,
                                   65535,
                                   65536,
                                   65537,
                                   1u << 20,
                                   (1u << 20) + 1,
                                   INT32_MAX,
                                   1u << 31,
                                   UINT32_MAX,
                                   1ull << 40,
                                   1ull << 56,
                                   (1ull << 56) + 1,
                                   INT64_MAX,
                                   1ull << 63,
                                   UINT64_MAX };

    return of[(size_t)random() % ARRAY_SIZE(of)];
}

/* In the first bytes are what counts and lengths. */
static size_t place(const struct buf *b, size_t align)
{
    size_t n = random() % 2 && b->len > 64 ? 64 : b->len;

    return n <= align ? 0 : (size_t)random() % (n - align) / align * align;
}

void mutation_bytes(struct buf *b, bool resize)
{
    switch (random() % (resize ? 6 : 4)) {
    case 0:
        if (b->len >= 4)
            num_put_le32(b->data + place(b, 4), (uint32_t)number());
        break;
    case 1:
        if (b->len >= 8)
            num_put_le64(b->data + place(b, 8), number());
        break;
    case 2:
        if (b->len >= 4)
            b->data[place(b, 2)] = (uint8_t)number();
        break;
    case 3:
        if (b->len >= 4)
            b->data[place(b, 1)] ^= (uint8_t)(1 << random() % 8);
        break;
    case 4: b->len = b->len ? (size_t)random() % b->len : 0; break;
    default: (void)buf_add(b, "0123456789abcdef0123456789abcdef", (size_t)random() % 32);
    }
}

/* ---- Sealed units ----------------------------------------------------------------------------------------------------------------*/

/* The unit of n bytes at `at` of the object is opened, changed and sealed again. Where it may get another length (it is the last before the
 * tail) `tail` is so. */
static int reseal(struct mutation *m, struct buf *object, size_t at, size_t n, uint64_t unit, bool tail)
{
    struct crypt *crypt = m->store->env.crypt;
    _cleanup_buf_ struct buf plain = BUF_INIT;
    uint8_t end[OBJECT_TAIL_LEN];
    struct crypt_object key;

    if (at + n > object->len || n < CRYPT_TAG_LEN || crypt_object_init(crypt, object->data, &key) < 0 || buf_reserve(&plain, n + 64) < 0)
        return -1;
    int r = crypt_open(crypt, &key, unit, object->data + at, n, plain.data);
    plain.len = n - CRYPT_TAG_LEN;
    for (long changes = random() % 3 + 1; r == 0 && changes > 0; changes--)
        mutation_bytes(&plain, tail);
    if (r == 0 && buf_reserve(object, object->len + plain.len + 64) < 0)
        r = -1;
    if (r == 0)
        r = crypt_seal(crypt, &key, unit, plain.data, plain.len, object->data + at);
    if (r == 0 && tail) {
        object->len = at + plain.len + CRYPT_TAG_LEN;
        object_tail((uint32_t)(plain.len + CRYPT_TAG_LEN), end);
        r = buf_add(object, end, sizeof end);
    }
    crypt_object_wipe(&key);
    return r;
}

static size_t last_unit(const struct buf *object, uint32_t *ret_n)
{
    return object->len > CRYPT_HEADER_LEN + OBJECT_TAIL_LEN &&
                   object_tail_check(object->data + object->len - OBJECT_TAIL_LEN, object->len, object->len, ret_n) == 0
               ? object->len - OBJECT_TAIL_LEN - *ret_n
               : 0;
}

static int change_index(struct mutation *m)
{
    _cleanup_free_ char *path = mutation_pick(m, "index");
    _cleanup_buf_ struct buf b = BUF_INIT;
    uint32_t n;

    if (!path || load(path, &b) < 0)
        return -1;
    size_t top = last_unit(&b, &n), blocks = top ? (top - CRYPT_HEADER_LEN) / INDEX_BLOCK : 0, i = blocks ? (size_t)random() % blocks : 0;
    bool in_top = random() % 2 || !blocks;
    int r = in_top ? reseal(m, &b, top, n, INDEX_TOP_UNIT, true) : reseal(m, &b, CRYPT_HEADER_LEN + i * INDEX_BLOCK, INDEX_BLOCK, i, false);
    printf("index: %s, sealed again\n", in_top ? "top" : "block");
    return r < 0 ? r : save(path, &b);
}

/* Of a frame chosen by chance: where its unit begins. 0: there is none. */
static size_t pick_frame(const struct buf *b, size_t end, uint32_t *ret_n)
{
    size_t chosen = 0, seen = 0;
    uint32_t len = 0;

    for (size_t at = CRYPT_HEADER_LEN; at + 4 <= end; at += 4 + (size_t)len) {
        len = num_get_le32(b->data + at);
        if ((size_t)random() % ++seen == 0) {
            chosen = at + 4;
            *ret_n = len;
        }
    }
    return chosen;
}

static int change_pack(struct mutation *m)
{
    _cleanup_free_ char *path = mutation_pick(m, "packs");
    _cleanup_buf_ struct buf b = BUF_INIT;
    uint32_t footer_n, n = 0;

    if (!path || load(path, &b) < 0)
        return -1;
    size_t footer = last_unit(&b, &footer_n), frame = footer ? pick_frame(&b, footer, &n) : 0;
    bool in_footer = random() % 2 || !frame;
    int r = in_footer ? reseal(m, &b, footer, footer_n, footer | PACK_FOOTER_UNIT, true) : reseal(m, &b, frame, n, frame, false);
    printf("pack: %s, sealed again\n", in_footer ? "footer" : "segment");
    return r < 0 ? r : save(path, &b);
}

/* ---- Signed texts ----------------------------------------------------------------------------------------------------------------*/

static void put_value(struct buf *out, const char *line, size_t name_n)
{
    static const char *const values[] = {
        "",
        "0",
        "-1",
        "1",
        "18446744073709551616",
        "9223372036854775807",
        "4294967295",
        "../../x",
        "\x1b[31mred\xe2\x80\xae",
        "none",
        "maintenance",
        "2999-01-01T00:00:00Z",
        "1969-01-01T00:00:00Z",
    };

    (void)buf_add(out, line, name_n + 1);
    if (random() % 8)
        (void)buf_adds(out, values[(size_t)random() % ARRAY_SIZE(values)]);
    for (int i = 0; random() % 8 == 0 && i < 3000; i++)
        (void)buf_adds(out, "long");
    (void)buf_adds(out, "\n");
}

/* A line is left out, doubled, or gets another value. The first, which says what the text is, mostly stays. */
void mutation_lines(const char *text, struct buf *out)
{
    size_t n = 0, at = 0;

    for (const char *p = text; *p; p++)
        n += *p == '\n';
    size_t chosen = n > 1 && random() % 8 ? 1 + (size_t)random() % (n - 1) : 0;
    for (const char *line = text; *line; at++) {
        size_t len = strcspn(line, "\n"), name = strcspn(line, "=\n");
        int how = at == chosen ? (int)(random() % 4) : 4;
        if (how > 1 && name < len && how < 4)
            put_value(out, line, name);
        else if (how > 0)
            (void)buf_addf(out, "%.*s\n", (int)len, line);
        if (how == 1)
            (void)buf_addf(out, "%.*s\n", (int)len, line);
        line += len + (line[len] == '\n');
    }
}

/* One of another host, which is there as long as it is young. */
static int put_lock(struct mutation *m)
{
    _cleanup_buf_ struct buf b = BUF_INIT;
    char path[OBJECT_PATH_SIZE];
    struct object_name name;
    struct lock_text t;

    lock_text_own(&t, random() % 2 ? LOCK_SESSION : LOCK_MAINTENANCE, "backup");
    snprintf(t.boot, sizeof t.boot, "00000000-0000-0000-0000-000000000000");
    int r = crypt_random(&name, sizeof name);
    if (r == 0)
        r = lock_make(m->store->env.crypt, &t, &b);
    return r < 0 ? r : backend_put(m->store->env.backend, object_name_path("locks", &name, path), b.data, b.len, BACKEND_REPLACE, NULL);
}

static int change_text(struct mutation *m, const char *folder)
{
    if (strcmp(folder, "locks") == 0)
        (void)put_lock(m);
    _cleanup_free_ char *path = mutation_pick(m, folder), *text = NULL;
    _cleanup_buf_ struct buf b = BUF_INIT, out = BUF_INIT;
    size_t covered;
    const char *mac;

    if (!path || load(path, &b) < 0)
        return -1;
    bool is_signed = signed_split(b.data, b.len, &covered, &mac) == 0;
    if (!(text = strndup((const char *)b.data, is_signed ? covered : b.len)))
        return -1;
    mutation_lines(text, &out);
    if (random() % 16 == 0)
        mutation_bytes(&out, true);
    int r = is_signed ? signed_end(m->store->env.crypt, &out) : 0;
    printf("%s: a line, signed again\n", folder);
    return r < 0 ? r : save(path, &out);
}

/* ---- Without the key -------------------------------------------------------------------------------------------------------------*/

static int replace(struct mutation *m, const char *path, int how)
{
    _cleanup_free_ char *there = io_path(m->outside, "object"), *other = mutation_pick(m, "packs");
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (how == 0)
        return unlink(path);
    if (how == 1)
        return truncate(path, (off_t)1 << (random() % 41)); /* up to 1 TiB, of which nothing is there */
    if (how == 2)
        return !other || load(other, &b) < 0 ? -1 : save(path, &b);
    if (unlink(path) < 0)
        return -1;
    switch (how) {
    case 3: return symlink(there, path);
    case 4: return mkfifo(path, 0600);
    case 5: return mkdir(path, 0700);
    case 6: return symlink("/dev/zero", path);
    default: return symlink(path, path);
    }
}

static int change_raw(struct mutation *m)
{
    static const char *const folders[] = { "config", "keys", "packs", "index", "points", "locks", "gc", "protected", "catalogue", "ring" };
    const char *folder = folders[(size_t)random() % ARRAY_SIZE(folders)];
    _cleanup_free_ char *path = mutation_pick(m, folder);
    _cleanup_buf_ struct buf b = BUF_INIT;
    int how = (int)(random() % 12);

    if (!path || load(path, &b) < 0)
        return -1;
    printf("%s: way %d, without the key\n", folder, how);
    if (how < 8)
        return replace(m, path, how);
    for (long changes = random() % 4 + 1; changes > 0; changes--)
        mutation_bytes(&b, true);
    return save(path, &b);
}

/* The folders themselves. */
static int change_folder(struct mutation *m)
{
    static const char *const folders[] = { "keys", "packs", "index", "points", "locks", "gc", "protected", "catalogue", "ring", "tmp" };
    const char *folder = folders[(size_t)random() % ARRAY_SIZE(folders)];
    _cleanup_free_ char *path = io_path(m->folder, folder), *away = str_format("%s/.%s", m->folder, folder);
    int how = (int)(random() % 3);

    if (!path || !away)
        return -1;
    printf("the folder %s: way %d\n", folder, how);
    if (rename(path, away) < 0 && mkdir(away, 0700) < 0)
        return -1;
    if (how == 0)
        return 0;
    /* A link of somebody else's: an administrator's own is followed. */
    return how == 1 ? symlink(m->outside, path) < 0 ? -1 : lchown(path, STRANGER, STRANGER) : mkfifo(path, 0600);
}

/* ---- All -------------------------------------------------------------------------------------------------------------------------*/

static int change(struct mutation *m, unsigned seed)
{
    static const char *const texts[] = { "config", "keys", "locks", "gc", "protected" };

    switch (seed % 24) {
    case 0:
    case 1: return change_index(m);
    case 2:
    case 3: return change_pack(m);
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: return change_text(m, texts[seed % 24 - 4]);
    case 9:
    case 10: return change_raw(m);
    case 11: return change_folder(m);
    case 12:
    case 13:
    case 14: return mutate_point(m);
    case 15: return mutate_tree(m);
    case 16:
    case 17:
    case 18:
    case 19: return mutate_catalogue(m);
    case 20:
    case 21: return mutate_config(m);
    case 22: return mutate_key(m);
    default: return mutate_ring(m);
    }
}

/* Of one kind: the seed that says so, and nothing else. */
static int change_kind(struct mutation *m, const char *kind)
{
    static const struct {
        const char *name;
        int (*mutate)(struct mutation *m);
    } kinds[] = {
        { "catalogue", mutate_catalogue },
        { "config", mutate_config },
        { "keys", mutate_key },
        { "ring", mutate_ring },
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (!strcmp(kinds[i].name, kind))
            return kinds[i].mutate(m);
    return -1;
}

static int open_store(struct mutation *m, const char *password_file, struct buf *line, struct err *err)
{
    int r = io_read_file(password_file, 256, line, err);

    if (r < 0 || (r = buf_add(line, "", 1)) < 0)
        return r;
    line->data[strcspn((const char *)line->data, "\n")] = '\0';
    m->passphrase = (const char *)line->data;
    const struct store_open options = { .key.passphrase = m->passphrase };
    return store_open(m->folder, &options, &m->store, err);
}

int main(int argc, char **argv)
{
    _cleanup_buf_ struct buf line = BUF_INIT;
    struct err err = ERR_INIT;
    struct mutation m = { 0 };

    if (argc < 5 || argc > 7) {
        fputs("Usage: mutaterepo FOLDER PASSWORD-FILE SEED OUTSIDE [HOST-KEY [KIND]]\n", stderr);
        return 2;
    }
    m.folder = argv[1];
    m.outside = argv[4];
    m.host_key = argc > 5 && strcmp(argv[5], "-") != 0 ? argv[5] : NULL;
    if (open_store(&m, argv[2], &line, &err) < 0) {
        fprintf(stderr, "mutaterepo: %s\n", err.text);
        return 1;
    }
    unsigned seed = (unsigned)strtoul(argv[3], NULL, 10);
    int r = -1;
    for (unsigned i = 0; r < 0 && i < 100; i++) { /* not every folder has something */
        srandom(seed * 100 + i);
        r = argc > 6 ? change_kind(&m, argv[6]) : change(&m, seed);
    }
    store_close(m.store);
    return r < 0;
}
