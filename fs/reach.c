/* SPDX-License-Identifier: MIT
 *
 * Duty: a path is asked for its daemon first; a mount that a store keeps is found there.
 */
#include "reach.h"

#include "control.h"
#include "log.h"
#include "named.h"

#include <string.h>

enum { PATIENCE = 10 };

static int reach_named(const char *root, const char *word, char **name)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(root, false, &store);
    if (!err)
        err = named_find(store, word, false, &row);
    if (err)
        return err;
    cleanup_fd int fd = control_connect(store, &row, PATIENCE);
    if (fd == -ENOTCONN)
        log_error("%s is not mounted; plyfs ps lists what is", row.name);
    else if (fd < 0)
        log_error("cannot reach the daemon of %s: %s", row.name, strerror(-fd));
    if (fd < 0)
        return fd;
    err = own_copy(name, row.name);
    return err ? err : steal_fd(&fd);
}

int reach(const char *root, const char *word, char **name)
{
    cleanup_fd int fd = strchr(word, '/') ? control_connect_path(word, PATIENCE) : -ENOTCONN;
    if (fd == -EACCES) {
        log_error("%s belongs to another user, whose daemon tells only him", word);
        return fd;
    }
    if (fd < 0)
        return reach_named(root, word, name);
    int err = own_copy(name, word);
    return err ? err : steal_fd(&fd);
}
