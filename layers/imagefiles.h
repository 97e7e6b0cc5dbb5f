/* SPDX-License-Identifier: MIT
 *
 * The files that an archive of images consists of, by the paths that they have in it: a directory,
 * or a tar whose files were put into a stage. A path of the archive is looked up in a table, links
 * too, and never becomes a path on disk: a staged file is called by its number.
 */
#ifndef PLYFS_IMAGEFILES_H
#define PLYFS_IMAGEFILES_H

#include "own.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    IMAGEFILES_PATH_SIZE = 512,
    IMAGEFILES_MAX = 20000, /* in one archive */
};

struct imagefiles;

/* Room for the reasons of a refusal (-EBADMSG, -EFBIG), which every function here gives. */
struct imagefiles_fault {
    char words[256];
};

/* The files beneath a directory, which is borrowed. NULL when out of memory. */
struct imagefiles *imagefiles_of_directory(int dir);

struct imagefiles_tar {
    int fd;            /* read from where it stands; any compression */
    int stage;         /* an empty directory, for the files; borrowed, and needed until the end */
    uint64_t size_max; /* bytes of all files together; 0: no limit */
    void (*seen)(void *context, uint64_t bytes); /* bytes of fd read so far; or NULL */
    void *context;
};

/* The files of a tar. *files is NULL and the answer 0 when it is no archive of images but a root
 * filesystem: as soon as a name shows it, or at the end. */
must_check int imagefiles_of_tar(const struct imagefiles_tar *tar, struct imagefiles **files,
                                 struct imagefiles_fault *fault);

void imagefiles_destroy(struct imagefiles *files);

bool imagefiles_have(const struct imagefiles *files, const char *path);

/* Opens a regular file to be read. -ENOENT when there is none. */
must_check int imagefiles_open(const struct imagefiles *files, const char *path);

/* Reads one of at most `most` bytes whole, with a NUL behind it; *text is the caller's to free. */
must_check int imagefiles_read(const struct imagefiles *files, const char *path, size_t most,
                               char **text, size_t *size, struct imagefiles_fault *fault);

static inline void own_imagefiles(struct imagefiles **files)
{
    imagefiles_destroy(*files);
}
#define cleanup_imagefiles cleanup(own_imagefiles)

#endif
