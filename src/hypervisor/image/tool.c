/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/image/tool.h"
#include "base/cleanup.h"
#include "base/proc.h"
#include "base/strv.h"
#include "hypervisor/hypervisor.h"
#include <errno.h>
#include <jansson.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>

#define NAMES_MAX 16384
/* A qcow2 image's tables and bitmaps are far below it; what a damaged one says about itself may not be. */
#define MEMORY_MAX ((uint64_t)8 << 30)

/* Debian's, and Fedora's. Where there is neither, one that owns nothing. */
static void find_user(struct confine *c)
{
    static const char *const users[] = { "libvirt-qemu", "qemu", "nobody" };
    char names[NAMES_MAX];
    struct passwd pw, *found = NULL;

    if (geteuid() != 0)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(users) && !found; i++)
        if (getpwnam_r(users[i], &pw, names, sizeof(names), &found) == 0 && found) {
            c->uid = found->pw_uid;
            c->gid = found->pw_gid;
        }
}

struct confine tool_confine(bool write)
{
    struct confine c = { .write = write, .memory_max = MEMORY_MAX };

    find_user(&c);
    return c;
}

void tool_reach_clear(struct tool_reach *r)
{
    for (size_t i = 0; i < TOOL_REACH_MAX; i++)
        free(r->names[i]);
    *r = (struct tool_reach){ 0 };
}

/* Sockets of servers, and the file that Ceph's driver is configured by. Bounded by jansson's own depth. */
static int tool_collect(const char *name, const json_t *node, struct tool_reach *r, size_t *n)
{
    const char *key, *text = json_string_value(node);
    struct stat st;
    json_t *v;
    size_t i;

    if (text && text[0] == '/' && *n < TOOL_REACH_MAX && stat(text, &st) == 0 &&
        (S_ISSOCK(st.st_mode) || (S_ISREG(st.st_mode) && strcmp(name, "conf") == 0)))
        return (r->names[(*n)++] = strdup(text)) ? 0 : -ENOMEM;
    json_object_foreach ((json_t *)(uintptr_t)node, key, v)
        if (tool_collect(key, v, r, n) < 0)
            return -ENOMEM;
    json_array_foreach (node, i, v)
        if (tool_collect(name, v, r, n) < 0)
            return -ENOMEM;
    return 0;
}

int tool_confine_network(const char *node, struct tool_reach *ret_reach, struct confine *ret)
{
    json_auto_t *tree = json_loads(node, 0, NULL);
    size_t n = 0;

    *ret_reach = (struct tool_reach){ 0 };
    if (tree && tool_collect("", tree, ret_reach, &n) < 0) {
        tool_reach_clear(ret_reach);
        return -ENOMEM;
    }
    *ret = (struct confine){ .network = true, .reach = (const char *const *)ret_reach->names };
    find_user(ret);
    return 0;
}

int hv_tools_lack(char **ret, struct err *err)
{
    static const struct {
        unsigned bit;
        const char *what;
    } lacks[] = {
        { CONFINE_ROOT, "a root folder of their own" },   { CONFINE_NET, "a network of their own" },
        { CONFINE_IPC, "an IPC namespace of their own" }, { CONFINE_USER, "QEMU's user" },
        { CONFINE_SECCOMP, "a filter for system calls" }, { CONFINE_LANDLOCK, "Landlock" },
    };
    unsigned lack = 0;
    struct confine c = tool_confine(false);
    const struct proc_run run = { .argv = PROC_ARGV("qemu-img", "--version"), .timeout_ms = 10000, .confine = &c };
    _cleanup_buf_ struct buf text = BUF_INIT;
    int status = 0, r;

    c.ret_lacks = &lack;
    *ret = NULL;
    r = proc_run(&run, NULL, NULL, &status, err);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(lacks); i++)
        if (lack & lacks[i].bit)
            r = buf_addf(&text, "%s%s", text.len ? ", " : "", lacks[i].what);
    if (r == 0 && text.len && !(*ret = buf_take_str(&text)))
        r = -ENOMEM;
    return r < 0 ? err_errno(err, -r, "cannot determine how qemu-img is confined") : 0;
}
