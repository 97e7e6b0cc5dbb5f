/* SPDX-License-Identifier: MIT
 *
 * Duty: a hash of names by open addressing, at most two thirds full. A name costs its bytes and
 * about ten more; a lookup one hash and, nearly always, one comparison.
 */
#include "nameset.h"

#include "hash.h"

#include <string.h>

void nameset_finish(struct nameset *set)
{
    free(set->text);
    free(set->offsets);
    free(set->slots);
    *set = (struct nameset){0};
}

/* The slot that holds `name`, or the free one where it belongs. There is always a free one. */
static uint32_t nameset_slot(const struct nameset *set, const char *name, size_t length)
{
    uint32_t mask = set->slot_count - 1;
    uint32_t at = (uint32_t)hash_bytes(name, length, 0) & mask;
    while (set->slots[at] && strcmp(nameset_name(set, set->slots[at] - 1), name) != 0)
        at = (at + 1) & mask;
    return at;
}

uint32_t nameset_find(const struct nameset *set, const char *name)
{
    if (set->slot_count == 0)
        return NAMESET_NONE;
    uint32_t held = set->slots[nameset_slot(set, name, strlen(name))];
    return held ? held - 1 : NAMESET_NONE;
}

static int nameset_rehash(struct nameset *set, uint32_t slot_count)
{
    uint32_t *slots = calloc(slot_count, sizeof(*slots));
    if (!slots)
        return -ENOMEM;
    free(set->slots);
    set->slots = slots;
    set->slot_count = slot_count;
    for (uint32_t i = 0; i < set->used; i++) {
        const char *name = nameset_name(set, i);
        set->slots[nameset_slot(set, name, strlen(name))] = i + 1;
    }
    return 0;
}

static int nameset_reserve(struct nameset *set, size_t length)
{
    if (set->text_used + length + 1 > set->text_room) {
        size_t room = set->text_room ? set->text_room * 2 : 512;
        while (room < set->text_used + length + 1)
            room *= 2;
        char *text = realloc(set->text, room);
        if (!text)
            return -ENOMEM;
        set->text = text;
        set->text_room = room;
    }
    if (set->used == set->room) {
        uint32_t room = set->room ? set->room * 2 : 32;
        uint32_t *offsets = realloc(set->offsets, room * sizeof(*offsets));
        if (!offsets)
            return -ENOMEM;
        set->offsets = offsets;
        set->room = room;
    }
    if ((set->used + 1) * 3 > set->slot_count * 2)
        return nameset_rehash(set, set->slot_count ? set->slot_count * 2 : 64);
    return 0;
}

int nameset_add(struct nameset *set, const char *name, uint32_t *index, bool *fresh)
{
    size_t length = strlen(name);
    int err = nameset_reserve(set, length);
    if (err)
        return err;
    uint32_t slot = nameset_slot(set, name, length);
    *fresh = set->slots[slot] == 0;
    if (*fresh) {
        memcpy(set->text + set->text_used, name, length + 1);
        set->offsets[set->used] = (uint32_t)set->text_used;
        set->text_used += length + 1;
        set->slots[slot] = ++set->used;
    }
    *index = set->slots[slot] - 1;
    return 0;
}

size_t nameset_bytes(const struct nameset *set)
{
    return set->text_room + set->room * sizeof(uint32_t) + set->slot_count * sizeof(uint32_t);
}
