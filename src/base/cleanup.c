/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include <errno.h>

void cleanup_close_p(int *fd)
{
    int saved = errno;

    if (*fd >= 0)
        close(*fd);
    errno = saved;
}

void cleanup_unlock_p(pthread_mutex_t **m)
{
    if (*m)
        pthread_mutex_unlock(*m);
}
