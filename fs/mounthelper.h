/* SPDX-License-Identifier: MIT
 *
 * The command line of a helper of mount(8), "External helpers" there:
 * mount.TYPE SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE.SUBTYPE]. It is the drop-in
 * form but for the letters, which mean something else there.
 */
#ifndef PLYFS_MOUNTHELPER_H
#define PLYFS_MOUNTHELPER_H

#include <stdbool.h>

/* Whether the program was started as one, by the name that it was given. */
bool mounthelper_is(const char *program);

/* Takes out of `argv`, in place, what the drop-in form does not have; returns how many words are
 * left. *fake: nothing is to be mounted. */
int mounthelper_strip(int argc, char **argv, bool *fake);

#endif
