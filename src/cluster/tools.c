/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands of Pacemaker: their output is XML, their exit codes are documented (crm_error -l). */
#include "base/proc.h"
#include "base/text.h"
#include "cluster/cluster_internal.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define LIMIT_MS 60000u
#define NO_SUCH_ITEM 105   /* CRM_EX_NOSUCH */
#define NOT_CONNECTED 102  /* CRM_EX_DISCONNECT */
#define NO_SUCH_SERVICE 69 /* CRM_EX_UNAVAILABLE */
#define TIMED_OUT 124      /* CRM_EX_TIMEOUT */
#define NOT_AUTHORISED 4   /* CRM_EX_INSUFFICIENT_PRIV */

/* root's PATH in a cron job may lack the folder. */
static const char *where_is(const char *name, char *buf, size_t n)
{
    snprintf(buf, n, "/usr/sbin/%s", name);
    return access(buf, X_OK) == 0 ? buf : name;
}

static int tool_failed(const char *name, int status, struct buf *said, struct err *err)
{
    char *text = said->data ? (char *)said->data : NULL;

    if (text) {
        text_clean(text, false);
        for (size_t n = strlen(text); n && (text[n - 1] == '?' || text[n - 1] == ' '); n--)
            text[n - 1] = '\0';
    }
    switch (status) {
    case NOT_CONNECTED:
    case NO_SUCH_SERVICE:
    case TIMED_OUT:
        return err_set(err, ENOTCONN, "the cluster does not answer on this host (%s: %s)", name, text && *text ? text : "no answer");
    case NO_SUCH_ITEM: return err_set(err, ENOENT, "the cluster has no such resource");
    case NOT_AUTHORISED: return err_set(err, EACCES, "the cluster refuses it: %s", text && *text ? text : "no permission");
    default: return err_set(err, EIO, "%s failed (status %d): %s", name, status, text && *text ? text : "no reason given");
    }
}

int cluster_tool(char *const *argv, const struct buf *in, struct buf *out, struct err *err)
{
    _cleanup_buf_ struct buf said = BUF_INIT;
    char *const env[] = { (char *)(uintptr_t) "LC_ALL=C", NULL };
    char path[64], *with_path[16];
    int status = 0;
    size_t n = 0;

    for (; argv[n] && n < ARRAY_SIZE(with_path) - 1; n++)
        with_path[n] = argv[n];
    with_path[n] = NULL;
    with_path[0] = (char *)(uintptr_t)where_is(argv[0], path, sizeof(path));
    const struct proc_run run = { .argv = with_path,
                                  .env = env,
                                  .name = argv[0],
                                  .in = in ? in->data : NULL,
                                  .in_len = in ? in->len : 0,
                                  .out_max = XML_TEXT_MAX,
                                  .timeout_ms = LIMIT_MS,
                                  .die_with_us = true }; /* or it could act when a recovery has undone what it does */
    int r = proc_run(&run, out, &said, &status, err);
    if (r == -ENOENT)
        return err_set(err, ENOTCONN, "%s is missing: install Pacemaker's command line tools", argv[0]);
    if (r == -ETIMEDOUT)
        return err_set(err, ENOTCONN, "the cluster does not answer within %u s (%s)", LIMIT_MS / 1000, argv[0]);
    if (r < 0)
        return r;
    return status ? tool_failed(argv[0], status, &said, err) : 0;
}

int cluster_tool_xml(char *const *argv, const struct buf *in, xmlDocPtr *ret, struct err *err)
{
    _cleanup_buf_ struct buf out = BUF_INIT;

    int r = cluster_tool(argv, in, &out, err);
    return r < 0 ? r : xml_parse(out.data ? (const char *)out.data : "", out.len, argv[0], ret, err);
}
