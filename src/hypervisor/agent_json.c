/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Answers of the guest agent. */
#include "hypervisor/agent.h"
#include <errno.h>
#include <jansson.h>
#include <string.h>

static int load(const char *text, json_t **ret, struct err *err)
{
    json_error_t why;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, &why);

    if (!root)
        return err_set(err, EBADMSG, "the guest agent's answer is no JSON: %s", why.text);
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
    } else if (strcmp(name, "guest-file-close") == 0) {
        c->file_close = enabled;
    }
}

int agent_json_commands(const char *text, struct agent_commands *ret, struct err *err)
{
    json_auto_t *root = NULL;

    int r = load(text, &root, err);
    if (r < 0)
        return r;
    json_t *info = json_object_get(root, "return"), *list = json_object_get(info, "supported_commands");
    if (!json_is_array(list) || json_array_size(list) > AGENT_COMMANDS_MAX)
        return err_set(err, EBADMSG, "the guest agent's answer to guest-info makes no sense");
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
    *ret = c;
    return 0;
}

int agent_json_frozen(const char *text, bool *ret, struct err *err)
{
    json_auto_t *root = NULL;

    int r = load(text, &root, err);
    if (r < 0)
        return r;
    const char *status = json_string_value(json_object_get(root, "return"));
    if (!status || (strcmp(status, "frozen") != 0 && strcmp(status, "thawed") != 0))
        return err_set(err, EBADMSG, "the guest agent's answer to guest-fsfreeze-status makes no sense");
    *ret = strcmp(status, "frozen") == 0;
    return 0;
}

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

    int r = load(text, &root, err);
    if (r < 0)
        return r;
    json_t *answer = json_object_get(root, "return"), *eof = json_object_get(answer, "eof");
    const char *bytes = json_string_value(json_object_get(answer, "buf-b64"));
    r = bytes && json_is_boolean(eof) ? add_base64(b, bytes) : -EBADMSG;
    if (r < 0)
        return err_errno(err, -r, "the guest agent's answer to guest-file-read makes no sense");
    *ret_eof = json_is_true(eof);
    return 0;
}
