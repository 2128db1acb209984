/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/xml/places_xml.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/strv.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PORTS "*[self::serial or self::parallel or self::console or self::channel or self::smartcard]"
#define TRIES_AGAIN "source/reconnect/@enabled='yes'" /* QEMU starts without what it connects to */

/* Where a definition names a place of the host. */
static const struct xml_kind {
    const char *devices; /* elements below <devices>, or <domain> */
    const char *at;      /* below each of them: the path */
    const char *what;
    bool folder; /* the place is made at the start, in a folder that must be there */
    enum place_remedy remedy;
} kinds[] = {
    { "devices/" PORTS "[@type='file']", "source/@path", "the file of a port", true, PLACE_NULL_PORT },
    { "devices/" PORTS "[@type='unix' and not(source/@mode='connect')]", "source/@path", "the socket of a port", true, PLACE_NULL_PORT },
    { "devices/" PORTS "[@type='unix' and source/@mode='connect' and not(" TRIES_AGAIN ")]", "source/@path", "socket of a port", false,
      PLACE_NULL_PORT },
    { "devices/redirdev[@type='unix' and source/@mode='connect' and not(" TRIES_AGAIN ")]", "source/@path", "socket of a USB redirection",
      false, PLACE_TRIED_AGAIN },
    { "devices/redirdev[@type='unix' and not(source/@mode='connect')]", "source/@path", "the socket of a USB redirection", true,
      PLACE_NEEDED },
    { "devices/" PORTS "[@type='dev']", "source/@path", "device of a port", false, PLACE_NULL_PORT },
    { "devices/" PORTS "[@type='pipe']", "source/@path", "pipe of a port", false, PLACE_NULL_PORT },
    { "devices/*/log[@file]", "@file", "a log", true, PLACE_NO_LOG },
    { "devices/graphics[listen/@type='socket']", "listen/@socket", "the socket of a display", true, PLACE_NO_DISPLAY },
    { "devices/rng[backend/@model='random']", "backend", "source of random numbers", false, PLACE_URANDOM },
    { "devices/rng[backend[1][@model='egd' and @type='unix']/source/@mode='connect']", "backend[1]/source/@path",
      "socket of a source of random numbers", false, PLACE_URANDOM },
    { "devices/rng[backend[1][@model='egd' and @type='unix']/source[not(@mode='connect')]]", "backend[1]/source/@path",
      "the socket of a source of random numbers", true, PLACE_URANDOM },
    { "sysinfo[@type='fwcfg']/entry", "@file", "file of a setting for firmware and guest (fw_cfg)", false, PLACE_DROPPED },
    { "os/acpi/table", ".", "ACPI table", false, PLACE_DROPPED },
    { "devices/*/rom", "@file", "option ROM", false, PLACE_OTHER_ROM },
    { "devices/interface[@type='vhostuser' and source/@mode='server']", "source/@path", "the socket of a network interface", true,
      PLACE_NO_NIC },
    { "devices/interface[@type='vhostuser' and not(source/@mode='server')]", "source/@path", "socket of a network interface", false,
      PLACE_NO_NIC },
    { "devices/interface", "script/@path", "script of a network interface", false, PLACE_NO_NIC },
    { "devices/input", "source/@evdev", "input device", false, PLACE_NEEDED },
    { "devices/input", "source/@dev", "input device", false, PLACE_NEEDED },
    { "devices/tpm/backend", "device/@path", "TPM", false, PLACE_NEEDED },
    { "devices/filesystem", "source/@dir", "shared folder", false, PLACE_NEEDED },
    { "devices/memory", "source/path", "the file of persistent memory", true, PLACE_NEEDED },
};

/* libvirt gives agent channels and displays sockets in folders that it makes anew at each start. */
static bool is_libvirts(const char *path)
{
    return strstr(path, "/qemu/channel/") || strstr(path, "/qemu/domain-");
}

static int places_xml_fill(struct place_xml *p, xmlNodePtr node, const struct xml_kind *kind, const char *path)
{
    p->node = node;
    p->remedy = kind->remedy;
    p->path = kind->folder ? io_dirname(path) : strdup(path);
    if (!p->path)
        return -ENOMEM;
    p->text = kind->folder ? str_format("folder %s (for %s, %s)", p->path, kind->what, path) : str_format("%s %s", kind->what, path);
    return p->text ? 0 : -ENOMEM;
}

void places_xml_free(struct place_xml *places, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(places[i].path);
        free(places[i].text);
    }
    free(places);
}

static int add_kind(xmlNodePtr domain, const struct xml_kind *kind, struct place_xml **list, size_t *n)
{
    _cleanup_free_ xmlNodePtr *nodes = NULL;
    int found = xml_find_all(domain, kind->devices, &nodes);

    for (int i = 0; i < found && *n < PLACES_MAX; i++) {
        _cleanup_free_ char *path = xml_get(nodes[i], kind->at);
        if (!path || path[0] != '/' || is_libvirts(path))
            continue;
        struct place_xml *more = realloc(*list, (*n + 1) * sizeof(*more));
        if (!more)
            return -ENOMEM;
        *list = more;
        more[*n] = (struct place_xml){ 0 };
        if (places_xml_fill(&more[(*n)++], nodes[i], kind, path) < 0)
            return -ENOMEM;
    }
    return found < 0 ? found : 0;
}

int places_xml_list(xmlNodePtr domain, struct place_xml **ret)
{
    struct place_xml *list = NULL;
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        int r = add_kind(domain, &kinds[i], &list, &n);
        if (r < 0) {
            places_xml_free(list, n);
            return r;
        }
    }
    *ret = list;
    return (int)n;
}

/* QEMU takes a pair of pipes, PATH.in and PATH.out, for one. */
bool place_is_there(const struct place_xml *place)
{
    _cleanup_free_ char *in = str_format("%s.in", place->path);

    return access(place->path, F_OK) == 0 || (in && access(in, F_OK) == 0);
}
