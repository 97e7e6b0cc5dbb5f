/* SPDX-License-Identifier: MIT
 *
 * Duty: say what is wrong with a word that should mean a layer.
 */
#include "layerword.h"

#include "fd.h"
#include "log.h"
#include "report.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int layerword_find(const struct store *store, const char *word, struct layer_row *row)
{
    *row = (struct layer_row){0};
    int err = catalog_find_layer(store->catalog, word, row);
    if (err == -ENOENT)
        log_error("%s: no such layer; plyfs layer ls lists those there are", word);
    else if (err == -ENOTUNIQ)
        log_error("%s: several layers begin like this; write more of the id", word);
    else if (err)
        log_error("%s: cannot be looked up in %s: %s", word, store->path, strerror(-err));
    return err;
}

int layerword_check_name(const char *name)
{
    size_t length = 0;
    while (isalnum((unsigned char)name[length]) ||
           (length > 0 && name[length] && strchr("_.-", name[length])))
        length++;
    if (length > 0 && length < 256 && name[length] == 0)
        return 0;
    log_error("'%s' cannot be a name: it begins with a letter or digit, and has of those, '_', '.' "
              "and '-' at most 255",
              name);
    return -EINVAL;
}

int layerword_open(const struct store *store, const struct layer_row *row, int *books, int *tree)
{
    *books = fd_open_name(store->layers, row->id, O_RDONLY | O_DIRECTORY, 0);
    *tree = *books < 0 ? *books : fd_open_name(*books, "tree", O_RDONLY | O_DIRECTORY, 0);
    if (*tree >= 0)
        return 0;
    int err = *tree;
    log_error("%s/layers/%s/tree: %s; plyfs doctor tells what the store has lost", store->path,
              row->id, strerror(-err));
    return err;
}

static json_t *digest_of_tar(const char *id)
{
    char text[80];
    snprintf(text, sizeof(text), "sha256:%s", id);
    return json_string(text);
}

json_t *layerword_json(const struct store *store, const struct layer_row *row)
{
    char created[36];
    cleanup_free char *path = store_layer_path(store, row->id);
    if (!path)
        return NULL;
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:o}", "Id", row->id, "Name",
                     report_text(row->name), "DiffID", digest_of_tar(row->id), "Created",
                     report_time(created, row->created), "Source", report_text(row->source),
                     "Files", (json_int_t)row->files, "Size", (json_int_t)row->bytes, "TarSize",
                     (json_int_t)row->tar_bytes, "Path", report_text(path));
}
