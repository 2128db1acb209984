/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Takes the protection off a VM's memory, without QEMU. Where a background snapshot fails or is cancelled, QEMU (7.2) leaves the memory
 * protected, and nobody serves the write faults any more: the guest waits for ever, and QEMU with it as soon as whoever holds the lock of
 * its main loop writes to that memory. So a stream is never cancelled, and taken to its end whatever happens (live_spool.c, base/keeper.h);
 * and where all its readers were killed, its memory is freed from outside. */
#include "base/clock.h"
#include "base/io.h"
#include "base/num.h"
#include "base/thread.h"
#include "hypervisor/domain/domain_storage.h"
#include "hypervisor/live/live.h"
#include <dirent.h>
#include <errno.h>
#include <linux/userfaultfd.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>

#define STEP_MS 50u
#define MAPS_MAX ((size_t)16 << 20)
#define USERFAULTFD "anon_inode:[userfaultfd]"
#define RANGES_MAX 65536

struct range {
    unsigned long long from, to;
};

/* What QEMU may write to: its memory is among these. (What is registered stands in smaps only, for which the kernel counts pages.) */
static size_t writable_ranges(char *maps, struct range *ret, size_t max)
{
    size_t n = 0;
    char *save = NULL;

    for (char *line = strtok_r(maps, "\n", &save); line && n < max; line = strtok_r(NULL, "\n", &save)) {
        char mode[5];
        if (sscanf(line, "%llx-%llx %4s", &ret[n].from, &ret[n].to, mode) == 3 && mode[1] == 'w' && ret[n].from < ret[n].to)
            n++;
    }
    return n;
}

/* The next one from *number on that is a userfaultfd of the process's, -1: there is none. */
static int next_userfaultfd(DIR *dir, int number)
{
    int found = -1;

    rewinddir(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        char target[sizeof(USERFAULTFD)];
        uint64_t n;
        ssize_t len = readlinkat(dirfd(dir), e->d_name, target, sizeof(target));
        if (len != (ssize_t)strlen(USERFAULTFD) || memcmp(target, USERFAULTFD, (size_t)len) != 0 ||
            num_parse_u64(e->d_name, (uint64_t)number, INT32_MAX, &n, NULL) < 0)
            continue;
        if (found < 0 || (int)n < found)
            found = (int)n;
    }
    return found;
}

static DIR *open_descriptors(pid_t pid)
{
    _cleanup_free_ char *path = pid ? str_format("/proc/%d/fd", (int)pid) : NULL;

    return path ? opendir(path) : NULL;
}

bool live_is_protected(const struct hv_domain *d)
{
    _cleanup_closedir_ DIR *dir = open_descriptors((pid_t)domain_process_id(d->hv, d->name));

    return dir && next_userfaultfd(dir, 0) >= 0;
}

static void release_ranges(int uffd, const struct range *ranges, size_t n, bool all)
{
    for (size_t i = 0; i < n; i++) {
        struct uffdio_range range = { .start = ranges[i].from, .len = ranges[i].to - ranges[i].from };
        struct uffdio_writeprotect off = { .range = range };
        while (ioctl(uffd, UFFDIO_WRITEPROTECT, &off) < 0 && (errno == EAGAIN || errno == EINTR))
            continue; /* any other failure: it is not registered */
        if (all)
            (void)ioctl(uffd, UFFDIO_UNREGISTER, &range);
    }
}

void live_release(const struct hv_domain *d, bool all)
{
    pid_t pid = (pid_t)domain_process_id(d->hv, d->name);
    _cleanup_closedir_ DIR *dir = open_descriptors(pid);
    int number = dir ? next_userfaultfd(dir, 0) : -1;
    _cleanup_close_ int pidfd = number >= 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    _cleanup_free_ char *path = str_format("/proc/%d/maps", (int)pid);
    _cleanup_free_ struct range *ranges = calloc(RANGES_MAX, sizeof(*ranges));
    _cleanup_buf_ struct buf maps = BUF_INIT;

    if (pidfd < 0 || !path || !ranges || io_read_file(path, MAPS_MAX, &maps, NULL) < 0)
        return;
    size_t n = writable_ranges((char *)maps.data, ranges, RANGES_MAX);
    for (; n && number >= 0; number = next_userfaultfd(dir, number + 1)) {
        _cleanup_close_ int uffd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
        if (uffd >= 0)
            release_ranges(uffd, ranges, n, all);
    }
}

/* ---- Meanwhile ------------------------------------------------------------------------------------------------------------------------*/

struct releaser {
    const struct hv_domain *d;
    pthread_t thread;
    bool started;
    bool stop; /* atomic */
};

static void *releaser_main(void *arg)
{
    struct releaser *r = arg;

    while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
        live_release(r->d, false);
        clock_sleep_ms(STEP_MS);
    }
    return NULL;
}

struct releaser *live_release_begin(const struct hv_domain *d)
{
    struct releaser *r = calloc(1, sizeof(*r));

    live_release(d, false); /* once at least, and before anything else */
    if (!r)
        return NULL;
    r->d = d;
    r->started = thread_start(&r->thread, "kvss-release", releaser_main, r) == 0;
    return r;
}

void live_release_end(struct releaser *r)
{
    if (!r)
        return;
    __atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
    if (r->started)
        pthread_join(r->thread, NULL);
    free(r);
}
