/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "requester/trust/allow.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The path with all links of its folders resolved as far as they exist. NULL: out of memory. Caller frees. */
static char *plain_place(const char *path)
{
    _cleanup_free_ char *base = io_basename(path), *dir = io_dirname(path);
    char *real = realpath(path, NULL);

    if (real || !base || !dir)
        return real;
    if (!strcmp(dir, path)) /* "/" and "." lead nowhere further */
        return strdup(path);
    _cleanup_free_ char *up = plain_place(dir);
    return up ? str_format("%s/%s", strcmp(up, "/") ? up : "", base) : NULL;
}

char *allow_real_place(const char *path)
{
    _cleanup_free_ char *led = io_follow(path);

    return led ? plain_place(led) : NULL;
}

int allow_add(char ***places, const char *path)
{
    _cleanup_free_ char *real = path ? allow_real_place(path) : NULL;

    if (!path)
        return 0;
    return real ? strv_add(places, real) : -ENOMEM;
}

int allow_add_all(char ***places, char *const *paths)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && paths && paths[i]; i++)
        r = allow_add(places, paths[i]);
    return r;
}

static bool climbs(const char *path)
{
    for (const char *p = strstr(path, ".."); p; p = strstr(p + 1, ".."))
        if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
            return true;
    return false;
}

static bool is_in(char *const *places, const char *real)
{
    for (size_t i = 0; places && places[i]; i++) {
        size_t n = strlen(places[i]);
        while (n && places[i][n - 1] == '/')
            n--;
        if (!strncmp(places[i], real, n) && (real[n] == '/' || real[n] == '\0') && !climbs(real + n))
            return true;
    }
    return false;
}

/* The node by the name that it has in its folder, which in /dev is a link to another node as often as not. */
static int device_is_in(char *const *places, const char *path)
{
    struct stat st;
    _cleanup_free_ char *base = io_basename(path), *dir = io_dirname(path), *up = dir ? plain_place(dir) : NULL;
    _cleanup_free_ char *node = up && base ? io_path(up, base) : NULL;

    if (!node)
        return -ENOMEM;
    return stat(path, &st) == 0 && S_ISBLK(st.st_mode) && !strncmp(node, "/dev/", 5) && is_in(places, node);
}

int allow_has(char *const *places, const char *path)
{
    _cleanup_free_ char *real = allow_real_place(path);

    if (!real)
        return -ENOMEM;
    return is_in(places, real) ? 1 : device_is_in(places, path);
}
