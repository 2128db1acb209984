/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guestctl.h"
#include "tokens.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define EXIT_NO_ANSWER 125
#define MAX_PORTS 64

static const char usage_text[] = "usage: guestctl [-t SECONDS] wait SOCKET           until the guest answers\n"
                                 "       guestctl [-t SECONDS] sh SOCKET COMMAND     run it in the guest; its output and status\n"
                                 "       guestctl [-t SECONDS] boot SOCKET WORDS     let a guest that is held go on, as these words say\n"
                                 "       guestctl [-l LOG] [-p MS] [-n COUNT] drive SOCKET...   send tokens, one guest after the other\n"
                                 "       guestctl records FILE_A FILE_B              the last tokens; 1 if the order is broken\n"
                                 "SOCKET may be a pattern. Status 124: the command took too long; 125: the guest did not answer.\n";

struct arguments {
    int seconds;
    unsigned pause_ms;
    uint64_t count;
    const char *log;
};

/* Never more than MAX_PORTS calls; what it returns lives until the end. */
static struct port *port_new(const char *pattern)
{
    static struct port table[MAX_PORTS];
    static int used;
    struct port *p = &table[used++];

    p->pattern = pattern;
    p->fd = -1;
    return p;
}

static void make_id(char id[32])
{
    snprintf(id, 32, "h%d-%" PRId64, (int)getpid(), clock_ms());
}

/* Sends the request until a line WANT comes. */
static int ask(struct port *p, int seconds, const char *request, const char *want)
{
    static char line[PORT_LINE_MAX];
    int64_t end = clock_ms() + (int64_t)seconds * 1000;

    while (clock_ms() < end) {
        int64_t try_until = clock_ms() + 500;

        if (!port_connect(p) || !port_send(p, request, try_until)) {
            usleep(50000);
            continue;
        }
        while (port_line(p, line, try_until) > 0)
            if (strcmp(line, want) == 0)
                return 0;
    }
    fprintf(stderr, "guestctl: no answer on %s in %d s\n", p->pattern, seconds);
    return EXIT_NO_ANSWER;
}

static int wait_guest(struct port *p, int seconds)
{
    char id[32], request[64], want[64];

    make_id(id);
    snprintf(request, sizeof request, "\nPING %s\n", id);
    snprintf(want, sizeof want, "%s P", id);
    return ask(p, seconds, request, want);
}

static int boot_guest(struct port *p, int seconds, const char *words)
{
    char id[32], request[4096], want[64];
    unsigned char random[32];
    int len;

    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return EXIT_NO_ANSWER;
    make_id(id);
    len = snprintf(request, sizeof request, "\nBOOT %s %lld ", id, (long long)time(NULL));
    for (size_t i = 0; i < sizeof random; i++)
        len += snprintf(request + len, sizeof request - (size_t)len, "%02x", random[i]);
    len += snprintf(request + len, sizeof request - (size_t)len, " %s\n", words);
    snprintf(want, sizeof want, "%s B", id);
    return (size_t)len < sizeof request ? ask(p, seconds, request, want) : 2;
}

static void print_hex(const char *hex)
{
    for (; hex[0] != '\0' && hex[1] != '\0'; hex += 2) {
        char two[3] = { hex[0], hex[1], '\0' };

        putchar((int)strtoul(two, NULL, 16));
    }
    fflush(stdout);
}

static char *run_request(const char *id, int seconds, const char *command)
{
    size_t len = strlen(command), size = 2 * len + 128, at;
    char *text = malloc(size);

    if (text == NULL)
        exit(EXIT_NO_ANSWER);
    at = (size_t)snprintf(text, size, "\nRUN %s %d ", id, seconds);
    for (size_t i = 0; i < len; i++)
        at += (size_t)snprintf(text + at, size - at, "%02x", (unsigned char)command[i]);
    strcpy(text + at, "\n");
    return text;
}

