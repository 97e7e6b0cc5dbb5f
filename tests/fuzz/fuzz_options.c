/* SPDX-License-Identifier: MIT
 *
 * Any texts behind -o, one in each line, and behind the options of a command: taken, or refused;
 * nothing leaks, and what was taken is in the range that it may have.
 */
#include "fuzzkit.h"

#include "options.h"

#include <string.h>

enum { TEXTS = 16 };

static void check(const struct options *options)
{
    for (unsigned i = 0; i < options->lower_count; i++)
        must(options->lowers[i] && *options->lowers[i], "a lower layer has a path");
    must(options->timeout == options->timeout, "a timeout is a number");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct options options;
    enum choice choice;
    enum profile profile;
    const char *texts[TEXTS];
    cleanup_free char *text = fuzz_text(data, size);
    unsigned count = fuzz_words(text, '\n', texts, TEXTS);
    int err = 0;
    options_init(&options);
    for (unsigned i = 0; i < count && !err; i++) {
        err = options_take(&options, texts[i]);
        (void)options_parse_choice(texts[i], &choice);
        (void)options_parse_profile(texts[i], &profile);
    }
    if (!err) {
        check(&options);
        err = options_check(&options);
    }
    must(err == 0 || err == -EINVAL, "a text is taken or refused");
    options_finish(&options);
    return 0;
}
