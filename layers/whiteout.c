/* SPDX-License-Identifier: MIT
 *
 * Duty: those forms that take more than a look at the object. A look that fails is told: whoever
 * took it for "no whiteout" would show what is deleted.
 */
#include "whiteout.h"

#include "fd.h"

#include <limits.h>
#include <stdio.h>

int whiteout_is_opaque_file(enum ovlwhere where, int dir, const char *name)
{
    struct stat st;
    ovlset attrs;
    if (strcmp(name, WHITEOUT_OPAQUE) != 0)
        return 0;
    int err = fd_stat(dir, name, &st);
    if (err)
        return err == -ENOENT ? 0 : err;
    if (!S_ISREG(st.st_mode) || st.st_size != 0)
        return 0;
    if (where == OVLWHERE_UPPER_NONE)
        return 1;
    if ((st.st_mode & 07777) != 0700)
        return 0;
    err = ovlattr_list(where, dir, "", &attrs);
    return err ? err : ovlset_has(attrs, OVLATTR_OPAQUE);
}

int whiteout_is_marked(int dir, const char *name, const struct stat *st)
{
    ovlset attrs;
    if (!S_ISREG(st->st_mode) || st->st_size != 0)
        return 0;
    int err = ovlattr_list(OVLWHERE_SEALED, dir, name, &attrs);
    return err ? err : ovlset_has(attrs, OVLATTR_WHITEOUT);
}

int whiteout_file_exists(int dir, const char *name)
{
    char white[NAME_MAX + sizeof(WHITEOUT_PREFIX)];
    struct stat st;
    if (snprintf(white, sizeof(white), WHITEOUT_PREFIX "%s", name) > NAME_MAX)
        return 0;
    int err = fd_stat(dir, white, &st);
    return err == 0 ? 1 : err == -ENOENT ? 0 : err;
}
