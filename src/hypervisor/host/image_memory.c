/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hypervisor/host/image_memory.h"
#include "hypervisor/host/host.h"
#include <string.h>
#include <time.h>

#define KEPT_MAX 256u
/* Two changes within one tick of the clock that file systems go by leave the same times, as git's index knows. */
#define SETTLED_S 2

struct image_kept {
    struct image_kept *next;
    struct image_state state;
    char *format;
    struct hv_image_info info;
};

void hv_image_info_clear(struct hv_image_info *i)
{
    free(i->format);
    free(i->backing);
    free(i->backing_format);
    free(i->data_file);
    free(i->compat);
    free(i->compression);
    free(i->preallocation);
    for (size_t k = 0; k < i->n_bitmaps; k++)
        free(i->bitmaps[k].name);
    free(i->bitmaps);
    *i = (struct hv_image_info){ 0 };
}

static bool copy_text(char **to)
{
    return !*to || (*to = strdup(*to));
}

/* false: out of memory. */
static bool copy_info(const struct hv_image_info *from, struct hv_image_info *ret)
{
    struct hv_image_info c = *from;
    char **const texts[] = { &c.format, &c.backing, &c.backing_format, &c.data_file, &c.compat, &c.compression, &c.preallocation };
    bool whole = true;

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        whole &= copy_text(texts[i]);
    c.n_bitmaps = 0;
    c.bitmaps = from->n_bitmaps ? calloc(from->n_bitmaps, sizeof(*c.bitmaps)) : NULL;
    for (size_t i = 0; c.bitmaps && i < from->n_bitmaps; i++) {
        c.bitmaps[c.n_bitmaps++] = from->bitmaps[i];
        whole &= copy_text(&c.bitmaps[i].name);
    }
    if (whole && c.n_bitmaps == from->n_bitmaps) {
        *ret = c;
        return true;
    }
    hv_image_info_clear(&c);
    return false;
}

static bool is_settled(struct timespec t, struct timespec now)
{
    return now.tv_sec - t.tv_sec >= SETTLED_S;
}

struct image_state image_state_of(int fd)
{
    struct timespec now;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return (struct image_state){ 0 };
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct image_state){
        .known = is_settled(st.st_mtim, now) && is_settled(st.st_ctim, now),
        .dev = st.st_dev,
        .inode = st.st_ino,
        .size = st.st_size,
        .changed = st.st_ctim,
        .written = st.st_mtim,
    };
}

static bool same_moment(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_about(const struct image_kept *k, const struct image_state *s, const char *format)
{
    return k->state.dev == s->dev && k->state.inode == s->inode && k->state.size == s->size && same_moment(k->state.changed, s->changed) &&
           same_moment(k->state.written, s->written) && (k->format && format ? !strcmp(k->format, format) : k->format == format);
}

bool image_memory_find(struct hv *hv, const struct image_state *state, const char *format, struct hv_image_info *ret)
{
    if (!hv || !state->known)
        return false;
    SCOPED_LOCK(&hv->lock);
    for (const struct image_kept *k = hv->images; k; k = k->next)
        if (is_about(k, state, format))
            return copy_info(&k->info, ret);
    return false;
}

void image_memory_keep(struct hv *hv, const struct image_state *state, const char *format, const struct hv_image_info *info)
{
    if (!hv || !state->known)
        return;
    struct image_kept *k = calloc(1, sizeof(*k));
    if (!k || (format && !(k->format = strdup(format))) || !copy_info(info, &k->info)) {
        free(k ? k->format : NULL);
        free(k);
        return;
    }
    k->state = *state;
    pthread_mutex_lock(&hv->lock);
    if (hv->n_images < KEPT_MAX) {
        k->next = hv->images;
        hv->images = k;
        hv->n_images++;
        k = NULL;
    }
    pthread_mutex_unlock(&hv->lock);
    if (k) {
        hv_image_info_clear(&k->info);
        free(k->format);
        free(k);
    }
}

void image_memory_free(struct hv *hv)
{
    for (struct image_kept *k = hv->images, *next; k; k = next) {
        next = k->next;
        hv_image_info_clear(&k->info);
        free(k->format);
        free(k);
    }
    hv->images = NULL;
}
