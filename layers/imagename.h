/* SPDX-License-Identifier: MIT
 *
 * Names of images: "REPOSITORY:TAG", where a repository may begin with a host. What the field
 * leaves out is left out here too: "docker.io/library/debian" is "debian", and no tag is the tag
 * "latest". So that one name has one spelling in the catalog.
 */
#ifndef PLYFS_IMAGENAME_H
#define PLYFS_IMAGENAME_H

#include "own.h"

enum { IMAGENAME_SIZE = 256 + 129 };

/* The one spelling of `word`. -EINVAL when it is no name: letters are lower case (but in a host and
 * a tag), digests ("@sha256:...") are no names, and neither is what looks like an id. */
must_check int imagename_normal(const char *word, char name[IMAGENAME_SIZE]);

#endif
