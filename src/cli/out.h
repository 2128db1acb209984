/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words, tables and JSON on a stream. */
#ifndef CLI_OUT_H
#define CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A table: a header and rows of cells, columns as wide as they must be. Cells are copied; NULL is an empty one. */
struct table;
struct table *table_new(const char *const *header, size_t columns); /* NULL: out of memory; then the calls below do nothing */
void table_add(struct table *t, const char *const *cells);
void table_print(struct table *t, FILE *f); /* and frees it */

/* Text that came from guests, definitions or a repository, made harmless (text.h); newlines stay. */
void out_text(FILE *f, const char *s);
/* The same for every text in a report, newlines too, in place. To be done before anything of it is printed. */
void out_clean(json_t *report);
/* A text of a JSON object; "-" where there is none. */
const char *out_get(const json_t *o, const char *key);
/* "1 VM", "2 VMs". */
char *out_count(uint64_t n, const char *noun, char buf[static 64]);
uint64_t out_number(const json_t *o, const char *key);
/* "52 ms", "2.1 s" from milliseconds; "-" for null. Returns buf. */
char *out_ms(const json_t *ms, char buf[static 24]);
/* "1.5 GiB"; returns buf (>= 16 bytes). */
char *out_size(const json_t *o, const char *key, char buf[static 16]);
/* A time of a report, which is in UTC, as people read it: "2026-11-22 22:13:05 +01:00". Returns buf. */
char *out_time(const json_t *o, const char *key, char buf[static 40]);
/* "3 days old", from a number of seconds; "in the future" if below 0; "-" for null. Returns buf. */
char *out_age(const json_t *s, char buf[static 40]);
/* Prints " - text" for each of a list of texts. */
void out_list(FILE *f, const json_t *list, const char *lead);
int out_json(FILE *f, const json_t *report);

#endif
