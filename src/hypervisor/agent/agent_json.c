/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of the guest agent. */
#include "hypervisor/agent/agent.h"
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int json_load(const char *text, json_t **ret, struct err *err)
{
    json_error_t why;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);

    if (!root)
        return err_set(err, EBADMSG, "the guest agent's answer is not JSON: %s", why.text);
    *ret = root;
    return 0;
}

static void note_command(struct agent_commands *c, const char *name, bool enabled)
{
    if (strcmp(name, "guest-fsfreeze-freeze") == 0) {
        c->freeze = enabled;
        c->freeze_disabled = !enabled;
    } else if (strcmp(name, "guest-fsfreeze-thaw") == 0) {
        c->thaw = enabled;
    } else if (strcmp(name, "guest-fsfreeze-status") == 0) {
        c->status = enabled;
    } else if (strcmp(name, "guest-get-fsinfo") == 0) {
        c->fsinfo = enabled;
    } else if (strcmp(name, "guest-file-open") == 0) {
        c->file_open = enabled;
    } else if (strcmp(name, "guest-file-read") == 0) {
        c->file_read = enabled;
    } else if (strcmp(name, "guest-file-write") == 0) {
        c->file_write = enabled;
    } else if (strcmp(name, "guest-file-close") == 0) {
        c->file_close = enabled;
    } else if (strcmp(name, "guest-exec") == 0) {
        c->exec_start = enabled;
    } else if (strcmp(name, "guest-exec-status") == 0) {
        c->exec_status = enabled;
    }
}

int agent_json_commands(const char *text, struct agent_commands *ret, struct err *err)
{
    json_auto_t *root = NULL;

    int r = json_load(text, &root, err);
    if (r < 0)
        return r;
    json_t *info = json_object_get(root, "return"), *list = json_object_get(info, "supported_commands");
    if (!json_is_array(list) || json_array_size(list) > AGENT_COMMANDS_MAX)
        return err_set(err, EBADMSG, "the guest agent's answer to guest-info is invalid");
    struct agent_commands c = { 0 };
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *entry = json_array_get(list, i), *enabled = json_object_get(entry, "enabled");
        const char *name = json_string_value(json_object_get(entry, "name"));
        if (name)
            note_command(&c, name, !enabled || json_is_true(enabled)); /* agents before 1.1 do not say: all are */
    }
    const char *version = json_string_value(json_object_get(info, "version"));
    c.version = version ? strdup(version) : NULL;
    c.files = c.file_open && c.file_read && c.file_close;
    c.file_write &= c.file_open && c.file_close;
    c.exec = c.exec_start && c.exec_status;
    *ret = c;
    return 0;
}

int agent_json_frozen(const char *text, bool *ret, struct err *err)
{
    json_auto_t *root = NULL;

    int r = json_load(text, &root, err);
    if (r < 0)
        return r;
    const char *status = json_string_value(json_object_get(root, "return"));
    if (!status || (strcmp(status, "frozen") != 0 && strcmp(status, "thawed") != 0))
        return err_set(err, EBADMSG, "the guest agent's answer to guest-fsfreeze-status is invalid");
    *ret = strcmp(status, "frozen") == 0;
    return 0;
}

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int digit_of(char c)
{
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* RFC 4648, padded. */
static int add_base64(struct buf *b, const char *s)
{
    size_t n = strlen(s);

    if (n % 4)
        return -EBADMSG;
    for (size_t i = 0; i < n; i += 4) {
        size_t pad = i + 4 < n ? 0 : (s[i + 3] == '=') + (s[i + 3] == '=' && s[i + 2] == '=');
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int digit = k >= 4 - pad ? 0 : digit_of(s[i + k]);
            if (digit < 0)
                return -EBADMSG;
            bits = bits << 6 | (uint32_t)digit;
        }
        uint8_t bytes[3] = { (uint8_t)(bits >> 16), (uint8_t)(bits >> 8), (uint8_t)bits };
        if (buf_add(b, bytes, 3 - pad) < 0)
            return -ENOMEM;
    }
    return 0;
}

int agent_json_file(const char *text, struct buf *b, bool *ret_eof, struct err *err)
{
    json_auto_t *root = NULL;

    int r = json_load(text, &root, err);
    if (r < 0)
        return r;
    json_t *answer = json_object_get(root, "return"), *eof = json_object_get(answer, "eof");
    const char *bytes = json_string_value(json_object_get(answer, "buf-b64"));
    r = bytes && json_is_boolean(eof) ? add_base64(b, bytes) : -EBADMSG;
    if (r < 0)
        return err_errno(err, -r, "the guest agent's answer to guest-file-read is invalid");
    *ret_eof = json_is_true(eof);
    return 0;
}

/* ---- guest-exec -----------------------------------------------------------------------------------------------------------*/

char *agent_base64(const void *data, size_t n)
{
    const uint8_t *p = data;
    char *text = malloc((n + 2) / 3 * 4 + 1), *to = text;

    for (size_t i = 0; text && i < n; i += 3) {
        uint32_t bits = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < n ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < n ? digits[bits & 63] : '=';
    }
    if (text)
        *to = 0;
    return text;
}

int agent_json_exec(const char *text, int64_t *ret_pid, struct err *err)
{
    json_auto_t *root = NULL;

    int r = json_load(text, &root, err);
    if (r < 0)
        return r;
    const json_t *pid = json_object_get(json_object_get(root, "return"), "pid");
    if (!json_is_integer(pid))
        return err_set(err, EBADMSG, "the guest agent's answer to guest-exec is invalid");
    *ret_pid = json_integer_value(pid);
    return 0;
}

int agent_json_exec_status(const char *text, struct buf *out, bool *ret_ended, int *ret_status, struct err *err)
{
    json_auto_t *root = NULL;

    int r = json_load(text, &root, err);
    if (r < 0)
        return r;
    const json_t *answer = json_object_get(root, "return"), *ended = json_object_get(answer, "exited");
    const json_t *code = json_object_get(answer, "exitcode"), *sig = json_object_get(answer, "signal");
    const char *bytes = json_string_value(json_object_get(answer, "out-data"));
    if (!json_is_boolean(ended) || (json_is_true(ended) && !json_is_integer(code) && !json_is_integer(sig)))
        return err_set(err, EBADMSG, "the guest agent's answer to guest-exec-status is invalid");
    *ret_ended = json_is_true(ended);
    if (!*ret_ended)
        return 0;
    *ret_status = (int)((json_is_integer(code) ? json_integer_value(code) : 128 + json_integer_value(sig)) & 0xff);
    if (json_is_true(json_object_get(answer, "out-truncated")))
        return err_set(err, EMSGSIZE, "the guest agent dropped the end of a program's output");
    r = bytes ? add_base64(out, bytes) : 0;
    return r < 0 ? err_errno(err, -r, "the guest agent's answer to guest-exec-status is invalid") : 0;
}
