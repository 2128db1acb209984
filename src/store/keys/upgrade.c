/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Config written anew, and a repository of version 1 made one of version 2. docs/format.md, "Version 2". */
#include "store/handle/handle.h"
#include "store/object/object.h"
#include <errno.h>
#include <string.h>

/* Whether it got there all the same, as where only the last fsync failed. */
static bool upgrade_is_there(struct store *s, const struct buf *text)
{
    _cleanup_buf_ struct buf now = BUF_INIT;

    return backend_read(s->env.backend, "config", CONFIG_BYTES_MAX, &now, NULL) == 0 && now.len == text->len &&
           memcmp(now.data, text->data, now.len) == 0;
}

int store_put_config(struct store *s, struct crypt *crypt, struct config *config, struct err *err)
{
    _cleanup_buf_ struct buf text = BUF_INIT;
    struct err why = ERR_INIT;

    config->generation++;
    int r = config_make(crypt, config, &text, err);
    if (r == 0)
        r = backend_put(s->env.backend, "config", text.data, text.len, BACKEND_REPLACE, &why);
    if (r < 0 && why.code && upgrade_is_there(s, &text)) {
        log_warning(s->env.log, "config was replaced, but the change may not survive a power failure: %s", why.text);
        r = 0;
    }
    if (r < 0)
        return why.code ? err_move(err, &why) : r;
    s->config = *config;
    buf_free(&s->config_text);
    s->config_text = text;
    text = (struct buf)BUF_INIT;
    return 0;
}

/* All that could open it until now. Which of them should not, an administrator has to say: `key list` shows them. */
static int take_keys(struct store *s, struct config *config, struct err *err)
{
    _cleanup_free_ struct store_key_info *list = NULL;
    struct object_name name;
    size_t n = 0;
    int r = config->encrypted ? store_key_list(s, &list, &n, err) : 0;

    for (size_t i = 0; r == 0 && i < n; i++)
        if (list[i].created[0] && crypt_unhex(list[i].id, name.b, sizeof name.b) && config_add_key(config, &name) < 0)
            r = err_set(err, E2BIG, "the repository has more than %d keys; remove some with `kvss key remove`", CONFIG_KEYS_MAX);
    return r;
}

int store_upgrade(struct store *s, struct err *err)
{
    struct config config = s->config;
    struct lock_session *session = NULL;

    if (config.version == CONFIG_VERSION)
        return 0;
    int r = store_begin(s, LOCK_EXCLUSIVE, "upgrade", &session, err);
    config.version = CONFIG_VERSION;
    config.generation = 0;
    if (r == 0)
        r = take_keys(s, &config, err);
    if (r == 0)
        r = store_put_config(s, s->env.crypt, &config, err);
    session_end(session);
    return r < 0 ? err_context(err, "cannot upgrade the repository %s", s->location), r : 1;
}
