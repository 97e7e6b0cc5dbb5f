/* SPDX-License-Identifier: MIT
 *
 * The volumes that a command line asks for: the options that create, mount and run share, and what
 * they come to. Precedence, the lowest first: volumes of the image and anonymous ones, which give
 * way to anything; what is taken from other mounts, the later over the earlier; what is asked for.
 *
 * Failures are told on stderr; -EINVAL: what was asked for makes no sense, and nothing was done.
 */
#ifndef PLYFS_VOLUMEWISH_H
#define PLYFS_VOLUMEWISH_H

#include "arguments.h"
#include "own.h"
#include "routes.h"
#include "store.h"
#include "volumerows.h"

#include <stdbool.h>

/* What becomes of the volumes that an image's config names. */
enum image_volumes { IMAGE_VOLUMES_BIND, IMAGE_VOLUMES_TMPFS, IMAGE_VOLUMES_IGNORE };
extern const char *const IMAGE_VOLUMES_WORDS[];

/* As they were said; all zero is nothing. */
struct volume_words {
    struct words shorts, longs, tmpfs, from;
    int image_volumes; /* enum image_volumes */
    bool strict;
};

/* The rows of a table of arguments; `member` is the struct volume_words in `type`. */
#define VOLUME_ARGUMENTS(type, member)                                                             \
    {.name = "volume",                                                                             \
     .letter = 'v',                                                                                \
     .kind = ARGUMENT_LIST,                                                                        \
     .at = offsetof(type, member.shorts),                                                          \
     .value = "[SRC:]DST[:MODE]",                                                                  \
     .help = "a volume, or a directory or file of the host, at DST"},                              \
        {.name = "mount",                                                                          \
         .kind = ARGUMENT_LIST,                                                                    \
         .at = offsetof(type, member.longs),                                                       \
         .value = "KEY=VALUE,...",                                                                 \
         .help = "the same by keys: type, src, dst, ro..."},                                       \
        {.name = "tmpfs",                                                                          \
         .kind = ARGUMENT_LIST,                                                                    \
         .at = offsetof(type, member.tmpfs),                                                       \
         .value = "DST[:OPTIONS]",                                                                 \
         .help = "an empty directory that ends with the mount"},                                   \
        {.name = "volumes-from",                                                                   \
         .kind = ARGUMENT_LIST,                                                                    \
         .at = offsetof(type, member.from),                                                        \
         .value = "MOUNT[:MODE]",                                                                  \
         .help = "the volumes of another mount"},                                                  \
        {.name = "image-volume",                                                                   \
         .kind = ARGUMENT_CHOICE,                                                                  \
         .at = offsetof(type, member.image_volumes),                                               \
         .value = "WAY",                                                                           \
         .help = "what the image's volumes are",                                                   \
         .choices = IMAGE_VOLUMES_WORDS},                                                          \
    {                                                                                              \
        .name = "strict", .kind = ARGUMENT_FLAG, .at = offsetof(type, member.strict),              \
        .help = "a directory of the host that is missing is an error, also with -v"                \
    }

/* Whether anything was said. */
bool volume_words_any(const struct volume_words *words);

/* Adds the options as they were said to a command line: where `argv` is NULL none are written. How
 * many words they are. */
unsigned volume_words_write(const struct volume_words *words, const char **argv);

/* What was said, read; no file of the host is looked at. */
must_check int volume_words_parse(const struct volume_words *words, struct volume_specs *specs);

/* Whether a store is needed for it: there are volumes, and not only files of the host and tmpfs. */
bool volume_words_need_store(const struct volume_words *words, const struct volume_specs *specs);

/* The rows of a mount that is to have them; the specs are used up. Directories of the host that are
 * missing are made where they may be. `image`: a name or an id, or NULL. `rows` is the caller's to
 * finish, also after a failure. */
must_check int volume_words_resolve(struct store *store, const struct volume_words *words,
                                    struct volume_specs *specs, const char *image,
                                    struct volume_rows *rows);

/* The same without a store: straight to routes. */
must_check int volume_words_route(const struct volume_words *words,
                                  const struct volume_specs *specs, struct route_wishes *routes);

void volume_words_finish(struct volume_words *words);

#endif
