/* SPDX-License-Identifier: MIT
 *
 * Duty: read, sift and sort attributes. Cost: a listxattr; where there are attributes a getxattr
 * for each, and where the overlay's are among them one more list.
 */
#include "attrlist.h"

#include "override.h"
#include "record.h"
#include "xattr.h"

#include <linux/capability.h>
#include <linux/limits.h>
#include <string.h>

/* A name and its value. A list of blocks, because what points into one must not move. */
struct attrblock {
    struct attrblock *next;
    char bytes[];
};

static void attrlist_empty(struct attrlist *list)
{
    while (list->blocks) {
        struct attrblock *next = list->blocks->next;
        free(list->blocks);
        list->blocks = next;
    }
    list->count = 0;
    list->marks = 0;
}

void attrlist_finish(struct attrlist *list)
{
    attrlist_empty(list);
    free(list->at);
    free(list->value);
    *list = (struct attrlist){0};
}

static int attrlist_add(struct attrlist *list, const char *name, const void *value, size_t size)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : 8;
        struct tar_xattr *at = realloc(list->at, room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        list->at = at;
        list->room = room;
    }
    size_t length = strlen(name) + 1;
    struct attrblock *block = malloc(sizeof(*block) + length + size);
    if (!block)
        return -ENOMEM;
    memcpy(block->bytes, name, length);
    memcpy(block->bytes + length, value, size);
    block->next = list->blocks;
    list->blocks = block;
    list->at[list->count++] =
        (struct tar_xattr){.name = block->bytes, .value = block->bytes + length, .size = size};
    return 0;
}

/* The name that a user sees, or NULL for one of the books. In a sealed layer the books may be of
 * either kind. */
static const char *shown_name(enum ovlwhere where, const char *disk, char buffer[])
{
    if (where == OVLWHERE_PLAIN)
        return disk;
    if (where != OVLWHERE_SEALED)
        return ovlattr_unescape((enum ovlspace)where, disk, buffer);
    const char *shown = ovlattr_unescape(OVLSPACE_TRUSTED, disk, buffer);
    /* Once only: what an escape gives back may look like books. */
    return shown == disk ? ovlattr_unescape(OVLSPACE_USER, disk, buffer) : shown;
}

/* An archive knows no user namespaces. The root id is the last field of version 3, and all else is
 * as in version 2 (linux/capability.h: little-endian words, the revision in the top byte). */
static size_t plain_capability(unsigned char *value, size_t size)
{
    if (size != XATTR_CAPS_SZ_3 || value[3] != VFS_CAP_REVISION_3 >> 24)
        return size;
    value[3] = VFS_CAP_REVISION_2 >> 24;
    return XATTR_CAPS_SZ_2;
}

/* `recorded`: what the object is meant to be, where that is recorded; else NULL. */
static int read_attr(struct attrlist *list, int dir, const char *name, const char *disk,
                     const char *shown, const struct stat *recorded)
{
    ssize_t size = xattr_get(dir, name, disk, list->value, XATTR_SIZE_MAX);
    if (size < 0)
        return size == -ENODATA ? 0 : (int)size;
    if (strcmp(shown, "security.capability") == 0)
        size = (ssize_t)plain_capability((unsigned char *)list->value, (size_t)size);
    else if (recorded && strcmp(shown, "system.posix_acl_access") == 0)
        record_show_acl(recorded->st_mode, list->value, (size_t)size);
    return attrlist_add(list, shown, list->value, (size_t)size);
}

static int compare_names(const void *left, const void *right)
{
    const struct tar_xattr *a = left, *b = right;
    return strcmp(a->name, b->name);
}

/* Whether there is a record that makes sense, which then is put into `st`. */
static bool take_record(const char *record, int dir, const char *name, struct stat *st)
{
    char value[OVERRIDE_MAX];
    ssize_t size = record ? xattr_get(dir, name, record, value, sizeof(value)) : 0;
    return size > 0 && override_apply(value, (size_t)size, st);
}

int attrlist_read(struct attrlist *list, enum ovlwhere where, int dir, const char *name,
                  const char *record, struct stat *st)
{
    char buffer[XATTR_NAME_MAX + 1];
    cleanup_free char *names = NULL;
    bool books = false;
    int err = 0;
    attrlist_empty(list);
    ssize_t length = xattr_list_all(dir, name, &names);
    if (length <= 0)
        return length == -EOPNOTSUPP ? 0 : (int)length;
    if (!list->value && !(list->value = malloc(XATTR_SIZE_MAX)))
        return -ENOMEM;
    const bool recorded = take_record(record, dir, name, st);
    for (const char *at = names; at < names + length; at += strlen(at) + 1) {
        if (recorded && strcmp(at, record) == 0)
            continue;
        const char *shown = shown_name(where, at, buffer);
        err = shown ? read_attr(list, dir, name, at, shown, recorded ? st : NULL) : 0;
        if (err)
            return err;
        books = books || !shown;
    }
    if (books)
        err = ovlattr_list(where, dir, name, &list->marks);
    if (list->count > 1)
        qsort(list->at, list->count, sizeof(*list->at), compare_names);
    return err;
}
