/* SPDX-License-Identifier: MIT
 *
 * The "entries" file of a sealed layer: the digest of each entry's metadata and of its content
 * (xxh3-128), taken when the layer was sealed. It finds what was changed behind the store's back,
 * and compares two layers without reading them. One line for each entry, sorted by path (bytes):
 *
 *   META CONTENT SIZE TYPE PATH\0
 *
 * META and CONTENT are 32 hex digits, or "-" where there is nothing to digest; SIZE is decimal
 * bytes; TYPE one of f d l c b p s h w o (layertree.h); PATH is bytes, "." for the root, without
 * "./".
 *
 * META covers type, permissions, owner, mtime (seconds and nanoseconds), device number and every
 * attribute that is not the overlay's books; a whiteout has none, whichever way the layer writes
 * it. CONTENT and SIZE are of the bytes of a file, of a symlink's target, or, for a further name of
 * a file with several (h), of the path of the first one.
 */
#ifndef PLYFS_ENTRIES_H
#define PLYFS_ENTRIES_H

#include "own.h"
#include "treekind.h"

#include <stddef.h>
#include <stdint.h>

struct entry_digest {
    char meta[33], content[33];
    uint64_t size;
    char type;
    const char *path;
};

struct entries {
    struct entry_digest *at; /* sorted by path (bytes) */
    size_t count, room;
    char *text;     /* what the paths point into */
    uint64_t files; /* entries of any kind, but the root */
    uint64_t bytes; /* of the content of regular files, hard links once */
};
void entries_finish(struct entries *entries);
#define cleanup_entries cleanup(entries_finish)

/* Takes the digests of everything beneath the directory `tree` (the content of a layer or a volume
 * as it lies on disk). `seen` is told the bytes read so far; it may be NULL. A failure is told on
 * stderr. */
must_check int entries_take(int tree, enum treekind kind, struct entries *entries,
                            void (*seen)(void *context, uint64_t bytes), void *context);

/* Writes, and reads, the file `name` in `dir`, which is not there before. `digest` is the xxh3-128
 * of the file's bytes. Read: -EBADMSG when it is damaged. */
must_check int entries_write(const struct entries *entries, int dir, const char *name,
                             char digest[33]);
must_check int entries_read(int dir, const char *name, struct entries *entries, char digest[33]);

/* Compares two lists in order of path: `each` is told of every entry that differs; `a` or `b` is
 * NULL where only the other has it. What it returns, if not 0, ends the comparison. */
must_check int entries_compare(const struct entries *a, const struct entries *b,
                               int (*each)(void *context, const struct entry_digest *a,
                                           const struct entry_digest *b),
                               void *context);

#endif
