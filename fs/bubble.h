/* SPDX-License-Identifier: MIT
 *
 * The command line of bubblewrap that runs a program in a mounted image: the program, its
 * environment, its user and its directory are those that the image config and the words say (OCI
 * image-spec, "OCI Image Configuration").
 */
#ifndef PLYFS_BUBBLE_H
#define PLYFS_BUBBLE_H

#include "oci.h"
#include "own.h"

#include <stdbool.h>
#include <sys/types.h>

/* Who runs it. */
struct bubble_user {
    uid_t uid;
    gid_t gid;
    char home[256];
};

/* The user that `text` of a config names: "", "NAME", "UID", either with ":GROUP" or ":GID". Names
 * are looked up in etc/passwd and etc/group beneath the directory `root`. -ENOENT: there is no such
 * name, which is told on stderr. */
must_check int bubble_find_user(int root, const char *text, struct bubble_user *user);

struct bubble_wish {
    int root;                        /* the directory that becomes "/" */
    const char *path;                /* the same */
    const struct oci_config *config; /* NULL: there is none */
    const char *const *words;        /* of the program, in place of the config's Cmd */
    unsigned count;
    struct bubble_user user;
    bool map_user; /* we are root of a user namespace, and the user is to be seen as theirs */
    int report;    /* bubblewrap's descriptor for what becomes of the program; 0: none */
};

/* Ends with NULL; owned, and each string of it. */
struct bubble {
    char **argv;
    size_t count;
};

/* -EINVAL: something of the image would lead out of it, which is told on stderr. */
must_check int bubble_make(const struct bubble_wish *wish, struct bubble *bubble);
void bubble_finish(struct bubble *bubble);
#define cleanup_bubble cleanup(bubble_finish)

#endif
