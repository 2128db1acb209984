/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What keeps a VM's QEMU in bounds beside its user: AppArmor, SELinux. */
#include "base/io.h"
#include "base/xml.h"
#include "hypervisor/host/host.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* The kernel's answers about its policy, by a file that is written to and then read (security/apparmor/apparmorfs.c of Linux). */
#define AA_ACCESS "/sys/kernel/security/apparmor/.access"
#define AA_CLASS_FILE '\2'
#define AA_MAY_WRITE_READ 0x6u
#define ANSWER_MAX 256u

int hv_confinement(struct hv_domain *d, char **ret_model, char **ret_label, struct err *err)
{
    _cleanup_free_ char *xml = NULL;
    _cleanup_xml_ xmlDocPtr doc = NULL;

    *ret_model = *ret_label = NULL;
    int r = hv_live_xml(d, &xml, err);
    if (r == 0)
        r = xml_parse(xml, strlen(xml), "a definition", &doc, err);
    if (r < 0)
        return r;
    xmlNodePtr root = xmlDocGetRootElement(doc);
    _cleanup_free_ char *label = xml_get(root, "seclabel[not(@model='dac') and not(@type='none')]/label");
    if (!label)
        return 0;
    char *model = xml_get(root, "seclabel[not(@model='dac') and not(@type='none') and label]/@model");
    if (!model)
        return err_nomem(err);
    *ret_model = model;
    *ret_label = TAKE_PTR(label);
    return 0;
}

/* The question: "label", the profile, each with its end, the class, and the path without an end. */
static int confinement_ask(int fd, const char *profile, const char *path)
{
    _cleanup_buf_ struct buf q = BUF_INIT;
    const char class = AA_CLASS_FILE;

    if (buf_add(&q, "label", 6) < 0 || buf_add(&q, profile, strlen(profile) + 1) < 0 || buf_add(&q, &class, 1) < 0 ||
        buf_add(&q, path, strlen(path)) < 0)
        return -ENOMEM;
    return io_write(fd, q.data, q.len);
}

int hv_apparmor_allows(const char *profile, const char *path)
{
    _cleanup_close_ int fd = open(AA_ACCESS, O_RDWR | O_CLOEXEC);
    char answer[ANSWER_MAX];
    unsigned allow, deny;

    if (fd < 0)
        return -errno;
    int r = confinement_ask(fd, profile, path);
    if (r < 0)
        return r;
    ssize_t n = read(fd, answer, sizeof(answer) - 1);
    if (n < 0)
        return -errno;
    answer[n] = '\0';
    if (sscanf(answer, "allow 0x%x\ndeny 0x%x", &allow, &deny) != 2)
        return -EPROTO;
    return (allow & ~deny & AA_MAY_WRITE_READ) == AA_MAY_WRITE_READ;
}
