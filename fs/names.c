/* SPDX-License-Identifier: MIT
 *
 * Duty: slabs of 64 KiB, each for names of one size class (multiples of 16 bytes). A slab with free
 * room is on its class's list; an empty one gives its memory back and may serve any class, unless
 * its class has no other with room: the next name would only ask for it again.
 * Cost: a name costs its length rounded up to 16; adding and removing are constant.
 */
#include "names.h"

#include <string.h>
#include <sys/mman.h>

enum { UNIT = 16, SLAB = 1 << 16, CLASSES = 17, SLAB_UNITS = SLAB / UNIT };
#define REGION ((size_t)1 << 35)
#define NONE UINT32_MAX

struct slab {
    uint32_t newer, older; /* neighbours on the class's list of slabs with room */
    uint16_t size;         /* in units */
    uint16_t used;         /* names */
    uint16_t fresh;        /* units handed out so far, in order */
    uint16_t free;         /* unit + 1 of the first freed name */
};

struct names {
    char *base;
    struct slab *slabs;
    uint32_t count, room;
    uint32_t with_room[CLASSES + 1];
    uint32_t empty; /* list of empty slabs, through `newer` */
};

struct names *names_create(void)
{
    struct names *names = calloc(1, sizeof(*names));
    if (!names)
        return NULL;
    names->base = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (names->base == MAP_FAILED) {
        free(names);
        return NULL;
    }
    for (int i = 0; i <= CLASSES; i++)
        names->with_room[i] = NONE;
    names->empty = NONE;
    return names;
}

void names_destroy(struct names *names)
{
    if (!names)
        return;
    munmap(names->base, REGION);
    free(names->slabs);
    free(names);
}

static void list_remove(struct names *names, uint32_t at)
{
    struct slab *slab = &names->slabs[at];
    if (slab->older != NONE)
        names->slabs[slab->older].newer = slab->newer;
    else
        names->with_room[slab->size] = slab->newer;
    if (slab->newer != NONE)
        names->slabs[slab->newer].older = slab->older;
}

static void list_add(struct names *names, uint32_t at)
{
    struct slab *slab = &names->slabs[at];
    slab->older = NONE;
    slab->newer = names->with_room[slab->size];
    if (slab->newer != NONE)
        names->slabs[slab->newer].older = at;
    names->with_room[slab->size] = at;
}

/* A slab without names, or NONE. */
static uint32_t take_empty(struct names *names)
{
    if (names->empty != NONE) {
        uint32_t at = names->empty;
        names->empty = names->slabs[at].newer;
        return at;
    }
    if (names->count == names->room) {
        uint32_t room = names->room ? names->room * 2 : 64;
        if ((size_t)room * SLAB > REGION)
            return NONE;
        struct slab *slabs = realloc(names->slabs, room * sizeof(*slabs));
        if (!slabs)
            return NONE;
        names->slabs = slabs;
        names->room = room;
    }
    return names->count++;
}

static bool slab_is_full(const struct slab *slab)
{
    return slab->free == 0 && slab->fresh + slab->size > SLAB_UNITS;
}

nameref names_add(struct names *names, const char *name)
{
    size_t length = strlen(name) + 1;
    uint16_t size = (uint16_t)((length + UNIT - 1) / UNIT);
    if (size > CLASSES)
        return 0;
    uint32_t at = names->with_room[size];
    if (at == NONE) {
        at = take_empty(names);
        if (at == NONE)
            return 0;
        /* Reference 0 means no name: the very first unit is never handed out. */
        names->slabs[at] = (struct slab){.size = size, .fresh = at == 0};
        list_add(names, at);
    }
    struct slab *slab = &names->slabs[at];
    char *base = names->base + (size_t)at * SLAB;
    uint16_t unit = slab->fresh;
    if (slab->free) {
        unit = (uint16_t)(slab->free - 1);
        memcpy(&slab->free, base + unit * UNIT, sizeof(slab->free));
    } else {
        slab->fresh = (uint16_t)(slab->fresh + size);
    }
    slab->used++;
    if (slab_is_full(slab))
        list_remove(names, at);
    memcpy(base + unit * UNIT, name, length);
    return at * SLAB_UNITS + unit;
}

void names_remove(struct names *names, nameref ref)
{
    if (ref == 0)
        return;
    uint32_t at = ref / SLAB_UNITS;
    struct slab *slab = &names->slabs[at];
    char *base = names->base + (size_t)at * SLAB;
    bool was_full = slab_is_full(slab);
    memcpy(base + (ref % SLAB_UNITS) * UNIT, &slab->free, sizeof(slab->free));
    slab->free = (uint16_t)(ref % SLAB_UNITS + 1);
    if (was_full)
        list_add(names, at);
    const bool alone = slab->newer == NONE && slab->older == NONE;
    if (--slab->used > 0 || alone)
        return;
    list_remove(names, at);
    madvise(base, SLAB, MADV_DONTNEED);
    slab->newer = names->empty;
    names->empty = at;
}

size_t names_bytes(const struct names *names)
{
    size_t bytes = 0;
    for (uint32_t at = 0; at < names->count; at++)
        bytes += names->slabs[at].used > 0 ? SLAB : 0;
    return bytes;
}

const char *names_text(const struct names *names, nameref ref)
{
    return names->base + (size_t)ref * UNIT;
}
