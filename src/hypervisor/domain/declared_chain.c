/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The backing chain that a definition declares (<backingStore>). libvirt and QEMU follow it, whatever the images record; who reads the
 * images without them follows what is recorded. Both must be the same, or what is read is not what the guest sees. */
#include "hypervisor/xml/definition.h"
#include "hypervisor/image/image.h"
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#define REMEDY "make them agree, with the VM off"

/* One step: an image, what its definition says about what is behind it, and what it records itself. */
struct step {
    const char *image;
    char *declared, *declared_format; /* declared NULL: the chain ends here */
    char *recorded, *recorded_format; /* recorded NULL: likewise */
    bool plain;                       /* what is declared is a whole file or block device of this host */
};

static void step_clear(struct step *s)
{
    free(s->declared);
    free(s->declared_format);
    free(s->recorded);
    free(s->recorded_format);
}

/* By what they are: two names may be of one file. */
static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    if (stat(a, &x) < 0 || stat(b, &y) < 0)
        return strcmp(a, b) == 0;
    return S_ISBLK(x.st_mode) ? S_ISBLK(y.st_mode) && x.st_rdev == y.st_rdev : x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Older versions of qemu-img recorded the protocol as the format of what is raw. No format recorded: what is found by looking, and a raw
 * image is never what is declared otherwise. */
static bool same_format(const struct step *s)
{
    static const char *const raw[] = { "raw", "file", "host_device" };
    const char *recorded = s->recorded_format;

    for (size_t i = 0; recorded && i < ARRAY_SIZE(raw); i++)
        if (strcmp(recorded, raw[i]) == 0)
            recorded = raw[0];
    return recorded && s->declared_format && strcmp(recorded, s->declared_format) == 0;
}

static int differ(const struct step *s, char **ret_why)
{
    if (!s->declared)
        *ret_why = str_format("its definition says that %s has no backing image (<backingStore/>), but the image records %s: " REMEDY
                              ": qemu-img rebase -u -b \"\" %s, or remove <backingStore/> from the definition",
                              s->image, s->recorded, s->image);
    else if (!s->plain)
        *ret_why =
            str_format("its definition names %s as the backing image of %s (<backingStore>), which cannot be compared with what the image "
                       "records (%s): if the image is right, remove <backingStore> from the definition",
                       s->declared, s->image, s->recorded ? s->recorded : "nothing");
    else
        *ret_why =
            str_format("its definition names %s (%s) as the backing image of %s (<backingStore>), but the image records %s%s%s%s: " REMEDY
                       ": qemu-img rebase -u -b %s -F %s %s, or remove <backingStore> from the definition",
                       s->declared, s->declared_format, s->image, s->recorded ? s->recorded : "nothing", s->recorded ? " (" : "",
                       !s->recorded         ? ""
                       : s->recorded_format ? s->recorded_format
                                            : "no format",
                       s->recorded ? ")" : "", s->declared, s->declared_format, s->image);
    return *ret_why ? 0 : -ENOMEM;
}

/* backing: a <backingStore>. */
static int read_declared(xmlNodePtr backing, struct step *s)
{
    _cleanup_free_ char *type = xml_attr(backing, "type");
    xmlNodePtr source = xml_find(backing, "source");

    if (!source)
        return 0;
    s->plain = (!type || strcmp(type, "file") == 0 || strcmp(type, "block") == 0) && !xml_find(source, "slices");
    s->declared = disk_xml_source_path(source);
    if (!s->declared) {
        s->plain = false;
        s->declared = strdup("another image");
    }
    s->declared_format = xml_get(backing, "format/@type");
    if (!s->declared_format)
        s->declared_format = strdup("raw");
    return s->declared && s->declared_format ? 0 : -ENOMEM;
}

/* Compares the layers from image on; backing is its <backingStore>. An image that cannot be read is not judged here. */
static int chain_compare(struct hv *hv, const char *image, const char *format, xmlNodePtr backing, unsigned depth, char **why)
{
    _cleanup_(step_clear) struct step s = { .image = image };

    if (!backing || depth > CHAIN_MAX)
        return 0; /* not declared: what is recorded holds */
    int r = read_declared(backing, &s);
    if (r == 0)
        r = image_recorded_backing(hv, image, format, &s.recorded, &s.recorded_format);
    if (r == -ENOMEM)
        return r;
    if (r < 0 || (!s.declared && !s.recorded))
        return 0;
    if (!s.declared || !s.recorded || !s.plain || !same_file(s.declared, s.recorded) || !same_format(&s))
        return differ(&s, why);
    return chain_compare(hv, s.declared, s.declared_format, xml_find(backing, "backingStore"), depth + 1, why);
}

int declared_chain_check(struct hv *hv, xmlNodePtr node, const struct hv_disk *disk, char **why)
{
    _cleanup_free_ char *first = disk_xml_source_path(xml_find(node, "source"));
    xmlNodePtr backing = xml_find(node, "backingStore");

    /* Of a transient disk in use, what lies behind the overlay is the image. */
    if (disk->transient && backing && first && strcmp(first, disk->path) != 0 && xml_find(backing, "source"))
        backing = xml_find(backing, "backingStore");
    return chain_compare(hv, disk->path, disk->format, backing, 0, why);
}
