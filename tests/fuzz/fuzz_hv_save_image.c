/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The head of a saved state, which came from a repository or from libvirt's folder: the definition in it is found, or it is refused; what a
 * copy's new name changes of it stays within the head, and the memory behind is as before. */
#include "base/io.h"
#include "base/num.h"
#include "fuzz.h"
#include "hypervisor/xml/definition.h"
#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE 92u
#define STREAM "QEVM and the memory"

static void definition(const uint8_t *data, size_t size)
{
    struct hv_def *def = NULL;
    _cleanup_free_ char *xml = NULL;
    struct err err = ERR_INIT;

    if (hv_save_image_head_xml(data, size, &xml, &err) < 0) {
        FUZZ_REQUIRE(err.text[0] && !xml);
        return;
    }
    FUZZ_REQUIRE(*xml && strlen(xml) < size - HEAD_SIZE);
    (void)hv_def_parse(xml, &def, NULL);
    hv_def_free(def);
}

static void renamed(int fd, const char *path, size_t size)
{
    const struct hv_def_copy id = { .name = "copy", .uuid = "5a0e2f6d-7d6a-4a39-8d0e-7c5c0a7e9b31" };
    char stream[sizeof(STREAM)] = "";
    uint8_t head[1024];
    _cleanup_free_ char *xml = NULL;
    _cleanup_buf_ struct buf now = BUF_INIT;
    struct hv_def *def = NULL;

    if (hv_save_image_rename(path, &id, NULL) < 0)
        return;
    FUZZ_REQUIRE(io_pread(fd, head, num_min(sizeof head, size), 0) == 0 && io_read_file(path, (size_t)1 << 20, &now, NULL) == 0);
    FUZZ_REQUIRE(io_pread(fd, stream, sizeof(STREAM), size) == 0 && memcmp(stream, STREAM, sizeof(STREAM)) == 0);
    FUZZ_REQUIRE(now.len == size + sizeof(STREAM));
    FUZZ_REQUIRE(hv_save_image_head_xml(now.data, now.len, &xml, NULL) == 0 && hv_def_parse(xml, &def, NULL) == 0);
    FUZZ_REQUIRE(strcmp(hv_def_uuid(def), id.uuid) == 0);
    hv_def_free(def);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[] = "/tmp/kvss-fuzz-save-XXXXXX";
    _cleanup_close_ int fd = -1;

    definition(data, size);
    if (size <= HEAD_SIZE || size > (64u << 10) || (fd = mkstemp(path)) < 0)
        return 0;
    /* What the head says of its length is taken down to what there is: else nothing but refusals would be tried. */
    if (io_pwrite(fd, data, size, 0) == 0 && io_pwrite(fd, STREAM, sizeof(STREAM), size) == 0) {
        uint32_t most = (uint32_t)(size - HEAD_SIZE), said;
        memcpy(&said, data + 20, sizeof said);
        if (said <= most || io_pwrite(fd, &most, sizeof most, 20) == 0)
            renamed(fd, path, size);
    }
    unlink(path);
    return 0;
}
