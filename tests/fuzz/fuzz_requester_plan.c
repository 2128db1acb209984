/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A whole restore point up to the plan of its restore: its listing, the VM writer's records, definitions, indices of files. The input is
 * text: a line "@@ NAME", then what the document, or image, of that name holds; the listing is called META. Whatever it says, files only go
 * where the restore was told to put them, or that is refused. */
#include "fuzz.h"
#include "requester/trust/trust_demands.h"
#include "requester/restore/restore.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define TO "/kvss-fuzz/out"

/* ---- The repository, in the place of src/store/ ----------------------------------------------------------------------------------*/

struct store_point {
    const uint8_t *data;
    size_t size;
    char *meta;
};
struct store_image {
    const uint8_t *data;
    size_t size;
};

/* What follows the line "@@ NAME". */
static bool section(const struct store_point *p, const char *name, const uint8_t **ret, size_t *ret_n)
{
    const uint8_t *at = p->data, *end = p->data + p->size;
    size_t len = strlen(name);

    while (at < end && (size_t)(end - at) > len + 3 && memcmp(at, "@@ ", 3) == 0) {
        const uint8_t *begin = memchr(at, '\n', (size_t)(end - at));
        const uint8_t *next = begin ? memmem(begin, (size_t)(end - begin), "\n@@ ", 4) : NULL;
        if (!begin)
            return false;
        *ret = begin + 1;
        *ret_n = next ? (size_t)(next - begin) : (size_t)(end - *ret);
        if ((size_t)(begin - at) == len + 3 && memcmp(at + 3, name, len) == 0)
            return true;
        at = next ? next + 1 : end;
    }
    return false;
}

const char *__wrap_store_point_id(const struct store_point *p);
const char *__wrap_store_point_id(const struct store_point *p)
{
    (void)p;
    return ID;
}

const char *__wrap_store_point_meta(const struct store_point *p);
const char *__wrap_store_point_meta(const struct store_point *p)
{
    return p->meta;
}

int64_t __wrap_store_point_time(const struct store_point *p);
int64_t __wrap_store_point_time(const struct store_point *p)
{
    (void)p;
    return 1700000000000000;
}

void __wrap_store_point_close(struct store_point *p);
void __wrap_store_point_close(struct store_point *p)
{
    (void)p;
}

int __wrap_store_read_document(struct store_point *p, const char *name, struct buf *ret, struct err *err);
int __wrap_store_read_document(struct store_point *p, const char *name, struct buf *ret, struct err *err)
{
    const uint8_t *data;
    size_t n;

    FUZZ_REQUIRE(name);
    buf_reset(ret);
    if (!section(p, name, &data, &n))
        return err_set(err, ENOENT, "there is no document %s", name);
    return buf_add(ret, data, n) < 0 ? err_set(err, ENOMEM, "out of memory") : 0;
}

int __wrap_store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err);
int __wrap_store_image_open(struct store_point *p, const char *name, struct store_image **ret, struct err *err)
{
    struct store_image i;

    FUZZ_REQUIRE(name);
    if (!section(p, name, &i.data, &i.size))
        return err_set(err, ENOENT, "there is no image %s", name);
    if (!(*ret = malloc(sizeof(i))))
        return err_set(err, ENOMEM, "out of memory");
    **ret = i;
    return 0;
}

void __wrap_store_image_close(struct store_image *i);
void __wrap_store_image_close(struct store_image *i)
{
    free(i);
}

uint64_t __wrap_store_image_size(const struct store_image *i);
uint64_t __wrap_store_image_size(const struct store_image *i)
{
    return i->size;
}

int __wrap_store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err);
int __wrap_store_image_read(struct store_image *i, uint64_t off, void *p, size_t n, struct err *err)
{
    (void)err;
    FUZZ_REQUIRE(off <= i->size && n <= i->size - off);
    if (n)
        memcpy(p, i->data + off, n);
    return 0;
}

int __wrap_store_image_data(struct store_image *i, uint64_t *ret, struct err *err);
int __wrap_store_image_data(struct store_image *i, uint64_t *ret, struct err *err)
{
    (void)err;
    *ret = i->size;
    return 0;
}

