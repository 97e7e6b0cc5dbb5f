/* SPDX-License-Identifier: MIT
 *
 * Where a Docker plug-in is, by its name. As Docker looks: a socket NAME.sock or NAME/NAME.sock in
 * /run/docker/plugins; then in /etc/docker/plugins and /usr/lib/docker/plugins NAME.spec, whose
 * one line is an address, or NAME.json: {"Name", "Addr", "TLSConfig": {...}}, or either in a
 * directory NAME. Where the environment has PLYFS_PLUGINS, its value is the one directory in which
 * all of them are looked for.
 */
#ifndef PLYFS_PLUGINPLACE_H
#define PLYFS_PLUGINPLACE_H

#include "own.h"

#include <stdbool.h>

struct plugin_fault {
    char words[512];
};

/* Fills in the words, without anything that a terminal would obey; returns `err`. */
__attribute__((format(printf, 3, 4))) int plugin_wrong(struct plugin_fault *fault, int err,
                                                       const char *format, ...);

struct pluginplace {
    char *socket; /* a unix socket, or NULL */
    char *url;    /* http://HOST[:PORT] or https://..., without a slash at the end */
    char *ca, *certificate, *key; /* files of PEM, for https; each may be NULL */
    bool trusting;                /* the server's certificate is not checked */
};
void pluginplace_finish(struct pluginplace *place);
#define cleanup_pluginplace cleanup(pluginplace_finish)

/* -ENOENT: there is none; -EINVAL: a name that no plug-in has; -EBADMSG: its file says nothing that
 * can be used. The reason is in `fault`. */
must_check int pluginplace_find(const char *name, struct pluginplace *place,
                                struct plugin_fault *fault);

#endif
