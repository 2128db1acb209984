/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Token files: what the guest's workload writes and what the tests read back.
 *
 * A token is a number. The workload appends one record of TOKEN_SIZE bytes per token to file A,
 * fsyncs it, then appends the same token to file B and fsyncs that. So at every instant
 *
 *     last token on A  >=  last token on B  >=  the token on A before its last one
 *
 * and an image set that breaks this was not taken at one instant (mission B1).
 */
#ifndef KVSS_TESTS_TOKENS_H
#define KVSS_TESTS_TOKENS_H

#include <stdbool.h>
#include <stdint.h>

#define TOKEN_SIZE 64

/* What one record says. */
struct token {
    uint64_t number;  /* from 1; strictly rising within a file */
    uint64_t bootid;  /* random, new at every boot of the guest */
    uint64_t counter; /* the guest's in-memory counter when it wrote the record */
};

/* What a whole file says. */
struct token_scan {
    struct token last; /* last good record; number 0 if there is none */
    uint64_t previous; /* number of the record before it; 0 if there is none */
    uint64_t records;  /* good records */
    bool torn;         /* the file ends in a piece of a record, or in a bad one */
    bool corrupt;      /* a bad record, or one out of order, before the end */
};

/* Writes the record for T into BUF: printable text, ending in a newline. */
void token_format(char buf[TOKEN_SIZE], const struct token *t);

/* Reads a record. False if BUF is no record, or its checksum is wrong. */
bool token_parse(const char buf[TOKEN_SIZE], struct token *t);

/* Reads the records of the file FD from byte START (a multiple of TOKEN_SIZE) on. 0 or -errno. */
int token_scan_fd(int fd, int64_t start, struct token_scan *scan);

#endif
