/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cli/bar.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/thread.h"
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define TASKS_MAX 256
#define DRAW_EVERY_MS 200
#define LINE_EVERY_MS 10000 /* where it is no terminal */
#define BAR_CELLS 20
#define NAME_CELLS 20

struct bar {
    pthread_t thread;
    pthread_mutex_t lock; /* of everything below, and of the stream */
    pthread_cond_t stop;
    bool stopping, terminal;
    struct progress *progress;
    FILE *f;
    size_t drawn; /* lines of bars on the screen */
    uint64_t last_line_ms;
    bool told[TASKS_MAX]; /* its end was printed */
};

static void format_eta(int64_t s, char *buf, size_t size)
{
    if (s < 0)
        snprintf(buf, size, "-:--");
    else if (s < 3600)
        snprintf(buf, size, "%d:%02d", (int)(s / 60), (int)(s % 60));
    else
        snprintf(buf, size, "%lld:%02d:%02d", (long long)(s / 3600), (int)(s / 60 % 60), (int)(s % 60));
}

void bar_format(const struct progress_view *v, char *buf, size_t size, int width)
{
    char done[16], total[16], rate[16], eta[24], cells[BAR_CELLS + 1];
    uint64_t of = num_max(v->total, v->done);
    unsigned percent = of ? (unsigned)((double)v->done * 100 / (double)of) : v->ended ? 100 : 0;
    unsigned full = percent * BAR_CELLS / 100;

    memset(cells, '-', BAR_CELLS);
    memset(cells, '#', full);
    cells[BAR_CELLS] = '\0';
    num_format_size(v->done, done);
    num_format_size(of, total);
    num_format_size((uint64_t)v->rate, rate);
    format_eta(v->eta_s, eta, sizeof(eta));
    int n = snprintf(buf, size, "%-*.*s [%s] %3u%%  %s of %s  %s/s  %s%s", NAME_CELLS, NAME_CELLS * 3, v->name, cells, percent, done, total,
                     rate, v->ended ? "done" : eta, v->ended ? "" : " left");
    if (n > width && (size_t)width < size) /* never wrap: lines are counted */
        buf[width] = '\0';
}

static int terminal_width(const struct bar *b, size_t *ret_rows)
{
    struct winsize w;
    bool known = ioctl(fileno(b->f), TIOCGWINSZ, &w) == 0 && w.ws_col > 20 && w.ws_row > 2;

    *ret_rows = known ? w.ws_row : 24;
    return known ? w.ws_col - 1 : 79;
}

static void erase(struct bar *b)
{
    if (b->drawn)
        fprintf(b->f, "\033[%zuA\033[J", b->drawn);
    b->drawn = 0;
}

/* Those that run, as many as there is room for; a task that has ended is printed once and scrolls away. */
static void draw(struct bar *b, const struct progress_view *views, size_t n)
{
    char line[512];
    size_t rows;
    int width = terminal_width(b, &rows);

    erase(b);
    for (size_t i = 0; i < n; i++) {
        if (!views[i].ended || b->told[i])
            continue;
        bar_format(&views[i], line, sizeof(line), width);
        fprintf(b->f, "%s\n", line);
        b->told[i] = true;
    }
    for (size_t i = 0; i < n && b->drawn + 1 < rows; i++) {
        if (views[i].ended)
            continue;
        bar_format(&views[i], line, sizeof(line), width);
        fprintf(b->f, "%s\n", line);
        b->drawn++;
    }
    fflush(b->f);
}

static void print_lines(struct bar *b, const struct progress_view *views, size_t n)
{
    char line[512];
    uint64_t now = clock_mono_ms();
    bool all = now - b->last_line_ms >= LINE_EVERY_MS;

    for (size_t i = 0; i < n; i++) {
        if (b->told[i] || (!views[i].ended && !all))
            continue;
        bar_format(&views[i], line, sizeof(line), sizeof(line));
        fprintf(b->f, "%s\n", line);
        b->told[i] = views[i].ended;
    }
    if (all)
        b->last_line_ms = now;
    fflush(b->f);
}

static void bar_show(struct bar *b)
{
    struct progress_view views[TASKS_MAX];
    size_t n = progress_get(b->progress, views, TASKS_MAX);

    if (n > TASKS_MAX)
        n = TASKS_MAX;
    if (b->terminal)
        draw(b, views, n);
    else
        print_lines(b, views, n);
}

static void *bar_run(void *arg)
{
    struct bar *b = arg;

    SCOPED_LOCK(&b->lock);
    while (!b->stopping) {
        bar_show(b);
        (void)thread_cond_wait_until(&b->stop, &b->lock, clock_mono_ms() + DRAW_EVERY_MS);
    }
    bar_show(b);
    return NULL;
}

struct bar *bar_start(struct progress *p, FILE *f, bool terminal)
{
    struct bar *b = calloc(1, sizeof(*b));

    if (!b)
        return NULL;
    b->progress = p;
    b->f = f;
    b->terminal = terminal;
    b->last_line_ms = clock_mono_ms();
    pthread_mutex_init(&b->lock, NULL);
    thread_cond_init(&b->stop);
    if (thread_start(&b->thread, "kvss-progress", bar_run, b) < 0) {
        free(b);
        return NULL;
    }
    return b;
}

void bar_stop(struct bar *b)
{
    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    b->stopping = true;
    pthread_cond_signal(&b->stop);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->stop);
    pthread_mutex_destroy(&b->lock);
    free(b);
}

void bar_line(struct bar *b, FILE *f, const char *line)
{
    if (!b) {
        fprintf(f, "%s\n", line);
        return;
    }
    SCOPED_LOCK(&b->lock);
    if (b->terminal)
        erase(b);
    fprintf(f, "%s\n", line);
    fflush(f);
}
