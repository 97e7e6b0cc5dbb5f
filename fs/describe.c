/* SPDX-License-Identifier: MIT
 *
 * Duty: rows of the catalog in the words of the field.
 */
#include "describe.h"

#include "control.h"
#include "fd.h"
#include "imageword.h"
#include "report.h"
#include "usage.h"

#include <fcntl.h>
#include <string.h>

/* A time that may not have been is null. */
static json_t *time_of(int64_t when)
{
    char text[36];
    return when > 0 ? json_string(report_time(text, when)) : json_null();
}

/* The image's first name, for people; its id where it has none. */
static json_t *image_of(struct store *store, const struct mount_row *row)
{
    cleanup_free char *name = row->image ? imageword_call(store, row->image) : NULL;
    return report_text(name ? name : row->image);
}

static int upper_size(const struct store *store, const struct mount_row *row, uint64_t *bytes)
{
    cleanup_fd int dir = fd_open_name(store->mounts, row->id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir;
    cleanup_fd int upper = fd_open_name(dir, "upper", O_RDONLY | O_DIRECTORY, 0);
    struct usage usage = {0};
    int err = upper < 0 ? upper : usage_of(upper, &usage);
    *bytes = usage.held;
    return err;
}

json_t *describe_mount(struct store *store, const struct mount_row *row, int *err)
{
    enum named_state state = NAMED_CREATED;
    uint64_t bytes = 0;
    *err = named_state(store, row, &state);
    if (*err)
        return NULL;
    bool live = state == NAMED_MOUNTED || state == NAMED_DEAD;
    /* A mount in use changes while it is measured: what was counted so far is told. */
    (void)!upper_size(store, row, &bytes);
    json_t *line = json_pack(
        "{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:I, s:b}", "Id", row->id, "Name", row->name, "Image",
        image_of(store, row), "State", named_state_word(state), "Mountpoint",
        report_text(live ? row->mountpoint : NULL), "MountedAt", time_of(live ? row->mounted : 0),
        "CreatedAt", time_of(row->created), "Size", (json_int_t)bytes, "Ephemeral", row->ephemeral);
    *err = line ? 0 : -ENOMEM;
    return line;
}

static json_t *strings(char *const *at, unsigned count)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, report_text(at[i]));
    return list;
}

/* What its daemon says of itself; null where none serves it, or does not answer in time. */
static json_t *ask_state(struct store *store, const struct mount_row *row)
{
    enum { PATIENCE = 5 };
    json_t *answer = NULL;
    int err = control_ask(store, row, json_pack("{s:s}", "do", "state"), PATIENCE, &answer);
    json_t *state = err ? NULL : json_incref(json_object_get(answer, "state"));
    json_decref(answer);
    return state ? state : json_null();
}

json_t *describe_mount_fully(struct store *store, const struct mount_row *row, int *err)
{
    struct options layers;
    json_t *line = describe_mount(store, row, err);
    if (!line)
        return NULL;
    cleanup_volume_rows struct volume_rows volumes = {0};
    options_init(&layers);
    *err = named_fill(store, row, &layers);
    if (!*err)
        *err = volume_rows_load(store, row->id, &volumes);
    if (!*err) {
        bool live = !json_is_null(json_object_get(line, "Mountpoint"));
        json_object_set_new(line, "Layers", strings(layers.lowers, layers.lower_count));
        json_object_set_new(line, "UpperDir", report_text(layers.upper));
        json_object_set_new(line, "WorkDir", report_text(layers.work));
        json_object_set_new(line, "ImageId", report_text(row->image));
        json_object_set_new(line, "Options", report_text(row->options));
        json_object_set_new(line, "Mounts", volume_rows_json(store, &volumes));
        json_object_set_new(line, "Served", live ? ask_state(store, row) : json_null());
        json_object_set_new(line, "Pid", live ? json_integer(row->pid) : json_null());
    }
    options_finish(&layers);
    if (*err) {
        json_decref(line);
        return NULL;
    }
    return line;
}
