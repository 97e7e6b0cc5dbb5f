/* SPDX-License-Identifier: MIT
 *
 * Duty: walk and count what lies beneath a destination. Cost: what a find(1) there would cost, and
 * one path for each inode with several names; no content is read.
 */
#include "shadow.h"

#include "linkset.h"
#include "report.h"
#include "rootpath.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct walk {
    const struct stack *stack;
    struct linkset *links;
    size_t prefix; /* of change->path, before what is beneath the destination */
    int (*each)(void *context, const struct shadow_item *item);
    void *context;
};

/* Slot 0 is the upper's, and the lowest layer is in the last. */
unsigned shadow_layer_of(const struct stack *stack, const struct entry *entry)
{
    unsigned slot = entry->metacopy ? entry->data.layer : entry->layer;
    return slot == 0 ? 0 : stack->count - slot;
}

static int tell(struct walk *walk, const struct change *change, const char *beneath)
{
    const struct entry *entry = change->entry;
    const char *first = NULL;
    int err = linkset_first(walk->links, &entry->st, change->path, &first);
    if (err)
        return err;
    const struct shadow_item item = {
        .change = change,
        .beneath = beneath,
        .layer = shadow_layer_of(walk->stack, entry),
        .bytes = S_ISREG(entry->st.st_mode) && !first ? (uint64_t)entry->st.st_size : 0,
    };
    return walk->each(walk->context, &item);
}

static int tell_beneath(void *context, const struct change *change)
{
    struct walk *walk = context;
    return tell(walk, change, change->path + walk->prefix);
}

int shadow_walk(const struct stack *stack, const char *destination,
                int (*each)(void *context, const struct shadow_item *item), void *context)
{
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    cleanup_linkset struct linkset *links = linkset_create();
    struct walk walk = {.stack = stack, .links = links, .each = each, .context = context};
    if (!links)
        return -ENOMEM;
    int err = rootpath_find(stack, destination, true, &found);
    if (err)
        return err;
    walk.prefix = *found.path ? strlen(found.path) + 1 : 0;
    if (!found.entry.present)
        return 0;
    const struct change itself = rootpath_change(&found);
    return S_ISDIR(found.entry.st.st_mode) ? rootpath_walk(stack, &found, tell_beneath, &walk)
                                           : tell(&walk, &itself, "");
}

/* ---- counting ---- */

static int count_item(void *context, const struct shadow_item *item)
{
    struct shadow_count *count = context;
    struct shadow_part *part = &count->of[item->layer];
    if (S_ISDIR(item->change->entry->st.st_mode)) {
        count->directories++;
        return 0;
    }
    part->files++;
    part->bytes += item->bytes;
    count->all.files++;
    count->all.bytes += item->bytes;
    return 0;
}

int shadow_count(const struct stack *stack, const char *destination, struct shadow_count *count)
{
    *count = (struct shadow_count){.count = stack->count};
    count->of = calloc(count->count, sizeof(*count->of));
    return count->of ? shadow_walk(stack, destination, count_item, count) : -ENOMEM;
}

void shadow_count_finish(struct shadow_count *count)
{
    free(count->of);
    *count = (struct shadow_count){0};
}

/* ---- telling ---- */

/* The layer of a rank: the changes are topmost, then the layers from the highest number down. */
static unsigned ranked(const struct shadow_count *count, unsigned rank)
{
    return rank == 0 ? 0 : count->count - rank;
}

static void print_part(FILE *to, const struct shadow_part *part)
{
    char size[16];
    fprintf(to, "%llu file%s, %s", (unsigned long long)part->files, part->files == 1 ? "" : "s",
            report_size(size, part->bytes));
}

static void print_layer(FILE *to, unsigned layer)
{
    if (layer == 0)
        fputs(" of the changes", to);
    else
        fprintf(to, " of layer %u", layer);
}

/* Of several layers each is told after the sum. */
static void print_count(FILE *to, const struct shadow_count *count)
{
    unsigned with = 0, only = 0;
    for (unsigned i = 0; i < count->count; i++) {
        with += count->of[i].files > 0;
        only = count->of[i].files > 0 ? i : only;
    }
    print_part(to, &count->all);
    if (with == 1) {
        print_layer(to, only);
        return;
    }
    const char *before = ": ";
    for (unsigned rank = 0; rank < count->count; rank++) {
        unsigned layer = ranked(count, rank);
        if (count->of[layer].files == 0)
            continue;
        fputs(before, to);
        print_part(to, &count->of[layer]);
        print_layer(to, layer);
        before = "; ";
    }
}

char *shadow_words(const struct shadow_count *count)
{
    char *words = NULL;
    size_t size;
    if (count->all.files == 0)
        return strdup("nothing");
    FILE *to = open_memstream(&words, &size);
    if (!to)
        return NULL;
    print_count(to, count);
    bool whole = !ferror(to);
    if (fclose(to) == 0 && whole)
        return words;
    free(words);
    return NULL;
}

json_t *shadow_layer_word(int layer)
{
    return layer < -1   ? json_string("none")
           : layer < 0  ? json_string("host")
           : layer == 0 ? json_string("upper")
                        : json_sprintf("%d", layer);
}

static json_t *part_json(const struct shadow_part *part, unsigned layer)
{
    return json_pack("{s:i, s:I, s:I}", "Layer", (int)layer, "Files", (json_int_t)part->files,
                     "Bytes", (json_int_t)part->bytes);
}

json_t *shadow_json(const struct shadow_count *count)
{
    json_t *layers = json_array();
    for (unsigned rank = 0; rank < count->count; rank++) {
        unsigned layer = ranked(count, rank);
        const struct shadow_part *part = &count->of[layer];
        if (part->files > 0 && json_array_append_new(layers, part_json(part, layer)) < 0) {
            json_decref(layers);
            return NULL;
        }
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "Files", (json_int_t)count->all.files, "Bytes",
                     (json_int_t)count->all.bytes, "Directories", (json_int_t)count->directories,
                     "Layers", layers);
}
