/* SPDX-License-Identifier: MIT
 *
 * What the fuzz targets share: a claim that aborts where it does not hold, the input as text and as
 * words, and a directory to work in. Built with libFuzzer, or with replay.c, which runs a target
 * over files.
 */
#ifndef PLYFS_FUZZKIT_H
#define PLYFS_FUZZKIT_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target: any bytes. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says `what` and aborts, unless it holds. */
void must(bool holds, const char *what);

/* The input with a zero byte behind it, to be freed. Zero bytes in it end the text there. */
char *fuzz_text(const uint8_t *data, size_t size);

/* Divides `text`, which is changed, at each `divider`; at most `most` parts, the last of which has
 * the rest. The number of them, at least 1. */
unsigned fuzz_words(char *text, char divider, const char **words, unsigned most);

/* Makes an empty directory, in memory where that is possible: `path` is its name, what is returned
 * a descriptor of the caller's. fuzz_leave() removes all of it. */
int fuzz_enter(char path[64]);
void fuzz_leave(const char *path);

/* Makes a file with that content. */
void fuzz_file(int dir, const char *name, const void *data, size_t size);

#endif
