/* SPDX-License-Identifier: MIT
 *
 * The documents of an archive of images, by their paths or by the descriptors that stand for them.
 * Of what a descriptor stands for, size and digest are held against it.
 */
#ifndef PLYFS_IMAGEBLOB_H
#define PLYFS_IMAGEBLOB_H

#include "imagefiles.h"
#include "oci.h"

/* Borrowed, all of it. */
struct imageblobs {
    const struct imagefiles *files;
    bool flat;   /* blobs lie beside the manifest, and not in blobs/sha256 */
    char *words; /* where it is put what is wrong */
    size_t room; /* there */
};

/* "blobs/sha256/" and the digits of a digest. */
enum { IMAGEBLOB_PATH_SIZE = 13 + DIGEST_HEX_SIZE };

/* Puts words in, and returns -EBADMSG. */
__attribute__((format(printf, 2, 3))) int imageblobs_wrong(const struct imageblobs *blobs,
                                                           const char *format, ...);

/* Where the blob of a digest (64 hex digits) lies; returns `path`. */
char *imageblobs_path(const struct imageblobs *blobs, char path[IMAGEBLOB_PATH_SIZE],
                      const char *digest);

/* The document at a path, with a NUL behind it; *text is the caller's to free. -EBADMSG: it is not
 * there, or too large; words say it. */
must_check int imageblobs_document(const struct imageblobs *blobs, const char *path, char **text,
                                   size_t *size);

/* The same of the one that a descriptor stands for; -EBADMSG also where it is another. */
must_check int imageblobs_read(const struct imageblobs *blobs,
                               const struct oci_descriptor *descriptor, char **text, size_t *size);

#endif
