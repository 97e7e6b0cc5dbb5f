/* SPDX-License-Identifier: MIT
 *
 * What a volume hides: everything that the union, layers and upper, shows at its destination and
 * beneath, whatever is routed over it. Nothing is told on stderr.
 *
 * Layers are told by their number, as people count them: 1 is the lowest, and the upper has none
 * (0, "the changes").
 */
#ifndef PLYFS_SHADOW_H
#define PLYFS_SHADOW_H

#include "changes.h"
#include "own.h"
#include "stack.h"

#include <jansson.h>
#include <stdint.h>

/* Whose content an entry shows, counted so. */
unsigned shadow_layer_of(const struct stack *stack, const struct entry *entry);

/* A number as columns show it: "3", "upper" for 0, and "host" for -1, which is no layer; "none"
 * for what nothing has. */
json_t *shadow_layer_word(int layer);

/* One thing that is hidden; lasts for the call that is told of it. */
struct shadow_item {
    const struct change *change; /* change->path is from the root of the union, links resolved */
    const char *beneath;         /* the same from the destination; "" is what lies right at it */
    unsigned layer;              /* whose content it is */
    uint64_t bytes;              /* of a file's content, at the first of its hard links */
};

/* Calls `each` for everything hidden at `destination` (links in it are resolved inside the union)
 * until it returns something else than 0; a directory that lies right there is not told, what is in
 * it is. Where nothing is, nothing is told. Errors as rootpath_find(). */
must_check int shadow_walk(const struct stack *stack, const char *destination,
                           int (*each)(void *context, const struct shadow_item *item),
                           void *context);

struct shadow_part {
    uint64_t files; /* all that is no directory */
    uint64_t bytes;
};

struct shadow_count {
    struct shadow_part all;
    struct shadow_part *of; /* by the number of the layer; owned */
    unsigned count;         /* of layers, and one for the upper */
    uint64_t directories;
};

must_check int shadow_count(const struct stack *stack, const char *destination,
                            struct shadow_count *count);
void shadow_count_finish(struct shadow_count *count);
#define cleanup_shadow_count cleanup(shadow_count_finish)

/* "14 files, 3.2MB of layer 3", "nothing": the caller's to free; NULL when out of memory. */
char *shadow_words(const struct shadow_count *count);

/* {"Files": 14, "Bytes": 3200000, "Directories": 2, "Layers": [{"Layer": 3, "Files": 14, "Bytes":
 * 3200000}]}, the topmost layer first; NULL when out of memory. */
json_t *shadow_json(const struct shadow_count *count);

#endif
