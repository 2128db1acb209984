/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AppArmor and SELinux: whether a VM's QEMU will be let do what a backup job needs of it. The kernel is asked about the profile that
 * is in force. libvirt itself opens scratch files to QEMU, as it does disks; the socket's place is what it does not know of. */
#include "requester/check/check.h"
#include <errno.h>
#include <string.h>

static bool confined_has_qemu(const struct check_vm *vm)
{
    return vm->dom && (vm->dom->state == HV_RUNNING || vm->dom->state == HV_PAUSED);
}

static const char *remedy_of(int r)
{
    switch (r) {
    case -EACCES: return "run kvss as root";
    case -ENAMETOOLONG: return "shorten the VM's name";
    default: return "turn the VM off and start it again, so that libvirt recreates its folder";
    }
}

static void look_at_socket(struct check *c, struct check_vm *vm, const char *label)
{
    _cleanup_free_ char *socket = NULL;
    struct err why = ERR_INIT;

    int r = hv_backup_socket(vm->dom, &socket, &why);
    if (r < 0) {
        check_found(c, vm->findings, FOUND(FINDING_ERROR, "socket-no-place", remedy_of(r)),
                    "%s confines the VM's QEMU, which cannot create the socket of a backup job anywhere: %s", vm->confined_by, why.text);
        return;
    }
    if (strcmp(vm->confined_by, "apparmor") != 0 || hv_apparmor_allows(label, socket) != 0)
        return;
    *strrchr(socket, '/') = '\0';
    check_found(c, vm->findings,
                FOUND(FINDING_ERROR, "apparmor-denies",
                      "add \"/var/lib/libvirt/qemu/domain-*/* rw,\" to /etc/apparmor.d/local/abstractions/libvirt-qemu, then turn the VM "
                      "off and start it again"),
                "AppArmor does not allow the VM's QEMU to create the socket of a backup job in %s (profile %s)", socket, label);
}

int check_confined(struct check *c, struct err *err)
{
    (void)err;
    for (size_t i = 0; hv_is_local(c->s->hv) && i < c->n; i++) {
        struct check_vm *vm = &c->vms[i];
        _cleanup_free_ char *label = NULL;

        /* One that has ended meanwhile is the business of others. */
        if (!confined_has_qemu(vm) || hv_confinement(vm->dom, &vm->confined_by, &label, NULL) < 0 || !vm->confined_by)
            continue;
        look_at_socket(c, vm, label);
    }
    return 0;
}
