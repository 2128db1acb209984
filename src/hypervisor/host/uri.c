/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a libvirt URI says: driver[+transport]://[user@][host][:port]/path[?parameters] */
#include "hypervisor/host/hv_internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX in n bytes. NULL: out of memory. */
static char *uri_decode(const char *s, size_t n)
{
    char *out = malloc(n + 1), *o = out;

    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n && hex(s[i + 1]) >= 0 && hex(s[i + 2]) >= 0) {
            *o++ = (char)(hex(s[i + 1]) * 16 + hex(s[i + 2]));
            i += 2;
        } else {
            *o++ = s[i];
        }
    }
    *o = '\0';
    return out;
}

/* Value of a parameter in "a=1&b=2". *ret NULL: not there, or empty. */
static int parameter(const char *query, const char *name, char **ret)
{
    size_t n = strlen(name);

    *ret = NULL;
    while (query && *query) {
        size_t len = strcspn(query, "&;");
        if (len > n + 1 && strncmp(query, name, n) == 0 && query[n] == '=') {
            *ret = uri_decode(query + n + 1, len - n - 1);
            return *ret ? 0 : -ENOMEM;
        }
        query += len;
        query += *query != '\0';
    }
    return 0;
}

int hv_uri_kind(const char *uri, struct uri_kind *ret, struct err *err)
{
    struct uri_kind k = { 0 };
    const char *host = strstr(uri, "://");

    if (!host)
        return err_set(err, EINVAL, "%s is not a libvirt URI such as qemu:///system", uri);
    const char *plus = memchr(uri, '+', (size_t)(host - uri));
    host += 3;
    size_t host_len = strcspn(host, "/?");
    const char *path = host + host_len;
    size_t path_len = strcspn(path, "?");

    k.local = host_len == 0 && (!plus || strncmp(plus, "+unix:", 6) == 0);
    k.session = path_len == 8 && strncmp(path, "/session", 8) == 0;
    if (k.local && path_len == 6 && strncmp(path, "/embed", 6) == 0 && path[path_len] == '?')
        if (parameter(path + path_len + 1, "root", &k.root) < 0)
            return err_nomem(err);
    *ret = k;
    return 0;
}
