/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded for User Mode Linux (tests/lib/uml), which keeps the extended registers of its processes in a buffer of 2696 bytes and cannot
 * put them back on processors that have more (AMX): the kernel wants all of them. What is beyond its buffer is as the process has it. */
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define REGS_MAX 65536u

static long set_regs(pid_t pid, const struct iovec *wanted)
{
    static unsigned char regs[REGS_MAX]; /* the kernel of User Mode Linux has one processor */
    struct iovec all = { regs, sizeof(regs) };

    if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &all) < 0)
        return -1;
    if (wanted->iov_len < all.iov_len)
        memcpy(regs, wanted->iov_base, wanted->iov_len);
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, wanted->iov_len < all.iov_len ? &all : wanted);
}

__attribute__((visibility("default"))) long ptrace(enum __ptrace_request request, ...)
{
    va_list ap;
    long word = 0;

    va_start(ap, request);
    pid_t pid = va_arg(ap, pid_t);
    void *addr = va_arg(ap, void *), *data = va_arg(ap, void *);
    va_end(ap);
    if (request == PTRACE_SETREGSET && (long)addr == NT_X86_XSTATE)
        return set_regs(pid, data);
    if (request != PTRACE_PEEKTEXT && request != PTRACE_PEEKDATA && request != PTRACE_PEEKUSER)
        return syscall(SYS_ptrace, request, pid, addr, data);
    if (syscall(SYS_ptrace, request, pid, addr, &word) < 0) /* these return what they read, as glibc's do */
        return -1;
    errno = 0;
    return word;
}
