/* SPDX-License-Identifier: MIT
 *
 * One question to a plug-in: an HTTP POST over its socket, and the answer as bytes. Nothing that
 * the other side sends or fails to send takes longer than the time given, or more memory than
 * PLUGINPOST_MOST.
 */
#ifndef PLYFS_PLUGINPOST_H
#define PLYFS_PLUGINPOST_H

#include "own.h"
#include "pluginplace.h"

#include <stddef.h>
#include <stdint.h>

enum { PLUGINPOST_MOST = 4 << 20 };

struct pluginpost;

/* `place` is borrowed as long as it lives. -ENOPKG without libcurl, told in `fault`; -ENOMEM. */
must_check int pluginpost_create(const struct pluginplace *place, struct pluginpost **post,
                                 struct plugin_fault *fault);
void pluginpost_destroy(struct pluginpost *post);

struct pluginpost_answer {
    long status; /* of HTTP */
    char *body;  /* with an end; the caller's to free */
    size_t size;
};

/* Asks for the path ("/Plugin.Activate") with a JSON text. What breaks off before an answer is
 * tried again after 1, 2, 4 and 8 seconds, as long as the moment `end` (moment_steady()) is not
 * past by then. -ETIMEDOUT, -ECONNREFUSED and its kin, -EBADMSG: more than PLUGINPOST_MOST; the
 * reason is in `fault`. */
must_check int pluginpost_ask(struct pluginpost *post, const char *path, const char *text,
                              int64_t end, struct pluginpost_answer *answer,
                              struct plugin_fault *fault);

#endif
