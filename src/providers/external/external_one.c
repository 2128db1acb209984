/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One provider of a third party: who it is, and how it is called. */
#include "base/guid.h"
#include "base/num.h"
#include "base/program.h"
#include "base/text.h"
#include "providers/external/external_internal.h"
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAME_LEN_MAX ((size_t)64)

const char *const external_words[EXT_WORDS + 1] = {
    [EXT_IDENTIFY] = "identify",
    [EXT_CHECK_HEALTH] = "check-health",
    [EXT_FREE_ROOM] = "free-room",
    [EXT_IS_VOLUME_SUPPORTED] = "is-volume-supported",
    [EXT_BEGIN_PREPARE] = "begin-prepare",
    [EXT_PREPARE_POINT] = "prepare-point",
    [EXT_TAKE_POINT] = "take-point",
    [EXT_END_PREPARE] = "end-prepare",
    [EXT_PRE_COMMIT] = "pre-commit",
    [EXT_COMMIT] = "commit",
    [EXT_POST_COMMIT] = "post-commit",
    [EXT_PRE_FINAL_COMMIT] = "pre-final-commit",
    [EXT_SNAPSHOT_DEVICE] = "snapshot-device",
    [EXT_POST_FINAL_COMMIT] = "post-final-commit",
    [EXT_OPEN_DISK] = "open-disk",
    [EXT_CHECK_SNAPSHOTS] = "check-snapshots",
    [EXT_ABORT_SNAPSHOTS] = "abort-snapshots",
    [EXT_DELETE_SNAPSHOTS] = "delete-snapshots",
};

static const unsigned always = 1u << EXT_IDENTIFY | 1u << EXT_IS_VOLUME_SUPPORTED | 1u << EXT_BEGIN_PREPARE | 1u << EXT_COMMIT |
                               1u << EXT_ABORT_SNAPSHOTS | 1u << EXT_DELETE_SNAPSHOTS;

int external_find_word(const char *word)
{
    for (int i = 0; i < EXT_WORDS; i++)
        if (!strcmp(external_words[i], word))
            return i;
    return -1;
}

bool external_is_plain(const char *text)
{
    _cleanup_free_ char *clean = strdup(text);

    if (!clean)
        return false;
    text_clean(clean, false);
    return !strcmp(clean, text);
}

int external_new(const struct external_config *config, enum external_kind kind, const char *path, int file, struct external **ret,
                 struct err *err)
{
    struct external *x = calloc(1, sizeof(*x));

    if (!x) {
        cleanup_close_p(&file);
        return err_nomem(err);
    }
    x->config = *config;
    x->kind = kind;
    x->file = file;
    x->calls = -1;
    x->ended = -1;
    x->timeout_ms = EXTERNAL_TIMEOUT_MS;
    x->words = always;
    pthread_mutex_init(&x->lock, NULL);
    *ret = x;
    x->path = strdup(path);
    return x->path ? 0 : err_nomem(err);
}

