/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's event loop in a thread. Needed where QEMU's monitors are served inside this process (qemu:///embed): without it
 * every call there would wait for ever. */
#include "hypervisor/host/hv_internal.h"
#include "base/thread.h"
#include <errno.h>
#include <signal.h>

struct hv_loop {
    pthread_t thread;
    int timer; /* never fires by itself; set to 0 it wakes the loop */
    int stop;
};

static void *loop_main(void *arg)
{
    struct hv_loop *loop = arg;

    while (!__atomic_load_n(&loop->stop, __ATOMIC_ACQUIRE))
        virEventRunDefaultImpl();
    return NULL;
}

static void on_timer(int timer, void *opaque)
{
    (void)opaque;
    virEventUpdateTimeout(timer, -1);
}

static void register_impl(void)
{
    virEventRegisterDefaultImpl();
}

int hv_loop_start(struct hv_loop **ret, struct err *err)
{
    /* libvirt has one event implementation per process and complains on stderr about a second one. */
    static pthread_once_t registered = PTHREAD_ONCE_INIT;

    pthread_once(&registered, register_impl);
    _cleanup_free_ struct hv_loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return err_nomem(err);
    loop->timer = virEventAddTimeout(-1, on_timer, NULL, NULL);
    if (loop->timer < 0)
        return hv_virt_error(err, "cannot run libvirt's event loop");
    int r = -thread_start(&loop->thread, "kvss-libvirt", loop_main, loop);
    if (r != 0) {
        virEventRemoveTimeout(loop->timer);
        return err_errno(err, r, "cannot start a thread for libvirt's event loop");
    }
    *ret = TAKE_PTR(loop);
    return 0;
}

void hv_loop_stop(struct hv_loop *loop)
{
    if (!loop)
        return;
    __atomic_store_n(&loop->stop, 1, __ATOMIC_RELEASE);
    virEventUpdateTimeout(loop->timer, 0);
    pthread_join(loop->thread, NULL);
    virEventRemoveTimeout(loop->timer);
    free(loop);
}
