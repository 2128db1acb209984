/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/config.h"
#include "base/clock.h"
#include "store/env.h"
#include "store/lines.h"
#include "store/node.h"
#include <errno.h>
#include <string.h>

#define TITLE "kvss repository"
#define VERSION 1

/* Where the text ends that the mac covers: before the last line, which must be "mac=HEX". */
static int split_mac(const char *text, size_t n, struct config *c)
{
    size_t line = 5 + 2 * CRYPT_ID_LEN - 1 + 1; /* "mac=" hex "\n" */
    uint8_t mac[CRYPT_ID_LEN];

    if (n < line || memcmp(text + n - line, "mac=", 4) != 0 || text[n - line - 1] != '\n')
        return -EBADMSG;
    memcpy(c->mac, text + n - line + 4, 2 * CRYPT_ID_LEN);
    c->signed_len = n - line;
    return crypt_unhex(c->mac, mac, sizeof mac) ? 0 : -EBADMSG;
}

int config_parse(const void *p, size_t n, struct config *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = {0};
    struct config c = {0};
    uint64_t version, chunk, fanout;
    int r = lines_parse(p, n, TITLE, "config", &l, err);

    if (r < 0)
        return r;
    if (lines_get_u64(&l, "version", 1, UINT32_MAX, &version) < 0)
        return err_set(err, EBADMSG, "config is damaged: it tells no version");
    if (version != VERSION)
        return err_set(err, EPROTONOSUPPORT, "the repository has format version %llu; this kvss knows version %d only",
                       (unsigned long long)version, VERSION);
    const char *guid = lines_get(&l, "guid"), *cipher = lines_get(&l, "cipher");
    c.encrypted = cipher && strcmp(cipher, "aes-256-gcm") == 0;
    if (!guid || !guid_parse(guid, &c.guid) || !cipher || (!c.encrypted && strcmp(cipher, "none") != 0) ||
        lines_get_u64(&l, "chunk", CHUNK_SIZE, CHUNK_SIZE, &chunk) < 0 ||
        lines_get_u64(&l, "fanout", NODE_FANOUT, NODE_FANOUT, &fanout) < 0 || split_mac(p, n, &c) < 0)
        return err_set(err, EBADMSG, "config is damaged: a line is missing or not understood");
    *ret = c;
    return 0;
}

int config_check(const struct config *c, struct crypt *crypt, const void *p, struct err *err)
{
    uint8_t mac[CRYPT_ID_LEN];
    char hex[2 * CRYPT_ID_LEN + 1];
    int r = crypt_config_mac(crypt, p, c->signed_len, mac);

    if (r < 0)
        return err_errno(err, -r, "cannot check config");
    return strcmp(crypt_hex(mac, sizeof mac, hex), c->mac) == 0
               ? 0
               : err_set(err, EUCLEAN, "config is damaged or was altered: its check value does not match");
}

int config_make(struct crypt *crypt, const struct guid *guid, struct buf *ret, struct err *err)
{
    uint8_t mac[CRYPT_ID_LEN];
    char when[32], hex[2 * CRYPT_ID_LEN + 1];
    int r = buf_adds(ret, TITLE "\n");

    if (r == 0)
        r = lines_addf(ret, "version", "%d", VERSION);
    if (r == 0)
        r = lines_add(ret, "guid", guid->text);
    if (r == 0)
        r = lines_add(ret, "cipher", crypt_encrypted(crypt) ? "aes-256-gcm" : "none");
    if (r == 0)
        r = lines_addf(ret, "chunk", "%zu", CHUNK_SIZE);
    if (r == 0)
        r = lines_addf(ret, "fanout", "%d", NODE_FANOUT);
    if (r == 0)
        r = lines_add(ret, "created", clock_format(clock_wall_us(), when));
    if (r == 0)
        r = crypt_config_mac(crypt, ret->data, ret->len, mac);
    if (r == 0)
        r = lines_add(ret, "mac", crypt_hex(mac, sizeof mac, hex));
    return r < 0 ? err_errno(err, -r, "cannot make config") : 0;
}
