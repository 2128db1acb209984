/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A VM whose files are back is registered (M16), its disk paths (M17) and networks (M18) corrected, in the definition and in the
 * copy that a saved state carries, and brought to the state that was asked for. */
#include "base/buf.h"
#include "base/io.h"
#include "base/io_at.h"
#include "writers/vm/vm_internal.h"
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define DEFINITION_MAX ((size_t)16 << 20)

/* One pass of corrections over one text. */
struct pass {
    bool tell;   /* report what is corrected */
    bool live;   /* the definition that the VM ran with, else that for its next start */
    bool memory; /* ... which is in a saved state: the guest goes on in its memory */
};

/* ---- M17: every place that names a file ------------------------------------------------------------------------------------*/

/* Where the disk was at the backup; NULL: not told. */
static const char *disk_was(const struct vm_restore *r, const char *target)
{
    return json_string_value(json_object_get(json_object_get(r->options, "disks_were"), target));
}

/* The target that the disk has in this definition; NULL: it is not in it. Its targets are those of the definition that the VM ran with;
 * where the point has that one too, a disk of the same name in the other may well be another one. */
static const char *disk_in(const struct vm_restore *r, const struct hv_def *def, const char *target, bool live)
{
    bool by_name = live || !json_is_true(json_object_get(r->options, "both"));
    const char *found = live ? NULL : hv_def_find_image(r->writer->config.hv, def, target, disk_was(r, target));

    return found ? found : by_name && hv_def_has_disk(def, target) ? target : NULL;
}

static int correct_disk(struct vm_restore *r, struct hv_def *def, const char *target, const char *path, const struct pass *pass,
                        struct err *err)
{
    const char *have, *format, *here = disk_in(r, def, target, pass->live);

    if (!here)
        return 0; /* the requester tells of a disk that no definition has */
    int rc = hv_def_disk(def, here, &have, &format, err);
    if (rc < 0 || (!have && hv_def_is_volume_at(r->writer->config.hv, def, here, path)))
        return rc;
    if (pass->tell && (!have || strcmp(have, path)))
        vm_restore_step(r, "disk path", "%s is now %s, was %s", here, path, have ? have : "none");
    format = json_string_value(json_object_get(json_object_get(r->options, "formats"), target));
    return hv_def_set_disk(def, here, path, format, err); /* a recorded backing chain goes: the image stands alone */
}

