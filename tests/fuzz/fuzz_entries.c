/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the list of entries of a sealed layer: damaged, or sorted paths that can be written
 * and read again.
 */
#include "fuzzkit.h"

#include "entries.h"

#include <string.h>

static void check(const struct entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        const struct entry_digest *at = &entries->at[i];
        must(at->path && *at->path && strlen(at->meta) <= 32 && strlen(at->content) <= 32,
             "an entry has its words");
    }
}

static int same(void *context, const struct entry_digest *a, const struct entry_digest *b)
{
    (void)context, (void)a, (void)b;
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], digest[33], again[33];
    {
        cleanup_fd int place = fuzz_enter(path);
        cleanup_entries struct entries entries = {0}, second = {0};
        fuzz_file(place, "entries", data, size);
        int err = entries_read(place, "entries", &entries, digest);
        must(err == 0 || err == -EBADMSG, "a list is read, or damaged");
        if (!err) {
            check(&entries);
            must(entries_write(&entries, place, "again", again) == 0 &&
                     entries_read(place, "again", &second, again) == 0,
                 "a list that was read can be written and read");
            must(entries_compare(&entries, &second, same, NULL) == 0, "and is the same");
        }
    }
    fuzz_leave(path);
    return 0;
}
