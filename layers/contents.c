/* SPDX-License-Identifier: MIT
 *
 * Duty: read a directory of the union: the upper part first, then what it does not cover of the
 * sources. Cost: the upper part is read; the sources come from their merge, or, a single one, are
 * read.
 */
#include "contents.h"

#include "dirents.h"
#include "fd.h"
#include "merge.h"
#include "sources.h"
#include "whiteout.h"

#include <string.h>

struct reading {
    const struct stack *stack;
    const struct sources *sources; /* what the upper part may cover; or NULL */
    struct nameset covered;
    bool pure;
    bool foreign; /* a plain stack's directory on another filesystem: only a lookup tells numbers */
    int (*each)(void *context, const struct content *content);
    void *context;
};

static int tell_upper(struct reading *reading, const char *name, uint64_t ino, uint8_t dtype,
                      bool hidden)
{
    const struct content content = {
        .name = name, .ino = ino, .dtype = dtype, .upper = true, .hidden = hidden};
    return reading->each(reading->context, &content);
}

static int tell_lower(struct reading *reading, const char *name, uint64_t ino, uint8_t dtype)
{
    const struct content content = {.name = name, .ino = ino, .dtype = dtype};
    return reading->each(reading->context, &content);
}

/* ---- the upper part ---- */

static int take_upper(void *context, int dir, const struct dirent *entry)
{
    struct reading *reading = context;
    const char *name = entry->d_name;
    const struct stack *stack = reading->stack;
    struct stat st;
    if (stack->plain)
        return tell_upper(reading, name, entry->d_ino, entry->d_type, false);
    if (stack->able.whiteform == WHITEFORM_FILE && whiteout_is_name(name)) {
        const char *hidden = whiteout_hidden_name(name);
        return hidden ? tell_upper(reading, hidden, 0, DT_UNKNOWN, true) : 0;
    }
    int err = whiteout_is_opaque_file(stack_upper_where(stack), dir, name);
    if (err)
        return err < 0 ? err : 0;
    uint8_t dtype = entry->d_type;
    if (dtype == DT_CHR || dtype == DT_UNKNOWN) {
        err = fd_stat(dir, name, &st);
        if (err)
            return err == -ENOENT ? 0 : err;
        dtype = (uint8_t)IFTODT(st.st_mode);
        if (whiteout_is_device(&st))
            return tell_upper(reading, name, 0, DT_UNKNOWN, true);
    }
    return tell_upper(reading, name, entry->d_ino, dtype, false);
}

static int read_part(const struct stack *stack, const struct upperpart *upper,
                     int (*each)(void *context, const struct content *content), void *context)
{
    struct reading reading = {.stack = stack, .each = each, .context = context};
    if (upper->fd < 0)
        return 0;
    return upper->ref ? fdref_each_entry(upper->ref, take_upper, &reading)
                      : dirents_each(upper->fd, take_upper, &reading);
}

int contents_upper(const struct stack *stack, int upper,
                   int (*each)(void *context, const struct content *content), void *context)
{
    const struct upperpart part = {.fd = upper};
    return read_part(stack, &part, each, context);
}

/* ---- what is shown ---- */

static bool is_covered(const struct reading *reading, const char *name)
{
    return nameset_find(&reading->covered, name) != NAMESET_NONE;
}

static int cover(struct reading *reading, const char *name)
{
    uint32_t index;
    bool fresh;
    return reading->sources ? nameset_add(&reading->covered, name, &index, &fresh) : 0;
}

static int show_upper(void *context, const struct content *content)
{
    struct reading *reading = context;
    int err = cover(reading, content->name);
    if (err || content->hidden)
        return err;
    /* In a directory of purely upper content every number is its own; elsewhere an entry may have
     * brought another one with it, which a lookup tells. */
    bool own = !reading->sources && reading->pure && !reading->foreign;
    return tell_upper(reading, content->name, own ? stack_ino(reading->stack, 0, content->ino) : 0,
                      content->dtype, false);
}

static int take_single_lower(void *context, int dir, const struct dirent *entry)
{
    struct reading *reading = context;
    const struct source *source = &reading->sources->at[0];
    struct stat st;
    uint8_t dtype = entry->d_type;
    if (whiteout_is_name(entry->d_name) || is_covered(reading, entry->d_name))
        return 0;
    bool maybe_attr = source->xwhiteouts && (dtype == DT_REG || dtype == DT_UNKNOWN);
    if (dtype == DT_CHR || dtype == DT_UNKNOWN || maybe_attr) {
        int err = fd_stat(dir, entry->d_name, &st);
        if (err)
            return err == -ENOENT ? 0 : err;
        dtype = (uint8_t)IFTODT(st.st_mode);
        int white = whiteout_is_device(&st) ? 1
                    : source->xwhiteouts    ? whiteout_is_marked(dir, entry->d_name, &st)
                                            : 0;
        if (white)
            return white < 0 ? white : 0;
    }
    return tell_lower(reading, entry->d_name,
                      stack_ino(reading->stack, source->layer, entry->d_ino), dtype);
}

static int show_single_lower(struct reading *reading)
{
    const struct source *source = &reading->sources->at[0];
    return stack_read_lower(reading->stack, source->layer, source->path, take_single_lower,
                            reading);
}

static int show_merged_lowers(struct reading *reading)
{
    int err = 0;
    struct merge *merge = merge_get(reading->stack, reading->sources, &err);
    if (!merge)
        return err;
    for (uint32_t i = 0; i < merge->names.used && !err; i++) {
        const char *name = nameset_name(&merge->names, i);
        const struct merge_name *known = &merge->at[i];
        /* The number of a directory or of a metacopy file is that of its first source as well. */
        if (!known->hidden && !is_covered(reading, name))
            err = tell_lower(reading, name, known->ino, known->dtype);
    }
    merge_release(reading->stack->merges, merge);
    return err;
}

int contents_shown(const struct stack *stack, const struct upperpart *upper,
                   const struct sources *sources, bool pure,
                   int (*each)(void *context, const struct content *content), void *context)
{
    struct reading reading = {
        .stack = stack, .sources = sources, .pure = pure, .each = each, .context = context};
    struct stat st;
    if (stack->plain)
        reading.foreign = fstat(upper->fd, &st) < 0 || st.st_dev != stack->backings[0].dev;
    int err = read_part(stack, upper, show_upper, &reading);
    if (!err && sources)
        err = sources->count == 1 ? show_single_lower(&reading) : show_merged_lowers(&reading);
    nameset_finish(&reading.covered);
    return err;
}
