/* SPDX-License-Identifier: MIT
 *
 * Text for a terminal. What comes from a store or a disk may hold any byte: here it becomes
 * something that moves no cursor and has a width that can be counted.
 */
#ifndef PLYFS_CELL_H
#define PLYFS_CELL_H

#include <stddef.h>
#include <stdio.h>

/* Writes `text` with everything that is no printable UTF-8 as \n, \t, \xNN (a byte) or \u{NNNN}. */
void cell_write(FILE *out, const char *text);

/* Writes `text` as it is, for programs; and as cell_write() does where `out` is a terminal. */
void cell_write_raw(FILE *out, const char *text);

/* How many columns a terminal takes for `text`, which cell_write() wrote. */
unsigned cell_width(const char *text);

/* How many bytes of it fit into so many columns. */
size_t cell_fit(const char *text, unsigned columns);

#endif
