/* SPDX-License-Identifier: MIT
 *
 * Duty: a tree of inodes with the path of each. Cost: an inode with several names costs its first
 * path and some forty bytes, a look-up is logarithmic in their number; one with a single name is
 * never looked for.
 */
#include "linkset.h"

#include <search.h>
#include <string.h>

struct linkset {
    void *tree; /* of struct inode */
};

struct inode {
    dev_t dev;
    ino_t ino;
    char path[];
};

struct linkset *linkset_create(void)
{
    return calloc(1, sizeof(struct linkset));
}

void linkset_destroy(struct linkset *set)
{
    if (!set)
        return;
    tdestroy(set->tree, free);
    free(set);
}

static int compare(const void *left, const void *right)
{
    const struct inode *a = left, *b = right;
    int order = (a->dev > b->dev) - (a->dev < b->dev);
    return order ? order : (a->ino > b->ino) - (a->ino < b->ino);
}

int linkset_first(struct linkset *set, const struct stat *st, const char *path, const char **first)
{
    *first = NULL;
    if (st->st_nlink < 2 || S_ISDIR(st->st_mode))
        return 0;
    const struct inode key = {.dev = st->st_dev, .ino = st->st_ino};
    struct inode *const *known = tfind(&key, &set->tree, compare);
    if (known) {
        *first = (*known)->path;
        return 0;
    }
    size_t size = strlen(path) + 1;
    cleanup_free struct inode *fresh = malloc(sizeof(*fresh) + size);
    if (!fresh)
        return -ENOMEM;
    fresh->dev = st->st_dev;
    fresh->ino = st->st_ino;
    memcpy(fresh->path, path, size);
    if (!tsearch(fresh, &set->tree, compare))
        return -ENOMEM;
    steal_ptr(&fresh);
    return 0;
}
