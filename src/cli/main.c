/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process: its streams, memory and signals. What it does is in run.c. */
#include "cli/bar.h"
#include "cli/run.h"
#include "cli/signals.h"
#include <errno.h>
#include <fcntl.h>
#include <kvss/vss_codes.h>
#include <malloc.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static void tell_asked(void *priv)
{
    struct cli *cli = priv;

    if (isatty(STDERR_FILENO) != 1)
        return;
    bar_line(
        cli->bar, stderr,
        requester_carries_on(cli->rq)
            ? "kvss: interrupted, but the old VM is already off, so the restore will be completed (Ctrl-C again: quit now and roll back)"
            : "kvss: interrupted: undoing changes to the VMs ... (Ctrl-C again: quit now, the watchdog finishes)");
}

/* From another thread than the one that hangs: nothing is freed. If there is a session, its watchdog puts the VMs back. */
static void end_at_once(void *priv, bool late)
{
    struct cli *cli = priv;
    struct err err = ERR_INIT;

    if (late)
        err_vss(&err, VSS_E_WRITERERROR_TIMEOUT, ETIMEDOUT,
                "kvss stopped responding and the freeze limit expired: guests were thawed and changes to VMs are being rolled back");
    else if (cli->alone)
        err_set(&err, EINTR, "interrupted before everything was undone: run kvss recover again to finish");
    else
        err_set(&err, EINTR, "interrupted before everything was undone; the watchdog finishes undoing changes to VMs");
    cli_print_error(cli, &err);
    fflush(stdout);
    _exit(late ? EXIT_FAILED : EXIT_INTERRUPTED);
}

/* What was begun without one of the standard streams must not write its report, or a warning, into a file that it opens. Opened the
 * wrong way round, so that to use it fails as if it were closed. */
static void keep_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            _exit(EXIT_FAILED);
}

/* A report that is lost must not look like one that says nothing: a full disk, a closed or broken pipe. A command that printed nothing
 * needs no stdout. */
static int end_output(int code)
{
    errno = 0;
    bool lost = ferror(stdout) != 0;
    lost = fflush(stdout) != 0 || lost;
    int why = errno;
    if (!lost && close(STDOUT_FILENO) < 0) { /* NFS and quotas tell only now */
        lost = true;
        why = errno;
    }
    if (!lost)
        return code;
    fprintf(stderr, "kvss: %s: output was lost: %s\n", code == EXIT_OK ? "the command completed, but" : "standard output",
            why ? strerror(why) : "write error");
    return code == EXIT_OK ? EXIT_FAILED : code;
}

/* The data path takes and gives back blocks of megabytes all the time. Handing each to the kernel and having it cleared again costs
 * a third of a restore's time (measured). */
static void keep_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 128 << 20);
}

/* Constructors of libraries use OpenSSL (libssh's, which comes with libcurl), and its allocator can be set only before. */
__attribute__((section(".preinit_array"), used)) static void (*const before_constructors)(void) = requester_use_huge_pages;

/* Where the words could not be understood: whoever wants JSON gets the failure so all the same. */
static bool asks_for_json(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

/* Keys and passphrases are in memory: no core file has them, and no other process of this user may look (ptrace, /proc/PID/mem). */
static void keep_secrets(void)
{
    struct rlimit core;

    if (getrlimit(RLIMIT_CORE, &core) == 0) {
        core.rlim_cur = 0;
        (void)setrlimit(RLIMIT_CORE, &core);
    }
    (void)prctl(PR_SET_DUMPABLE, 0);
}

int main(int argc, char **argv)
{
    struct cli cli = { .held = { .lock = PTHREAD_MUTEX_INITIALIZER } };
    struct err err = ERR_INIT;

    keep_secrets();
    keep_standard_streams();
    keep_memory();
    cli_log_start(&cli);
    const struct signals signals = { &cli.cancel, tell_asked, end_at_once, &cli };
    int code = signals_wait(&signals, &err) < 0 ? EXIT_FAILED : cli_run(&cli, argc, argv, &err);
    bar_stop(TAKE_PTR(cli.bar));
    if (code == EXIT_USAGE)
        cli.json = cli.json || asks_for_json(argc, argv);
    if (err.code && !cli.reported)
        cli_print_error(&cli, &err);
    cli_cleanup(&cli);
    cli_log_held(&cli, &(struct err)ERR_INIT);
    return end_output(code);
}
