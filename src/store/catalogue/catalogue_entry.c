/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text of an entry: written, and read with limits. */
#include "base/clock.h"
#include "base/num.h"
#include "store/catalogue/catalogue.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TITLE "kvss catalogue 1"
#define SIGNATURE "signature="
#define SIGNATURE_HEX ((size_t)2 * CRYPT_SIGNATURE_LEN)
#define SIGNATURE_LINE (sizeof SIGNATURE - 1 + SIGNATURE_HEX + 1)
#define ID_HEX ((size_t)2 * CRYPT_ID_LEN)

static const char *const kinds[] = {
    [STORE_ENTRY_COMMIT] = "commit",
    [STORE_ENTRY_FORGET] = "forget",
    [STORE_ENTRY_ACCEPT] = "accept",
    [STORE_ENTRY_BASE] = "base",
};

void catalogue_entry_free(struct catalogue_entry *e)
{
    if (!e)
        return;
    free(e->seen);
    free(e->ops);
    buf_free(&e->text);
    free(e);
}

/* ---- Reading ----------------------------------------------------------------------------------------------------------------------*/

enum line { REPOSITORY, KEY, HOST, SEQ, TIME, KIND, PREV, SINCE, SEEN, POINT, GONE, LINES };
static const char *const names[LINES] = { "repository", "key", "host", "seq", "time", "kind", "prev", "since", "seen", "point", "gone" };

/* "HEX" or "HEX REST"; *ret_rest: what follows the space, "" where nothing does. */
static bool take_id(const char *s, uint8_t *id, const char **ret_rest)
{
    char hex[ID_HEX + 1];

    if (strlen(s) < ID_HEX || (s[ID_HEX] && s[ID_HEX] != ' ') || (s[ID_HEX] == ' ' && !s[ID_HEX + 1]))
        return false;
    memcpy(hex, s, ID_HEX);
    hex[ID_HEX] = '\0';
    *ret_rest = s[ID_HEX] ? s + ID_HEX + 1 : "";
    return crypt_unhex(hex, id, CRYPT_ID_LEN);
}

static bool entry_number(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
    return num_parse_u64(s, min, max, ret, NULL) == 0;
}

/* "ID" or "ID NUMBER" */
static int parse_op(const char *s, bool stands, struct catalogue_entry *e)
{
    struct catalogue_op *op = &e->ops[e->n_ops];
    uint64_t n = stands ? 1 : 2;
    const char *rest;

    if (e->n_ops == CATALOGUE_OPS_MAX || !take_id(s, op->point.b, &rest) || (*rest && !entry_number(rest, 1, CATALOGUE_NUMBER_MAX, &n)) ||
        (n % 2 == 1) != stands)
        return -EBADMSG;
    op->n = (uint32_t)n;
    e->n_ops++;
    return 0;
}

/* "KEY SEQ ID" */
static int parse_seen(const char *s, struct catalogue_entry *e)
{
    struct catalogue_seen *x = &e->seen[e->n_seen];
    const char *rest, *space, *end;
    char digits[24];

    if (e->n_seen == CATALOGUE_SEEN_MAX || !take_id(s, x->key, &rest) || !(space = strchr(rest, ' ')) ||
        (size_t)(space - rest) >= sizeof digits)
        return -EBADMSG;
    memcpy(digits, rest, (size_t)(space - rest));
    digits[space - rest] = '\0';
    if (!entry_number(digits, 1, CATALOGUE_SEQ_MAX, &x->seq) || !take_id(space + 1, x->head.b, &end) || *end)
        return -EBADMSG;
    e->n_seen++;
    return 0;
}

static bool parse_kind(const char *s, struct catalogue_entry *e)
{
    for (size_t i = STORE_ENTRY_COMMIT; i < ARRAY_SIZE(kinds); i++)
        if (strcmp(s, kinds[i]) == 0)
            e->kind = (enum store_entry_kind)i;
    return e->kind != 0;
}

static bool parse_host(const char *s, struct catalogue_entry *e)
{
    if (!*s || strlen(s) > STORE_HOST_NAME_MAX)
        return false;
    snprintf(e->host, sizeof e->host, "%s", s);
    return true;
}

static bool parse_line(enum line line, const char *s, const char *guid, struct catalogue_entry *e)
{
    const char *rest;

    switch (line) {
    case REPOSITORY: return strcmp(s, guid) == 0;
    case KEY: return take_id(s, e->key, &rest) && !*rest;
    case HOST: return parse_host(s, e);
    case SEQ: return entry_number(s, 1, CATALOGUE_SEQ_MAX, &e->seq);
    case TIME: return clock_parse(s, &e->time_us, NULL) == 0;
    case KIND: return parse_kind(s, e);
    case PREV: return (e->has_prev = take_id(s, e->prev.b, &rest) && !*rest);
    case SINCE: return entry_number(s, 1, CATALOGUE_SEQ_MAX, &e->since);
    case SEEN: return parse_seen(s, e) == 0;
    case POINT: return parse_op(s, true, e) == 0;
    case GONE: return parse_op(s, false, e) == 0;
    case LINES: break;
    }
    return false;
}

