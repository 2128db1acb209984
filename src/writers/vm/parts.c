/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What else belongs to a VM (B7), copied into the session's private folder: definition, NVRAM, and the state of an emulated TPM. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TPM_FILES_MAX 8u

static char *part_path(const struct vm *vm, const char *name)
{
    return str_format("%s/%s.%s", vm->writer->config.session_dir, vm->dom->uuid, name);
}

static int keep_text(struct vm *vm, const char *name, const char *text, char **ret_path, struct err *err)
{
    uint64_t id;

    *ret_path = part_path(vm, name);
    if (!*ret_path)
        return err_nomem(err);
    int r = vm_effect(vm, VERB_PART, "path", *ret_path, &id, err);
    if (r < 0)
        return r;
    r = io_replace_file(*ret_path, text, strlen(text), 0600, err);
    return r < 0 ? r : vm_effect_done(vm, id, err);
}

/* Both: the one for the next start, and the one that it runs with, or was saved with. */
int vm_keep_definition(struct vm *vm, struct err *err)
{
    _cleanup_free_ char *live = NULL;

    int r = keep_text(vm, "xml", vm->dom->xml, &vm->definition, err);
    if (r >= 0)
        r = hv_domain_live(vm->dom, &live, err);
    return r < 0 || !live ? r : keep_text(vm, "live.xml", live, &vm->live, err);
}

static int keep_nvram(struct vm *vm, struct err *err)
{
    uint64_t id;

    if (!vm->dom->nvram || !hv_is_local(vm->writer->config.hv))
        return 0;
    if (!io_exists(vm->dom->nvram)) /* never started yet: libvirt makes it from the template */
        return vm->before == HV_OFF ? 0 : err_set(err, ENOENT, "its NVRAM file %s does not exist", vm->dom->nvram);
    vm->nvram = part_path(vm, "nvram");
    if (!vm->nvram)
        return err_nomem(err);
    int r = vm_effect(vm, VERB_PART, "path", vm->nvram, &id, err);
    if (r < 0)
        return r;
    r = io_copy_file(vm->dom->nvram, vm->nvram, 0600, err);
    return r < 0 ? err_context(err, "cannot copy its NVRAM") : vm_effect_done(vm, id, err);
}

/* ---- The emulated TPM ---------------------------------------------------------------------------------------------------------*/

/* swtpm replaces its files as a whole, so that each is of one moment; names of its own for the time being begin otherwise. */
static int keep_tpm_file(struct vm *vm, const char *dir, const char *version, const char *name, struct err *err)
{
    _cleanup_free_ char *from = str_format("%s/%s/%s", dir, version, name), *below = str_format("%s/%s", version, name);
    _cleanup_free_ char *to = part_path(vm, name);
    struct stat st;
    uint64_t id;

    if (!from || !below || !to)
        return err_nomem(err);
    _cleanup_close_ int fd = io_open_entry(from, O_PATH, NULL);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || strv_len(vm->tpm) >= TPM_FILES_MAX)
        return 0;
    int r = vm_effect(vm, VERB_PART, "path", to, &id, err);
    if (r < 0 || (r = io_copy_file(from, to, 0600, err)) < 0)
        return r < 0 ? err_context(err, "cannot copy the state of its TPM") : 0;
    if (strv_add(&vm->tpm, to) < 0 || strv_add(&vm->tpm_files, below) < 0)
        return err_nomem(err);
    return vm_effect_done(vm, id, err);
}

/* NULL: errno is set. */
static DIR *open_tpm_folder(const char *path)
{
    _cleanup_close_ int dir = -1;
    int fd = -1;

    int r = io_open_folder(path, &dir, NULL);
    if (r >= 0 && (fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        r = -errno;
    DIR *d = r >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    if (r < 0)
        errno = -r;
    return d;
}

static int keep_tpm_folder(struct vm *vm, const char *dir, const char *version, struct err *err)
{
    _cleanup_free_ char *path = io_path(dir, version);
    _cleanup_closedir_ DIR *d = path ? open_tpm_folder(path) : NULL;
    const struct dirent *e;
    int r = 0;

    if (!d)
        return errno == ENOENT ? 0 : err_errno(err, errno, "cannot read the state of its TPM in %s", path ? path : dir);
    while (r >= 0 && (e = readdir(d)))
        if (!strncmp(e->d_name, "tpm", 3))
            r = keep_tpm_file(vm, dir, version, e->d_name, err);
    return r;
}

static int keep_tpm(struct vm *vm, struct err *err)
{
    _cleanup_free_ char *dir = NULL;

    if (!vm->dom->tpm || !hv_is_local(vm->writer->config.hv))
        return 0;
    int r = hv_tpm_dir(vm->writer->config.hv, vm->dom->uuid, &dir, err);
    if (r >= 0)
        r = keep_tpm_folder(vm, dir, "tpm2", err);
    if (r >= 0)
        r = keep_tpm_folder(vm, dir, "tpm1.2", err);
    if (r >= 0 && !strv_len(vm->tpm) && vm->before != HV_OFF)
        return err_set(err, ENOENT, "its TPM has no state in %s", dir);
    return r;
}

static int count_tpm_files(const char *dir, const char *version, size_t *n)
{
    _cleanup_free_ char *path = io_path(dir, version);
    _cleanup_closedir_ DIR *d = path ? open_tpm_folder(path) : NULL;

    if (!d)
        return path && errno == ENOENT ? 0 : path ? -errno : -ENOMEM;
    for (const struct dirent *e; (e = readdir(d));) {
        struct stat st;
        *n += !strncmp(e->d_name, "tpm", 3) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    }
    return 0;
}

char *vm_lost_tpm(const struct hv_domain *d)
{
    _cleanup_free_ char *dir = NULL;
    size_t n = 0;

    if (!d->tpm || d->state == HV_OFF || !hv_is_local(d->hv) || hv_tpm_dir(d->hv, d->uuid, &dir, NULL) < 0)
        return NULL;
    int r = count_tpm_files(dir, "tpm2", &n);
    if (r >= 0)
        r = count_tpm_files(dir, "tpm1.2", &n);
    if (r < 0)
        return str_format("cannot read the state of its TPM in %s: %s", dir, strerror(-r));
    return n ? NULL
             : str_format("its TPM has no state in %s: restore it, or turn the VM off, which gives it a new TPM at its next start", dir);
}

int vm_keep_firmware(struct vm *vm, struct err *err)
{
    int r = keep_nvram(vm, err);

    return r < 0 ? r : keep_tpm(vm, err);
}