/* ---- What must hold ----------------------------------------------------------------------------------------------------------------*/

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);

    return strncmp(path, folder, n) == 0 && path[n] == '/' && path[n + 1] && !strstr(path, "/../") &&
           (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

static void check_tpm(const struct restore *r, const struct restore_vm *vm)
{
    for (size_t i = 0; i < vm->record.n_parts; i++) {
        const struct vm_record_part *part = &vm->record.parts[i];
        _cleanup_free_ char *path = NULL;
        if (restore_tpm_target(r, vm, part, &path, NULL) > 0)
            FUZZ_REQUIRE(is_below(path, TO));
    }
}

/* Nothing was refused. */
static void check_places(const struct restore *r)
{
    for (size_t i = 0; i < r->n_vms; i++) {
        const struct restore_vm *vm = &r->vms[i];
        for (size_t k = 0; k < vm->n_disks; k++)
            FUZZ_REQUIRE(is_below(vm->disks[k].path, TO));
        FUZZ_REQUIRE(!vm->nvram_path || is_below(vm->nvram_path, TO));
        FUZZ_REQUIRE(!vm->definition || is_below(vm->definition, TO));
        FUZZ_REQUIRE(!vm->memory || is_below(vm->memory, TO));
        check_tpm(r, vm);
    }
    for (size_t i = 0; i < r->n_files; i++) {
        size_t k;
        json_t *e;
        json_array_foreach (json_object_get(r->files[i].index, "files"), k, e) {
            const char *path = json_get_text(e, "path");
            FUZZ_REQUIRE(path && path[0] == '/' && !strstr(path, "/../"));
        }
    }
}

/* ---- The plan ----------------------------------------------------------------------------------------------------------------------*/

static void report(struct restore *r)
{
    json_t *plan = NULL;

    if (r->job->images_only && restore_dry_report(r, &plan, NULL) >= 0)
        (void)restore_plan_asks(plan);
    json_decref(plan);
    json_decref(restore_report(r));
}

static void plan(struct restore *r)
{
    struct err err = ERR_INIT;

    int rc = restore_plan(r, &err);
    if (rc >= 0)
        rc = restore_place(r, &err);
    if (rc >= 0)
        rc = restore_map_networks(r, &err);
    if (rc >= 0)
        rc = restore_judge_places(r, &err);
    if (rc >= 0)
        rc = restore_judge_definitions(r, &err);
    for (size_t i = 0; rc >= 0 && i < r->n_vms; i++)
        rc = restore_check_shared(&r->vms[i], r, &err);
    if (rc >= 0)
        rc = restore_check_clashes(r, &err);
    if (rc >= 0 && r->job->images_only)
        rc = restore_images_only(r, &err);
    if (rc >= 0)
        rc = restore_check_refused(r, &err);
    FUZZ_REQUIRE((rc < 0) == (err.text[0] != '\0'));
    if (rc >= 0)
        check_places(r);
    if (rc >= 0)
        report(r);
}

static void restore(struct requester *rq, struct store_point *p, const json_t *meta, const struct requester_restore *job)
{
    struct session s = { .rq = rq };
    struct restore r = { .rq = rq, .job = job, .s = &s, .point = p, .meta = (json_t *)(uintptr_t)meta };

    plan(&r);
    restore_clear_vms(&r);
    for (size_t i = 0; i < r.n_files; i++) {
        json_decref(r.files[i].index);
        free(r.files[i].group);
    }
    free(r.files);
    free(r.to_dir);
    json_decref(r.refused);
}

/* As `show` does it. */
static void show(struct store_point *p, const json_t *meta)
{
    size_t i;
    json_t *vm;

    json_array_foreach (json_object_get(meta, "vms"), i, vm) {
        const char *uuid = json_get_text(vm, "uuid");
        _cleanup_vm_record_ struct vm_record record = { 0 };
        _cleanup_json_ json_t *demands = NULL;
        _cleanup_free_ char *differs = NULL;
        if (!uuid || point_read_vm(p, uuid, &record, NULL) < 0)
            continue;
        (void)vm_record_summary_differs(&record, vm, &differs, NULL);
        if (demands_of_record(p, &record, &demands, NULL) >= 0)
            FUZZ_REQUIRE(json_is_array(demands));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *const networks[] = { (char *)(uintptr_t) "default=none", NULL };
    const struct requester_restore jobs[] = {
        { .to = TO, .images_only = true, .dry_run = true },
        { .dry_run = true },
        { .to = TO, .dry_run = true, .networks = networks, .discard_memory = true, .trust_definition = true },
        { .to = TO, .name = "copy", .dry_run = true, .trust_definition = true },
    };
    struct store_point p = { .data = data, .size = size };
    struct requester rq = { 0 };
    _cleanup_json_ json_t *meta = NULL;
    const uint8_t *text;
    size_t n;

    if (!section(&p, "META", &text, &n) || !(p.meta = strndup((const char *)text, n)))
        return 0;
    if (point_meta(p.meta, &meta, NULL) >= 0) {
        show(&p, meta);
        for (size_t i = 0; i < ARRAY_SIZE(jobs); i++)
            restore(&rq, &p, meta, &jobs[i]);
    }
    free(p.meta);
    return 0;
}