static int correct_disks(struct vm_restore *r, struct hv_def *def, const struct pass *pass, struct err *err)
{
    const char *target;
    json_t *path;

    json_object_foreach (json_object_get(r->options, "disks"), target, path) {
        int rc = json_is_string(path) ? correct_disk(r, def, target, json_string_value(path), pass, err)
                                      : err_set(err, EINVAL, "the restore options do not say where disk %s is", target);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* With disks whose images are not here the VM could not be started. */
static void drop_absent(struct vm_restore *r, struct hv_def *def)
{
    const char *target;
    json_t *path;

    json_object_foreach (json_object_get(r->options, "absent"), target, path) {
        const char *here = json_is_string(path) ? hv_def_find_image(NULL, def, target, json_string_value(path)) : NULL;
        if (here)
            hv_def_drop_disk(def, here);
    }
}

/* Disks of the original that the copy gets no image of must not be written by two VMs. */
static int leave_disks(struct vm_restore *r, struct hv_def *def, const struct pass *pass, struct err *err)
{
    _cleanup_strv_ char **restored = NULL, **notes = NULL;
    const char *target;
    json_t *path;

    if (!vm_is_copy(r))
        return 0;
    json_object_foreach (json_object_get(r->options, "disks"), target, path) {
        const char *here = hv_def_find_image(NULL, def, target, json_string_value(path));
        if (!here && hv_def_is_volume_at(r->writer->config.hv, def, target, json_string_value(path)))
            here = target;
        if (here && strv_add(&restored, here) < 0)
            return err_nomem(err);
    }
    int rc = hv_def_leave_disks(def, restored, pass->memory, &notes, err);
    for (char **n = notes; rc >= 0 && pass->tell && n && *n; n++)
        vm_restore_warn(r, "%s", *n);
    return rc;
}

static int correct_nvram(struct vm_restore *r, struct hv_def *def, bool tell, struct err *err)
{
    const char *have = hv_def_nvram(def), *path = vm_restore_option(r, "nvram");

    if (!path || (have && !strcmp(have, path)))
        return 0;
    if (!have && hv_nvram_is_implied(r->writer->config.hv, hv_def_name(def), path))
        return 0; /* as it was before: the definition need not name it */
    if (tell)
        vm_restore_step(r, "disk path", "NVRAM is now %s, was %s", path, have ? have : "none");
    return hv_def_set_nvram(def, path, err);
}

static int eject_missing(struct vm_restore *r, struct hv_def *def, bool tell, struct err *err)
{
    _cleanup_strv_ char **ejected = NULL;

    int rc = hv_def_eject_missing(def, &ejected, err);
    for (char **t = ejected; rc >= 0 && tell && t && *t; t++)
        vm_restore_warn(r, "drive %s: its medium is not on this host, so the drive is empty now", *t);
    return rc;
}

/* Another distribution's path, say. */
static void correct_emulator(struct vm_restore *r, struct hv_def *def, bool tell)
{
    _cleanup_free_ char *was = hv_def_missing_emulator(def);

    if (!was)
        return;
    hv_def_drop_emulator(def);
    if (tell)
        vm_restore_warn(r, "its emulator %s is not on this host: the VM uses this host's emulator", was);
}

/* All corrections on one text: on the stored definition, on the one that the VM ran with, and on the one in a saved state, which is like
 * that but for what the guest's memory holds. */
static int correct(struct vm_restore *r, const char *xml, const struct pass *pass, char **ret, struct err *err)
{
    hv_def_free(r->def);
    r->def = NULL;
    int rc = hv_def_parse(xml, &r->def, err);
    if (rc < 0)
        return rc;
    drop_absent(r, r->def);
    if ((rc = vm_correct_identity(r, r->def, pass->tell, err)) < 0 || (rc = correct_disks(r, r->def, pass, err)) < 0 ||
        (rc = leave_disks(r, r->def, pass, err)) < 0 || (rc = correct_nvram(r, r->def, pass->tell, err)) < 0 ||
        (rc = eject_missing(r, r->def, pass->tell, err)) < 0 || (rc = vm_correct_networks(r, r->def, pass->live, pass->tell, err)) < 0 ||
        (pass->memory && (rc = vm_quiet_memory_nics(r, r->def, err)) < 0))
        return rc;
    correct_emulator(r, r->def, pass->tell);
    return hv_def_text(r->def, ret, err);
}

/* Only told: the requester refuses to start a VM that lacks them. */
static int note_missing(struct vm_restore *r, struct err *err)
{
    _cleanup_strv_ char **missing = NULL;

    int rc = hv_def_missing(r->writer->config.hv, r->def, &missing, err);
    for (char **m = missing; rc >= 0 && m && *m; m++)
        vm_restore_warn(r, "its %s is not on this host: the VM cannot start without it", *m);
    return rc;
}

/* ---- M16: a link in the default place --------------------------------------------------------------------------------------*/

/* The folder of the VM's first disk image, or NULL. */
static char *register_place_of(const struct vm_restore *r)
{
    const char *target;
    json_t *path;
    struct stat st;

    json_object_foreach (json_object_get(r->options, "disks"), target, path) {
        const char *p = json_string_value(path);
        if (p && stat(p, &st) == 0 && S_ISREG(st.st_mode))
            return io_dirname(p);
    }
    return NULL;
}

/* -1: something that is no link is there; else whether a link is there. */
static int link_state(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return 0;
    return S_ISLNK(st.st_mode) ? 1 : -1;
}

/* The link's folder, open, and what is there under its name. */
struct register_place {
    int dir;
    char *name, *made;     /* made: a name that nobody else has */
    char target[PATH_MAX]; /* of the link that is there; "": none is */
    struct io_id old;
};

static void place_clear(struct register_place *p)
{
    if (p->dir >= 0)
        close(p->dir);
    free(p->name);
    free(p->made);
}

static int register_look(struct register_place *p, const char *link, struct err *err)
{
    struct guid id = guid_new();

    int r = io_open_parent(link, &p->dir, &p->name, err);
    if (r < 0)
        return r;
    if (!(p->made = str_format(IO_TEMPORARY_PREFIX "link-%.13s", id.text)))
        return err_nomem(err);
    r = io_id_at(p->dir, p->name, &p->old);
    ssize_t n = r < 0 ? 0 : readlinkat(p->dir, p->name, p->target, sizeof(p->target) - 1);
    if ((r < 0 && r != -ENOENT) || n < 0)
        return err_errno(err, n < 0 ? errno : -r, "cannot access it");
    p->target[n] = '\0';
    return 0;
}

/* Entered in the journal with what is there now, so that the undo can put that back. */
static bool enter_link(struct vm_restore *r, const char *link, struct register_place *p, uint64_t *id)
{
    struct err why = ERR_INIT;

    int rc = register_look(p, link, &why);
    const struct journal_arg values[] = {
        { "path", link }, { "made", p->made }, { "target", *p->target ? p->target : NULL }, { "old_id", *p->target ? p->old.text : NULL },
        { NULL, NULL },
    };
    if (rc >= 0 && vm_restore_effect(r, VERB_LINK, hv_def_name(r->def), values, id, &why) >= 0)
        return true;
    vm_restore_warn(r, "the link %s was left unchanged: %s", link, why.text);
    return false;
}

/* Made beside it and written down, then renamed. */
static int put_link(struct vm_restore *r, const struct register_place *p, const char *to, uint64_t id)
{
    struct io_id new;
    struct err why = ERR_INIT;

    if (symlinkat(to, p->dir, p->made) < 0)
        return -errno;
    int rc = io_id_at(p->dir, p->made, &new);
    if (rc >= 0 && r->writer->config.journal)
        rc = journal_note(r->writer->config.journal, id, "new_id", new.text, &why);
    if (rc >= 0 && renameat(p->dir, p->made, p->dir, p->name) < 0)
        rc = -errno;
    if (rc < 0)
        (void)unlinkat(p->dir, p->made, 0);
    return rc;
}

static void register_make_link(struct vm_restore *r, const char *link, const char *to)
{
    _cleanup_(place_clear) struct register_place p = { .dir = -1 };
    uint64_t id;

    if (!enter_link(r, link, &p, &id))
        return;
    int rc = put_link(r, &p, to, id);
    if (rc < 0) {
        vm_restore_warn(r, "cannot create the link %s to %s: %s", link, to, strerror(-rc));
        return;
    }
    (void)vm_restore_effect_done(r, id, NULL);
    vm_restore_step(r, "link", "%s points to %s", link, to);
}

static void remove_link(struct vm_restore *r, const char *link)
{
    _cleanup_(place_clear) struct register_place p = { .dir = -1 };
    uint64_t id;

    if (!enter_link(r, link, &p, &id))
        return;
    if (unlinkat(p.dir, p.name, 0) < 0) {
        vm_restore_warn(r, "cannot remove the link %s: %s", link, strerror(errno));
        return;
    }
    (void)vm_restore_effect_done(r, id, NULL);
    vm_restore_step(r, "link", "%s removed, the VM is in its default place", link);
}

bool vm_needs_link(const char *default_dir, const char *link, const char *place)
{
    _cleanup_free_ char *real_link = realpath(link, NULL), *real = realpath(place, NULL);
    struct stat a, b, at;

    if (stat(default_dir, &a) < 0 || stat(place, &b) < 0 || (a.st_dev == b.st_dev && a.st_ino == b.st_ino))
        return false;
    size_t n = real_link ? strlen(real_link) : 0;
    bool within = n && real && strncmp(real, real_link, n) == 0 && (real[n] == '/' || real[n] == '\0');
    return !within || lstat(link, &at) < 0 || S_ISLNK(at.st_mode);
}

/* The link is a convenience: what keeps it from being made is told and does not fail the restore. */
static void link_default_place(struct vm_restore *r, const char *name)
{
    _cleanup_free_ char *place = register_place_of(r), *link = NULL;
    const char *default_dir = vm_restore_option(r, "default_dir");
    struct stat st;

    if (!place || !default_dir || stat(default_dir, &st) < 0 || stat(place, &st) < 0 || !(link = io_path(default_dir, name)))
        return;
    int have = link_state(link);
    if (!vm_needs_link(default_dir, link, place)) {
        if (have > 0)
            remove_link(r, link);
        return;
    }
    if (have < 0)
        vm_restore_warn(r, "%s is in the way of the link to %s and was left alone", link, place);
    else
        register_make_link(r, link, place);
}

/* ---- Registering and starting ------------------------------------------------------------------------------------------------*/

int vm_start_from_memory(struct vm_restore *r, const char *memory, const char *state, struct err *err)
{
    const struct pass pass = { .live = true, .memory = true, .tell = !vm_is_copy(r) }; /* of a copy the MACs are others in there */
    _cleanup_free_ char *inside = NULL, *xml = NULL;
    bool paused = strcmp(state, "running") != 0;

    int rc = vm_rename_memory(r, memory, err);
    if (rc >= 0)
        rc = hv_save_image_xml(r->writer->config.hv, memory, &inside, err);
    if (rc < 0)
        return err_context(err, "cannot read the saved state");
    rc = correct(r, inside, &pass, &xml, err);
    if (rc < 0)
        return err_context(err, "the definition in the saved state");
    rc = hv_start_from(r->writer->config.hv, memory, xml, paused, err);
    if (rc < 0)
        return err_context(err, "it was defined and is off (virsh start boots it without its saved state)");
    vm_restore_step(r, "start", "from its saved state, %s", paused ? "paused" : "running");
    return 0;
}

/* Under the definition that it ran with, where that is not the one for its next start. */
static int boot_as_it_was(struct vm_restore *r, struct hv_domain *d, const char *path, bool paused, struct err *err)
{
    const struct pass pass = { .live = true, .tell = true };
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *xml = NULL;

    int rc = io_read_file(path, DEFINITION_MAX, &text, err);
    if (rc >= 0)
        rc = correct(r, (const char *)text.data, &pass, &xml, err);
    if (rc < 0)
        return err_context(err, "the definition it was running with");
    return hv_start_as(d, xml, paused, err);
}

static int boot(struct vm_restore *r, struct hv_domain *d, bool paused, struct err *err)
{
    const char *live = vm_restore_option(r, "live");

    int rc = live ? boot_as_it_was(r, d, live, paused, err) : hv_start(d, paused, err);
    if (rc < 0)
        return err_context(err, "it was defined and is off");
    vm_restore_step(r, "start", "booted%s",
                    live ? " with the definition it was running with at the backup; its persistent definition differs" : "");
    return 0;
}

static int bring_to_state(struct vm_restore *r, struct err *err)
{
    const char *state = vm_restore_option(r, "state"), *memory = vm_restore_option(r, "memory");
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_free_ char *uuid = strdup(hv_def_uuid(r->def)); /* the definition is read anew with the saved state's */

    if (r->lease)
        return vm_cluster_online(r, err);
    if (!state || !strcmp(state, "off"))
        return 0;
    if (!uuid)
        return err_nomem(err);
    int rc = hv_domain_get(r->writer->config.hv, uuid, &d, err);
    if (rc < 0)
        return rc;
    if (memory) {
        rc = vm_start_from_memory(r, memory, state, err);
        if (rc < 0 || strcmp(state, "saved"))
            return rc;
        vm_restore_step(r, "save", "its memory is kept as a saved state");
        const char *was = vm_restore_option(r, "was");
        return hv_managed_save(d, !was || strcmp(was, "paused"), err);
    }
    if (!strcmp(state, "saved"))
        return 0; /* the memory is not wanted: off is what is left */
    return boot(r, d, !strcmp(state, "paused"), err);
}

/* What its start has made of firmware state is its own. */
int vm_bring_to_state(struct vm_restore *r, struct err *err)
{
    struct err unknown = ERR_INIT; /* then it is left where it is, should the restore be taken back */

    int rc = bring_to_state(r, err);
    if (r->writer->config.journal && r->fx_register)
        (void)journal_made(r->writer->config.journal, r->fx_register, &unknown);
    return rc;
}

/* Its folder is there, and it is certainly not in it: what will be there after the start is the VM's. */
static bool is_absent(const char *path)
{
    _cleanup_close_ int dir = -1;
    _cleanup_free_ char *name = NULL;
    struct err ignored = ERR_INIT;
    struct io_id id;

    return path && io_open_parent(path, &dir, &name, &ignored) >= 0 && io_id_at(dir, name, &id) == -ENOENT;
}

/* Of a VM that somebody has defined meanwhile nothing is overwritten. */
static int check_free(struct vm_restore *r, const char *uuid, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    struct err none = ERR_INIT;

    int rc = hv_domain_find(r->writer->config.hv, uuid, &d, &none);
    if (rc == -ENOENT)
        return 0;
    return rc < 0 ? err_move(err, &none)
                  : err_set(err, EEXIST, "VM %s with the same UUID was defined in the meantime and was left alone", d->name);
}

static int define(struct vm_restore *r, const char *xml, struct hv_domain **ret, struct err *err)
{
    const char *nvram = hv_def_nvram(r->def), *uuid = hv_def_uuid(r->def);
    _cleanup_free_ char *tpm = NULL;

    if (hv_tpm_dir(r->writer->config.hv, uuid, &tpm, NULL) < 0)
        tpm = NULL;
    const struct journal_arg values[] = {
        { "uuid", uuid },
        { "definition", xml },
        { is_absent(nvram) ? "nvram" : "had_nvram", nvram },
        { is_absent(tpm) ? "tpm" : "had_tpm", tpm },
        { NULL, NULL },
    };
    int rc = vm_restore_effect(r, VERB_REGISTER, hv_def_name(r->def), values, &r->fx_register, err);
    if (rc >= 0 && (rc = check_free(r, uuid, err)) < 0 && rc == -EEXIST && r->fx_register)
        journal_settled(r->writer->config.journal, r->fx_register);
    if (rc < 0 || (rc = hv_define(r->writer->config.hv, xml, ret, err)) < 0)
        return err_context(err, "it was not restored");
    return vm_restore_effect_done(r, r->fx_register, err);
}

int vm_register(struct vm_restore *r, struct err *err)
{
    _cleanup_(hv_domain_free_p) struct hv_domain *d = NULL;
    _cleanup_buf_ struct buf text = BUF_INIT;
    _cleanup_free_ char *xml = NULL;
    const char *path = vm_restore_option(r, "definition");
    const struct pass pass = { .tell = true };

    if (!path)
        return err_set(err, EINVAL, "the requester provided no definition");
    int rc = io_read_file(path, DEFINITION_MAX, &text, err);
    if (rc < 0)
        return rc;
    /* It is registered once, with all corrections; they are told after it and the link, in the order of M16, M17, M18. */
    json_t *steps = r->steps;
    json_auto_t *corrections = json_array();
    r->steps = corrections;
    rc = correct(r, (const char *)text.data, &pass, &xml, err);
    r->steps = steps;
    if (rc < 0)
        return err_context(err, "the stored definition");
    rc = r->lease ? vm_cluster_register(r, xml, err) : define(r, xml, &d, err);
    if (rc < 0)
        return rc;
    if (d)
        vm_restore_step(r, "register", "VM %s (%s)", d->name, d->uuid);
    link_default_place(r, hv_def_name(r->def));
    json_array_extend(r->steps, corrections);
    if ((rc = note_missing(r, err)) < 0)
        return rc;
    return d && json_is_true(json_object_get(r->options, "autostart")) ? hv_set_autostart(d, true, err) : 0;
}
