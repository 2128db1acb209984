/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The guest agent, as far as it can be seen from another process. */
#include "base/io.h"
#include "guest/guest.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define HOOK_NAME "kvss-guest" /* of our drop-in beside the agent's own script: HOOK.d/kvss-guest */
#define HOOK_DEFAULT "/etc/qemu/fsfreeze-hook"
#define CMDLINE_MAX 65536u
#define CGROUP "/sys/fs/cgroup"

/* The script that the agent was told to run: "-F", "-FPATH", "--fsfreeze-hook", "--fsfreeze-hook=PATH". NULL: none. args: its command
 * line as /proc has it, n bytes, each word ended by a zero. */
static const char *hook_of(const char *args, size_t n)
{
    static const char name[] = "--fsfreeze-hook";

    for (const char *a = args; a < args + n; a += strlen(a) + 1) {
        if (!strncmp(a, name, sizeof(name) - 1))
            return a[sizeof(name) - 1] == '=' ? a + sizeof(name) : !a[sizeof(name) - 1] ? HOOK_DEFAULT : NULL;
        if (!strncmp(a, "-F", 2))
            return a[2] ? a + 2 : HOOK_DEFAULT;
    }
    return NULL;
}

static bool hook_is_program(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & S_IXUSR);
}

static bool agent_has_hook(const char *pid)
{
    _cleanup_buf_ struct buf name = BUF_INIT, args = BUF_INIT;
    _cleanup_free_ char *comm = str_format("/proc/%s/comm", pid), *cmdline = str_format("/proc/%s/cmdline", pid);

    if (!comm || !cmdline || io_read_file(comm, 64, &name, NULL) < 0 || strcmp((const char *)name.data, "qemu-ga\n") != 0 ||
        io_read_file(cmdline, CMDLINE_MAX, &args, NULL) < 0 || !args.len)
        return false;
    const char *hook = hook_of((const char *)args.data, args.len);
    _cleanup_free_ char *drop_in = hook ? str_format("%s.d/" HOOK_NAME, hook) : NULL;
    return drop_in && hook_is_program(hook) && hook_is_program(drop_in);
}

bool guest_hook_is_used(void)
{
    _cleanup_closedir_ DIR *d = opendir("/proc");
    bool used = false;

    for (struct dirent *e; d && !used && (e = readdir(d));)
        used = e->d_name[0] >= '1' && e->d_name[0] <= '9' && agent_has_hook(e->d_name);
    return used;
}

/* systemd kills what is in the control group of a service that it stops: the agent's, which started us. A group beside all services is
 * nobody's but ours. Without cgroup v2, or the right to, we stay where we are. */
void guest_leave_service(void)
{
    _cleanup_free_ char *pid = str_format("%d", (int)getpid());

    if (mkdir(CGROUP "/kvss-guest", 0755) < 0 && errno != EEXIST)
        return;
    _cleanup_close_ int fd = open(CGROUP "/kvss-guest/cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && pid)
        (void)io_write(fd, pid, strlen(pid));
}
