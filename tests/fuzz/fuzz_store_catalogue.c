/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An entry of the catalogue: what is taken from it is within bounds, and is written again as it was read. */
#include "fuzz.h"
#include "store/catalogue/catalogue.h"
#include <string.h>

#define GUID "6c8f2b1e-0d4a-4e57-9b1c-5a3f7e2d9c10"

static void check(const struct catalogue_entry *e)
{
    FUZZ_REQUIRE(e->seq >= 1 && e->seq <= CATALOGUE_SEQ_MAX && e->since <= e->seq && e->n_ops <= CATALOGUE_OPS_MAX &&
                 e->n_seen <= CATALOGUE_SEEN_MAX && e->host[0] && memchr(e->host, '\0', sizeof e->host));
    for (size_t i = 0; i < e->n_ops; i++)
        FUZZ_REQUIRE(e->ops[i].n >= 1 && e->ops[i].n <= CATALOGUE_NUMBER_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct catalogue_entry e, again;
    struct buf text = BUF_INIT;
    char hex[2 * CRYPT_SIGNATURE_LEN + 1];

    if (catalogue_parse(data, size, GUID, &e) < 0)
        return 0;
    FUZZ_REQUIRE(e.covered < size && size <= CATALOGUE_BYTES_MAX);
    check(&e);
    FUZZ_REQUIRE(catalogue_format(&e, GUID, &text) == 0 &&
                 lines_add(&text, "signature", crypt_hex(e.signature, sizeof e.signature, hex)) == 0);
    FUZZ_REQUIRE(catalogue_parse(text.data, text.len, GUID, &again) == 0);
    FUZZ_REQUIRE(again.seq == e.seq && again.n_ops == e.n_ops && again.n_seen == e.n_seen && again.kind == e.kind &&
                 !strcmp(again.host, e.host) && !memcmp(again.signature, e.signature, sizeof e.signature));
    buf_free(&text);
    free(e.seen);
    free(e.ops);
    free(again.seen);
    free(again.ops);
    return 0;
}
