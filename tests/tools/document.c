/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* document get FOLDER PASSWORD-FILE POINT NAME: prints a document of a restore point.
 * document put FOLDER PASSWORD-FILE POINT NAME [FILE]: makes a restore point that is like POINT, but that the document holds what is in
 * FILE, or is not there without one. Prints the new point's id. What a point holds may have been written by anybody.
 * document list FOLDER PASSWORD-FILE POINT: the names of its documents. Its listing is called META.
 * PASSWORD-FILE "": the repository is not encrypted. */
#include "base/io.h"
#include "store/store.h"
#include <stdio.h>
#include <string.h>

#define META "META"
#define DOCUMENT_MAX ((size_t)64 << 20)

static int open_store(const char *folder, const char *password_file, struct store **ret, struct err *err)
{
    _cleanup_buf_ struct buf line = BUF_INIT;

    int r = *password_file ? io_read_file(password_file, 256, &line, err) : 0;
    if (r < 0 || (r = buf_add(&line, "", 1)) < 0)
        return r;
    line.data[strcspn((const char *)line.data, "\n")] = '\0';
    struct store_open options = { .key.passphrase = *password_file ? (const char *)line.data : NULL };
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

static int put(struct store *s, struct store_point *from, const char *name, const struct buf *instead, struct err *err)
{
    bool listing = strcmp(name, META) == 0 && instead;
    _cleanup_free_ char *meta = listing ? strndup((const char *)instead->data, instead->len) : NULL;
    struct store_writer *w = NULL;
    char id[STORE_ID_LEN + 1];

    int r = store_write_begin(s, &w, err);
    if (r >= 0 && (r = copy_documents(from, w, name, instead, err)) >= 0 && (r = copy_images(from, w, err)) >= 0) {
        r = store_write_commit(w, meta ? meta : store_point_meta(from), id, err);
        w = NULL;
    }
    if (r >= 0)
        puts(id);
    store_write_abort(w);
    return r;
}

static int get(struct store_point *p, const char *name, struct err *err)
{
    _cleanup_buf_ struct buf b = BUF_INIT;

    if (strcmp(name, META) == 0)
        return puts(store_point_meta(p));
    int r = store_read_document(p, name, &b, err);
    return r < 0 ? r : (int)fwrite(b.data, 1, b.len, stdout) - (int)b.len;
}

static int list(struct store_point *p)
{
    for (char *const *name = store_point_documents(p); *name; name++)
        puts(*name);
    return 0;
}

static int run(int argc, char **argv, struct err *err)
{
    _cleanup_buf_ struct buf instead = BUF_INIT;
    struct store *s = NULL;
    struct store_point *p = NULL;

    int r = argc > 6 ? io_read_file(argv[6], DOCUMENT_MAX, &instead, err) : 0;
    if (r >= 0 && (r = open_store(argv[2], argv[3], &s, err)) >= 0)
        r = store_point_open(s, argv[4], &p, err);
    if (r >= 0)
        r = strcmp(argv[1], "list") == 0  ? list(p)
            : strcmp(argv[1], "get") == 0 ? get(p, argv[5], err)
                                          : put(s, p, argv[5], argc > 6 ? &instead : NULL, err);
    store_point_close(p);
    store_close(s);
    return r;
}

int main(int argc, char **argv)
{
    struct err err = ERR_INIT;

    bool lists = argc == 5 && strcmp(argv[1], "list") == 0;
    if (!lists && (argc < 6 || (strcmp(argv[1], "get") != 0 && strcmp(argv[1], "put") != 0))) {
        fputs("Usage: document get|put|list FOLDER PASSWORD-FILE POINT [NAME [FILE]]\n", stderr);
        return 2;
    }
    if (run(argc, argv, &err) < 0) {
        fprintf(stderr, "document: %s\n", err.text);
        return 1;
    }
    return 0;
}
