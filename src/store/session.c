/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/session.h"
#include <errno.h>

struct session {
    struct env *env;
};

int session_begin(struct env *env, const char *purpose, struct session **ret, struct err *err)
{
    (void)purpose;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_errno(err, ENOMEM, "cannot lock the repository");
    s->env = env;
    *ret = s;
    return 0;
}

int session_still_ours(struct session *s, struct err *err)
{
    (void)s;
    (void)err;
    return 0;
}

void session_end(struct session *s)
{
    free(s);
}
