/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"

void render_protection(FILE *f, const json_t *protection)
{
    char time[40];

    if (!json_is_object(protection))
        return;
    fputs("protected", f);
    if (json_is_string(json_object_get(protection, "until")))
        fprintf(f, " until %s", out_time(protection, "until", time));
    if (json_is_string(json_object_get(protection, "since")))
        fprintf(f, " (since %s, by ", out_time(protection, "since", time));
    else
        fputs(" (details are damaged", f);
    if (json_is_string(json_object_get(protection, "by")))
        out_text(f, out_get(protection, "by"));
    fputs(")\n", f);
}

void render_protect(FILE *f, const json_t *report, bool verbose)
{
    size_t i;
    json_t *p;

    (void)verbose;
    json_array_foreach (json_object_get(report, "points"), i, p) {
        const json_t *protection = json_object_get(p, "protected");
        fprintf(f, "%.12s ", out_get(p, "id"));
        if (json_is_object(protection))
            render_protection(f, protection);
        else
            fputs("is not protected\n", f);
    }
}
