/* SPDX-License-Identifier: MIT
 *
 * Duty: chains that stay short. A hash doubles when it has more slots than chains and shrinks to a
 * quarter when there are eight times as many chains.
 */
#include "nodehash.h"

#include "hash.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS_MIN = 1024 };

int nodehash_init(struct nodehash *hash, struct slots *slots, struct names *names)
{
    *hash = (struct nodehash){.slots = slots, .names = names};
    hash->by_name.at = calloc(HEADS_MIN, sizeof(uint32_t));
    hash->by_ino.at = calloc(HEADS_MIN, sizeof(uint32_t));
    hash->by_name.count = hash->by_ino.count = HEADS_MIN;
    return hash->by_name.at && hash->by_ino.at ? 0 : -ENOMEM;
}

void nodehash_finish(struct nodehash *hash)
{
    free(hash->by_name.at);
    free(hash->by_ino.at);
}

static uint32_t *name_head(const struct nodehash *hash, uint32_t parent, const char *name)
{
    const uint64_t key = hash_bytes(name, strlen(name), parent);
    return &hash->by_name.at[key & (hash->by_name.count - 1)];
}

static uint32_t *ino_head(const struct nodehash *hash, uint8_t tree, uint64_t ino)
{
    const uint64_t key = (ino + tree) * 0x9e3779b97f4a7c15u >> 24;
    return &hash->by_ino.at[key & (hash->by_ino.count - 1)];
}

static const char *text_of(const struct nodehash *hash, const struct node *node)
{
    return names_text(hash->names, node->name);
}

static uint32_t *head_of(const struct nodehash *hash, const struct heads *heads,
                         const struct node *node)
{
    return heads == &hash->by_name ? name_head(hash, node->parent, text_of(hash, node))
                                   : ino_head(hash, node->tree, node->ino);
}

static uint32_t *next_of(const struct nodehash *hash, const struct heads *heads, uint32_t slot)
{
    struct node *node = &hash->slots->at[slot];
    return heads == &hash->by_name ? &node->name_next : &node->ino_next;
}

static void put(const struct nodehash *hash, const struct heads *heads, uint32_t slot)
{
    uint32_t *head = head_of(hash, heads, &hash->slots->at[slot]);
    *next_of(hash, heads, slot) = *head;
    *head = slot;
}

/* Out of memory it stays as it is: slower, not wrong. */
static void resize(const struct nodehash *hash, struct heads *heads, uint32_t count)
{
    uint32_t *old = heads->at, old_count = heads->count;
    uint32_t *fresh = calloc(count, sizeof(*fresh));
    if (!fresh)
        return;
    heads->at = fresh;
    heads->count = count;
    for (uint32_t i = 0; i < old_count; i++) {
        for (uint32_t slot = old[i], next; slot; slot = next) {
            next = *next_of(hash, heads, slot);
            put(hash, heads, slot);
        }
    }
    free(old);
}

static void add(const struct nodehash *hash, struct heads *heads, uint32_t slot)
{
    put(hash, heads, slot);
    if (++heads->used > heads->count)
        resize(hash, heads, heads->count * 2);
}

static void take_out(const struct nodehash *hash, struct heads *heads, uint32_t slot)
{
    uint32_t *at = head_of(hash, heads, &hash->slots->at[slot]);
    while (*at != slot)
        at = next_of(hash, heads, *at);
    *at = *next_of(hash, heads, slot);
    if (--heads->used < heads->count / 8 && heads->count > HEADS_MIN)
        resize(hash, heads, heads->count / 4);
}

uint32_t nodehash_find(const struct nodehash *hash, uint32_t parent, const char *name)
{
    const struct node *at = hash->slots->at;
    uint32_t slot = *name_head(hash, parent, name);
    while (slot && (at[slot].parent != parent || strcmp(text_of(hash, &at[slot]), name) != 0))
        slot = at[slot].name_next;
    return slot;
}

uint32_t nodehash_first(const struct nodehash *hash, uint8_t tree, uint64_t ino)
{
    return *ino_head(hash, tree, ino);
}

void nodehash_add_name(struct nodehash *hash, uint32_t slot)
{
    add(hash, &hash->by_name, slot);
}

void nodehash_remove_name(struct nodehash *hash, uint32_t slot)
{
    take_out(hash, &hash->by_name, slot);
}

void nodehash_add_ino(struct nodehash *hash, uint32_t index)
{
    add(hash, &hash->by_ino, index);
    hash->slots->at[index].flags |= NODE_BY_INO;
}

void nodehash_remove_ino(struct nodehash *hash, uint32_t index)
{
    struct node *node = &hash->slots->at[index];
    if (!(node->flags & NODE_BY_INO))
        return;
    take_out(hash, &hash->by_ino, index);
    node->flags &= ~(unsigned)NODE_BY_INO;
}