void external_one_free(struct external *x)
{
    if (!x)
        return;
    external_object_end(x);
    for (struct external_begun *b = x->begun, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    cleanup_close_p(&x->file);
    pthread_mutex_destroy(&x->lock);
    free(x->path);
    free(x->name);
    free(x->id);
    free(x->version);
    free(x);
}

/* ---- A call ---------------------------------------------------------------------------------------------------------------*/

static int one_run_program(struct external *x, const char *word, json_t *input, unsigned timeout_ms, json_t **ret, struct err *err)
{
    _cleanup_free_ char *where = str_format("KVSS_PROVIDER=%s", x->path);
    const struct program_call call = {
        .what = "program",
        .noun = "call",
        .path = x->path,
        .word = word,
        .file = x->file,
        .env = (char *[]){ where, NULL },
        .input = input,
        .timeout_ms = timeout_ms,
        .out_max = EXTERNAL_ANSWER_MAX,
    };
    struct program_result result = { 0 };

    int r = where ? program_run(&call, &result, err) : err_nomem(err);
    if (r < 0)
        return r;
    if (result.verdict != PROGRAM_OK) {
        json_decref(result.answer);
        const char *why = result.verdict == PROGRAM_NOT_HANDLED ? "it does not know this call" : "it failed without giving a reason";
        return err_set(err, EIO, "%s: %s", word, *result.text ? result.text : why);
    }
    *ret = result.answer;
    return 0;
}

/* Guests or writers are waiting, or somebody who only asked. */
static unsigned one_time_for(const struct external *x, enum external_word word)
{
    unsigned held = x->config.held_ms ? x->config.held_ms : EXTERNAL_HELD_MS;

    switch (word) {
    case EXT_IDENTIFY:
    case EXT_CHECK_HEALTH:
    case EXT_FREE_ROOM:
    case EXT_IS_VOLUME_SUPPORTED: return EXTERNAL_QUESTION_MS;
    case EXT_TAKE_POINT:
    case EXT_COMMIT:
    case EXT_POST_COMMIT: return (unsigned)num_min(held, x->timeout_ms);
    default: return x->timeout_ms;
    }
}

int external_call(struct external *x, enum external_word word, json_t *input, json_t **ret, struct err *err)
{
    _cleanup_json_ json_t *in = input, *answer = NULL;
    const char *name = external_words[word];
    struct err why = ERR_INIT;

    if (!in || json_object_set_new(in, "api", json_integer(KVSS_PROVIDER_API)) < 0 ||
        json_object_set_new(in, "call", json_string(name)) < 0)
        return err_nomem(err);
    int r = (x->kind == EXTERNAL_PROGRAM ? one_run_program : external_object_call)(x, name, in, one_time_for(x, word), &answer, &why);
    if (r >= 0 && !ret && json_object_size(answer) > 0)
        r = err_set(&why, EBADMSG, "%s: it answered although nothing was asked", name);
    if (r < 0) {
        err_context(&why, "provider %s", x->name ? x->name : x->path);
        return err_move(err, &why);
    }
    if (ret && !answer && !(answer = json_object()))
        return err_nomem(err);
    if (ret)
        *ret = TAKE_PTR(answer);
    return 0;
}

/* ---- Who it is ------------------------------------------------------------------------------------------------------------*/

static int one_bad(struct err *err, const char *what)
{
    return err_set(err, EBADMSG, "identify: %s", what);
}

/* A word that people type and that stands in file names and messages. */
static bool is_good_name(const char *name)
{
    size_t n = strlen(name);

    for (const char *s = name; *s; s++)
        if (!isalnum((unsigned char)*s) && !strchr("-_.", *s))
            return false;
    return n > 0 && n <= NAME_LEN_MAX && isalnum((unsigned char)name[0]);
}

static int one_parse_words(struct external *x, const json_t *list, struct err *err)
{
    const unsigned points = 1u << EXT_TAKE_POINT | 1u << EXT_OPEN_DISK;

    if (list && !json_is_array(list))
        return one_bad(err, "calls is not an array");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *word = json_string_value(json_array_get(list, i));
        int k = word ? external_find_word(word) : -1;
        if (k < 0)
            return err_set(err, EBADMSG, "identify: '%.64s' is not a call", word ? word : "");
        x->words |= 1u << k;
    }
    if ((x->words & points) && (x->words & points) != points)
        return one_bad(err, "take-point and open-disk require each other");
    return 0;
}

static int one_parse_type(struct external *x, const char *type, struct err *err)
{
    static const char *const types[] = { NULL, "system", "software", "hardware" };

    for (size_t i = 1; i < ARRAY_SIZE(types); i++)
        if (!strcmp(types[i], type)) {
            x->type = (enum kvss_provider_type)i;
            return 0;
        }
    return err_set(err, EBADMSG, "identify: '%.64s' is not a type", type);
}

static int one_parse(struct external *x, json_t *answer, struct err *err)
{
    const char *name = NULL, *id = NULL, *version = "", *type = "software";
    json_int_t api = 0, timeout = EXTERNAL_TIMEOUT_MS;
    json_t *calls = NULL;
    json_error_t e;

    if (json_unpack_ex(answer, &e, 0, "{s:I, s:s, s:s, s?s, s?s, s?I, s?o!}", "api", &api, "name", &name, "id", &id, "version", &version,
                       "type", &type, "timeout_ms", &timeout, "calls", &calls) < 0)
        return one_bad(err, e.text);
    if (api != KVSS_PROVIDER_API)
        return err_set(err, EBADMSG, "identify: it uses interface %lld; kvss %s uses %d", (long long)api, KVSS_VERSION, KVSS_PROVIDER_API);
    if (!is_good_name(name))
        return one_bad(err, "its name is not one word of letters, digits, '-', '_' and '.'");
    if (!guid_parse(id, NULL))
        return one_bad(err, "its id is not a GUID");
    if (strlen(version) > NAME_LEN_MAX || !external_is_plain(version))
        return one_bad(err, "its version is not a short text");
    if (timeout < 1 || timeout > EXTERNAL_TIMEOUT_MAX_MS)
        return err_set(err, EBADMSG, "identify: timeout_ms is not in the range 1 to %u", EXTERNAL_TIMEOUT_MAX_MS);
    int r = one_parse_type(x, type, err);
    if (r < 0 || (r = one_parse_words(x, calls, err)) < 0)
        return r;
    x->timeout_ms = (unsigned)timeout;
    x->name = strdup(name);
    x->id = strdup(id);
    x->version = strdup(version);
    return x->name && x->id && x->version ? 0 : err_nomem(err);
}

int external_identify(struct external *x, struct err *err)
{
    _cleanup_json_ json_t *answer = NULL;

    int r = external_call(x, EXT_IDENTIFY, json_object(), &answer, err);
    if (r < 0 || (r = one_parse(x, answer, err)) < 0)
        return r;
    external_fill_ops(x);
    return 0;
}
