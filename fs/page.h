/* SPDX-License-Identifier: MIT
 *
 * The page of `plyfs report`, which page/join.py makes at build of page/page.html, its style and
 * its scripts: the JSON goes between the two halves, as the content of a script element.
 */
#ifndef PLYFS_PAGE_H
#define PLYFS_PAGE_H

#include <stddef.h>

extern const unsigned char page_before[], page_after[];
extern const size_t page_before_size, page_after_size;

#endif
