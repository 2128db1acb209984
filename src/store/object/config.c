/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/config.h"
#include "base/clock.h"
#include "store/object/lines.h"
#include "store/object/signed.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TITLE "kvss repository"
#define NAME_HEX ((size_t)2 * OBJECT_NAME_LEN)

bool config_has_key(const struct config *config, const struct object_name *name)
{
    for (size_t i = 0; i < config->keys_n; i++)
        if (memcmp(&config->keys[i], name, sizeof *name) == 0)
            return true;
    return config->version < 2;
}

int config_add_key(struct config *config, const struct object_name *name)
{
    if (config->keys_n == CONFIG_KEYS_MAX)
        return -E2BIG;
    config->keys[config->keys_n++] = *name;
    return 0;
}

void config_drop_key(struct config *config, const struct object_name *name)
{
    size_t used = 0;

    for (size_t i = 0; i < config->keys_n; i++)
        if (memcmp(&config->keys[i], name, sizeof *name) != 0)
            config->keys[used++] = config->keys[i];
    config->keys_n = used;
}

/* Names of key objects, with a comma between them. */
static bool parse_keys(const char *text, struct config *c)
{
    struct object_name name;
    char hex[NAME_HEX + 1];

    for (size_t n = strlen(text); n; text += NAME_HEX + 1, n -= NAME_HEX + 1) {
        if (n < NAME_HEX || (n > NAME_HEX && text[NAME_HEX] != ','))
            return false;
        memcpy(hex, text, NAME_HEX);
        hex[NAME_HEX] = '\0';
        if (!crypt_unhex(hex, name.b, sizeof name.b) || config_has_key(c, &name) || config_add_key(c, &name) < 0)
            return false;
        if (n == NAME_HEX)
            return true;
    }
    return false;
}

/* What version 2 adds. */
static bool parse_added(const struct lines *l, struct config *c)
{
    const char *keys = lines_get(l, "keys"), *ring = lines_get(l, "ring");
    uint64_t epoch;

    if (c->version < 2)
        return true;
    if (lines_get_u64(l, "generation", 1, INT64_MAX, &c->generation) < 0 || lines_get_u64(l, "epoch", 0, CRYPT_EPOCH_MAX, &epoch) < 0 ||
        (c->encrypted && !keys) || !!ring != !!epoch)
        return false;
    c->epoch = (unsigned)epoch;
    return (!c->encrypted || parse_keys(keys, c)) && (!ring || crypt_unhex(ring, c->ring.b, sizeof c->ring.b));
}

static bool config_parse_lines(const struct lines *l, struct config *c)
{
    const char *guid = lines_get(l, "guid"), *cipher = lines_get(l, "cipher"), *created = lines_get(l, "created");
    uint64_t chunk, fanout;

    c->encrypted = cipher && strcmp(cipher, "aes-256-gcm") == 0;
    snprintf(c->created, sizeof c->created, "%s", created ? created : "");
    return guid && guid_parse(guid, &c->guid) && cipher && (c->encrypted || strcmp(cipher, "none") == 0) &&
           lines_get_u64(l, "chunk", CHUNK_SIZE, CHUNK_SIZE, &chunk) == 0 &&
           lines_get_u64(l, "fanout", NODE_FANOUT, NODE_FANOUT, &fanout) == 0 && parse_added(l, c);
}

int config_parse(const void *p, size_t n, struct config *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = { 0 };
    struct config c = { 0 };
    uint64_t version;
    const char *mac;
    size_t covered;
    int r = lines_parse(p, n, TITLE, "config", &l, err);

    if (r < 0)
        return r;
    if (lines_get_u64(&l, "version", 1, UINT32_MAX, &version) < 0)
        return err_set(err, EBADMSG, "config is damaged: it has no version");
    if (version > CONFIG_VERSION)
        return err_set(err, EPROTONOSUPPORT, "the repository has format version %llu, but this kvss supports only versions up to %d",
                       (unsigned long long)version, CONFIG_VERSION);
    c.version = (int)version;
    if (!config_parse_lines(&l, &c) || signed_split(p, n, &covered, &mac) < 0)
        return err_set(err, EBADMSG, "config is damaged: a line is missing or invalid");
    *ret = c;
    return 0;
}

int config_check(struct crypt *crypt, const void *p, size_t n, struct err *err)
{
    size_t covered;
    int r = signed_check(crypt, p, n, &covered);

    if (r == -EBADMSG)
        return err_set(err, EUCLEAN, "config is damaged or was modified: its checksum does not match");
    return r < 0 ? err_errno(err, -r, "cannot check config") : 0;
}

static int add_keys(const struct config *c, struct buf *ret)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    char hex[NAME_HEX + 1];
    int r = 0;

    for (size_t i = 0; r == 0 && i < c->keys_n; i++) {
        r = i ? buf_adds(&text, ",") : 0;
        if (r == 0)
            r = buf_adds(&text, crypt_hex(c->keys[i].b, sizeof c->keys[i].b, hex));
    }
    return r < 0 ? r : lines_add(ret, "keys", (const char *)text.data);
}

static int add_added(const struct config *c, struct buf *ret)
{
    char hex[2 * CRYPT_ID_LEN + 1];
    int r = lines_addf(ret, "generation", "%llu", (unsigned long long)c->generation);

    if (r == 0)
        r = lines_addf(ret, "epoch", "%u", c->epoch);
    if (r == 0 && c->epoch)
        r = lines_add(ret, "ring", crypt_hex(c->ring.b, sizeof c->ring.b, hex));
    return r == 0 && c->encrypted ? add_keys(c, ret) : r;
}

int config_make(struct crypt *crypt, const struct config *c, struct buf *ret, struct err *err)
{
    int r = buf_adds(ret, TITLE "\n");

    if (r == 0)
        r = lines_addf(ret, "version", "%d", c->version);
    if (r == 0)
        r = lines_add(ret, "guid", c->guid.text);
    if (r == 0)
        r = lines_add(ret, "cipher", c->encrypted ? "aes-256-gcm" : "none");
    if (r == 0)
        r = lines_addf(ret, "chunk", "%zu", CHUNK_SIZE);
    if (r == 0)
        r = lines_addf(ret, "fanout", "%d", NODE_FANOUT);
    if (r == 0)
        r = lines_add(ret, "created", c->created);
    if (r == 0 && c->version >= 2)
        r = add_added(c, ret);
    if (r == 0)
        r = signed_end(crypt, ret);
    return r < 0 ? err_errno(err, -r, "cannot create config") : 0;
}