/* Lines come in the order of their names; all up to "kind" are there, and but for the lists each is there once. */
static int entry_parse_lines(const struct lines *l, const char *guid, struct catalogue_entry *e)
{
    unsigned last = 0;
    bool any = false;

    for (size_t i = 0; i < l->count; i++) {
        unsigned at = last;
        while (at < LINES && strcmp(l->names[i], names[at]) != 0)
            at++;
        bool repeated = any && at == last && at < SEEN, skipped = !any ? at != 0 : last < KIND && at != last + 1 && at != last;
        if (at == LINES || repeated || skipped || !parse_line((enum line)at, l->values[i], guid, e))
            return -EBADMSG;
        last = at;
        any = true;
    }
    if (last < KIND || (e->kind == STORE_ENTRY_BASE) != (e->since != 0) || e->since > e->seq)
        return -EBADMSG;
    return 0;
}

static int split(const char *text, size_t n, size_t *ret_signed, uint8_t *signature)
{
    char hex[SIGNATURE_HEX + 1];

    if (n <= SIGNATURE_LINE || n > CATALOGUE_BYTES_MAX)
        return -EBADMSG;
    const char *line = text + n - SIGNATURE_LINE;
    if (memcmp(line, SIGNATURE, sizeof SIGNATURE - 1) != 0 || line[-1] != '\n' || text[n - 1] != '\n')
        return -EBADMSG;
    memcpy(hex, line + sizeof SIGNATURE - 1, SIGNATURE_HEX);
    hex[SIGNATURE_HEX] = '\0';
    if (!crypt_unhex(hex, signature, CRYPT_SIGNATURE_LEN))
        return -EBADMSG;
    *ret_signed = n - SIGNATURE_LINE;
    return 0;
}

static size_t entry_count(const struct lines *l, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < l->count; i++)
        n += strcmp(l->names[i], name) == 0;
    return n;
}

int catalogue_parse(const void *p, size_t n, const char *guid, struct catalogue_entry *ret)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct catalogue_entry e = { 0 };
    int r = split(p, n, &e.covered, e.signature);

    if (r == 0)
        r = lines_parse(p, e.covered, TITLE, "the entry", &l, NULL);
    if (r < 0)
        return r;
    e.seen = calloc(num_min(entry_count(&l, names[SEEN]), CATALOGUE_SEEN_MAX) + 1, sizeof *e.seen);
    e.ops = calloc(num_min(entry_count(&l, names[POINT]) + entry_count(&l, names[GONE]), CATALOGUE_OPS_MAX) + 1, sizeof *e.ops);
    r = e.seen && e.ops ? entry_parse_lines(&l, guid, &e) : -ENOMEM;
    if (r < 0) {
        free(e.seen);
        free(e.ops);
        return r;
    }
    *ret = e;
    return 0;
}

/* ---- Writing ----------------------------------------------------------------------------------------------------------------------*/

static int add_ops(const struct catalogue_entry *e, bool stands, struct buf *b)
{
    char hex[ID_HEX + 1];
    int r = 0;

    for (size_t i = 0; r == 0 && i < e->n_ops; i++) {
        const struct catalogue_op *op = &e->ops[i];
        if ((op->n % 2 == 1) != stands)
            continue;
        crypt_hex(op->point.b, sizeof op->point.b, hex);
        r = op->n <= 2 ? lines_add(b, names[stands ? POINT : GONE], hex)
                       : lines_addf(b, names[stands ? POINT : GONE], "%s %u", hex, (unsigned)op->n);
    }
    return r;
}

static int add_seen(const struct catalogue_entry *e, struct buf *b)
{
    char key[ID_HEX + 1], id[ID_HEX + 1];
    int r = 0;

    for (size_t i = 0; r == 0 && i < e->n_seen; i++) {
        const struct catalogue_seen *x = &e->seen[i];
        r = lines_addf(b, names[SEEN], "%s %llu %s", crypt_hex(x->key, sizeof x->key, key), (unsigned long long)x->seq,
                       crypt_hex(x->head.b, sizeof x->head.b, id));
    }
    return r;
}

int catalogue_format(const struct catalogue_entry *e, const char *guid, struct buf *b)
{
    char hex[ID_HEX + 1], when[32];
    int r = buf_adds(b, TITLE "\n");

    if (r == 0)
        r = lines_add(b, names[REPOSITORY], guid);
    if (r == 0)
        r = lines_add(b, names[KEY], crypt_hex(e->key, sizeof e->key, hex));
    if (r == 0)
        r = lines_add(b, names[HOST], e->host);
    if (r == 0)
        r = lines_addf(b, names[SEQ], "%llu", (unsigned long long)e->seq);
    if (r == 0)
        r = lines_add(b, names[TIME], clock_format(e->time_us, when));
    if (r == 0)
        r = lines_add(b, names[KIND], kinds[e->kind]);
    if (r == 0 && e->has_prev)
        r = lines_add(b, names[PREV], crypt_hex(e->prev.b, sizeof e->prev.b, hex));
    if (r == 0 && e->since)
        r = lines_addf(b, names[SINCE], "%llu", (unsigned long long)e->since);
    if (r == 0)
        r = add_seen(e, b);
    if (r == 0)
        r = add_ops(e, true, b);
    return r == 0 ? add_ops(e, false, b) : r;
}
