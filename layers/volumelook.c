/* SPDX-License-Identifier: MIT
 *
 * Duty: the state of volumes as their drivers tell it, within a time that the rows share. Out of
 * memory looks like no trouble: it is a remark in a listing that is lost.
 */
#include "volumelook.h"

#include "localoptions.h"
#include "moment.h"
#include "plugin.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct volumelook {
    const struct store *store;
    int64_t end; /* moment_steady() */
    struct seen {
        char *driver;
        struct plugin *plugin; /* NULL: it does not answer */
        char *trouble;         /* then why */
    } * at;
    unsigned count;
};

struct volumelook *volumelook_create(const struct store *store, int seconds)
{
    struct volumelook *look = calloc(1, sizeof(*look));
    if (!look)
        return NULL;
    look->store = store;
    look->end = moment_steady() + seconds * MOMENT_SECOND;
    return look;
}

void volumelook_destroy(struct volumelook *look)
{
    if (!look)
        return;
    for (unsigned i = 0; i < look->count; i++) {
        plugin_close(look->at[i].plugin);
        free(look->at[i].driver);
        free(look->at[i].trouble);
    }
    free(look->at);
    free(look);
}

static char *unreachable(const char *why)
{
    char *words = NULL;
    return asprintf(&words, "unreachable: %s", why) < 0 ? NULL : words;
}

/* ---- local ---- */

static char *look_at_directory(int root, const char *path)
{
    struct stat st;
    if (fstatat(root, path, &st, 0) < 0)
        return unreachable(strerror(errno));
    return S_ISDIR(st.st_mode) ? NULL : unreachable(strerror(ENOTDIR));
}

static char *look_at_local(const struct volumelook *look, const struct volume_row *row)
{
    char data[300];
    struct volume_fault fault;
    cleanup_local_options struct local_options local = {0};
    if (local_options_read(&row->options, &local, &fault) == -EINVAL)
        return unreachable(fault.words);
    snprintf(data, sizeof(data), "%s/_data", row->name);
    return look_at_directory(look->store->volumes, local.kind == LOCAL_BIND ? local.device : data);
}

/* ---- plug-ins ---- */

static const char NO_TIME[] = "not asked: the others took all the time";

/* Seconds that one plug-in has for what it is asked at once. */
enum { PATIENCE = 1 };

/* Whoever is asked now answers, or does not, before the end. */
static bool has_time(const struct volumelook *look)
{
    return moment_steady() + PATIENCE * MOMENT_SECOND <= look->end;
}

/* What is known of a driver; it is asked when it is met for the first time. */
static struct seen *meet(struct volumelook *look, const char *driver)
{
    struct plugin_fault fault;
    for (unsigned i = 0; i < look->count; i++) {
        if (strcmp(look->at[i].driver, driver) == 0)
            return &look->at[i];
    }
    struct seen *larger = reallocarray(look->at, look->count + 1, sizeof(*larger));
    if (!larger)
        return NULL;
    look->at = larger;
    struct seen *seen = &larger[look->count];
    *seen = (struct seen){.driver = strdup(driver)};
    if (!seen->driver)
        return NULL;
    look->count++;
    if (!has_time(look))
        seen->trouble = unreachable(NO_TIME);
    else if (plugin_open(driver, PATIENCE, &seen->plugin, &fault) != 0)
        seen->trouble = unreachable(fault.words);
    return seen;
}

static char *look_at_plugin(struct volumelook *look, const struct volume_row *row)
{
    struct plugin_fault fault;
    struct seen *seen = meet(look, row->driver);
    if (seen && seen->plugin && !has_time(look))
        return unreachable(NO_TIME);
    if (seen && seen->plugin) {
        plugin_allow(seen->plugin, PATIENCE);
        int err = plugin_get(seen->plugin, row->name, NULL, &fault);
        if (!err)
            return NULL;
        if (err == -EREMOTEIO || err == -EBADMSG)
            return unreachable(fault.words);
        /* It has stopped answering. */
        plugin_close(seen->plugin);
        seen->plugin = NULL;
        seen->trouble = unreachable(fault.words);
    }
    return seen && seen->trouble ? strdup(seen->trouble) : NULL;
}

char *volumelook_at(struct volumelook *look, const struct volume_row *row)
{
    return strcmp(row->driver, "local") == 0 ? look_at_local(look, row) : look_at_plugin(look, row);
}
