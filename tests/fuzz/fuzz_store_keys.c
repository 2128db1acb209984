/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* keys/ as the storage shows it: objects, divided by lines "--". Whatever is planted there, what is tried takes no more memory than is
 * allowed, the one that opened the repository before comes first, and the others come in the order of what they cost. scrypt itself is
 * left out (crypt_unwrap() is a stand-in, see meson.build). */
#include "fuzz.h"
#include "store/object/backend.h"
#include "store/object/key.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECTS_MAX 64u

struct object {
    const uint8_t *p;
    size_t n;
};
/* What is handed to the stand-in of scrypt as the secret. */
struct tried {
    size_t n;
    uint64_t last;     /* what the one before cost; that which opened the repository before does not count */
    const char *first; /* text of that one, if it is to be tried; else NULL */
};
/* Key objects in memory. */
struct folder {
    struct backend base;
    struct object objects[OBJECTS_MAX];
    size_t n;
    struct tried tried;
};

static void name_of(size_t i, char name[static 2 * OBJECT_NAME_LEN + 1])
{
    memset(name, '0', 2 * OBJECT_NAME_LEN);
    snprintf(name + 2 * OBJECT_NAME_LEN - 4, 5, "%04zx", i);
}

static const struct object *find(const struct backend *b, const char *path)
{
    const struct folder *f = (const struct folder *)b;
    size_t i = strtoul(path + strlen(path) - 4, NULL, 16);

    return i < f->n ? &f->objects[i] : NULL;
}

static int mem_list(struct backend *b, const char *folder, int (*fn)(void *priv, const char *name), void *priv, struct err *err)
{
    char name[2 * OBJECT_NAME_LEN + 1];
    int r = 0;

    (void)folder, (void)err;
    for (size_t i = 0; r >= 0 && i < ((struct folder *)b)->n; i++) {
        name_of(i, name);
        r = fn(priv, name);
    }
    return r < 0 ? r : 0;
}

static int mem_get(struct backend *b, const char *path, uint64_t off, void *p, size_t n, struct err *err)
{
    const struct object *o = find(b, path);

    if (!o || off > o->n || n > o->n - off)
        return err_set(err, o ? ENODATA : ENOENT, "%s", path);
    if (n)
        memcpy(p, o->p + off, n);
    return 0;
}

static int mem_stat(struct backend *b, const char *path, struct backend_stat *ret, struct err *err)
{
    const struct object *o = find(b, path);

    if (!o)
        return err_set(err, ENOENT, "%s", path);
    *ret = (struct backend_stat){ .size = o->n };
    return 0;
}

/* In the place of scrypt and AES: nothing opens but what begins with a zero. */
int __wrap_crypt_unwrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad, const uint8_t *wrapped,
                        uint8_t *master);
int __wrap_crypt_unwrap(const void *secret, size_t n, const struct crypt_kdf *kdf, const char *aad, const uint8_t *wrapped, uint8_t *master)
{
    struct tried *t = (struct tried *)(uintptr_t)secret;
    uint64_t cost = key_memory(kdf) * kdf->p;

    FUZZ_REQUIRE(n == sizeof *t && key_memory(kdf) <= KEY_MEMORY_DEFAULT);
    if (t->n++ == 0 && t->first) {
        FUZZ_REQUIRE(strcmp(aad, t->first) == 0);
    } else {
        FUZZ_REQUIRE(cost >= t->last);
        t->last = cost;
    }
    memset(master, 0, CRYPT_KEY_LEN);
    return wrapped[0] ? -EBADMSG : 0;
}

/* All that open are refused, so that all are tried. */
static bool fits(void *priv, const uint8_t *master)
{
    (void)priv, (void)master;
    return false;
}

static void divide(struct folder *f, const uint8_t *data, size_t size)
{
    while (size && f->n < OBJECTS_MAX) {
        const uint8_t *end = memmem(data, size, "--\n", 3);
        size_t n = end ? (size_t)(end - data) : size;
        f->objects[f->n++] = (struct object){ data, n };
        n += end ? 3 : 0;
        data += n;
        size -= n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct backend_ops ops = { .get = mem_get, .list = mem_list, .stat = mem_stat };
    struct folder f = { .base = { &ops } };
    struct tried tried = { 0 };
    const struct key_secret secret = { .file = size && data[size - 1] % 2, .p = (uint8_t *)&tried, .n = sizeof tried };
    char first[2 * OBJECT_NAME_LEN + 1];
    uint8_t master[CRYPT_KEY_LEN];
    struct key_text k = { 0 };
    struct err err = ERR_INIT;

    divide(&f, data, size);
    name_of(f.n / 2, first);
    const struct object *o = &f.objects[f.n / 2];
    if (f.n && key_parse(o->p, o->n, &k, NULL) == 0 && k.file == secret.file && key_memory(&k.kdf) <= KEY_MEMORY_DEFAULT)
        tried.first = k.aad;
    const struct config config = { .version = 1 }; /* where any key object may open it */
    const struct key_trial trial = { .first = first, .config = &config, .fits = fits };
    FUZZ_REQUIRE(key_open(&f.base, &secret, &trial, master, NULL, &err) < 0 && err.text[0]);
    FUZZ_REQUIRE(tried.n <= f.n && (!tried.first || tried.n));
    key_text_free(&k);
    return 0;
}
