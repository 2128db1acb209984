/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store/keep/copy_tree.h"
#include "base/num.h"
#include <errno.h>
#include <string.h>

#define BATCH 32                /* chunks fetched together */
#define PIECE 8                 /* chunks that one worker takes at a time */
#define LEAVES_MAX (1u << 19)   /* that are remembered: 4 TiB of an image. Of nodes above them there are 128 times fewer */
#define CHUNKS_KNOWN (1u << 14) /* the chunks met last; a power of two */

/* An id in `from`, and what it is in `to`. */
struct known_chunk {
    bool used;
    struct chunk_id id;
    struct tree_root copy; /* not present: it is all zeros */
};

struct copy_tree {
    struct store *from, *to;
    const struct par_cancel *cancel;
    struct fresh nodes; /* those that were copied; which entry it is also numbers `copies` */
    struct tree_root *copies;
    size_t cap;
    uint32_t leaves;
    struct known_chunk *chunks;
    /* The image that is being copied: */
    uint64_t size;
    bool same_size; /* as the base */
    struct packer_stream packing;
    struct progress_task *task;
};

/* The same place in three trees: the image, its base, the copy of the base. */
struct place {
    unsigned level;
    uint64_t first; /* number of the first chunk below */
    struct tree_root image, base, copy;
};

struct place_nodes {
    struct node image, base, copy, made;
};

int copy_tree_new(struct store *from, struct store *to, const struct par_cancel *cancel, struct copy_tree **ret, struct err *err)
{
    struct copy_tree *t = calloc(1, sizeof *t);

    if (t)
        t->chunks = calloc(CHUNKS_KNOWN, sizeof *t->chunks);
    if (!t || !t->chunks) {
        free(t);
        return err_nomem(err);
    }
    t->from = from;
    t->to = to;
    t->cancel = cancel;
    *ret = t;
    return 0;
}

void copy_tree_free(struct copy_tree *t)
{
    if (!t)
        return;
    fresh_free(&t->nodes);
    free(t->copies);
    free(t->chunks);
    free(t);
}

/* ---- what is known --------------------------------------------------------------------------------------------------------*/

static int remember(struct copy_tree *t, const struct place *at, const struct tree_root *copy)
{
    if (at->level == 0 && t->leaves == LEAVES_MAX)
        return 0;
    t->leaves += at->level == 0;
    int r = fresh_add(&t->nodes, &at->image.id);
    if (r <= 0)
        return r;
    if (t->nodes.cap > t->cap) {
        struct tree_root *copies = reallocarray(t->copies, t->nodes.cap, sizeof *copies);
        if (!copies)
            return -ENOMEM;
        t->copies = copies;
        t->cap = t->nodes.cap;
    }
    t->copies[t->nodes.count - 1] = *copy;
    return 0;
}

/* Bytes of the image from chunk `first` on, of `n` chunks. */
static uint64_t bytes_of(const struct copy_tree *t, uint64_t first, uint64_t n)
{
    uint64_t off = first * CHUNK_SIZE;

    return off < t->size ? num_min(n * CHUNK_SIZE, t->size - off) : 0;
}

static uint64_t span(const struct place *at)
{
    return node_span(at->level) * NODE_FANOUT;
}

/* Whether all below is within the image, so that the copy depends on nothing but the node. */
static bool is_inside(const struct copy_tree *t, const struct place *at)
{
    return at->first + span(at) <= t->size / CHUNK_SIZE;
}

static bool is_same(const struct tree_root *a, const struct tree_root *b)
{
    return a->present && b->present && memcmp(&a->id, &b->id, sizeof a->id) == 0;
}

/* Whether the copy of the node is known without looking into it. */
static bool is_copied(struct copy_tree *t, const struct place *at, struct tree_root *ret)
{
    if (!is_inside(t, at) && !t->same_size)
        return false;
    if (is_same(&at->image, &at->base) && at->copy.present) {
        *ret = at->copy;
        return true;
    }
    const struct index_entry *e = is_inside(t, at) ? fresh_find(&t->nodes, &at->image.id) : NULL;
    if (!e)
        return false;
    *ret = t->copies[e - t->nodes.entries];
    progress_add(t->task, bytes_of(t, at->first, span(at)));
    return true;
}

/* ---- leaves ---------------------------------------------------------------------------------------------------------------*/

