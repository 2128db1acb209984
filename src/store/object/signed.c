/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/object/signed.h"
#include "store/object/lines.h"
#include <errno.h>
#include <string.h>

#define HEX_LEN ((size_t)2 * CRYPT_ID_LEN)
#define LINE_LEN (4 + HEX_LEN + 1) /* "mac=" hex "\n" */

int signed_end(struct crypt *crypt, struct buf *text)
{
    uint8_t mac[CRYPT_ID_LEN];
    char hex[HEX_LEN + 1];
    int r = crypt_config_mac(crypt, text->data, text->len, mac);

    return r < 0 ? r : lines_add(text, "mac", crypt_hex(mac, sizeof mac, hex));
}

int signed_split(const void *p, size_t n, size_t *ret_len, const char **ret_mac)
{
    const char *text = p;
    char hex[HEX_LEN + 1];
    uint8_t mac[CRYPT_ID_LEN];

    if (n <= LINE_LEN || memcmp(text + n - LINE_LEN, "mac=", 4) != 0 || text[n - LINE_LEN - 1] != '\n' || text[n - 1] != '\n')
        return -EBADMSG;
    memcpy(hex, text + n - LINE_LEN + 4, HEX_LEN);
    hex[HEX_LEN] = '\0';
    if (!crypt_unhex(hex, mac, sizeof mac))
        return -EBADMSG;
    *ret_len = n - LINE_LEN;
    *ret_mac = text + n - LINE_LEN + 4;
    return 0;
}

int signed_check(struct crypt *crypt, const void *p, size_t n, size_t *ret_len)
{
    uint8_t mac[CRYPT_ID_LEN];
    char hex[HEX_LEN + 1];
    const char *said;
    size_t len;
    int r = signed_split(p, n, &len, &said);

    if (r == 0)
        r = crypt_config_mac(crypt, p, len, mac);
    if (r == 0 && memcmp(crypt_hex(mac, sizeof mac, hex), said, HEX_LEN) != 0)
        r = -EBADMSG;
    if (r == 0)
        *ret_len = len;
    return r;
}
