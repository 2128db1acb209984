/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ownership by attribute: a variable marked so is released when it goes out of scope; TAKE_PTR/TAKE_FD hand it over. */
#ifndef BASE_CLEANUP_H
#define BASE_CLEANUP_H

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Makes `fn##_p(type *p)` that releases *p if it is not NULL, for use as _cleanup_(fn##_p). */
#define DEFINE_CLEANUP(type, fn)       \
    static inline void fn##_p(type *p) \
    {                                  \
        if (*p)                        \
            fn(*p);                    \
    }

static inline void cleanup_free_p(void *p)
{
    free(*(void **)p);
}

/* Closes *fd if it is open (>= 0). errno is kept. */
void cleanup_close_p(int *fd);
void cleanup_unlock_p(pthread_mutex_t **m);

DEFINE_CLEANUP(FILE *, fclose)
DEFINE_CLEANUP(DIR *, closedir)

#define _cleanup_free_ _cleanup_(cleanup_free_p)
#define _cleanup_close_ _cleanup_(cleanup_close_p)
#define _cleanup_fclose_ _cleanup_(fclose_p)
#define _cleanup_closedir_ _cleanup_(closedir_p)

/* Locks m until the end of the scope. */
#define SCOPED_LOCK(m) SCOPED_LOCK_(m, __COUNTER__)
#define SCOPED_LOCK_(m, n) SCOPED_LOCK__(m, n)
#define SCOPED_LOCK__(m, n)                                                                     \
    _cleanup_(cleanup_unlock_p) pthread_mutex_t *scoped_lock_##n __attribute__((unused)) = (m); \
    pthread_mutex_lock(scoped_lock_##n)

/* Yields the value of the variable and leaves NULL (or -1) behind. */
#define TAKE_PTR(p)                      \
    ({                                   \
        __auto_type take_pp_ = &(p);     \
        __auto_type take_v_ = *take_pp_; \
        *take_pp_ = NULL;                \
        take_v_;                         \
    })
#define TAKE_FD(fd)                   \
    ({                                \
        int *take_fd_p_ = &(fd);      \
        int take_fd_v_ = *take_fd_p_; \
        *take_fd_p_ = -1;             \
        take_fd_v_;                   \
    })

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