struct chunk_batch {
    struct copy_tree *t;
    size_t n;
    struct got {
        unsigned slot;
        const struct chunk_id *from;
        size_t limit; /* bytes of it that are within the image */
        size_t len;   /* without trailing zeros; 0: a hole */
        bool claimed; /* new, and ours to store */
        struct chunk_id id;
        struct chunk_view view; /* if claimed */
    } got[BATCH];
};

static int fetch_one(struct copy_tree *t, struct got *g, struct err *err)
{
    _cleanup_view_ struct chunk_view v = { 0 };
    int r = chunks_get(t->from->chunks, &(struct chunk_ref){ *g->from, CRYPT_CHUNK }, &v, err);

    if (r < 0)
        return r;
    g->len = chunk_trim(v.p, num_min(v.n, g->limit));
    if (g->len == 0)
        return 0;
    r = crypt_id(t->to->env.crypt, CRYPT_CHUNK, v.p, g->len, &g->id);
    if (r < 0)
        return err_errno(err, -r, "cannot hash a chunk");
    r = index_claim(t->to->index, &g->id, err);
    if (r <= 0)
        return r;
    g->claimed = true;
    g->view = v;
    v.segment = NULL;
    return 0;
}

static int fetch_piece(void *ctx, size_t piece, struct err *err)
{
    struct chunk_batch *b = ctx;
    int r = 0;

    for (size_t i = piece * PIECE; r == 0 && i < b->n && i < (piece + 1) * PIECE; i++)
        r = fetch_one(b->t, &b->got[i], err);
    return r;
}

/* Whatever was claimed must get to the packer, even after a failure. */
static int pack_claimed(struct chunk_batch *b, struct err *err)
{
    int first = 0;

    for (size_t i = 0; i < b->n; i++) {
        struct got *g = &b->got[i];
        if (!g->claimed)
            continue;
        int r = packer_add(&b->t->packing, &g->id, g->view.p, g->len, first ? NULL : err);
        if (first == 0)
            first = r;
        chunk_view_end(&g->view);
    }
    return first;
}

static struct known_chunk *known_place(struct copy_tree *t, const struct chunk_id *id)
{
    return &t->chunks[num_get_le64(id->b) & (CHUNKS_KNOWN - 1)];
}

static void put_slot(struct node *made, unsigned slot, const struct tree_root *copy)
{
    if (!copy->present)
        return;
    made->slots[slot] = copy->id;
    node_mark(made, slot);
}

/* Fetches what was gathered and enters it into the leaf. */
static int copy_batch(struct chunk_batch *b, uint64_t first, struct node *made, struct err *err)
{
    struct copy_tree *t = b->t;

    if (b->n == 0)
        return 0;
    if (par_cancelled(t->cancel))
        return err_set(err, ECANCELED, "cancelled");
    int r = pool_split(t->from->env.pool, num_div_up(b->n, PIECE), fetch_piece, b, err);
    int r2 = pack_claimed(b, r ? NULL : err);
    for (size_t i = 0; r == 0 && r2 == 0 && i < b->n; i++) {
        const struct got *g = &b->got[i];
        const struct tree_root copy = { .present = g->len > 0, .id = g->id };
        put_slot(made, g->slot, &copy);
        if (g->limit == CHUNK_SIZE)
            *known_place(t, g->from) = (struct known_chunk){ true, *g->from, copy };
        progress_add(t->task, bytes_of(t, first + g->slot, 1));
    }
    b->n = 0;
    return r ? r : r2;
}

/* Whether the copy of the chunk is known already: of the base, or met a moment ago. It is entered then. */
static bool is_copied_chunk(struct copy_tree *t, struct place_nodes *n, unsigned i, uint64_t bytes)
{
    const struct chunk_id *id = &n->image.slots[i];
    const struct known_chunk *k = known_place(t, id);

    if ((bytes == CHUNK_SIZE || t->same_size) && node_has(&n->base, i) && node_has(&n->copy, i) &&
        memcmp(id, &n->base.slots[i], sizeof *id) == 0) {
        put_slot(&n->made, i, &(struct tree_root){ .present = true, .id = n->copy.slots[i] });
        return true;
    }
    if (bytes < CHUNK_SIZE || !k->used || memcmp(&k->id, id, sizeof *id) != 0)
        return false;
    put_slot(&n->made, i, &k->copy);
    progress_add(t->task, CHUNK_SIZE);
    return true;
}

