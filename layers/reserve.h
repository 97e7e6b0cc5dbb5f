/* SPDX-License-Identifier: MIT
 *
 * Room on a store's disk for when there is no other. A catalog cannot even be read where SQLite has
 * no room for the files beside it, so on a full disk nothing that fills it could be removed.
 *
 * Nothing is told: without it the store only does as other programs do on a full disk.
 */
#ifndef PLYFS_RESERVE_H
#define PLYFS_RESERVE_H

/* Before the catalog is opened: on a full disk what is kept is given back to it, and where there is
 * plenty of room some is kept. `root` is the store's directory. */
void reserve_begin(int root);

/* When it is closed: what was given back, and has been left, is kept again. */
void reserve_end(int root);

#endif
