/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Servers on this host that QEMU connects to when a VM is started, and without which it does not start. A server may have room for the
 * VM alone, or do something for each client: so the kernel is asked who listens, and only where nobody does a connection is tried, which
 * then disturbs nobody. Servers on other hosts are not asked at all. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include "hypervisor/xml/places_xml.h"
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORTS "*[self::serial or self::parallel or self::console or self::channel or self::smartcard]"
#define CONNECTS "source/@mode='connect' and not(source/reconnect/@enabled='yes')"
#define TABLE_MAX ((size_t)64 << 20)
#define ANSWER_MS 1000        /* this host refuses at once */
#define STATE_LISTEN 0x0au    /* TCP_LISTEN, in /proc/net/tcp */
#define FLAG_LISTEN 0x10000ul /* __SO_ACCEPTCON, in /proc/net/unix */

static const struct servers_xml_kind {
    const char *devices, *source;
    const char *what;
} kinds[] = {
    { "devices/" PORTS "[(@type='unix' or @type='tcp') and " CONNECTS "]", "source", "a port" },
    { "devices/redirdev[(@type='unix' or @type='tcp') and " CONNECTS "]", "source", "a USB redirection" },
    { "devices/rng/backend[@model='egd' and (@type='unix' or @type='tcp') and source/@mode='connect']", "source[@mode='connect']",
      "a source of random numbers" },
    { "devices/interface[@type='vhostuser' and not(source/@mode='server')]", "source", "a network interface" },
};

/* ---- Sockets in the file system ---------------------------------------------------------------------------------------------------*/

/* "ffff8c1f: 00000002 00000000 00010000 0001 01 12345 /run/x.sock" */
static bool listens_at_path(const char *path)
{
    _cleanup_buf_ struct buf table = BUF_INIT;
    char *rest = NULL;

    if (io_read_file("/proc/net/unix", TABLE_MAX, &table, NULL) < 0 || !table.data)
        return true; /* not known */
    for (char *line = strtok_r((char *)table.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long flags = 0;
        int at = 0;
        if (sscanf(line, "%*[^:]: %*x %*x %lx %*x %*x %*u %n", &flags, &at) == 1 && at && (flags & FLAG_LISTEN) &&
            strcmp(line + at, path) == 0)
            return true;
    }
    return false;
}

/* It may be a server of another network namespace, or called by another path. */
static bool refuses(int family, const struct sockaddr *address, socklen_t length)
{
    _cleanup_close_ int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    int answer = 0;
    socklen_t size = sizeof(answer);

    if (fd < 0 || connect(fd, address, length) == 0)
        return false;
    if (errno != EINPROGRESS)
        return errno == ECONNREFUSED;
    return poll(&wait, 1, ANSWER_MS) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &answer, &size) == 0 && answer == ECONNREFUSED;
}

static bool is_deaf_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path) || access(path, F_OK) < 0 || listens_at_path(path))
        return false;
    memcpy(address.sun_path, path, strlen(path) + 1);
    return refuses(AF_UNIX, (const struct sockaddr *)&address, sizeof(address));
}

/* ---- TCP ---------------------------------------------------------------------------------------------------------------------------*/

/* "   0: 0100007F:1B59 00000000:0000 0A ...": at whatever address, which is more than enough to leave it alone. */
static bool listens_at_port(const char *file, unsigned port)
{
    _cleanup_buf_ struct buf table = BUF_INIT;
    char *rest = NULL;

    if (io_read_file(file, TABLE_MAX, &table, NULL) < 0 || !table.data)
        return false;
    for (char *line = strtok_r((char *)table.data, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned local = 0, state = 0;
        if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x", &local, &state) == 2 && local == port && state == STATE_LISTEN)
            return true;
    }
    return false;
}

/* Only of addresses that are this host's for certain: others are another host's business. A refused connection comes at once there. */
static bool is_deaf_port(const char *host, const char *service)
{
    char *end = NULL;
    unsigned long port = strtoul(service, &end, 10);
    struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    bool is_name = strcmp(host, "localhost") == 0, is_six = strcmp(host, "::1") == 0;

    if (!*service || *end || port < 1 || port > UINT16_MAX)
        return false;
    if (!is_six && inet_pton(AF_INET, is_name ? "127.0.0.1" : host, &four.sin_addr) != 1)
        return false;
    if (!is_six && (ntohl(four.sin_addr.s_addr) >> 24) != IN_LOOPBACKNET)
        return false;
    if (listens_at_port("/proc/net/tcp", (unsigned)port) || listens_at_port("/proc/net/tcp6", (unsigned)port))
        return false;
    if (is_six)
        return refuses(AF_INET6, (const struct sockaddr *)&six, sizeof(six));
    return refuses(AF_INET, (const struct sockaddr *)&four, sizeof(four));
}

/* ---- All of them -------------------------------------------------------------------------------------------------------------------*/

static int add_deaf(xmlNodePtr source, const char *what, char ***missing)
{
    _cleanup_free_ char *path = xml_attr(source, "path"), *host = xml_attr(source, "host"), *service = xml_attr(source, "service");
    _cleanup_free_ char *text = NULL;

    if (path ? !is_deaf_socket(path) : !host || !service || !is_deaf_port(host, service))
        return 0;
    text = path ? str_format("a server at socket %s (of %s): nothing is listening there", path, what)
                : str_format("a server at %s port %s (of %s): nothing is listening there", host, service, what);
    return !text ? -ENOMEM : strv_has(*missing, text) ? 0 : strv_add(missing, text); /* a console is a serial port told again */
}

int servers_xml_missing(xmlNodePtr domain, char ***missing)
{
    int r = 0;

    for (size_t i = 0; i < ARRAY_SIZE(kinds) && r == 0; i++) {
        _cleanup_free_ xmlNodePtr *nodes = NULL;
        int n = xml_find_all(domain, kinds[i].devices, &nodes);
        for (int k = 0; k < n && r == 0 && (unsigned)k < PLACES_MAX; k++) {
            xmlNodePtr source = xml_find(nodes[k], kinds[i].source);
            r = source ? add_deaf(source, kinds[i].what, missing) : 0;
        }
        if (n < 0)
            r = n;
    }
    return r;
}
