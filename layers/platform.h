/* SPDX-License-Identifier: MIT
 *
 * What machine an image is for, in the words of the field: "linux/amd64", "linux/arm/v7" (OCI
 * image-spec, image index, "platform"). Plain values; the strings are borrowed.
 */
#ifndef PLYFS_PLATFORM_H
#define PLYFS_PLATFORM_H

#include "own.h"

#include <stddef.h>

/* What is not known is "". */
struct platform {
    const char *os, *architecture, *variant;
};

/* This machine's. */
struct platform platform_here(void);

enum { PLATFORM_TEXT_SIZE = 128 };

/* Takes "OS/ARCHITECTURE[/VARIANT]" apart, in `text`. -EINVAL when it is something else. */
must_check int platform_parse(const char *word, char text[PLATFORM_TEXT_SIZE],
                              struct platform *platform);

/* The opposite, cut to the room there is; "unknown" when nothing is known. Returns `text`. */
char *platform_write(const struct platform *platform, char text[PLATFORM_TEXT_SIZE]);

/* How well something made for `have` serves who wants `want`: 0 not at all, more is better. That
 * nothing is said of the platform is better than a wrong one. */
enum platform_fit {
    PLATFORM_WRONG,
    PLATFORM_UNSAID,
    PLATFORM_OTHER_VARIANT,
    PLATFORM_FITS,
};
enum platform_fit platform_fit(const struct platform *have, const struct platform *want);

#endif
