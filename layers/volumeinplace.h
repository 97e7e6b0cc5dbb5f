/* SPDX-License-Identifier: MIT
 *
 * Content for a directory of the host, which cannot be made elsewhere and renamed into its place.
 * It is made in a directory inside, the tray, whose name is random, and moved up when it is
 * complete. How far that is stands in a record of the store, STORE/filling/KEY, for no name inside
 * can be believed: whoever may write there may make any.
 *
 *   filling     not complete: rubbish, if nobody has the lock
 *   replacing   complete; everything beside it is the old content, and goes
 *   filled      complete; what is in it moves up, and then it goes
 *
 * KEY is the inode and the birth of the directory, and the record has those of the tray. So a
 * directory that somebody else made, of whatever name, is content, and so is one that came into the
 * place of the tray. Device numbers are in neither: they may be others after a reboot.
 *
 * Whoever works there holds a lock on the directory itself. So what a crash left can be told and
 * finished or undone by whoever comes next, and nothing that somebody else put there is removed.
 * After a crash the directory's own times may be those of the finishing.
 *
 * `store` is the store's root everywhere.
 */
#ifndef PLYFS_VOLUMEINPLACE_H
#define PLYFS_VOLUMEINPLACE_H

#include "own.h"

/* Makes content in an empty directory. What it returns, if not 0, is the answer of whoever called
 * it, who tells nothing: it has told. */
typedef int volume_filler(void *context, int tree);

/* Finishes or undoes what a crash left in `dir` (open for reading). Before its content is used. */
must_check int volumeinplace_mend(int store, int dir);

/* Gives an empty directory ("lost+found" does not count) what `fill` makes: 1, or 0 when it holds
 * something already. */
must_check int volumeinplace_fill(int store, int dir, volume_filler *fill, void *context);

/* Gives it that in the place of what it holds. */
must_check int volumeinplace_replace(int store, int dir, volume_filler *fill, void *context);

/* Whether a directory holds nothing but "lost+found": 1 or 0. */
must_check int volumeinplace_is_empty(int dir);

#endif
