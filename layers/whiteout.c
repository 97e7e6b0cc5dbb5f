/* SPDX-License-Identifier: MIT
 *
 * Duty: the one form that takes more than a look at the object.
 */
#include "whiteout.h"

#include "fd.h"

bool whiteout_is_opaque_file(enum ovlwhere where, int dir, const char *name)
{
    struct stat st;
    return strcmp(name, WHITEOUT_OPAQUE) == 0 && fd_stat(dir, name, &st) == 0 &&
           S_ISREG(st.st_mode) && st.st_size == 0 &&
           (where == OVLWHERE_UPPER_NONE ||
            ((st.st_mode & 07777) == 0700 &&
             ovlset_has(ovlattr_list(where, dir, ""), OVLATTR_OPAQUE)));
}
