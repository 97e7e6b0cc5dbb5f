/* SPDX-License-Identifier: MIT
 *
 * The memory of the node table: one flat array of slots, spoken of by 32-bit indices. A slot is a
 * node, or an alias: a further name of one. Not locked: the node table's lock protects all of it.
 *
 * A slot in use has a generation that no other slot ever had, so that a node number, index and
 * generation, is never given twice. The first is drawn by lot, so that a file handle
 * (open_by_handle_at(2)) of an earlier mount is stale in this one, and leads to no other file. Slot
 * 0 is never used, slot 1 is the root.
 */
#ifndef PLYFS_SLOTS_H
#define PLYFS_SLOTS_H

#include "filemore.h"
#include "names.h"
#include "nodeflag.h"
#include "opens.h"
#include "own.h"
#include "sources.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

struct node {
    uint64_t ino, upper_ino, lookups;
    uint32_t generation; /* 0: free */
    uint32_t parent;
    nameref name;
    uint32_t name_next; /* chain of the name hash; of a free slot the next free one */
    union {
        uint32_t ino_next; /* chain of the inode hash */
        uint32_t told;     /* of a directory, which is in none: see node_tell(); 0: nobody */
    };
    uint32_t aliases;  /* of a node its first alias; of an alias the next one */
    uint32_t target;   /* of an alias its node; of a lonely node the next such */
    uint32_t children; /* names that have this as their parent */
    struct node_opens opens;
    uint32_t flags;
    uint16_t layer;
    uint8_t tree, type; /* type: S_IFMT >> 12 */
    union {
        struct sources *sources; /* of a directory */
        struct filemore *more;   /* of anything else */
    };
};

_Static_assert(sizeof(struct node) == 88, "what a node costs is told in slots.c");

enum { SLOTS_CHUNK = 1024 };

struct chunk {
    uint32_t used, fresh, free; /* in use; handed out in order so far; first freed slot */
};

struct slots {
    struct node *at;
    struct chunk *chunks;
    uint32_t chunk_count, lowest; /* no chunk below `lowest` has room */
    uint32_t spare;               /* the chunk that was emptied last; it may be in use again */
    uint32_t next_generation;
};

/* 0 or -ENOMEM, after which slots_finish() is still due. */
must_check int slots_init(struct slots *slots);
void slots_finish(struct slots *slots);

/* A fresh slot, all zero but for its generation; NODE_NONE when there is no room. */
must_check uint32_t slots_take(struct slots *slots);
void slots_give(struct slots *slots, uint32_t index);

/* How many are in use. */
uint64_t slots_used(const struct slots *slots);

/* One more than the highest index that ever was in use. */
static inline uint32_t slots_end(const struct slots *slots)
{
    return slots->chunk_count * SLOTS_CHUNK;
}

static inline bool slot_is_dir(const struct node *node)
{
    return node->type == S_IFDIR >> 12;
}

/* Whether a node, and no alias, is there now. */
static inline bool slots_have(const struct slots *slots, uint32_t index)
{
    return index != NODE_NONE && index < slots_end(slots) && slots->at[index].generation &&
           !(slots->at[index].flags & NODE_ALIAS);
}

/* The number of a node, by which the kernel speaks of it. */
static inline uint64_t slots_id(const struct slots *slots, uint32_t index)
{
    return index == NODE_ROOT ? NODE_ROOT : (uint64_t)slots->at[index].generation << 32 | index;
}

/* The index of the node of that number, or NODE_NONE. */
static inline uint32_t slots_find(const struct slots *slots, uint64_t id)
{
    const uint32_t index = (uint32_t)id;
    return slots_have(slots, index) && slots_id(slots, index) == id ? index : NODE_NONE;
}

/* The node that a slot is, or is a further name of; NODE_NONE of NODE_NONE. */
static inline uint32_t slots_node(const struct slots *slots, uint32_t slot)
{
    return slot && (slots->at[slot].flags & NODE_ALIAS) ? slots->at[slot].target : slot;
}

#endif
