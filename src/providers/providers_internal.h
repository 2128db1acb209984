/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a built-in provider is. To add one: a file that defines `const struct builtin_provider NAME`, and NAME in meson.build. */
#ifndef PROVIDERS_PROVIDERS_INTERNAL_H
#define PROVIDERS_PROVIDERS_INTERNAL_H

#include "providers/providers.h"

struct builtin_provider {
    const struct kvss_provider *ops;
    int (*make)(const struct provider_context *context, void **ret_p, struct err *err);
    void (*free)(void *p);
    const struct journal_verb *verbs; /* how its effects are undone; ends with { NULL, NULL }; NULL: it has none */
    int priority;                     /* the higher is asked first */
    bool owns_files;                  /* it takes over provider_context.files */
    bool files_in_device;             /* its device is the volume as of the commit: whatever was on it is found below it */
};

/* Room in the folder. */
int provider_room_of(const char *place, struct kvss_room *ret, struct err *err);

#endif
