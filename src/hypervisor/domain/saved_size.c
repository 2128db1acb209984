/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How large the saved state of a VM will be: its memory, and the blocks beside it that QEMU saves too (video, flash, ROMs). QEMU leaves out
 * pages that hold only zeros; those that the guest never touched are no part of the process, which is all that can be told without a
 * monitor command. */
#include "base/buf.h"
#include "base/io.h"
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/domain/domain_process.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/host/host.h"
#include <string.h>
#include <sys/stat.h>

#define STATUS_MAX ((size_t)64 << 10)
#define VIDEO_MIN_KIB (16u << 10)
#define VIDEO_MAX_KIB (4u << 20)
#define FLASH_MAX ((uint64_t)256 << 20)
#define OTHER_BLOCKS ((uint64_t)4 << 20) /* firmware, option ROMs, tables of ACPI */

/* "RssAnon:     1234 kB" */
static uint64_t kilobytes(const char *status, const char *key)
{
    const char *line = strstr(status, key);

    return line ? strtoull(line + strlen(key), NULL, 10) << 10 : 0;
}

/* 0: not known. */
static uint64_t resident(const struct hv_domain *d)
{
    static const char *const keys[] = { "\nRssAnon:", "\nRssShmem:", "\nVmSwap:", "\nHugetlbPages:" };
    uint64_t pid = domain_process_id(d->hv, d->name), sum = 0;
    _cleanup_free_ char *path = pid ? str_format("/proc/%llu/status", (unsigned long long)pid) : NULL;
    _cleanup_buf_ struct buf status = BUF_INIT;

    if (!path || io_read_file(path, STATUS_MAX, &status, NULL) < 0 || !status.data)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        sum += kilobytes((const char *)status.data, keys[i]);
    return sum;
}

/* libvirt can be told to compress: then nobody knows. */
static bool compresses(const struct hv_domain *d)
{
    return !qemu_conf_is_usual(d->hv, "save_image_format", "raw");
}

/* Of <video>: what libvirt writes, or more than QEMU takes where it writes nothing. */
static uint64_t video_bytes(xmlNodePtr domain)
{
    static const char *const sizes[] = { "ram", "vram", "vram64" }; /* KiB; vgamem is a part of ram */
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int n = xml_find_all(domain, "devices/video/model[not(@type='none')]", &nodes);
    uint64_t sum = 0;

    for (int i = 0; i < n; i++) {
        uint64_t kib = 0, size;
        for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
            _cleanup_free_ char *text = xml_attr(nodes[i], sizes[k]);
            if (text && num_parse_u64(text, 0, VIDEO_MAX_KIB, &size, NULL) == 0)
                kib += size;
        }
        sum += num_max(kib, VIDEO_MIN_KIB) << 10;
    }
    return sum;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 ? num_min((uint64_t)st.st_size, FLASH_MAX) : 0;
}

uint64_t saved_size_beside_memory(const struct hv_domain *d)
{
    _cleanup_xml_ xmlDocPtr doc = NULL;

    if (!d->xml || xml_parse(d->xml, strlen(d->xml), "the VM's definition", &doc, NULL) < 0)
        return OTHER_BLOCKS;
    return OTHER_BLOCKS + video_bytes(xmlDocGetRootElement(doc)) + file_bytes(d->loader) + file_bytes(d->nvram);
}

uint64_t hv_save_bytes(struct hv_domain *d)
{
    uint64_t n = d->hv->local && !compresses(d) ? resident(d) : 0;

    return !n ? 0 : num_min(d->memory_in_files ? UINT64_MAX : n, d->memory_bytes + saved_size_beside_memory(d));
}
