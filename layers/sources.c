/* SPDX-License-Identifier: MIT
 *
 * Duty: build and count lists of sources. One allocation holds the list and its paths; equal paths
 * are stored once, and nearly always all of them are equal.
 */
#include "sources.h"

#include <string.h>

static atomic_uint_least64_t next_id = 1;

int sources_add(struct sources_builder *builder, uint16_t layer, const char *path, bool xwhiteouts)
{
    if (builder->count == builder->room) {
        unsigned room = builder->room ? builder->room * 2 : 4;
        struct built_source *at = realloc(builder->at, room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        builder->at = at;
        builder->room = room;
    }
    char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;
    builder->at[builder->count++] =
        (struct built_source){.layer = layer, .path = copy, .xwhiteouts = xwhiteouts};
    return 0;
}

void sources_builder_finish(struct sources_builder *builder)
{
    for (unsigned i = 0; i < builder->count; i++)
        free(builder->at[i].path);
    free(builder->at);
    *builder = (struct sources_builder){0};
}

static bool same_as_before(const struct sources_builder *builder, unsigned i)
{
    return i > 0 && strcmp(builder->at[i].path, builder->at[i - 1].path) == 0;
}

struct sources *sources_build(struct sources_builder *builder, int *err)
{
    *err = 0;
    if (builder->count == 0) {
        sources_builder_finish(builder);
        return NULL;
    }
    size_t text = 0;
    for (unsigned i = 0; i < builder->count; i++)
        text += same_as_before(builder, i) ? 0 : strlen(builder->at[i].path) + 1;
    size_t head = sizeof(struct sources) + builder->count * sizeof(struct source);
    struct sources *sources = malloc(head + text);
    if (!sources) {
        *err = -ENOMEM;
        sources_builder_finish(builder);
        return NULL;
    }
    atomic_init(&sources->users, 1);
    sources->count = builder->count;
    sources->id = atomic_fetch_add(&next_id, 1);
    char *free_text = (char *)sources + head;
    for (unsigned i = 0; i < builder->count; i++) {
        sources->at[i].layer = builder->at[i].layer;
        sources->at[i].xwhiteouts = builder->at[i].xwhiteouts;
        if (same_as_before(builder, i)) {
            sources->at[i].path = sources->at[i - 1].path;
            continue;
        }
        size_t size = strlen(builder->at[i].path) + 1;
        sources->at[i].path = memcpy(free_text, builder->at[i].path, size);
        free_text += size;
    }
    sources_builder_finish(builder);
    return sources;
}

void sources_release(struct sources *sources)
{
    if (sources && atomic_fetch_sub_explicit(&sources->users, 1, memory_order_acq_rel) == 1)
        free(sources);
}
