/* SPDX-License-Identifier: MIT
 *
 * Images come into a store: from an OCI layout (a directory or a tar), from what the engines save
 * (a docker-archive, or one that is a layout as well), or from the tar of a root filesystem, which
 * becomes an image of one layer. All layers are unpacked in the stage, and all of them and all
 * images appear in the store at once; a failure leaves nothing there.
 */
#ifndef PLYFS_IMAGEIMPORT_H
#define PLYFS_IMAGEIMPORT_H

#include "digest.h"
#include "platform.h"
#include "store.h"

#include <stdint.h>

struct imported {
    char id[DIGEST_HEX_SIZE];
    char **names;
    unsigned name_count;
    unsigned layers, fresh; /* how many it has, and how many the store did not have */
    unsigned platforms;     /* from how many it was chosen; 1: there was no choice */
    char platform[PLATFORM_TEXT_SIZE];
};

struct image_import {
    const char *source;              /* a path, or "-" */
    const char *name;                /* for the only image of it; NULL: the names that it gives */
    const struct platform *platform; /* NULL: this machine's */
    uint64_t size_max;               /* bytes of content, all files together; 0: no limit */
    uint64_t files_max;              /* entries of one layer; 0: no limit */
    /* Told what begins and how many bytes it is (0: not known), and then how far it is, perhaps
     * from another thread. Both or none. */
    void (*begin)(void *context, const char *what, uint64_t total);
    void (*at)(void *context, uint64_t bytes);
    void *context;
    /* Found: */
    struct imported *images;
    unsigned count;
    char words[640]; /* after a failure: which part, what was expected, what was found; or "" */
};

/* -EBADMSG: the archive is broken, hostile, or not what it says; -EFBIG: beyond a limit; -ENOENT:
 * there is no such source, or it has no image for the platform; -EINVAL: the name cannot be given;
 * -EAGAIN: a layer that the store had was removed meanwhile. */
must_check int image_import(struct store *store, struct image_import *import);
void image_import_finish(struct image_import *import);

#endif
