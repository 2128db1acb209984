/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* System calls that a program which reads images has no use for (seccomp). Written out, not by a library: it is put in place between fork
 * and exec, where no memory may be asked for. */
#include "base/cleanup.h"
#include "base/confine_internal.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
#define ARCH AUDIT_ARCH_PPC64LE
#else
#define ARCH 0
#endif

#define X32_BIT 0x40000000u
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)

/* Other processes, the kernel, mounts and namespaces, keys, files by handle (a way out of any root folder), and io_uring, whose requests
 * no filter sees. */
/* clang-format off */
static const unsigned never[] = {
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_pidfd_open, SYS_pidfd_getfd, SYS_pidfd_send_signal,
    SYS_process_madvise, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, SYS_tkill, SYS_setpriority, SYS_sched_setscheduler,
    SYS_sched_setattr, SYS_sched_setparam, SYS_sched_setaffinity, SYS_ioprio_set, SYS_move_pages, SYS_migrate_pages,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_open_tree, SYS_move_mount, SYS_fsopen, SYS_fsconfig,
    SYS_fsmount, SYS_fspick, 442 /* mount_setattr */, SYS_swapon, SYS_swapoff, SYS_quotactl, SYS_name_to_handle_at,
    SYS_open_by_handle_at, SYS_fanotify_init, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl,
    SYS_kexec_load, SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_reboot, SYS_syslog, SYS_acct, SYS_settimeofday,
    SYS_clock_settime, SYS_clock_adjtime, SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_vhangup, SYS_personality,
    SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_mknodat, SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid,
    SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capset,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
#ifdef SYS_ioperm
    SYS_ioperm, SYS_iopl, SYS_modify_ldt,
#endif
#ifdef SYS_mknod
    SYS_mknod,
#endif
};
/* clang-format on */
/* It has its connections, or none. */
static const unsigned network[] = { SYS_socket, SYS_connect, SYS_bind };

struct program {
    struct sock_filter code[2 * (ARRAY_SIZE(never) + ARRAY_SIZE(network)) + 40];
    unsigned short n;
};

static void filter_add(struct program *p, unsigned code, unsigned k, unsigned char yes, unsigned char no)
{
    if (p->n < ARRAY_SIZE(p->code))
        p->code[p->n++] = (struct sock_filter){ (unsigned short)code, yes, no, k };
}

static void filter_load(struct program *p, size_t at)
{
    filter_add(p, BPF_LD | BPF_W | BPF_ABS, (unsigned)at, 0, 0);
}

static void end_with(struct program *p, unsigned what)
{
    filter_add(p, BPF_RET | BPF_K, what, 0, 0);
}

#define REFUSE(e) (SECCOMP_RET_ERRNO | (unsigned)(e))
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOW_OF_ARG(i) offsetof(struct seccomp_data, args[i])
#else
#define LOW_OF_ARG(i) (offsetof(struct seccomp_data, args[i]) + 4)
#endif

/* The call's number is loaded, before and after. */
static void refuse_call(struct program *p, unsigned call, int error)
{
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
    end_with(p, REFUSE(error));
}

/* Refused unless argument i is one of two values: another process is never signalled, nor its limits changed. */
static void only_with(struct program *p, unsigned call, unsigned i, unsigned a, unsigned b)
{
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 5);
    filter_load(p, LOW_OF_ARG(i));
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, a, 2, 0);
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, b, 1, 0);
    end_with(p, REFUSE(EPERM));
    end_with(p, SECCOMP_RET_ALLOW);
}

/* Threads, but no namespaces. The flags of clone3() are where no filter can see them: glibc then takes clone(). */
static void threads_only(struct program *p)
{
    refuse_call(p, SYS_clone3, ENOSYS);
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
    filter_load(p, LOW_OF_ARG(0));
    filter_add(p, BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
    end_with(p, REFUSE(EPERM));
    end_with(p, SECCOMP_RET_ALLOW);
}

static void write_program(const struct confine *c, struct program *p, unsigned self)
{
    filter_load(p, offsetof(struct seccomp_data, arch));
    filter_add(p, BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0);
    end_with(p, SECCOMP_RET_KILL_PROCESS); /* numbers of another kind would mean other calls */
    filter_load(p, offsetof(struct seccomp_data, nr));
    if (ARCH == AUDIT_ARCH_X86_64) {
        filter_add(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
        end_with(p, SECCOMP_RET_KILL_PROCESS);
    }
    for (size_t i = 0; i < ARRAY_SIZE(never); i++)
        refuse_call(p, never[i], EPERM);
    for (size_t i = 0; !c->network && i < ARRAY_SIZE(network); i++)
        refuse_call(p, network[i], EPERM);
    threads_only(p);
    only_with(p, SYS_kill, 0, self, self);
    only_with(p, SYS_tgkill, 0, self, self);
    only_with(p, SYS_prlimit64, 0, self, 0);
    end_with(p, SECCOMP_RET_ALLOW);
}

unsigned confine_filter(const struct confine *c)
{
    struct program p = { .n = 0 };

    if (ARCH == 0)
        return CONFINE_SECCOMP;
    write_program(c, &p, (unsigned)getpid());
    const struct sock_fprog prog = { .len = p.n, .filter = p.code };
    return prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &prog, 0L, 0L) < 0 ? CONFINE_SECCOMP : 0;
}
