/* SPDX-License-Identifier: MIT
 *
 * What a user says of a volume: the grammar of -v, --mount, --tmpfs and --volumes-from, and the
 * order in which they come before one another. Pure: nothing is opened, nothing is looked up. The
 * words and the refusals are those of Docker's command line (moby, volume/mounts/linux_parser.go;
 * docker/cli, opts/mount.go), so that what is typed there can be typed here.
 *
 * Errors: -EINVAL with the reason in `fault`, -ENOMEM.
 */
#ifndef PLYFS_VOLUMESPEC_H
#define PLYFS_VOLUMESPEC_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct volume_fault {
    char words[512];
};

enum volume_kind { VOLUME_KIND_VOLUME, VOLUME_KIND_BIND, VOLUME_KIND_TMPFS, VOLUME_KIND_IMAGE };

/* Docker's word: "volume", "bind", "tmpfs", "image". */
const char *volume_kind_word(enum volume_kind kind);

/* KEY=VALUE pairs in the order of their keys; a key is there once. */
struct volume_pairs {
    struct volume_pair {
        char *key, *value;
    } * at;
    unsigned count;
};
void volume_pairs_finish(struct volume_pairs *pairs);
must_check int volume_pairs_set(struct volume_pairs *pairs, const char *key, const char *value);
/* The value of a key, or NULL. */
const char *volume_pairs_get(const struct volume_pairs *pairs, const char *key);
must_check int volume_pairs_copy(const struct volume_pairs *from, struct volume_pairs *to);

/* One volume as it was asked for. Strings are owned; a text that was not said is NULL. */
struct volume_spec {
    enum volume_kind kind;
    char *source;      /* bind: absolute, cleaned; volume: its name, NULL: anonymous; image: name */
    char *destination; /* absolute, cleaned: no "//", ".", "..", no slash at the end */
    char *said;        /* all of it, as it was said; NULL of one that nobody said */
    char *mode;        /* what stood behind the second colon of -v, as it was said; else "" */
    char *propagation; /* "rprivate", "rshared"... */
    char *subpath;     /* volume and image: relative, cleaned, inside */
    char *driver;      /* NULL: local */
    struct volume_pairs options, labels; /* volume-opt, or what --tmpfs has; volume-label */
    uint64_t size;                       /* tmpfs, bytes; 0: without limit */
    mode_t perm;                         /* tmpfs; 01777 */
    bool read_only, nocopy;
    bool make_source;    /* bind by -v: a source that is not there is made */
    bool one_filesystem; /* bind-recursive=disabled: what is mounted beneath is left out */
};
void volume_spec_finish(struct volume_spec *spec);

/* Whether its mode lets the mount lag behind the host: "cached" or "delegated". */
bool volume_spec_lags(const struct volume_spec *spec);
#define cleanup_volume_spec cleanup(volume_spec_finish)

/* [SRC:]DST[:MODE[,MODE]], of -v. "./x" is taken from `cwd`. */
must_check int volume_spec_parse_short(const char *text, const char *cwd, struct volume_spec *spec,
                                       struct volume_fault *fault);

/* One CSV record of key=value, of --mount. */
must_check int volume_spec_parse_long(const char *text, const char *cwd, struct volume_spec *spec,
                                      struct volume_fault *fault);

/* DST[:opts], of --tmpfs: ro, rw, size=, mode=, and as options of the spec uid=, gid=, nr_inodes=
 * and nr_blocks=, and "dev", "suid" and "exec" with the value "yes" or "no". What else tmpfs knows
 * (huge=, mpol=...) is refused by name. */
must_check int volume_spec_parse_tmpfs(const char *text, struct volume_spec *spec,
                                       struct volume_fault *fault);

/* What attach takes: either form; a text with an unquoted '=' before any ':' is the long one. */
must_check int volume_spec_parse_any(const char *text, const char *cwd, struct volume_spec *spec,
                                     struct volume_fault *fault);

/* MOUNT[:MODE], of --volumes-from: `mount` is owned; MODE is ro, rw, z or Z, once each group. */
must_check int volume_spec_parse_from(const char *text, char **mount, bool *read_only,
                                      struct volume_fault *fault);

/* Whether a volume may have that name: ^[a-zA-Z0-9][a-zA-Z0-9_.-]+$, at most 255 bytes. */
must_check int volume_name_check(const char *name, struct volume_fault *fault);

/* Bytes with an optional k, m, g, t or p (of 1024 each, a "b" or "ib" behind it is fine): of tmpfs
 * and of limits. -EINVAL, -ERANGE. */
must_check int volume_size_parse(const char *text, uint64_t *bytes);

/* A path in its shortest form, lexically: absolute, without "//", "." and "..". NULL when it is not
 * absolute or out of memory. */
char *volume_path_clean(const char *path);
/* Whether a path means a directory alone: with a slash at its end, or a dot behind one. */
bool volume_path_as_dir(const char *path);

/* Destinations in the order in which they are mounted: by depth, ties by bytes. For qsort(3) over
 * `const char *`. */
int volume_destination_order(const void *left, const void *right);

/* All that was asked of one mount. */
struct volume_specs {
    struct volume_spec *at;
    unsigned count;
};
void volume_specs_finish(struct volume_specs *specs);
#define cleanup_volume_specs cleanup(volume_specs_finish)

/* Adds one, taken over on success. Two that were said in identical words collapse into one; another
 * of the same destination is refused: "Duplicate mount point: /x". */
must_check int volume_specs_add(struct volume_specs *specs, struct volume_spec *spec,
                                struct volume_fault *fault);

#endif
