/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of guest agents and of qemu-img. */
#include "fuzz.h"
#include "hypervisor/agent/agent.h"
#include "hypervisor/image/image.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_free_ char *text = strndup((const char *)data, size);
    struct agent_commands c = { 0 };
    struct hv_image_info info = { 0 };
    struct err err = ERR_INIT;
    bool frozen = false;

    if (!text)
        return 0;
    if (agent_json_commands(text, &c, &err) < 0)
        FUZZ_REQUIRE(err.text[0] && !c.version);
    FUZZ_REQUIRE(!(c.freeze && c.freeze_disabled));
    free(c.version);
    if (agent_json_frozen(text, &frozen, &err) < 0)
        FUZZ_REQUIRE(err.text[0] && !frozen);
    _cleanup_buf_ struct buf b = BUF_INIT;
    bool eof = false;
    if (agent_json_file(text, &b, &eof, &err) < 0)
        FUZZ_REQUIRE(err.text[0] && !eof);
    bool ended = false;
    int status = 0;
    int64_t pid = 0;
    buf_reset(&b);
    if (agent_json_exec_status(text, &b, &ended, &status, &err) < 0)
        FUZZ_REQUIRE(err.text[0]);
    if (agent_json_exec(text, &pid, &err) < 0)
        FUZZ_REQUIRE(err.text[0] && !pid);
    struct hv_agent_info guest = { 0 };
    if (agent_mounts_parse(text, &guest, &err) < 0)
        FUZZ_REQUIRE(err.text[0] && !guest.mounts_known);
    hv_agent_info_clear(&guest);
    if (image_json_parse(text, strlen(text), &info, &err) == 0)
        FUZZ_REQUIRE(info.format);
    hv_image_info_clear(&info);
    return 0;
}
