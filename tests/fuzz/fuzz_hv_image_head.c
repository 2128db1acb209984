/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The begin of an image, which its guest can write: read as qcow2 and as raw, and followed to what it is backed by. */
#include "base/io.h"
#include "base/strv.h"
#include "fuzz.h"
#include "hypervisor/image/image.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/kvss-fuzz-image-XXXXXX";
    _cleanup_close_ int fd = mkstemp(path);
    struct image_head head = { 0 }, raw = { 0 };
    _cleanup_strv_ char **chain = NULL;

    if (fd < 0)
        return 0;
    if (io_pwrite(fd, data, size, 0) == 0) {
        if (image_head_read(path, "qcow2", &head) == 0)
            FUZZ_REQUIRE(size >= 4 && memcmp(data, "QFI\xfb", 4) == 0 && (!head.backing || strlen(head.backing) <= 1023));
        FUZZ_REQUIRE(image_head_read(path, "raw", &raw) == 0 && raw.size >= size && raw.size < size + 512 && !raw.backing);
        FUZZ_REQUIRE(image_head_chain(path, "qcow2", &chain) == 0 && strv_len(chain) <= 200);
    }
    free(head.backing);
    unlink(path);
    return 0;
}
