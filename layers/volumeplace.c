/* SPDX-License-Identifier: MIT
 *
 * Duty: from a volume's driver and options to its directory.
 */
#include "volumeplace.h"

#include "fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Whether a list divided by commas has the word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == 0 || at[length] == ','))
            return true;
    }
    return false;
}

static bool is_word(const char *text, const char *word)
{
    return text && strcmp(text, word) == 0;
}

enum volumeplace volumeplace_of(const struct volume_row *row)
{
    const char *type = volume_pairs_get(&row->options, "type");
    const char *how = volume_pairs_get(&row->options, "o");
    const char *device = volume_pairs_get(&row->options, "device");
    if (strcmp(row->driver, "local") != 0)
        return VOLUMEPLACE_DRIVER;
    if (!type && !device)
        return VOLUMEPLACE_STORE;
    bool bind = how && (has_word(how, "bind") || has_word(how, "rbind"));
    bool none = !type || is_word(type, "none") || is_word(type, "bind") || !*type;
    return bind && none && device ? VOLUMEPLACE_HOST : VOLUMEPLACE_DRIVER;
}

int volume_content_path(const struct store *store, const struct volume_row *row, char **path)
{
    int made;
    *path = NULL;
    switch (volumeplace_of(row)) {
    case VOLUMEPLACE_STORE:
        made = asprintf(path, "%s/volumes/%s/_data", store->path, row->name);
        break;
    case VOLUMEPLACE_HOST:
        made = asprintf(path, "%s", volume_pairs_get(&row->options, "device"));
        break;
    default:
        return -EREMOTE;
    }
    if (made < 0)
        *path = NULL;
    return made < 0 ? -ENOMEM : 0;
}

int volumeplace_open(const struct store *store, const struct volume_row *row)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    enum volumeplace place = volumeplace_of(row);
    if (place == VOLUMEPLACE_DRIVER)
        return -EREMOTE;
    if (place == VOLUMEPLACE_HOST) {
        /* The one that is opened by path: it is the user's own word, symlinks and all. */
        int fd = open(volume_pairs_get(&row->options, "device"), flags);
        return fd < 0 ? -errno : fd;
    }
    cleanup_fd int dir = fd_open_name(store->volumes, row->name, O_RDONLY | O_DIRECTORY, 0);
    return dir < 0 ? dir : fd_open_name(dir, "_data", O_RDONLY | O_DIRECTORY, 0);
}
