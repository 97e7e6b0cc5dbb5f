/* SPDX-License-Identifier: MIT
 *
 * The arena of names: every name of every node, in one flat region, spoken of by a 32-bit reference
 * and never by a pointer. Memory of freed names goes back to the kernel page by page. Not locked:
 * the node table's lock protects it.
 */
#ifndef PLYFS_NAMES_H
#define PLYFS_NAMES_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct names;
typedef uint32_t nameref; /* 0 is no name */

struct names *names_create(void);
void names_destroy(struct names *names);

/* Keeps a copy of `name` (up to 255 bytes). 0 when out of memory. */
nameref names_add(struct names *names, const char *name);
void names_remove(struct names *names, nameref ref);

/* Bytes of memory that names take. */
size_t names_bytes(const struct names *names);

/* The text, valid until it is removed. */
const char *names_text(const struct names *names, nameref ref);

#endif
