/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/config.h"
#include "base/clock.h"
#include "store/env.h"
#include "store/lines.h"
#include "store/node.h"
#include "store/signed.h"
#include <errno.h>
#include <string.h>

#define TITLE "kvss repository"
#define VERSION 1

int config_parse(const void *p, size_t n, struct config *ret, struct err *err)
{
    _cleanup_lines_ struct lines l = {0};
    struct config c = {0};
    uint64_t version, chunk, fanout;
    const char *mac;
    size_t covered;
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
        lines_get_u64(&l, "fanout", NODE_FANOUT, NODE_FANOUT, &fanout) < 0 || signed_split(p, n, &covered, &mac) < 0)
        return err_set(err, EBADMSG, "config is damaged: a line is missing or not understood");
    *ret = c;
    return 0;
}

int config_check(struct crypt *crypt, const void *p, size_t n, struct err *err)
{
    size_t covered;
    int r = signed_check(crypt, p, n, &covered);

    if (r == -EBADMSG)
        return err_set(err, EUCLEAN, "config is damaged or was altered: its check value does not match");
    return r < 0 ? err_errno(err, -r, "cannot check config") : 0;
}

int config_make(struct crypt *crypt, const struct guid *guid, struct buf *ret, struct err *err)
{
    char when[32];
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
        r = signed_end(crypt, ret);
    return r < 0 ? err_errno(err, -r, "cannot make config") : 0;
}
