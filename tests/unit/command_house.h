/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A writers directory with test writers in it, and a service that uses it. */
#ifndef COMMAND_HOUSE_H
#define COMMAND_HOUSE_H

#include "base/clock.h"
#include "vss_world.h"
#include "writers/command_internal.h"
#include "writers/command_writer.h"
#include <sys/stat.h>

#define RECORDER_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a01"
#define VETO_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a02"
#define HANG_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a03"
#define GARBAGE_ID "5d4e7a10-0d2b-4c55-8a63-7b1f0c9e1a04"

struct house {
    char *dir, *writers, *files, *log_file;
    struct trace log;
    struct log log_object;
    struct vss_service *service;
    struct command_writers *commands;
    struct trace trace;
    uint64_t clock;
    struct fake_provider provider;
};

static inline void house_log(void *priv, enum log_level level, const char *line)
{
    (void)level;
    trace_add(&((struct house *)priv)->log, "", line);
}

static inline int house_setup(void **state)
{
    struct house *h = calloc(1, sizeof *h);

    if (!h || test_dir_setup((void **)&h->dir) < 0)
        return -1;
    h->writers = str_format("%s/writers.d", h->dir);
    h->files = str_format("%s/files", h->dir);
    h->log_file = str_format("%s/events", h->dir);
    pthread_mutex_init(&h->log.lock, NULL);
    pthread_mutex_init(&h->trace.lock, NULL);
    h->provider.trace = &h->trace;
    h->provider.clock = &h->clock;
    h->log_object = (struct log){ .write = house_log, .priv = h, .max = LOG_LEVEL_DEBUG };
    *state = h;
    return mkdir(h->writers, 0755) | mkdir(h->files, 0755);
}

static inline int house_teardown(void **state)
{
    struct house *h = *state;
    void *dir = h->dir;

    vss_service_free(h->service);
    command_writers_free(h->commands);
    trace_clear(&h->log);
    trace_clear(&h->trace);
    free(h->writers);
    free(h->files);
    free(h->log_file);
    free(h);
    return test_dir_teardown(&dir);
}

#define house_test(f) cmocka_unit_test_setup_teardown(f, house_setup, house_teardown)

/* Puts a test writer into the directory, with its configuration. */
static inline void install(struct house *h, const char *name, const char *config)
{
    _cleanup_free_ char *from = str_format("%s/%s", KVSS_TEST_WRITERS, name);
    _cleanup_free_ char *to = str_format("%s/%s", h->writers, name);
    _cleanup_free_ char *conf = str_format("%s/.%s.conf", h->writers, name);
    _cleanup_free_ char *text = str_format("LOG='%s' FILES='%s'\n%s\n", h->log_file, h->files, config);
    struct err err = ERR_INIT;

    if (!io_exists(to)) {
        assert_ok(io_copy_file(from, to, 0755, &err));
        assert_int_equal(chmod(to, 0755), 0);
    }
    write_text(conf, text);
}

/* A program of our own making. */
static inline void install_text(struct house *h, const char *name, const char *text, mode_t mode)
{
    _cleanup_free_ char *path = str_format("%s/%s", h->writers, name);

    write_text(path, text);
    assert_int_equal(chmod(path, mode), 0);
}

static inline void load(struct house *h, unsigned freeze_limit_ms)
{
    struct vss_service_config config = { .log = &h->log_object, .freeze_limit_ms = freeze_limit_ms };
    struct kvss_provider p = fake_provider_struct();
    struct err err = ERR_INIT;

    assert_ok(vss_service_new(&config, &h->service, &err));
    assert_ok(vss_register_provider(h->service, &p, &h->provider, &err));
    assert_ok(command_writers_load(h->writers, &h->log_object, &h->commands, &err));
    assert_ok(command_writers_register(h->commands, h->service, &err));
}

static inline struct vss_session *begin(struct house *h, const char *writer, const char *logical_path, const char *component)
{
    struct vss_session *v = NULL;
    struct err err = ERR_INIT;

    assert_ok(vss_session_new(h->service, &v, &err));
    assert_ok(vss_initialize_for_backup(v, &err));
    assert_ok(vss_gather_writer_metadata(v, &err));
    assert_ok(vss_add_component(v, writer, logical_path, component, &err));
    assert_ok(vss_start_snapshot_set(v, NULL, &err));
    assert_ok(vss_add_to_snapshot_set(v, "/", NULL, NULL, &err));
    return v;
}

static inline int run(struct vss_session *v, struct err *err)
{
    int r = vss_prepare_for_backup(v, err);

    if (r == 0)
        r = vss_do_snapshot_set(v, err);
    return r == 0 ? vss_backup_complete(v, err) : r;
}

static inline bool logged(struct house *h, const char *part)
{
    for (size_t i = 0; i < h->log.n; i++)
        if (strstr(h->log.lines[i], part))
            return true;
    return false;
}

#endif
