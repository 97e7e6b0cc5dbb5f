/* SPDX-License-Identifier: MIT
 *
 * Duty: slots come and go, and their memory with them. The region is as large as it can ever be,
 * and takes memory where it is written; a chunk of it that has become free gives it back. Cost: 88
 * bytes a slot; taking and giving are constant.
 */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#define SLOTS_MAX (UINT32_C(1) << 27)

int slots_init(struct slots *slots)
{
    uint32_t first = 0;
    if (getrandom(&first, sizeof(first), 0) != sizeof(first))
        return -errno;
    *slots = (struct slots){.next_generation = first ? first : 1};
    slots->chunks = calloc(SLOTS_MAX / SLOTS_CHUNK, sizeof(*slots->chunks));
    slots->at = mmap(NULL, SLOTS_MAX * sizeof(struct node), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots->at == MAP_FAILED)
        slots->at = NULL;
    return slots->chunks && slots->at ? 0 : -ENOMEM;
}

void slots_finish(struct slots *slots)
{
    if (slots->at)
        munmap(slots->at, SLOTS_MAX * sizeof(struct node));
    free(slots->chunks);
}

uint32_t slots_take(struct slots *slots)
{
    uint32_t at = slots->lowest;
    while (at < slots->chunk_count && slots->chunks[at].free == 0 &&
           slots->chunks[at].fresh == SLOTS_CHUNK)
        at++;
    slots->lowest = at;
    if (at == SLOTS_MAX / SLOTS_CHUNK)
        return NODE_NONE;
    struct chunk *chunk = &slots->chunks[at];
    if (at == slots->chunk_count) {
        slots->chunk_count++;
        /* Slot 0 means no node. */
        *chunk = (struct chunk){.fresh = at == 0, .used = at == 0};
    }
    uint32_t index = chunk->free;
    if (index)
        chunk->free = slots->at[index].name_next;
    else
        index = at * SLOTS_CHUNK + chunk->fresh++;
    chunk->used++;
    slots->at[index] = (struct node){.generation = slots->next_generation};
    if (++slots->next_generation == 0)
        slots->next_generation = 1;
    return index;
}

static void chunk_give_back(struct slots *slots, uint32_t at)
{
    slots->chunks[at] = (struct chunk){0};
    madvise(&slots->at[at * SLOTS_CHUNK], SLOTS_CHUNK * sizeof(struct node), MADV_DONTNEED);
}

/* The chunk that was emptied last keeps its memory: a node that comes and goes, as that of a
 * temporary file, would have it given back and taken again each time. */
void slots_give(struct slots *slots, uint32_t index)
{
    uint32_t at = index / SLOTS_CHUNK;
    struct chunk *chunk = &slots->chunks[at];
    slots->at[index] = (struct node){.name_next = chunk->free};
    chunk->free = index;
    if (at < slots->lowest)
        slots->lowest = at;
    if (--chunk->used > 0)
        return;
    if (slots->spare != at && slots->chunks[slots->spare].used == 0)
        chunk_give_back(slots, slots->spare);
    slots->spare = at;
}

uint64_t slots_used(const struct slots *slots)
{
    uint64_t used = 0;
    for (uint32_t i = 0; i < slots->chunk_count; i++)
        used += slots->chunks[i].used;
    return used > 0 ? used - 1 : 0; /* slot 0 is none */
}
