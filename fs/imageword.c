/* SPDX-License-Identifier: MIT
 *
 * Duty: say what is wrong with a word that should mean an image, and say what an image is. Its
 * config has been checked when it came into the store.
 */
#include "imageword.h"

#include "imagename.h"
#include "log.h"
#include "oci.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

/* By the word itself, and by what it means in the one spelling of names. */
static int find(const struct store *store, const char *word, struct image_row *row)
{
    char name[IMAGENAME_SIZE];
    int err = catalog_find_image(store->catalog, word, row);
    if (err == -ENOENT && imagename_normal(word, name) == 0)
        err = catalog_find_image(store->catalog, name, row);
    return err;
}

static const char *name_in(const struct image_row *row, const char *word)
{
    char name[IMAGENAME_SIZE];
    if (imagename_normal(word, name))
        return NULL;
    for (unsigned i = 0; i < row->name_count; i++) {
        if (strcmp(row->names[i], name) == 0)
            return row->names[i];
    }
    return NULL;
}

int imageword_find(const struct store *store, const char *word, struct image_row *row,
                   const char **name)
{
    *row = (struct image_row){0};
    int err = find(store, word, row);
    if (err == -ENOENT)
        log_error("%s: no such image; plyfs image ls lists those there are", word);
    else if (err == -ENOTUNIQ)
        log_error("%s: several images begin like this; write more of the id", word);
    else if (err)
        log_error("%s: cannot be looked up in %s: %s", word, store->path, strerror(-err));
    *name = err ? NULL : name_in(row, word);
    return err;
}

char *imageword_call(const struct store *store, const char *word)
{
    cleanup_image_row struct image_row row = {0};
    if (find(store, word, &row) != 0)
        return NULL;
    const char *name = name_in(&row, word);
    return strdup(name ? name : row.name_count > 0 ? row.names[0] : row.id);
}

static json_t *names_json(const struct image_row *row)
{
    json_t *names = json_array();
    for (unsigned i = 0; i < row->name_count; i++)
        json_array_append_new(names, report_text(row->names[i]));
    return names;
}

json_t *imageword_json(const struct image_row *row)
{
    struct oci_fault fault;
    char imported[36], platform[PLATFORM_TEXT_SIZE];
    cleanup_oci_config struct oci_config config;
    int err = oci_config_parse(row->config, strlen(row->config), &config, &fault);
    const char *created = err || !*config.created ? NULL : config.created;
    if (err)
        snprintf(platform, sizeof(platform), "unknown");
    else
        platform_write(&config.platform, platform);
    return json_pack("{s:s, s:o, s:o, s:s, s:o, s:i, s:I}", "Id", row->id, "Names", names_json(row),
                     "Created", report_text(created), "ImportedAt",
                     report_time(imported, row->created), "Platform", report_text(platform),
                     "Layers", (int)row->layer_count, "Size", (json_int_t)row->bytes);
}

static json_t *paths_json(const struct store *store, const struct image_row *row)
{
    json_t *list = json_array();
    cleanup_paths char **paths = store_image_paths(store, row);
    for (unsigned i = 0; paths && paths[i]; i++)
        json_array_append_new(list, report_text(paths[i]));
    return list;
}

json_t *imageword_json_fully(const struct store *store, const struct image_row *row)
{
    static const char *const MEMBERS[][2] = {
        {"config", "Config"}, {"rootfs", "RootFS"}, {"history", "History"}};
    json_t *json = imageword_json(row), *config = json_loads(row->config, 0, NULL);
    for (size_t i = 0; json && config && i < sizeof(MEMBERS) / sizeof(MEMBERS[0]); i++)
        json_object_set(json, MEMBERS[i][1], json_object_get(config, MEMBERS[i][0]));
    json_decref(config);
    if (json)
        json_object_set_new(json, "LayerPaths", paths_json(store, row));
    return json;
}
