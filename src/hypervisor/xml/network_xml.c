/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <disk type='network'> as a block node of QEMU's, for its tools: how the image is opened where no QEMU has it open. Only what says surely
 * what libvirt would make of it is translated; anything else has a reason why not. JSON keeps apart what a name could run together. */
#include "hypervisor/xml/domain_xml.h"
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <string.h>

#define HOST_MAX 255u
#define NAME_MAX_BYTES 4096u /* NBD's limit on the name of an export, and Linux's on a path */
#define SOCKET_MAX 107u      /* sun_path, with its end */
#define HOSTS_MAX 32

struct xml_place {
    xmlNodePtr source;
    const char *protocol;
    char *name; /* of the export, file or image; NULL: none */
    int n_hosts;
    xmlNodePtr *hosts;
    json_t *file; /* the node of the protocol, being made */
    char *why;    /* why there can be none */
};

/* Always 1, which means: it cannot be told; or -ENOMEM. */
static int __attribute__((format(printf, 2, 3))) untold(struct xml_place *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vasprintf(&p->why, fmt, ap);
    va_end(ap);
    if (n < 0)
        p->why = NULL;
    return n < 0 ? -ENOMEM : 1;
}

static int network_xml_set(json_t *object, const char *key, const char *value)
{
    return json_object_set_new(object, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

/* ---- Hosts ------------------------------------------------------------------------------------------------------------------*/

static bool is_host_name(const char *s)
{
    size_t n = strlen(s);

    return n && n <= HOST_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") == n;
}

static bool is_port(const char *s)
{
    size_t n = strlen(s);

    return n && n <= 5 && strspn(s, "0123456789") == n && strtoul(s, NULL, 10) >= 1 && strtoul(s, NULL, 10) <= 65535;
}

/* Host and port. default_port: what libvirt takes where none is given; NULL: it does not. */
static int internet(struct xml_place *p, xmlNodePtr host, const char *default_port, json_t *to)
{
    _cleanup_free_ char *name = xml_attr(host, "name"), *port = xml_attr(host, "port");
    const char *used = port && strcmp(port, "0") != 0 ? port : default_port;

    if (!name || !is_host_name(name))
        return untold(p, "the name of its server is missing or invalid");
    if (!used || !is_port(used))
        return untold(p, "the port of its server is missing or invalid");
    return network_xml_set(to, "host", name) < 0 || network_xml_set(to, "port", used) < 0 ? -ENOMEM : 0;
}

static int unix_socket(struct xml_place *p, xmlNodePtr host, json_t *to)
{
    _cleanup_free_ char *socket = xml_attr(host, "socket");

    if (!socket || socket[0] != '/' || strlen(socket) > SOCKET_MAX)
        return untold(p, "the path of its server's socket is missing or too long");
    return network_xml_set(to, "path", socket);
}

/* A SocketAddress of QEMU's. */
static int address(struct xml_place *p, xmlNodePtr host, const char *default_port, json_t **ret)
{
    json_auto_t *to = json_object();
    _cleanup_free_ char *transport = xml_attr(host, "transport");
    bool socket = transport && strcmp(transport, "unix") == 0;

    if (!to || network_xml_set(to, "type", socket ? "unix" : "inet") < 0)
        return -ENOMEM;
    if (transport && !socket && strcmp(transport, "tcp") != 0)
        return untold(p, "its server is reached by a transport other than TCP and UNIX sockets");
    int r = socket ? unix_socket(p, host, to) : internet(p, host, default_port, to);
    if (r == 0)
        *ret = TAKE_PTR(to);
    return r;
}

static int one_host(struct xml_place *p)
{
    return p->n_hosts == 1 ? 0 : untold(p, "it has %s server, but exactly one is expected", p->n_hosts ? "more than one" : "no");
}

/* ---- Protocols ----------------------------------------------------------------------------------------------------------------*/

static int fill_nbd(struct xml_place *p)
{
    json_t *server = NULL;
    int r = one_host(p);

    if (r == 0)
        r = address(p, p->hosts[0], "10809", &server);
    if (r == 0 && json_object_set_new(p->file, "server", server) < 0)
        r = -ENOMEM;
    return r == 0 && p->name ? network_xml_set(p->file, "export", p->name) : r;
}

/* Whether a URL needs no escaping for it: what would be escaped, libvirt and we might escape differently. */
static bool is_plain(const char *s)
{
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-")] == '\0';
}

static const char *url_port(const char *protocol)
{
    static const char *const ports[][2] = { { "http", "80" }, { "https", "443" }, { "ftp", "21" }, { "ftps", "990" } };

    for (size_t i = 0; i < ARRAY_SIZE(ports); i++)
        if (strcmp(ports[i][0], protocol) == 0)
            return ports[i][1];
    return NULL;
}

static int fill_url(struct xml_place *p)
{
    json_auto_t *at = json_object();
    _cleanup_free_ char *transport = p->n_hosts == 1 ? xml_attr(p->hosts[0], "transport") : NULL;
    _cleanup_free_ char *query = xml_attr(p->source, "query"), *verify = xml_get(p->source, "ssl/@verify");
    int r = !at ? -ENOMEM : one_host(p);

    if (r == 0 && transport && strcmp(transport, "tcp") != 0)
        r = untold(p, "its server is reached by a transport other than TCP");
    if (r == 0)
        r = internet(p, p->hosts[0], url_port(p->protocol), at);
    if (r == 0 && (!p->name || !is_plain(p->name) || (query && query[strcspn(query, "#%\"<>\\^`{|} ")] != '\0') ||
                   strchr(json_string_value(json_object_get(at, "host")), '%')))
        r = untold(p, "its address contains characters that must be encoded in a URL");
    if (r != 0)
        return r;
    const char *host = json_string_value(json_object_get(at, "host")), *six = strchr(host, ':');
    _cleanup_free_ char *url = str_format("%s://%s%s%s:%s/%s%s%s", p->protocol, six ? "[" : "", host, six ? "]" : "",
                                          json_string_value(json_object_get(at, "port")), p->name[0] == '/' ? p->name + 1 : p->name,
                                          query ? "?" : "", query ? query : "");
    if (!url || network_xml_set(p->file, "url", url) < 0)
        return -ENOMEM;
    return verify && strcmp(verify, "no") == 0 && json_object_set_new(p->file, "sslverify", json_false()) < 0 ? -ENOMEM : 0;
}

/* "pool/image". What more slashes mean has changed. */
static int fill_rbd(struct xml_place *p)
{
    json_auto_t *servers = json_array();
    _cleanup_free_ char *snapshot = xml_get(p->source, "snapshot/@name"), *config = xml_get(p->source, "config/@file");
    char *slash = p->name ? strchr(p->name, '/') : NULL;
    int r = servers ? 0 : -ENOMEM;

    if (!slash || slash == p->name || !slash[1] || strchr(slash + 1, '/'))
        return untold(p, "its name is not POOL/IMAGE");
    *slash = '\0';
    for (int i = 0; i < p->n_hosts && r == 0; i++) {
        json_t *server = json_object();
        r = server && json_array_append_new(servers, server) == 0 ? internet(p, p->hosts[i], NULL, server) : -ENOMEM;
    }
    if (r != 0)
        return r;
    if (network_xml_set(p->file, "pool", p->name) < 0 || network_xml_set(p->file, "image", slash + 1) < 0 ||
        (snapshot && network_xml_set(p->file, "snapshot", snapshot) < 0) || (config && network_xml_set(p->file, "conf", config) < 0))
        return -ENOMEM;
    return p->n_hosts && json_object_set(p->file, "server", servers) < 0 ? -ENOMEM : 0;
}

/* "volume/path". */
static int fill_gluster(struct xml_place *p)
{
    json_auto_t *servers = json_array();
    char *slash = p->name ? strchr(p->name, '/') : NULL;
    int r = servers ? 0 : -ENOMEM;

    if (!slash || slash == p->name || !slash[1] || !p->n_hosts)
        return untold(p, "it does not name a server, a volume and a file");
    *slash = '\0';
    for (int i = 0; i < p->n_hosts && r == 0; i++) {
        json_t *server = NULL;
        r = address(p, p->hosts[i], "24007", &server);
        if (r == 0 && json_array_append_new(servers, server) < 0)
            r = -ENOMEM;
    }
    if (r != 0)
        return r;
    return network_xml_set(p->file, "volume", p->name) < 0 || network_xml_set(p->file, "path", slash + 1) < 0 ||
                   json_object_set(p->file, "server", servers) < 0
               ? -ENOMEM
               : 0;
}

static int fill_nfs(struct xml_place *p)
{
    json_auto_t *server = json_object();
    _cleanup_free_ char *host = p->n_hosts == 1 ? xml_attr(p->hosts[0], "name") : NULL;
    _cleanup_free_ char *transport = p->n_hosts == 1 ? xml_attr(p->hosts[0], "transport") : NULL;
    int r = !server ? -ENOMEM : one_host(p);

    if (r != 0)
        return r;
    if (!host || !is_host_name(host) || (transport && strcmp(transport, "tcp") != 0) || !p->name || p->name[0] != '/')
        return untold(p, "it does not name a server and a file on it");
    return network_xml_set(server, "type", "inet") < 0 || network_xml_set(server, "host", host) < 0 ||
                   network_xml_set(p->file, "path", p->name) < 0 || json_object_set(p->file, "server", server) < 0
               ? -ENOMEM
               : 0;
}

static const struct protocol {
    const char *name;
    int (*fill)(struct xml_place *p);
    const char *elements[6]; /* of <source>, that are understood or change nothing of what is read */
} protocols[] = {
    { "nbd", fill_nbd, { "host", "reconnect" } },
    { "http", fill_url, { "host", "readahead", "timeout" } },
    { "https", fill_url, { "host", "ssl", "readahead", "timeout" } },
    { "ftp", fill_url, { "host", "readahead", "timeout" } },
    { "ftps", fill_url, { "host", "ssl", "readahead", "timeout" } },
    { "rbd", fill_rbd, { "host", "snapshot", "config" } },
    { "gluster", fill_gluster, { "host" } },
    { "nfs", fill_nfs, { "host" } },
};

/* ---- All of it ----------------------------------------------------------------------------------------------------------------*/

static bool network_xml_is_listed(const char *s, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n && list[i]; i++)
        if (strcmp(s, list[i]) == 0)
            return true;
    return false;
}

/* Whatever is not known here might change what is read, or as whom. */
static int check_source(struct xml_place *p, const struct protocol *protocol)
{
    static const char *const attributes[] = { "protocol", "name", "tls", "query", "index" };
    _cleanup_free_ char *tls = xml_attr(p->source, "tls"), *query = xml_attr(p->source, "query");

    if (tls && strcmp(tls, "no") != 0)
        return untold(p, "the connection to its server is encrypted (TLS)");
    for (xmlAttrPtr a = p->source->properties; a; a = a->next)
        if (!network_xml_is_listed((const char *)a->name, attributes, ARRAY_SIZE(attributes)))
            return untold(p, "kvss does not know the meaning of %.40s there", (const char *)a->name);
    if (query && protocol->fill != fill_url)
        return untold(p, "kvss does not know the meaning of query there");
    for (xmlNodePtr e = p->source->children; e; e = e->next) {
        if (e->type != XML_ELEMENT_NODE || network_xml_is_listed((const char *)e->name, protocol->elements, ARRAY_SIZE(protocol->elements)))
            continue;
        if (strcmp((const char *)e->name, "auth") == 0 || strcmp((const char *)e->name, "cookies") == 0)
            return untold(p, "its server requires a libvirt secret (%s)", (const char *)e->name);
        return untold(p, "kvss does not know the meaning of <%.40s> there", (const char *)e->name);
    }
    return p->name && strlen(p->name) > NAME_MAX_BYTES ? untold(p, "its name is too long") : 0;
}

static const struct protocol *find_protocol(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
        if (strcmp(protocols[i].name, name) == 0)
            return &protocols[i];
    return NULL;
}

static int translate(struct xml_place *p, xmlNodePtr disk, const char *format)
{
    const struct protocol *protocol = find_protocol(p->protocol);

    if (strcmp(p->protocol, "ssh") == 0)
        return untold(p, "its definition does not give the user and key for the ssh login");
    if (!protocol)
        return untold(p, "kvss does not support %.40s", p->protocol);
    /* Any other image can name files of this host, as its backing image or for its data, and its server can put another one there at any
     * moment: nothing but the VM's own QEMU, which may open no files of others, is to look into it. */
    if (strcmp(format, "raw") != 0)
        return untold(p, "its format is %.40s, but from a server kvss only reads raw, in which no image can refer to files of this host",
                      format);
    if (xml_find(disk, "auth"))
        return untold(p, "its server requires a libvirt secret (auth)");
    if (xml_find(disk, "backingStore/source"))
        return untold(p, "it has a backing image");
    int r = check_source(p, protocol);
    if (r == 0)
        p->n_hosts = r = xml_find_all(p->source, "host", &p->hosts);
    if (r >= 0 && p->n_hosts > HOSTS_MAX)
        return untold(p, "it has more servers than kvss supports");
    if (r > 0 && p->why)
        return r;
    return r < 0 || network_xml_set(p->file, "driver", protocol->name) < 0 ? -ENOMEM : protocol->fill(p);
}

/* read-only holds for the node below too. */
static char *whole_node(json_t *file)
{
    json_auto_t *node = json_pack("{s:s, s:b, s:O}", "driver", "raw", "read-only", 1, "file", file);

    return node ? json_dumps(node, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_SORT_KEYS) : NULL;
}

int network_xml_node(xmlNodePtr disk, const char *protocol, const char *format, struct network_node *ret)
{
    struct xml_place p = { .source = xml_find(disk, "source"), .protocol = protocol, .file = json_object() };
    int r = -ENOMEM;

    if (p.source && p.file) {
        p.name = xml_attr(p.source, "name");
        if (p.name && !p.name[0]) {
            free(p.name);
            p.name = NULL;
        }
        r = translate(&p, disk, format);
    }
    char *node = r == 0 ? whole_node(p.file) : NULL;
    json_decref(p.file);
    free(p.hosts);
    free(p.name);
    if (r < 0 || (r == 0 && !node)) {
        free(p.why);
        return -ENOMEM;
    }
    *ret = (struct network_node){ .text = node, .why_none = p.why };
    return 0;
}