/* The guest's own time limit is the shorter, so that its answer gets through. */
static int run_in_guest(struct port *p, int seconds, const char *command)
{
    static char line[PORT_LINE_MAX];
    int64_t end = clock_ms() + (int64_t)seconds * 1000 + 3000;
    char id[32];
    size_t id_len;
    char *request;
    int got = 0;

    make_id(id);
    id_len = strlen(id);
    request = run_request(id, seconds, command);
    while (!port_connect(p) && clock_ms() < end)
        usleep(20000);
    if (p->fd >= 0 && port_send(p, request, end))
        while ((got = port_line(p, line, end)) > 0) {
            if (strncmp(line, id, id_len) != 0 || line[id_len] != ' ')
                continue; /* for somebody who left */
            if (line[id_len + 1] == 'O' && line[id_len + 2] == ' ')
                print_hex(line + id_len + 3);
            if (line[id_len + 1] == 'E')
                break;
        }
    free(request);
    if (got > 0)
        return atoi(line + id_len + 2);
    fprintf(stderr, "guestctl: no answer on %s: %s\n", p->pattern, got < 0 ? "hung up" : "timed out");
    return EXIT_NO_ANSWER;
}

static bool scan_file(const char *path, struct token_scan *scan)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -1 : token_scan_fd(fd, 0, scan);

    if (r != 0)
        perror(path);
    if (fd >= 0)
        close(fd);
    return r == 0;
}

static int print_records(const char *file_a, const char *file_b)
{
    struct token_scan a, b;
    bool order;

    if (!scan_file(file_a, &a) || !scan_file(file_b, &b))
        return 2;
    order = !a.corrupt && !b.corrupt && a.last.number >= b.last.number && b.last.number >= a.previous;
    printf("a=%" PRIu64 " b=%" PRIu64 " previous=%" PRIu64 " records_a=%" PRIu64 " records_b=%" PRIu64 " counter=%" PRIu64
           " bootid=%016" PRIx64 " torn=%d corrupt=%d order=%s\n",
           a.last.number, b.last.number, a.previous, a.records, b.records, a.last.counter, a.last.bootid, a.torn || b.torn,
           a.corrupt || b.corrupt, order ? "ok" : "broken");
    return order ? 0 : 1;
}

static int run_drive(const struct arguments *args, char **sockets, int n)
{
    struct port *ports[MAX_PORTS];

    if (n > MAX_PORTS)
        return 2;
    for (int i = 0; i < n; i++)
        ports[i] = port_new(sockets[i]);
    return drive(ports, n, args->log, args->pause_ms, args->count);
}

int main(int argc, char **argv)
{
    struct arguments args = { .seconds = 20, .pause_ms = 5 };
    const char *verb;
    int opt;

    while ((opt = getopt(argc, argv, "+t:l:p:n:")) != -1) {
        if (opt == 't')
            args.seconds = atoi(optarg);
        else if (opt == 'l')
            args.log = optarg;
        else if (opt == 'p')
            args.pause_ms = (unsigned)atoi(optarg);
        else if (opt == 'n')
            args.count = strtoull(optarg, NULL, 10);
        else
            optind = argc + 1;
    }
    verb = optind < argc ? argv[optind] : "";
    argv += optind + 1;
    argc -= optind + 1;
    if (strcmp(verb, "wait") == 0 && argc == 1)
        return wait_guest(port_new(argv[0]), args.seconds);
    if (strcmp(verb, "boot") == 0 && argc == 2)
        return boot_guest(port_new(argv[0]), args.seconds, argv[1]);
    if (strcmp(verb, "sh") == 0 && argc == 2)
        return run_in_guest(port_new(argv[0]), args.seconds, argv[1]);
    if (strcmp(verb, "drive") == 0 && argc >= 1)
        return run_drive(&args, argv, argc);
    if (strcmp(verb, "records") == 0 && argc == 2)
        return print_records(argv[0], argv[1]);
    fputs(usage_text, stderr);
    return 2;
}
