/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/cleanup.h"
#include "cli/out.h"
#include "cli/render.h"
#include <string.h>

static const char *lead(const char *danger)
{
    static const char *const leads[][2] = {
        { "resource", "uses from the host" },
        { "host", "opens on the host" },
        { "code", "runs or allows on the host" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(leads); i++)
        if (!strcmp(leads[i][0], danger))
            return leads[i][1];
    return "requests something kvss does not know";
}

void render_demands(FILE *f, const json_t *demands)
{
    size_t i;
    json_t *d;

    json_array_foreach (demands, i, d) {
        fprintf(f, "   %s: %s ", lead(out_get(d, "danger")), out_get(d, "kind"));
        out_text(f, out_get(d, "text"));
        fputs(json_is_true(json_object_get(d, "refused")) ? " - REFUSED without --trust-definition\n" : "\n", f);
    }
}

void render_refused(FILE *f, const json_t *report)
{
    bool marked = false;
    size_t i;
    json_t *e;

    json_array_foreach (json_object_get(report, "refused"), i, e) {
        if (!strcmp(out_get(e, "option"), "--trust-definition")) {
            marked = true;
            continue;
        }
        fputs("REFUSED: ", f);
        out_text(f, out_get(e, "what"));
        fputs("(allow it with ", f);
        out_text(f, out_get(e, "option"));
        fputs(")\n", f);
    }
    if (marked)
        fputs("REFUSED: items marked above that the definition runs or opens (allow them with --trust-definition)\n", f);
}
