/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* retouch FOLDER PASSWORD-FILE POINT DOCUMENT [FILE]: makes a restore point that is like POINT, but for one document: it holds what is in
 * FILE, or is not there without one. Prints the new point's id. What a point holds may have been written by anybody. */
#include "base/io.h"
#include "store/store.h"
#include <stdio.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)64 << 20)

static int open_store(const char *folder, const char *password_file, struct store **ret, struct err *err)
{
    _cleanup_buf_ struct buf line = BUF_INIT;

    int r = io_read_file(password_file, 256, &line, err);
    if (r < 0 || (r = buf_add(&line, "", 1)) < 0)
        return r;
    line.data[strcspn((const char *)line.data, "\n")] = '\0';
    struct store_open options = {.key.passphrase = (const char *)line.data};
    return store_open(folder, &options, ret, err);
}

static int copy_documents(struct store_point *from, struct store_writer *w, const char *other, const struct buf *instead, struct err *err)
{
    int r = 0;

    for (char *const *name = store_point_documents(from); r >= 0 && *name; name++) {
        _cleanup_buf_ struct buf b = BUF_INIT;
        if (strcmp(*name, other) == 0)
            r = instead ? store_write_document(w, *name, instead->data, instead->len, err) : 0;
        else if ((r = store_read_document(from, *name, &b, err)) >= 0)
            r = store_write_document(w, *name, b.data, b.len, err);
    }
    return r;
}

static int copy_images(struct store_point *from, struct store_writer *w, struct err *err)
{
    int r = 0;

    for (char *const *name = store_point_images(from); r >= 0 && *name; name++) {
        struct store_image *image = NULL;
        struct store_image_writer *iw = NULL;
        if ((r = store_image_open(from, *name, &image, err)) >= 0)
            r = store_image_begin(w, *name, store_image_size(image), store_point_id(from), *name, &iw, err);
        store_image_close(image);
        if (r >= 0)
            r = store_image_end(iw, NULL, err);
    }
    return r;
}

static int retouch(struct store *s, const char *point, const char *document, const struct buf *instead, struct err *err)
{
    struct store_point *from = NULL;
    struct store_writer *w = NULL;
    char id[STORE_ID_LEN + 1];

    int r = store_point_open(s, point, &from, err);
    if (r >= 0 && (r = store_write_begin(s, &w, err)) >= 0 && (r = copy_documents(from, w, document, instead, err)) >= 0 &&
        (r = copy_images(from, w, err)) >= 0) {
        r = store_write_commit(w, store_point_meta(from), id, err);
        w = NULL;
    }
    if (r >= 0)
        puts(id);
    store_write_abort(w);
    store_point_close(from);
    return r;
}

int main(int argc, char **argv)
{
    _cleanup_buf_ struct buf instead = BUF_INIT;
    struct store *s = NULL;
    struct err err = ERR_INIT;

    if (argc < 5) {
        fputs("Usage: retouch FOLDER PASSWORD-FILE POINT DOCUMENT [FILE]\n", stderr);
        return 2;
    }
    int r = argc > 5 ? io_read_file(argv[5], DOCUMENT_MAX, &instead, &err) : 0;
    if (r >= 0 && (r = open_store(argv[1], argv[2], &s, &err)) >= 0)
        r = retouch(s, argv[3], argv[4], argc > 5 ? &instead : NULL, &err);
    store_close(s);
    if (r < 0)
        fprintf(stderr, "retouch: %s\n", err.text);
    return r < 0;
}
