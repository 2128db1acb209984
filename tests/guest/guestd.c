/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* usage: guestd run free|driven|off [FILE_A FILE_B]   |   guestd status   |   guestd tpm [TEXT]   |   guestd hold */
#include "guestd.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 250000000 /* each costs an emulated processor half a millisecond, and guests are idle most of the time */

static struct state *map_state(int flags, int protection)
{
    int fd = open(STATE_FILE, flags | O_CLOEXEC, 0644);
    void *at;

    if (fd < 0 || ((flags & O_CREAT) != 0 && ftruncate(fd, sizeof(struct state)) != 0))
        return NULL;
    at = mmap(NULL, sizeof(struct state), protection, MAP_SHARED, fd, 0);
    close(fd);
    return at == MAP_FAILED ? NULL : at;
}

static int print_status(void)
{
    const struct state *st = map_state(O_RDONLY, PROT_READ);

    if (st == NULL) {
        fprintf(stderr, "guestd: no state in %s\n", STATE_FILE);
        return 1;
    }
    printf("counter=%" PRIu64 " bootid=%016" PRIx64 " a=%" PRIu64 " b=%" PRIu64 " boot_a=%" PRIu64 " boot_b=%" PRIu64 " errno=%d\n",
           st->counter, st->bootid, st->last_a, st->last_b, st->boot_a, st->boot_b, st->write_errno);
    return 0;
}

/* Process 1: it must also bury every orphan of the guest. */
static void count(struct state *st)
{
    struct timespec tick = { .tv_nsec = TICK_NS };

    for (;;) {
        nanosleep(&tick, NULL);
        st->counter++;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
    }
}

static int run(const struct options *opt)
{
    struct state *st = map_state(O_RDWR | O_CREAT, PROT_READ | PROT_WRITE);

    if (st == NULL || getrandom(&st->bootid, sizeof st->bootid, 0) != (ssize_t)sizeof st->bootid) {
        perror("guestd: " STATE_FILE);
        return 1;
    }
    tokens_find_last(opt, st);
    if (fork() == 0)
        shell_serve();
    if (fork() == 0) {
        prctl(PR_SET_NAME, "tokens"); /* so that `killall -STOP tokens` finds it */
        tokens_run(opt, st);
    }
    count(st);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "status") == 0)
        return print_status();
    if ((argc == 3 || argc == 5) && strcmp(argv[1], "run") == 0) {
        struct options opt = { .tokens = argv[2], .file_a = argc == 5 ? argv[3] : NULL, .file_b = argc == 5 ? argv[4] : NULL };

        return run(&opt);
    }
    if ((argc == 2 || argc == 3) && strcmp(argv[1], "tpm") == 0)
        return argc == 3 ? tpm_write(argv[2]) : tpm_read();
    if (argc == 2 && strcmp(argv[1], "hold") == 0)
        return hold();
    fprintf(stderr, "usage: guestd run free|driven|off [FILE_A FILE_B] | guestd status | guestd tpm [TEXT] | guestd hold\n");
    return 2;
}
