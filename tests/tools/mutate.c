/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* mutate json SEED PATH < DOCUMENT: the JSON document with one to four changes somewhere in its structure; PATH is one of the values.
 * mutate xml SEED PATH < DOCUMENT: the same of an XML document; what is added may run PATH.
 * mutate run KIB SECONDS FILE PROGRAM [ARG...]: runs it, and writes into the file how much memory (KiB) and time (ms) it took; ends as it
 * does, or with 99 if it took more memory, 98 if more time, 97 by a signal. */
#include "mutate_xml.h"
#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is a path is likely to lead to where somebody wants it. */
static bool is_path(const char *key)
{
    static const char *const keys[] = { "path", "restore_path", "from", "link", "backing", "below", "dir", "folder" };

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static json_t *value(const char *path)
{
    switch (random() % 16) {
    case 0: return json_null();
    case 1: return json_true();
    case 2: return json_integer(-1);
    case 3: return json_integer(INT64_MAX);
    case 4: return json_integer(INT64_MIN);
    case 5: return json_real(1.5);
    case 6: return json_string("");
    case 7: return json_string("..");
    case 8: return json_string("../../x");
    case 9: return json_array();
    case 10: return json_object();
    case 11: return json_string("%s%n\xe2\x80\xae\xc2\x9b");
    case 12: return json_string("json:{\"driver\":\"nbd\"}");
    case 13: return json_string("raw");
    default: return json_string(path);
    }
}

/* How many values there are in it, itself not counted. */
static size_t count(json_t *j)
{
    size_t n = 0, i;
    const char *key;
    json_t *e;

    if (json_is_object(j))
        json_object_foreach (j, key, e)
            n += 1 + count(e);
    else
        json_array_foreach (j, i, e)
            n += 1 + count(e);
    return n;
}

static void change_in_object(json_t *j, const char *key, const char *path)
{
    if (random() % 10 < 3)
        json_object_del(j, key);
    else
        json_object_set_new(j, key, is_path(key) && random() % 2 ? json_string(path) : value(path));
}

static void change_in_array(json_t *j, size_t i, const char *path)
{
    switch (random() % 10) {
    case 0:
    case 1: json_array_remove(j, i); break;
    case 2:
    case 3: json_array_append_new(j, json_deep_copy(json_array_get(j, i))); break;
    default: json_array_set_new(j, i, value(path));
    }
}

/* Changes value number *n. 1: done. */
static int change(json_t *j, size_t *n, const char *path)
{
    const char *key;
    size_t i;
    json_t *e;

    if (json_is_object(j)) {
        json_object_foreach (j, key, e) {
            if ((*n)-- == 0)
                return change_in_object(j, key, path), 1;
            if (change(e, n, path))
                return 1;
        }
        return 0;
    }
    json_array_foreach (j, i, e) {
        if ((*n)-- == 0)
            return change_in_array(j, i, path), 1;
        if (change(e, n, path))
            return 1;
    }
    return 0;
}

static int mutate(const char *seed, const char *path)
{
    json_t *j = json_loadf(stdin, 0, NULL);

    if (!j)
        return 1;
    srandom((unsigned)atoi(seed));
    for (long changes = random() % 4 + 1; changes > 0; changes--) {
        size_t n = count(j), at = n ? (size_t)random() % n : 0;
        if (n)
            change(j, &at, path);
    }
    return json_dumpf(j, stdout, JSON_COMPACT);
}

/* What it took goes into a file: KiB, ms. Returns the time. */
static long long note_use(const char *file, const struct rusage *used, const struct timespec *began)
{
    FILE *f = fopen(file, "we");
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    long long ms = (long long)(now.tv_sec - began->tv_sec) * 1000 + (now.tv_nsec - began->tv_nsec) / 1000000;
    if (f) {
        fprintf(f, "%ld %lld\n", used->ru_maxrss, ms);
        fclose(f);
    }
    return ms;
}

static int run(long kib, unsigned seconds, const char *file, char **argv)
{
    struct timespec began;
    struct rusage used;
    int status;

    clock_gettime(CLOCK_MONOTONIC, &began);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(seconds);
        execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &used) < 0)
        return 1;
    if (note_use(file, &used, &began) >= seconds * 1000LL) /* kvss ends in order on SIGALRM, too */
        return 98;
    if (WIFSIGNALED(status))
        return 97;
    return used.ru_maxrss > kib ? 99 : WEXITSTATUS(status);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "json") == 0)
        return mutate(argv[2], argv[3]);
    if (argc == 4 && strcmp(argv[1], "xml") == 0)
        return mutate_xml(argv[2], argv[3]);
    if (argc > 5 && strcmp(argv[1], "run") == 0)
        return run(atol(argv[2]), (unsigned)atoi(argv[3]), argv[4], argv + 5);
    fputs("Usage: mutate json|xml SEED PATH | mutate run KIB SECONDS FILE PROGRAM [ARG...]\n", stderr);
    return 2;
}
