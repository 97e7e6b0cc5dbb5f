/* SPDX-License-Identifier: MIT
 *
 * What a directory tree is taken for: a layer, where some names and attributes are an overlay's
 * books (whiteout.h, ovlattr.h), or the content of a volume, where everything is what it is.
 */
#ifndef PLYFS_TREEKIND_H
#define PLYFS_TREEKIND_H

enum treekind { TREEKIND_LAYER, TREEKIND_PLAIN };

#endif