static int copy_leaf(struct copy_tree *t, const struct place *at, struct place_nodes *n, struct err *err)
{
    struct chunk_batch b = { .t = t };
    int r = 0;

    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++) {
        uint64_t bytes = bytes_of(t, at->first + i, 1);
        if (!node_has(&n->image, i) || bytes == 0 || is_copied_chunk(t, n, i, bytes))
            continue;
        b.got[b.n++] = (struct got){ .slot = i, .from = &n->image.slots[i], .limit = bytes };
        if (b.n == BATCH)
            r = copy_batch(&b, at->first, &n->made, err);
    }
    return r == 0 ? copy_batch(&b, at->first, &n->made, err) : r;
}

/* ---- nodes ----------------------------------------------------------------------------------------------------------------*/

/* A node of one of the trees; absent: an empty one. */
static int load(struct store *s, const struct tree_root *at, unsigned level, struct node *ret, struct err *err)
{
    ret->level = level;
    return at->present ? tree_node_get(s->chunks, &at->id, level, ret, err) : 0;
}

static int load_places(struct copy_tree *t, const struct place *at, struct place_nodes *n, struct err *err)
{
    int r = load(t->from, &at->image, at->level, &n->image, err);

    if (r == 0)
        r = load(t->from, &at->base, at->level, &n->base, err);
    if (r == 0)
        r = load(t->to, &at->copy, at->level, &n->copy, err);
    n->made.level = at->level;
    return r;
}

static struct tree_root slot_of(const struct node *n, unsigned i)
{
    return (struct tree_root){ node_has(n, i), n->level - 1, n->slots[i] };
}

static int copy_node(struct copy_tree *t, const struct place *at, struct tree_root *ret, struct err *err);

static int copy_branch(struct copy_tree *t, const struct place *at, struct place_nodes *n, struct err *err)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < NODE_FANOUT; i++) {
        const struct place below = { at->level - 1, at->first + i * node_span(at->level), slot_of(&n->image, i), slot_of(&n->base, i),
                                     slot_of(&n->copy, i) };
        struct tree_root copy = { 0 };
        if (!below.image.present || bytes_of(t, below.first, 1) == 0)
            continue;
        r = copy_node(t, &below, &copy, err);
        put_slot(&n->made, i, &copy);
    }
    return r;
}

/* Depth is bounded by the level, which each node's parser checks. */
static int copy_node(struct copy_tree *t, const struct place *at, struct tree_root *ret, struct err *err)
{
    const struct tree_out out = { t->to->chunks, t->to->index, &t->to->env, &t->to->meta, NULL };
    struct tree_root copy = { .level = at->level };

    if (is_copied(t, at, ret))
        return 0;
    if (par_cancelled(t->cancel))
        return err_set(err, ECANCELED, "cancelled");
    _cleanup_free_ struct place_nodes *n = calloc(1, sizeof *n);
    if (!n)
        return err_nomem(err);
    int r = load_places(t, at, n, err);
    if (r == 0)
        r = at->level == 0 ? copy_leaf(t, at, n, err) : copy_branch(t, at, n, err);
    if (r == 0 && !node_empty(&n->made)) {
        copy.present = true;
        r = tree_node_put(&out, &n->made, &copy.id, err);
    }
    if (r == 0 && is_inside(t, at) && remember(t, at, &copy) < 0)
        r = err_nomem(err);
    if (r == 0)
        *ret = copy;
    return r;
}

int copy_tree_image(struct copy_tree *t, const struct point_stream *image, const struct point_stream *base,
                    const struct point_stream *base_copy, struct progress_task *task, struct tree_root *ret, struct err *err)
{
    struct place at = { .level = image->root.level, .image = image->root };
    struct tree_root made = { .level = image->root.level };
    int r = 0;

    if (base && base_copy && base->root.level == at.level && base_copy->root.level == at.level) {
        at.base = base->root;
        at.copy = base_copy->root;
    }
    t->size = image->size;
    t->same_size = at.base.present && base->size == image->size && base_copy->size == image->size;
    t->task = task;
    packer_stream_init(&t->packing, t->to->packer, PACK_DATA);
    if (image->root.present)
        r = copy_node(t, &at, &made, err);
    if (r == 0)
        r = packer_stream_end(&t->packing, err);
    packer_stream_drop(&t->packing);
    if (r == 0)
        *ret = made;
    return r;
}
