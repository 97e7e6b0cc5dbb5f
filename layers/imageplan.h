/* SPDX-License-Identifier: MIT
 *
 * Which images an archive holds, and what each is made of: the documents of an OCI layout, of a
 * docker-archive, of an archive that is both, or of a directory of one image, read and held against
 * each other before any layer is. Every digest and size that the documents state of documents is
 * checked here; of layers, that the files are there and have their sizes.
 */
#ifndef PLYFS_IMAGEPLAN_H
#define PLYFS_IMAGEPLAN_H

#include "imagefiles.h"
#include "oci.h"
#include "platform.h"

struct imageplan_layer {
    char diff_id[DIGEST_HEX_SIZE];
    char *path;                   /* in the archive */
    char digest[DIGEST_HEX_SIZE]; /* of the blob as it lies there; "" where nothing states it */
    uint64_t size;                /* of that file */
};

struct imageplan {
    char id[DIGEST_HEX_SIZE]; /* sha256 of the config */
    char platform[PLATFORM_TEXT_SIZE];
    char *path; /* of the config in the archive, where it is read again (imageplans_config) */
    char *text; /* the config itself, where no file has it */
    struct imageplan_layer *layers; /* the lowest first */
    size_t layer_count;
    char **names; /* as imagename.h spells them */
    unsigned name_count;
    unsigned platforms; /* from how many this one was chosen; 1: there was no choice */
};

struct imageplans {
    struct imageplan *at;
    unsigned count;
    char words[512]; /* after a failure: what is wrong, and where */
};

/* Images of an archive, and names of an image. */
enum { IMAGEPLANS_MAX = 1000, IMAGEPLAN_NAMES_MAX = 1000 };

/* Finds the images for this machine, or for `platform` when it is not NULL. -EBADMSG: the archive
 * is broken, or holds none; -ENOENT: none for the platform. In both cases words say it. */
must_check int imageplans_read(const struct imagefiles *files, const struct platform *platform,
                               struct imageplans *plans);
void imageplans_finish(struct imageplans *plans);
#define cleanup_imageplans cleanup(imageplans_finish)

/* The config of a planned image, byte for byte, with a NUL behind it; *text is the caller's to
 * free. -EBADMSG: it is not what it was when the plans were made; words say it. */
must_check int imageplans_config(struct imageplans *plans, const struct imagefiles *files,
                                 const struct imageplan *plan, char **text);

/* A list of one image, which no document tells of: a root filesystem with the DiffID `diff_id`.
 * `created` is nanoseconds since 1970. */
must_check int imageplans_of_rootfs(const char *diff_id, int64_t created, struct imageplans *plans);

/* Gives an image one more name. -EINVAL: `word` is none; -E2BIG: it has IMAGEPLAN_NAMES_MAX. */
must_check int imageplan_add_name(struct imageplan *plan, const char *word);

#endif
