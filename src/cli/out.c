/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/out.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/text.h"
#include <string.h>

struct table {
    size_t columns, rows;
    char **cells; /* header first, row after row */
};

/* How many columns of a terminal: UTF-8 continuation bytes take none. Wide characters are rare in names of VMs. */
static size_t width_of(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

struct table *table_new(const char *const *header, size_t columns)
{
    struct table *t = calloc(1, sizeof(*t));

    if (t) {
        t->columns = columns;
        table_add(t, header);
    }
    return t;
}

void table_add(struct table *t, const char *const *cells)
{
    char **more = t ? realloc(t->cells, (t->rows + 1) * t->columns * sizeof(*more)) : NULL;

    if (!more)
        return;
    t->cells = more;
    for (size_t i = 0; i < t->columns; i++)
        more[t->rows * t->columns + i] = strdup(cells[i] ? cells[i] : "");
    t->rows++;
}

static size_t column_width(const struct table *t, size_t column)
{
    size_t max = 0;

    for (size_t r = 0; r < t->rows; r++) {
        const char *cell = t->cells[r * t->columns + column];
        size_t w = cell ? width_of(cell) : 0;
        max = w > max ? w : max;
    }
    return max;
}

static void print_row(const struct table *t, size_t row, const size_t *widths, FILE *f)
{
    size_t pending = 0; /* blanks not printed yet: none at the end of a line */

    for (size_t c = 0; c < t->columns; c++) {
        const char *cell = t->cells[row * t->columns + c] ? t->cells[row * t->columns + c] : "";
        if (*cell)
            fprintf(f, "%*s%s", (int)pending, "", cell);
        pending = (*cell ? 0 : pending) + widths[c] - width_of(cell) + 2;
    }
    fputc('\n', f);
}

void table_print(struct table *t, FILE *f)
{
    if (!t)
        return;
    size_t *widths = calloc(t->columns, sizeof(*widths));
    for (size_t c = 0; widths && c < t->columns; c++)
        widths[c] = column_width(t, c);
    for (size_t r = 0; widths && r < t->rows; r++)
        print_row(t, r, widths, f);
    for (size_t i = 0; i < t->rows * t->columns; i++)
        free(t->cells[i]);
    free(widths);
    free(t->cells);
    free(t);
}

void out_text(FILE *f, const char *s)
{
    _cleanup_free_ char *copy = s ? strdup(s) : NULL;

    if (!copy)
        return;
    text_clean(copy, true);
    fputs(copy, f);
}

static json_t *clean_text(const char *s)
{
    _cleanup_free_ char *copy = strdup(s);

    for (char *c = copy; c && *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    if (copy)
        text_clean(copy, false);
    return copy ? json_string(copy) : json_null();
}

void out_clean(json_t *report)
{
    const char *key;
    json_t *v;
    size_t i;
    void *next;

    if (json_is_string(report)) {
        json_t *clean = clean_text(json_string_value(report));
        json_string_set(report, json_is_string(clean) ? json_string_value(clean) : "");
        json_decref(clean);
    }
    json_array_foreach (report, i, v)
        out_clean(v);
    json_object_foreach_safe (report, next, key, v)
        out_clean(v);
}

const char *out_get(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s && *s ? s : "-";
}

uint64_t out_number(const json_t *o, const char *key)
{
    json_int_t n = json_integer_value(json_object_get(o, key));

    return n > 0 ? (uint64_t)n : 0;
}

char *out_count(uint64_t n, const char *noun, char buf[static 64])
{
    snprintf(buf, 64, "%llu %s%s", (unsigned long long)n, noun, num_s(n));
    return buf;
}

char *out_ms(const json_t *ms, char buf[static 24])
{
    double v = json_number_value(ms);

    if (!json_is_number(ms))
        snprintf(buf, 24, "-");
    else if (v < 1000)
        snprintf(buf, 24, "%.0f ms", v);
    else
        snprintf(buf, 24, "%.1f s", v / 1000);
    return buf;
}

char *out_size(const json_t *o, const char *key, char buf[static 16])
{
    return num_format_size(out_number(o, key), buf);
}

char *out_time(const json_t *o, const char *key, char buf[static 40])
{
    const char *text = out_get(o, key);
    int64_t us;

    if (clock_parse(text, &us, NULL) == 0)
        return clock_format_local(us, buf);
    snprintf(buf, 40, "%s", text);
    return buf;
}

char *out_age(const json_t *s, char buf[static 40])
{
    static const struct {
        json_int_t s;
        const char *one, *many;
    } units[] = {
        { 86400, "day", "days" },
        { 3600, "hour", "hours" },
        { 60, "minute", "minutes" },
        { 1, "second", "seconds" },
    };
    json_int_t age = json_integer_value(s);
    size_t i = 0;

    if (!json_is_integer(s) || age < 0) {
        snprintf(buf, 40, "%s", json_is_integer(s) ? "in the future" : "-");
        return buf;
    }
    while (i + 1 < ARRAY_SIZE(units) && age < 2 * units[i].s)
        i++;
    age /= units[i].s;
    snprintf(buf, 40, "%lld %s old", (long long)age, age == 1 ? units[i].one : units[i].many);
    return buf;
}

void out_list(FILE *f, const json_t *list, const char *lead)
{
    size_t i;
    json_t *text;

    json_array_foreach (list, i, text) {
        fputs(lead, f);
        out_text(f, json_string_value(text));
        fputc('\n', f);
    }
}

int out_json(FILE *f, const json_t *report)
{
    int r = json_dumpf(report, f, JSON_INDENT(2) | JSON_PRESERVE_ORDER);

    fputc('\n', f);
    return r;
}
