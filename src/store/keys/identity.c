/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By what a host knows a repository again: its kind, its key, its restore points. */
#include "store/handle/handle.h"
#include <errno.h>
#include <string.h>

/* No object of a repository begins so: its check value stands for the key and for nothing else. */
#define FINGERPRINT_TEXT "kvss fingerprint 1\n"

bool store_encrypted(const struct store *s)
{
    return crypt_encrypted(s->env.crypt);
}

int store_fingerprint(struct store *s, char ret[static STORE_ID_LEN + 1], struct err *err)
{
    uint8_t mac[CRYPT_ID_LEN];

    if (!store_encrypted(s)) {
        ret[0] = '\0';
        return 0;
    }
    int r = crypt_config_mac(s->env.crypt, FINGERPRINT_TEXT, sizeof FINGERPRINT_TEXT - 1, mac);
    if (r < 0)
        return err_errno(err, -r, "cannot create the fingerprint of the key");
    crypt_hex(mac, sizeof mac, ret);
    return 0;
}

static int fingerprint_of(const uint8_t *master, char ret[static STORE_ID_LEN + 1])
{
    uint8_t mac[CRYPT_ID_LEN];
    struct crypt *crypt;
    int r = crypt_new(master, &crypt, NULL);

    if (r < 0)
        return r;
    r = crypt_config_mac(crypt, FINGERPRINT_TEXT, sizeof FINGERPRINT_TEXT - 1, mac);
    crypt_free(crypt);
    if (r == 0)
        crypt_hex(mac, sizeof mac, ret);
    return r;
}

bool store_had_fingerprint(struct store *s, const char *fingerprint)
{
    char older[STORE_ID_LEN + 1];

    for (unsigned i = 0; i < crypt_epoch(s->env.crypt); i++)
        if (fingerprint_of(crypt_master_of(s->env.crypt, i), older) == 0 && strcmp(older, fingerprint) == 0)
            return true;
    return false;
}

int store_point_ids(struct store *s, struct store_id **ret, size_t *ret_n, struct err *err)
{
    _cleanup_free_ struct chunk_id *ids = NULL;
    size_t n = 0;
    int r = point_list(&s->env, &ids, &n, err);

    if (r < 0)
        return r;
    struct store_id *list = calloc(n + 1, sizeof *list);
    if (!list)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++)
        crypt_hex(ids[i].b, sizeof ids[i].b, list[i].text);
    *ret = list;
    *ret_n = n;
    return 0;
}

int64_t store_point_put_us(struct store *s, const char *id)
{
    char path[OBJECT_PATH_SIZE];
    struct backend_stat st;
    struct chunk_id name;

    if (!crypt_unhex(id, name.b, sizeof name.b))
        return 0;
    return backend_stat(s->env.backend, object_path("points", name.b, sizeof name.b, path), &st, NULL) < 0 ? 0 : st.mtime_us;
}
