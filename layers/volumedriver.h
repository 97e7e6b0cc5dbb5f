/* SPDX-License-Identifier: MIT
 *
 * Where the content of a volume comes from while it is mounted. The driver "local" has options
 * (localoptions.h): type, device, o, size; any other driver is a plug-in (plugin.h). What is asked
 * of mount(8) (tmpfs, nfs, cifs) is mounted on the volume's _data by its first user and unmounted
 * by its last, who know each other by the volume's lock; whoever finds it mounted, because a user
 * died, has it as it is.
 *
 * Failures are told on stderr.
 */
#ifndef PLYFS_VOLUMEDRIVER_H
#define PLYFS_VOLUMEDRIVER_H

#include "own.h"
#include "store.h"

#include <stdbool.h>
#include <stdint.h>

/* Whether a driver takes these options: 0, or -EINVAL, told as Docker does: invalid option: "foo".
 * For local: `type` "none" with o=bind needs a device that is an absolute path of a directory;
 * `size` is bytes with an optional k, m, g. Of a plug-in: whether it is there (-ENOENT). */
must_check int volumedriver_check(const struct volume_row *row);

/* A plug-in is told of a new volume (Get before Create), of one that goes. *made: it had none of
 * that name, and has one now. Of a local one that goes whatever a dead user left mounted on it is
 * unmounted; the caller holds its lock (LOCK_EX). */
must_check int volumedriver_create(const struct volume_row *row, bool *made);
must_check int volumedriver_remove(const struct store *store, const struct volume_row *row);

/* A volume in use by a mount that is being served. */
struct volume_use {
    char *path;     /* the directory that holds the content now */
    uint64_t limit; /* bytes, enforced by plyfs (quota.h); 0: none */
    char *usage;    /* the file that counts them; NULL without a limit */
    bool read_only; /* its options say so, whatever the mount says */
    /* How it ends. */
    char *name, *driver;
    char *mounted;          /* where something is to be unmounted by the last user, or NULL */
    int gate;               /* the volume's directory, locked while it is mounted or unmounted */
    int lock;               /* shared, on the volume's "lock" */
    char id[STORE_ID_SIZE]; /* what the plug-in was told, and is told again at the end */
};

/* Takes it into use for the mount `mount` (its id), mounting it where that is needed. -EBUSY when
 * another command is changing it. On failure nothing is in use. */
must_check int volumedriver_use(struct store *store, const struct volume_row *row,
                                const char *mount, struct volume_use *use);
/* The end of that; never fails, what went wrong is told. Nobody may have a file of it open any
 * more. An all-zero use is fine. */
void volumedriver_release(struct volume_use *use);

/* What the plug-in, or the directory, says of a volume now, for listings: NULL, or a word of why it
 * cannot be reached ("unreachable: ..."), the caller's to free. Waits `seconds` at most. Of many
 * volumes: volumelook.h. */
char *volumedriver_trouble(const struct store *store, const struct volume_row *row, int seconds);

#endif
