/* SPDX-License-Identifier: MIT
 *
 * Duty: choose. Cost: each entry is held against each other of its name; and the manifests of which
 * the index says no platform are read.
 */
#include "imagechoice.h"

#include <stdio.h>
#include <string.h>

/* Others are of attestations, or were left out. */
static bool leads_to_image(const struct oci_descriptor *descriptor)
{
    return (descriptor->media == OCI_MANIFEST || descriptor->media == OCI_INDEX) &&
           strcmp(descriptor->platform.os, "unknown") != 0;
}

static int is_artifact(const struct imageblobs *blobs, const struct oci_descriptor *descriptor)
{
    cleanup_free char *text = NULL;
    size_t size = 0;
    int err = imageblobs_read(blobs, descriptor, &text, &size);
    if (err)
        return err;
    struct oci_fault fault;
    cleanup_oci_manifest struct oci_manifest manifest;
    err = oci_manifest_parse(text, size, &manifest, &fault);
    return err == -ENOMSG ? 1 : err;
}

int imagechoice_leave_out(const struct imageblobs *blobs, struct oci_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        struct oci_descriptor *at = &index->at[i];
        if (at->media != OCI_MANIFEST || *at->platform.os)
            continue;
        int answer = is_artifact(blobs, at);
        if (answer == 1)
            at->media = OCI_UNKNOWN;
        else if (answer < 0 && answer != -EBADMSG)
            return answer;
    }
    return 0;
}

static enum platform_fit fit_of(const struct imagechoice *choice,
                                const struct oci_descriptor *descriptor)
{
    return platform_fit(&descriptor->platform, &choice->want);
}

/* Engines save the index of all platforms with the blobs of those that they have: the others are no
 * choice. Where none is there, what is missing is told of the one that is meant. */
static bool is_choice(const struct imageblobs *blobs, const struct oci_descriptor *descriptor,
                      bool any_there)
{
    char path[IMAGEBLOB_PATH_SIZE];
    return leads_to_image(descriptor) &&
           (!any_there ||
            imagefiles_have(blobs->files, imageblobs_path(blobs, path, descriptor->digest)));
}

static unsigned count_choices(const struct imageblobs *blobs, const struct oci_index *index,
                              bool any_there)
{
    unsigned count = 0;
    for (size_t i = 0; i < index->count; i++)
        count += is_choice(blobs, &index->at[i], any_there);
    return count;
}

/* None of the choices is for the platform. */
static int no_choice(const struct imageblobs *blobs, const struct imagechoice *choice,
                     const struct oci_index *index, bool any_there)
{
    char platform[PLATFORM_TEXT_SIZE];
    char *words = blobs->words;
    const size_t room = blobs->room;
    snprintf(words, room, "it has no image for %s, only for",
             platform_write(&choice->want, platform));
    for (size_t i = 0; i < index->count; i++) {
        size_t used = strlen(words);
        if (is_choice(blobs, &index->at[i], any_there))
            snprintf(words + used, room - used, " %s",
                     platform_write(&index->at[i].platform, platform));
    }
    return -ENOENT;
}

int imagechoice_best(const struct imageblobs *blobs, const struct imagechoice *choice,
                     const struct oci_index *index, const struct oci_descriptor **best,
                     unsigned *platforms)
{
    const bool any_there = count_choices(blobs, index, true) > 0;
    *platforms = count_choices(blobs, index, any_there);
    *best = NULL;
    for (size_t i = 0; i < index->count; i++) {
        const struct oci_descriptor *at = &index->at[i];
        if (is_choice(blobs, at, any_there) &&
            (!*best || fit_of(choice, at) > fit_of(choice, *best)))
            *best = at;
    }
    const bool wrong = *best && fit_of(choice, *best) == PLATFORM_WRONG;
    return wrong && (choice->insist || *platforms > 1) ? no_choice(blobs, choice, index, any_there)
                                                       : 0;
}

static bool shares_name(const struct oci_descriptor *one, const struct oci_descriptor *other)
{
    return leads_to_image(other) && strcmp(one->name, other->name) == 0;
}

static unsigned choices_of(const struct imagechoice *choice, const struct oci_index *index,
                           size_t at)
{
    const struct oci_descriptor *mine = &index->at[at];
    unsigned platforms = 1;
    for (size_t i = 0; i < index->count; i++) {
        const struct oci_descriptor *other = &index->at[i];
        if (i == at || !shares_name(mine, other))
            continue;
        int better = (int)fit_of(choice, other) - (int)fit_of(choice, mine);
        if (better > 0 || (better == 0 && *mine->name && i < at))
            return 0;
        platforms += better < 0;
    }
    return platforms;
}

static unsigned count_of_name(const struct oci_index *index, const struct oci_descriptor *mine)
{
    unsigned count = 0;
    for (size_t i = 0; i < index->count; i++)
        count += shares_name(mine, &index->at[i]);
    return count;
}

int imagechoice_named(const struct imageblobs *blobs, const struct imagechoice *choice,
                      const struct oci_index *index, size_t at, unsigned *platforms)
{
    const struct oci_descriptor *mine = &index->at[at];
    *platforms = leads_to_image(mine) ? choices_of(choice, index, at) : 0;
    const bool wrong = *platforms > 0 && fit_of(choice, mine) == PLATFORM_WRONG;
    return wrong && (choice->insist || count_of_name(index, mine) > 1)
               ? no_choice(blobs, choice, index, false)
               : 0;
}
