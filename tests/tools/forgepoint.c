/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forgepoint FOLDER PASSWORD-FILE POINT OFFSET BYTE: what another host that has the key can do. A restore point like the one named, with
 * the same listing and documents, but with a chunk of BYTE (a number) at OFFSET of its first image. Prints its id. */
#include "store/store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put_documents(struct store_point *p, struct store_writer *w, struct err *err)
{
    int r = 0;

    for (char *const *name = store_point_documents(p); r == 0 && *name; name++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        r = store_read_document(p, *name, &b, err);
        if (r == 0)
            r = store_write_document(w, *name, b.data, b.len, err);
    }
    return r;
}

static int put_image(struct store_point *p, struct store_writer *w, const char *name, const char *chunk, uint64_t off, struct err *err)
{
    struct store_image_writer *iw;
    struct store_image *i;
    struct store_stats stats;

    if (store_image_open(p, name, &i, err) < 0)
        return -1;
    uint64_t size = store_image_size(i);
    store_image_close(i);
    if (store_image_begin(w, name, size, store_point_id(p), name, &iw, err) < 0)
        return -1;
    if (chunk && store_image_write(iw, off, chunk, 65536, err) < 0) {
        store_image_drop(iw);
        return -1;
    }
    return store_image_end(iw, &stats, err);
}

static int forge(struct store *s, char **argv, char id[static STORE_ID_LEN + 1], struct err *err)
{
    static char chunk[65536];
    struct store_writer *w = NULL;
    struct store_point *p;
    int r = store_point_open(s, argv[3], &p, err);

    if (r < 0)
        return r;
    memset(chunk, atoi(argv[5]), sizeof chunk);
    r = store_write_begin(s, &w, err);
    if (r == 0)
        r = put_documents(p, w, err);
    for (char *const *name = store_point_images(p); r == 0 && *name; name++)
        r = put_image(p, w, *name, name == store_point_images(p) ? chunk : NULL, strtoull(argv[4], NULL, 10), err);
    r = r == 0 ? store_write_commit(w, store_point_meta(p), id, err) : (store_write_abort(w), r);
    store_point_close(p);
    return r;
}

int main(int argc, char **argv)
{
    char line[256], id[STORE_ID_LEN + 1];
    struct err err = ERR_INIT;
    FILE *f = argc == 6 ? fopen(argv[2], "re") : NULL;
    struct store *s;

    if (!f || !fgets(line, sizeof line, f)) {
        fputs("Usage: forgepoint FOLDER PASSWORD-FILE POINT OFFSET BYTE\n", stderr);
        return 2;
    }
    fclose(f);
    line[strcspn(line, "\n")] = 0;
    struct store_open o = { .key.passphrase = line };
    int r = store_open(argv[1], &o, &s, &err);
    if (r == 0) {
        r = forge(s, argv, id, &err);
        store_close(s);
    }
    if (r < 0)
        fprintf(stderr, "forgepoint: %s\n", err.text);
    else
        puts(id);
    return r < 0;
}
