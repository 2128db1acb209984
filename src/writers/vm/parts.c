/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What else belongs to a VM (B7), copied into the session's private folder: definition and NVRAM. */
#include "base/buf.h"
#include "base/io.h"
#include "writers/vm/internal.h"
#include <errno.h>
#include <string.h>

static char *part_path(const struct vm *vm, const char *name)
{
    return str_format("%s/%s.%s", vm->writer->config.session_dir, vm->dom->uuid, name);
}

int vm_keep_definition(struct vm *vm, struct err *err)
{
    uint64_t id;

    vm->definition = part_path(vm, "xml");
    if (!vm->definition)
        return err_set(err, ENOMEM, "out of memory");
    int r = vm_effect(vm, VERB_PART, "path", vm->definition, &id, err);
    if (r < 0)
        return r;
    r = io_replace_file(vm->definition, vm->dom->xml, strlen(vm->dom->xml), 0600, err);
    return r < 0 ? r : vm_effect_done(vm, id, err);
}

int vm_keep_nvram(struct vm *vm, struct err *err)
{
    uint64_t id;

    if (!vm->dom->nvram || !hv_is_local(vm->writer->config.hv))
        return 0;
    if (!io_exists(vm->dom->nvram)) /* never started yet: libvirt makes it from the template */
        return vm->before == HV_OFF ? 0 : err_set(err, ENOENT, "its NVRAM %s is not there", vm->dom->nvram);
    vm->nvram = part_path(vm, "nvram");
    if (!vm->nvram)
        return err_set(err, ENOMEM, "out of memory");
    int r = vm_effect(vm, VERB_PART, "path", vm->nvram, &id, err);
    if (r < 0)
        return r;
    r = io_copy_file(vm->dom->nvram, vm->nvram, 0600, err);
    return r < 0 ? err_context(err, "its NVRAM could not be copied") : vm_effect_done(vm, id, err);
}
