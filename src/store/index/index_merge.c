/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/index/index_merge.h"
#include <errno.h>
#include <string.h>

/* A table being walked; its next entry. The extra entries are walked like a table. */
struct merge_source {
    struct index_cursor table; /* its table is NULL: the extra entries */
    const struct index_entry *extra;
    uint64_t next, end; /* of extra */
    unsigned rank;      /* which goes first of equal ids */
    struct index_entry entry;
};

struct merging {
    const struct index_merge *m;
    struct merge_source *sources;
    struct merge_source **heap;
    size_t heap_n;
    struct index_entry *out;
    size_t out_n;
    uint64_t total;
    struct chunk_id last;
};

static bool merge_before(const struct merge_source *a, const struct merge_source *b)
{
    int c = index_entry_compare(&a->entry, &b->entry);

    return c < 0 || (c == 0 && a->rank < b->rank);
}

static void sift_down(struct merging *g, size_t i)
{
    for (;;) {
        size_t least = i, l = 2 * i + 1, r = l + 1;
        if (l < g->heap_n && merge_before(g->heap[l], g->heap[least]))
            least = l;
        if (r < g->heap_n && merge_before(g->heap[r], g->heap[least]))
            least = r;
        if (least == i)
            return;
        struct merge_source *t = g->heap[i];
        g->heap[i] = g->heap[least];
        g->heap[least] = t;
        i = least;
    }
}

/* Loads the source's next entry: 1, or 0 at its end. */
static int advance(struct merge_source *s, struct err *err)
{
    if (s->table.table)
        return index_cursor_next(&s->table, &s->entry, err);
    if (s->next == s->end)
        return 0;
    s->entry = s->extra[s->next++];
    return 1;
}

static int merge_start(struct merging *g, struct err *err)
{
    size_t n = g->m->set->n + 1;

    g->sources = calloc(n, sizeof *g->sources);
    g->heap = calloc(n, sizeof *g->heap);
    g->out = calloc(INDEX_ENTRIES_MAX, sizeof *g->out);
    if (!g->sources || !g->heap || !g->out)
        return err_nomem(err);
    for (size_t i = 0; i < n; i++) {
        struct merge_source *s = &g->sources[i];
        s->rank = (unsigned)i;
        s->extra = g->m->extra;
        s->end = g->m->extra_n;
        s->table.table = i ? g->m->set->tables[i - 1] : NULL;
        int r = advance(s, err);
        if (r < 0)
            return r;
        if (r > 0)
            g->heap[g->heap_n++] = s;
    }
    for (size_t i = g->heap_n; i-- > 0;)
        sift_down(g, i);
    return 0;
}

/* Writes what is gathered; the last file supersedes all the old ones. */
static int write_out(struct merging *g, bool last, struct err *err)
{
    const struct index_set *set = g->m->set;
    int r = index_table_write(g->m->env, g->out, g->out_n, last ? set->present : NULL, last ? set->present_n : 0, NULL, err);

    g->out_n = 0;
    return r;
}

static int merge_take(struct merging *g, const struct merge_source *s, struct err *err)
{
    if (g->total && memcmp(&s->entry.id, &g->last, sizeof g->last) == 0)
        return 0;
    if (s->table.table && g->m->keep && !g->m->keep(g->m->priv, &s->entry))
        return 0;
    if (g->out_n == INDEX_ENTRIES_MAX) {
        int r = write_out(g, false, err);
        if (r < 0)
            return r;
    }
    g->out[g->out_n++] = s->entry;
    g->last = s->entry.id;
    g->total++;
    return 0;
}

static int merge_run(struct merging *g, struct err *err)
{
    int r = merge_start(g, err);

    while (r == 0 && g->heap_n) {
        struct merge_source *s = g->heap[0];
        r = merge_take(g, s, err);
        if (r < 0)
            return r;
        r = advance(s, err);
        if (r == 0)
            g->heap[0] = g->heap[--g->heap_n];
        if (r >= 0) {
            sift_down(g, 0);
            r = 0;
        }
    }
    return r < 0 ? r : write_out(g, true, err);
}

int index_merge(const struct index_merge *m, uint64_t *ret_entries, struct err *err)
{
    struct merging g = { .m = m };
    char path[OBJECT_PATH_SIZE];
    int r = merge_run(&g, err);

    free(g.sources);
    free(g.heap);
    free(g.out);
    for (size_t i = 0; r == 0 && !m->keep_old && i < m->set->present_n; i++)
        r = backend_del(m->env->backend, object_name_path("index", &m->set->present[i], path), err);
    if (r == 0 && ret_entries)
        *ret_entries = g.total;
    return r;
}

int index_set_each(struct index_set *set, int (*fn)(void *priv, const struct index_entry *e, struct index_position at, struct err *err),
                   void *priv, struct err *err)
{
    for (size_t t = 0; t < set->n; t++) {
        struct index_cursor c = { .table = set->tables[t] };
        struct index_entry e;
        int r;
        while ((r = index_cursor_next(&c, &e, err)) > 0) {
            r = fn(priv, &e, (struct index_position){ t, c.next - 1 }, err);
            if (r < 0)
                return r;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int note_pack(void *priv, const struct index_entry *e, struct index_position at, struct err *err)
{
    struct names *x = priv;

    (void)at;
    if (x->n && memcmp(&x->list[x->n - 1], &e->at.pack, sizeof e->at.pack) == 0)
        return 0;
    if (x->n >= 65536 && (x->n & (x->n - 1)) == 0)
        names_sort(x); /* entries are in no order of packs: drop repetitions before it grows */
    return names_add(x, &e->at.pack) < 0 ? err_nomem(err) : 0;
}

int index_set_packs(struct index_set *set, struct names *ret, struct err *err)
{
    int r = index_set_each(set, note_pack, ret, err);

    names_sort(ret);
    return r;
}
