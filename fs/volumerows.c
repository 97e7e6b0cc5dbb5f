/* SPDX-License-Identifier: MIT
 *
 * Duty: hold the rows of one mount's volumes, and say them in the words of the field.
 */
#include "volumerows.h"

#include "imageword.h"
#include "log.h"
#include "report.h"
#include "volume.h"

#include <string.h>

void volume_rows_finish(struct volume_rows *rows)
{
    for (unsigned i = 0; i < rows->count; i++)
        mount_volume_row_finish(&rows->at[i]);
    free(rows->at);
    *rows = (struct volume_rows){0};
}

struct mount_volume_row *volume_rows_find(const struct volume_rows *rows, const char *destination)
{
    for (unsigned i = 0; i < rows->count; i++) {
        if (strcmp(rows->at[i].spec.destination, destination) == 0)
            return &rows->at[i];
    }
    return NULL;
}

static bool comes_before(const struct mount_volume_row *left, const struct mount_volume_row *right)
{
    const char *a = left->spec.destination, *b = right->spec.destination;
    return volume_destination_order(&a, &b) < 0;
}

int volume_rows_put(struct volume_rows *rows, struct mount_volume_row *row)
{
    struct mount_volume_row *former = volume_rows_find(rows, row->spec.destination);
    if (former) {
        mount_volume_row_finish(former);
        *former = *row;
        *row = (struct mount_volume_row){0};
        return 0;
    }
    struct mount_volume_row *larger = reallocarray(rows->at, rows->count + 1, sizeof(*larger));
    if (!larger)
        return -ENOMEM;
    rows->at = larger;
    unsigned index = rows->count++;
    for (; index > 0 && comes_before(row, &larger[index - 1]); index--)
        larger[index] = larger[index - 1];
    larger[index] = *row;
    *row = (struct mount_volume_row){0};
    return 0;
}

void volume_rows_remove(struct volume_rows *rows, unsigned index)
{
    mount_volume_row_finish(&rows->at[index]);
    rows->count--;
    memmove(&rows->at[index], &rows->at[index + 1], (rows->count - index) * sizeof(*rows->at));
}

int volume_rows_copy(const struct mount_volume_row *from, struct mount_volume_row *to)
{
    const struct volume_spec *was = &from->spec;
    struct volume_spec *is = &to->spec;
    *to = *from;
    is->options = is->labels = (struct volume_pairs){0};
    const struct {
        const char *from;
        char **to;
    } texts[] = {
        {was->source, &is->source},   {was->destination, &is->destination},
        {was->said, &is->said},       {was->mode, &is->mode},
        {was->subpath, &is->subpath}, {was->propagation, &is->propagation},
        {was->driver, &is->driver},
    };
    int err = 0;
    /* Each is copied, also after a failure: none may stay the other's. */
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int failed = own_copy(texts[i].to, texts[i].from);
        err = err ? err : failed;
    }
    if (!err)
        err = volume_pairs_copy(&was->options, &is->options);
    if (!err)
        err = volume_pairs_copy(&was->labels, &is->labels);
    if (err)
        mount_volume_row_finish(to);
    return err;
}

static int take_row(void *context, const struct mount_volume_row *row)
{
    struct mount_volume_row copy;
    int err = volume_rows_copy(row, &copy);
    if (!err) {
        err = volume_rows_put(context, &copy);
        mount_volume_row_finish(&copy);
    }
    return err;
}

int volume_rows_load(struct store *store, const char *id, struct volume_rows *rows)
{
    *rows = (struct volume_rows){0};
    int err = catalog_each_mount_volume(store->catalog, id, take_row, rows);
    if (err)
        log_error("cannot read the volumes of a mount in the catalog: %s", strerror(-err));
    return err;
}

/* ---- inspect ---- */

/* What Docker shows of the second colon: an anonymous volume has nothing there, a named one that
 * was asked for without a mode is shared ("z"). */
static const char *mode_of(const struct mount_volume_row *row)
{
    const char *mode = row->spec.mode ? row->spec.mode : "";
    bool named = row->spec.kind == VOLUME_KIND_VOLUME && !row->anonymous;
    return named && !*mode && row->origin != VOLUME_ORIGIN_FROM ? "z" : mode;
}

static json_t *describe_row(struct store *store, const struct mount_volume_row *row)
{
    const struct volume_spec *spec = &row->spec;
    bool is_volume = spec->kind == VOLUME_KIND_VOLUME;
    struct volume_row volume = {0};
    cleanup_free char *content = NULL;
    json_t *line =
        json_pack("{s:s, s:o, s:s, s:b, s:s}", "Type", volume_kind_word(spec->kind), "Destination",
                  report_text(spec->destination), "Mode", mode_of(row), "RW", !spec->read_only,
                  "Propagation", spec->propagation ? spec->propagation : "");
    if (!line)
        return NULL;
    /* Where a volume is that its driver has not mounted, nobody can say. */
    if (is_volume && catalog_find_volume(store->catalog, spec->source, &volume) == 0)
        (void)!volume_content_path(store, &volume, &content);
    else if (spec->kind == VOLUME_KIND_IMAGE)
        content = imageword_call(store, spec->source);
    const char *source = is_volume || content ? content : spec->source;
    json_object_set_new(line, "Source", report_text(source ? source : ""));
    if (is_volume) {
        json_object_set_new(line, "Name", report_text(spec->source));
        json_object_set_new(line, "Driver", report_text(volume.driver ? volume.driver : "local"));
    }
    if (spec->subpath)
        json_object_set_new(line, "Subpath", report_text(spec->subpath));
    volume_row_finish(&volume);
    return line;
}

json_t *volume_rows_json(struct store *store, const struct volume_rows *rows)
{
    json_t *list = json_array();
    for (unsigned i = 0; list && i < rows->count; i++)
        json_array_append_new(list, describe_row(store, &rows->at[i]));
    return list;
}
