/* SPDX-License-Identifier: MIT
 *
 * What an inquiry comes to, in words and as JSON. Layers are told by their number, as people count
 * them (shadow.h).
 */
#ifndef PLYFS_VERDICT_H
#define PLYFS_VERDICT_H

#include "inquiry.h"

#include <jansson.h>

/* "visible", "absent", "volume", "error". */
const char *verdict_state(const struct inquiry *inquiry);

/* Why, in one sentence without its full stop: the caller's to free; NULL when out of memory. */
char *verdict_why(const struct inquiry *inquiry);

/* Path, Resolved, Links, Verdict {State, Layer, Errno, Why}, Layers (the topmost first) and Volume;
 * NULL when out of memory. */
json_t *verdict_json(const struct inquiry *inquiry);

#endif
