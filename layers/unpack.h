/* SPDX-License-Identifier: MIT
 *
 * A layer's tar becomes a lower directory. The archive is hostile until shown otherwise: names are
 * taken apart here and every step is an open of one name beneath the tree that follows nothing
 * (fd.h); an absolute name, "..", a bare ".wh.", a whiteout of "." or "..", a hard link that leads
 * out or to nothing, something inside what is no directory, and what is beyond the limits are
 * refused. Inside one layer the last entry of a path wins. ".wh.NAME" becomes a whiteout device
 * and ".wh..wh..opq" an opaque mark, wherever in the archive they stand: they hide what lower
 * layers have, never what this one brings (OCI image-spec, "Whiteouts"). A directory that no entry
 * describes is root's, 0755, of the year 1970, so that one archive gives one layer.
 *
 * Without privilege owners and devices cannot be made: they are recorded in the attribute
 * user.containers.override_stat ("UID:GID:MODE[:TYPE[-MAJOR-MINOR]]"), as other tools of the field
 * do, so that a later export gives the same tar back.
 *
 * The tar of a volume's content becomes a plain tree under the same guards. In it nothing is a
 * whiteout, attributes stay as they are, a directory that no entry describes is the caller's, and
 * a root that none describes stays as it is.
 */
#ifndef PLYFS_UNPACK_H
#define PLYFS_UNPACK_H

#include "own.h"
#include "tarball.h"
#include "treekind.h"

#include <stdbool.h>
#include <stdint.h>

struct unpack {
    enum treekind kind;
    int tree;           /* an empty directory */
    int books;          /* a directory: "skeleton" is written here; -1: none is wanted */
    uint64_t size_max;  /* bytes of content, all files together, holes too; 0: no limit */
    uint64_t files_max; /* entries; 0: no limit */
    bool vouched;       /* a digest vouches for the archive, so it may lack its end mark */
    /* Found: */
    uint64_t files, bytes;
    bool skeleton;   /* it was written and gives the tar back byte for byte */
    char words[512]; /* after a failure: which entry, and what is wrong with it */
};

/* Unpacks everything that is left in `reader`, and finishes it. -EBADMSG: a broken or forbidden
 * archive; -EFBIG: beyond a limit; else what the filesystem says. On failure the tree is as far as
 * it came: the caller throws it away. */
must_check int unpack_tree(struct unpack *unpack, struct tar_reader *reader, struct tar_sums *sums);

#endif
