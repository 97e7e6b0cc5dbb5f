/* SPDX-License-Identifier: MIT
 *
 * Any text as each of the words that a command takes: sizes, times, moments, names of images,
 * platforms, names and options of volumes. Taken or refused, and what was taken is in its range.
 */
#include "fuzzkit.h"

#include "arguments.h"
#include "eventword.h"
#include "imagename.h"
#include "localoptions.h"
#include "platform.h"
#include "tracefilter.h"
#include "volumespec.h"

#include <string.h>

enum { WORDS = 8 };

static void read_numbers(const char *text)
{
    uint64_t bytes;
    int64_t time;
    (void)!arguments_size(text, &bytes);
    (void)!volume_size_parse(text, &bytes);
    if (tracefilter_time(text, &time) == 0)
        must(time >= 0, "a time is not negative");
    (void)!eventword_moment(text, 1000000000, &time);
}

static void read_names(const char *text)
{
    char name[IMAGENAME_SIZE], again[IMAGENAME_SIZE], room[PLATFORM_TEXT_SIZE];
    struct platform platform;
    struct volume_fault fault = {.words = ""};
    if (imagename_normal(text, name) == 0)
        must(imagename_normal(name, again) == 0 && strcmp(name, again) == 0,
             "a name has one spelling");
    if (platform_parse(text, room, &platform) == 0)
        must(*platform.os && *platform.architecture, "a platform has both of its words");
    must(volume_name_check(text, &fault) == 0 || fault.words[0], "a refusal has words");
}

static void read_local_options(const char **words, unsigned count)
{
    struct volume_pairs pairs = {0};
    struct volume_fault fault = {.words = ""};
    struct local_options local;
    for (unsigned i = 0; i < count; i++) {
        char *value = strchr(words[i], '=');
        cleanup_free char *key = value ? strndup(words[i], (size_t)(value - words[i])) : NULL;
        if (value)
            must(volume_pairs_set(&pairs, key, value + 1) == 0, "no memory");
    }
    int err = local_options_read(&pairs, &local, &fault);
    must(err == 0 || fault.words[0], "a refusal has words");
    if (!err) {
        must(local.kind != LOCAL_BIND || *local.device == '/', "a bind has an absolute path");
        must(local.kind != LOCAL_MOUNT || (local.type && *local.type != '-'),
             "a mount has a type that is no option");
        local_options_finish(&local);
    }
    volume_pairs_finish(&pairs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[WORDS];
    cleanup_free char *text = fuzz_text(data, size);
    read_numbers(text);
    read_names(text);
    unsigned count = fuzz_words(text, '\n', words, WORDS);
    read_local_options(words, count);
    return 0;
}
