/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* confined [-w] [-n] [FILE...] -- PROGRAM [ARG...]: runs it as kvss runs QEMU's tools, with nothing looked at beforehand; the files are
 * its descriptors 3, 4 ... -w: also to be written; -n: it may use the network; What it goes without (enum
 * confine_lack) is told on stderr. */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/proc.h"
#include "hypervisor/image/tool.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 8
#define OUT_MAX ((size_t)64 << 20)

int main(int argc, char **argv)
{
    struct confine c = tool_confine(false);
    _cleanup_buf_ struct buf out = BUF_INIT, said = BUF_INIT;
    struct err err = ERR_INIT;
    int fds[FILES_MAX], at = 1, status = 0;
    unsigned lacks = 0;
    size_t n = 0;

    for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
        if (!strcmp(argv[at], "-w"))
            c.write = true;
        else if (!strcmp(argv[at], "-n"))
            c.network = true;
        else if (n == FILES_MAX || (fds[n++] = open(argv[at], O_PATH | O_CLOEXEC)) < 0)
            return fprintf(stderr, "%s: %s\n", argv[at], strerror(errno)), 2;
    }
    if (at + 1 >= argc)
        return fprintf(stderr, "usage: confined [-w] [-n] [FILE...] -- PROGRAM [ARG...]\n"), 2;
    c.ret_lacks = &lacks;
    const struct proc_run run = { .argv = argv + at + 1, .out_max = OUT_MAX, .timeout_ms = 60000, .pass = fds, .n_pass = n, .confine = &c };
    if (proc_run(&run, &out, &said, &status, &err) < 0)
        return fprintf(stderr, "%s\n", err.text), 2;
    fwrite(out.data, 1, out.len, stdout);
    fprintf(stderr, "%slacks=%u\n", (char *)said.data, lacks);
    return status;
}
