/* SPDX-License-Identifier: MIT
 *
 * Any text as a specification of a volume, in each of the languages: it is refused with words, or
 * what comes of it is as the header promises, so that a mount can rely on it. What breaks that
 * aborts.
 */
#include "fuzzkit.h"

#include "volumespec.h"

#include <string.h>

static void check_clean(const char *path)
{
    cleanup_free char *again = volume_path_clean(path);
    must(again && strcmp(again, path) == 0, "a path is not in its shortest form");
}

static void check_subpath(const char *path)
{
    must(*path && *path != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0,
         "a subpath leaves its volume");
}

static void check(int err, struct volume_spec *spec, struct volume_fault *fault)
{
    struct volume_fault ignored;
    if (err) {
        must(err == -EINVAL && fault->words[0], "a refusal has words");
        must(!spec->destination && !spec->source, "what was refused leaves nothing");
        return;
    }
    must(spec->destination && spec->destination[1], "a destination is there, and is not the root");
    must(spec->said && spec->mode, "the words are kept");
    check_clean(spec->destination);
    if (spec->kind == VOLUME_KIND_BIND) {
        must(spec->source && spec->propagation, "a directory of the host has all it needs");
        check_clean(spec->source);
    }
    if (spec->kind == VOLUME_KIND_VOLUME && spec->source)
        must(volume_name_check(spec->source, &ignored) == 0,
             "a volume has a name that it may have");
    if (spec->subpath)
        check_subpath(spec->subpath);
    volume_spec_finish(spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct volume_spec spec;
    struct volume_fault fault = {.words = ""};
    char *mount = NULL;
    bool read_only;
    cleanup_free char *text = fuzz_text(data, size);
    check(volume_spec_parse_short(text, "/here", &spec, &fault), &spec, &fault);
    check(volume_spec_parse_long(text, "/here", &spec, &fault), &spec, &fault);
    check(volume_spec_parse_tmpfs(text, &spec, &fault), &spec, &fault);
    check(volume_spec_parse_any(text, "/here", &spec, &fault), &spec, &fault);
    if (volume_spec_parse_from(text, &mount, &read_only, &fault) == 0)
        must(*mount != 0, "a mount has a name");
    free(mount);
    return 0;
}
