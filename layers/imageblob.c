/* SPDX-License-Identifier: MIT
 *
 * Duty: read documents whole, and hold them against what stands for them. Cost: the document, once.
 */
#include "imageblob.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int imageblobs_wrong(const struct imageblobs *blobs, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(blobs->words, blobs->room, format, args);
    va_end(args);
    return -EBADMSG;
}

char *imageblobs_path(const struct imageblobs *blobs, char path[IMAGEBLOB_PATH_SIZE],
                      const char *digest)
{
    snprintf(path, IMAGEBLOB_PATH_SIZE, "%s%.64s", blobs->flat ? "" : "blobs/sha256/", digest);
    return path;
}

int imageblobs_document(const struct imageblobs *blobs, const char *path, char **text, size_t *size)
{
    struct imagefiles_fault fault;
    int err = imagefiles_read(blobs->files, path, OCI_DOCUMENT_MAX, text, size, &fault);
    return err == -EBADMSG ? imageblobs_wrong(blobs, "%s: %s", path, fault.words) : err;
}

int imageblobs_read(const struct imageblobs *blobs, const struct oci_descriptor *descriptor,
                    char **text, size_t *size)
{
    char path[IMAGEBLOB_PATH_SIZE], hex[DIGEST_HEX_SIZE];
    imageblobs_path(blobs, path, descriptor->digest);
    int err = imageblobs_document(blobs, path, text, size);
    if (err)
        return err;
    if (*size != descriptor->size)
        return imageblobs_wrong(blobs, "blob sha256:%s: %llu bytes expected, %zu found",
                                descriptor->digest, (unsigned long long)descriptor->size, *size);
    err = digest_of(*text, *size, hex);
    if (!err && strcmp(hex, descriptor->digest) != 0)
        return imageblobs_wrong(blobs, "blob sha256:%s: its content has the digest sha256:%s",
                                descriptor->digest, hex);
    return err;
}
