/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt hands on of the guest's words (guest-get-fsinfo, guest-get-osinfo): a line is "NAME=TEXT", or "NAME#NUMBER". */
#include "fuzz.h"
#include "hypervisor/agent/agent.h"
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 2000

struct params {
    virTypedParameterPtr list;
    int n, room;
};

static void add(struct params *p, char *line)
{
    char *end = line + strcspn(line, "=#"), kind = *end;

    if (!kind || p->n == PARAMS_MAX)
        return;
    *end = '\0';
    if (kind == '=')
        (void)virTypedParamsAddString(&p->list, &p->n, &p->room, line, end + 1);
    else
        (void)virTypedParamsAddUInt(&p->list, &p->n, &p->room, line, (unsigned)strtoul(end + 1, NULL, 10));
}

static void look(const struct hv_agent_info *info)
{
    FUZZ_REQUIRE(info->n_fs <= GUEST_FS_MAX);
    for (size_t i = 0; i < info->n_fs; i++) {
        const struct hv_guest_fs *fs = &info->fs[i];
        FUZZ_REQUIRE(fs->mountpoint && fs->type && strv_len(fs->targets) <= GUEST_DISKS_MAX);
        FUZZ_REQUIRE(!fs->device || *fs->device);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct hv_agent_info info = { 0 };
    struct params p = { 0 };
    struct err err = ERR_INIT;
    char *rest = virInitialize() < 0 ? NULL : text;

    for (char *line; rest && (line = strsep(&rest, "\n"));)
        add(&p, line);
    if (agent_params_parse(p.list, p.n, &info, &err) == 0)
        look(&info);
    else
        FUZZ_REQUIRE(err.text[0] && !info.fs);
    hv_agent_info_clear(&info);
    virTypedParamsFree(p.list, p.n);
    return 0;
}
