/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a save image as libvirt's QEMU driver writes it (qemu_saveimage.h; save_image.c has the fields), for a stream that libvirt
 * has not written: 92 bytes, the definition, a cookie, zeros.
 *
 * The definition is the one that libvirt gives for migrations, which it saves too. In the cookie stands what it knows beside that: the CPU
 * as QEMU made it, where that is not the one in the definition (without it a host-model CPU could come back with other features), and that
 * no interface uses libslirp inside QEMU, which libvirt would otherwise insist on at the start. */
#include "base/num.h"
#include "base/xml.h"
#include "hypervisor/live/live.h"
#include <errno.h>
#include <string.h>

#define MAGIC "LibvirtQemudSave"
#define HEAD_SIZE 92
enum { AT_VERSION = 16, AT_DATA_LEN = 20, AT_WAS_RUNNING = 24, AT_COOKIE = 32 };

/* <cpu> without what belongs to <numa>: libvirt's own cookie has none. NULL text: there is no <cpu>. */
static int cpu_text(xmlDocPtr doc, char **ret, struct err *err)
{
    xmlNodePtr cpu = xml_find(xmlDocGetRootElement(doc), "cpu"), numa = cpu ? xml_find(cpu, "numa") : NULL;

    *ret = NULL;
    if (numa) {
        xmlUnlinkNode(numa);
        xmlFreeNode(numa);
    }
    return cpu ? xml_dump(doc, cpu, false, ret, err) : 0;
}

static int head_cookie(xmlDocPtr saved, xmlDocPtr live, struct buf *ret, struct err *err)
{
    _cleanup_free_ char *as_saved = NULL, *as_runs = NULL;
    bool user = xml_find(xmlDocGetRootElement(live), "devices/interface[@type='user']");

    int r = cpu_text(saved, &as_saved, err);
    if (r >= 0)
        r = cpu_text(live, &as_runs, err);
    if (r < 0)
        return r;
    bool other = as_runs && (!as_saved || strcmp(as_saved, as_runs) != 0);
    r = buf_addf(ret, "<cookie>\n%s%s%s</cookie>\n", other ? as_runs : "", other ? "\n" : "", user ? "" : "  <slirpHelper/>\n");
    return r < 0 ? err_nomem(err) : 0;
}

static void put_native(uint8_t *head, size_t at, uint32_t n)
{
    memcpy(head + at, &n, sizeof n); /* libvirt tells the order of bytes by the version */
}

int live_head(const char *xml, const char *live, struct buf *ret, struct err *err)
{
    _cleanup_xml_ xmlDocPtr saved = NULL, runs = NULL;
    _cleanup_buf_ struct buf cookie = BUF_INIT;
    uint8_t head[HEAD_SIZE] = { 0 };

    int r = xml_parse(xml, strlen(xml), "the VM's definition", &saved, err);
    if (r >= 0)
        r = xml_parse(live, strlen(live), "the VM's definition", &runs, err);
    if (r >= 0)
        r = head_cookie(saved, runs, &cookie, err);
    if (r < 0)
        return r;
    size_t xml_len = strlen(xml) + 1, room = HEAD_SIZE + xml_len + cookie.len + 1;
    /* What a longer name needs, when it is restored as a copy: as much as libvirt itself leaves. */
    size_t all = (size_t)num_div_up(room + LIVE_HEAD_ALIGN, LIVE_HEAD_ALIGN) * LIVE_HEAD_ALIGN;
    memcpy(head, MAGIC, strlen(MAGIC));
    put_native(head, AT_VERSION, 2);
    put_native(head, AT_DATA_LEN, (uint32_t)(all - HEAD_SIZE));
    put_native(head, AT_WAS_RUNNING, 1);
    put_native(head, AT_COOKIE, (uint32_t)xml_len);
    if (buf_reserve(ret, all) < 0 || buf_add(ret, head, sizeof(head)) < 0 || buf_add(ret, xml, xml_len) < 0 ||
        buf_add(ret, cookie.data, cookie.len + 1) < 0)
        return err_nomem(err);
    memset(ret->data + ret->len, 0, all - ret->len);
    ret->len = all;
    return 0;
}
