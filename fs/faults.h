/* SPDX-License-Identifier: MIT
 *
 * The words for what can be wrong with a store.
 */
#ifndef PLYFS_FAULTS_H
#define PLYFS_FAULTS_H

#include "store.h"

/* What it is, to be said behind its name: "is left of work that was interrupted". */
const char *faults_words(enum store_fault fault);

#endif
