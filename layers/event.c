/* SPDX-License-Identifier: MIT
 *
 * Duty: the words of events.
 */
#include "event.h"

#include <errno.h>
#include <string.h>

static const char *const KINDS[EVENT_KINDS] = {
    [EVENT_COPYUP] = "copyup",     [EVENT_WHITEOUT] = "whiteout", [EVENT_OPAQUE] = "opaque",
    [EVENT_REDIRECT] = "redirect", [EVENT_WARNED] = "warned",     [EVENT_DENIED] = "denied",
};

static const char *const MEANS[EVENT_MEANS_COUNT] = {
    [EVENT_MEANS_NONE] = "none",
    [EVENT_MEANS_REFLINK] = "reflink",
    [EVENT_MEANS_RANGE] = "copy_file_range",
    [EVENT_MEANS_READ_WRITE] = "read and write",
    [EVENT_MEANS_METACOPY] = "metacopy",
    [EVENT_MEANS_LINK] = "link",
};

static int number_of(const char *const words[], int count, const char *word)
{
    for (int number = 0; number < count; number++) {
        if (strcmp(words[number], word) == 0)
            return number;
    }
    return -EINVAL;
}

const char *event_kind_word(enum event_kind kind)
{
    return KINDS[kind];
}

const char *event_means_word(enum event_means means)
{
    return MEANS[means];
}

int event_kind_of(const char *word)
{
    return number_of(KINDS, EVENT_KINDS, word);
}

int event_means_of(const char *word)
{
    return number_of(MEANS, EVENT_MEANS_COUNT, word);
}
