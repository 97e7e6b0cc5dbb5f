/* SPDX-License-Identifier: MIT
 *
 * Docker's volume plug-ins, protocol version 1: a plug-in listens on a socket (pluginplace.h says
 * where) and is asked by HTTP POST with JSON both ways. An answer is an error when its "Err" says
 * something or its status is not 200; what a plug-in answers is never believed to be well formed.
 *
 * Every question has a time limit: 2 minutes for Create and Mount, 1 for all others, and whatever
 * the caller gives for all together. Errors, each with its reason in `fault`: -ENOENT: there is no
 * such plug-in; -EOPNOTSUPP: it is no volume driver; -EREMOTEIO: it says no; -EBADMSG: its answer
 * is none; -ETIMEDOUT, -ECONNREFUSED, -ECONNRESET: it cannot be reached.
 */
#ifndef PLYFS_PLUGIN_H
#define PLYFS_PLUGIN_H

#include "own.h"
#include "pluginplace.h"
#include "volumespec.h"

#include <stdbool.h>

struct plugin;

/* Finds and activates it. `seconds` from now is the end of all that is asked of it; 0: there is
 * none but the limits of the protocol. */
must_check int plugin_open(const char *name, int seconds, struct plugin **plugin,
                           struct plugin_fault *fault);
/* The end is `seconds` from now. */
void plugin_allow(struct plugin *plugin, int seconds);
void plugin_close(struct plugin *plugin);
static inline void own_plugin(struct plugin **plugin)
{
    plugin_close(*plugin);
}
#define cleanup_plugin cleanup(own_plugin)

/* Makes a volume, unless it has one of that name already (Get before Create): *made says which. */
must_check int plugin_create(struct plugin *plugin, const char *name,
                             const struct volume_pairs *options, bool *made,
                             struct plugin_fault *fault);

/* Whether it has a volume of that name: -EREMOTEIO when not. *mountpoint, unless NULL, is where it
 * is mounted now, the caller's to free, or NULL. */
must_check int plugin_get(struct plugin *plugin, const char *name, char **mountpoint,
                          struct plugin_fault *fault);
must_check int plugin_path(struct plugin *plugin, const char *name, char **mountpoint,
                           struct plugin_fault *fault);

/* Calls `each` for every volume that it says it has, until it returns something else than 0. */
must_check int plugin_list(struct plugin *plugin, int (*each)(void *context, const char *name),
                           void *context, struct plugin_fault *fault);

must_check int plugin_remove(struct plugin *plugin, const char *name, struct plugin_fault *fault);

/* *path is the absolute path of the directory that holds its content, the caller's to free. What is
 * mounted is unmounted with the same id. */
must_check int plugin_mount(struct plugin *plugin, const char *name, const char *id, char **path,
                            struct plugin_fault *fault);
must_check int plugin_unmount(struct plugin *plugin, const char *name, const char *id,
                              struct plugin_fault *fault);

/* Whether its volumes are the same ones on every machine ("global"); one that does not know the
 * question has volumes of this machine. */
must_check int plugin_is_global(struct plugin *plugin, bool *global, struct plugin_fault *fault);

#endif
