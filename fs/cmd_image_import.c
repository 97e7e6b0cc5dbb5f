/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs image import`. stdout gets the ids of the images, one in a line; what a person wants
 * to know besides is told on stderr.
 */
#include "command.h"

#include "arguments.h"
#include "imageimport.h"
#include "imagename.h"
#include "log.h"
#include "named.h"
#include "progress.h"

#include <stdio.h>
#include <string.h>

struct wishes {
    const char *root, *platform;
    uint64_t size_max;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "platform",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, platform),
     .value = "OS/ARCH",
     .help = "of an image for several, this one and not this machine's"},
    {.name = "max-size",
     .kind = ARGUMENT_SIZE,
     .at = offsetof(struct wishes, size_max),
     .value = "SIZE",
     .help = "refuse an archive whose files are larger in all"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "image import",
    .words = "[NAME] SOURCE",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Takes the images of SOURCE into the store and prints their ids. SOURCE is an OCI\n"
        "layout (a directory or a tar), a docker-archive, as docker save and podman save make\n"
        "them, a directory of one image (skopeo's dir:), or the tar of a root filesystem; -\n"
        "is a tar on stdin. Images keep the names that SOURCE gives them; with NAME its only\n"
        "image is called that.\n",
    .example = "docker save debian:12 | plyfs image import -",
};

/* ---- progress ---- */

struct bar {
    struct progress *progress;
};

static void bar_begin(void *context, const char *what, uint64_t total)
{
    struct bar *bar = context;
    progress_end(bar->progress);
    bar->progress = progress_start(what, total);
}

static void bar_at(void *context, uint64_t bytes)
{
    const struct bar *bar = context;
    progress_at(bar->progress, bytes);
}

/* ---- the import ---- */

static int tell_failure(const struct image_import *import, int err)
{
    const char *source = strcmp(import->source, "-") == 0 ? "stdin" : import->source;
    const char *words = *import->words ? import->words : strerror(-err);
    log_error("cannot import %s: %s%s", source, words,
              err == -EFBIG ? "; --max-size lets in more" : "");
    return err;
}

/* What came, for people; for programs the ids. */
static int tell_images(const struct image_import *import)
{
    for (unsigned i = 0; i < import->count; i++) {
        const struct imported *image = &import->images[i];
        if (image->platforms > 1)
            log_error("%s: taken for %s, one of %u platforms",
                      image->name_count ? image->names[0] : image->id, image->platform,
                      image->platforms);
        printf("%s\n", image->id);
    }
    return fflush(stdout) != 0 ? -EIO : 0;
}

static int import_images(struct store *store, struct image_import *import)
{
    struct bar bar = {0};
    import->begin = bar_begin;
    import->at = bar_at;
    import->context = &bar;
    int err = image_import(store, import);
    progress_end(bar.progress);
    err = err ? tell_failure(import, err) : tell_images(import);
    image_import_finish(import);
    return err;
}

static int check_wishes(const struct wishes *wishes, char text[PLATFORM_TEXT_SIZE],
                        struct platform *platform, struct image_import *import)
{
    char name[IMAGENAME_SIZE];
    const struct words *words = &wishes->words;
    import->source = words->at[words->count - 1];
    import->name = words->count == 2 ? words->at[0] : NULL;
    import->size_max = wishes->size_max;
    if (import->name && imagename_normal(import->name, name)) {
        log_error("'%s' is no name for an image: write NAME[:TAG], in small letters", import->name);
        return -EINVAL;
    }
    if (strcmp(import->source, "-") == 0 && isatty(STDIN_FILENO)) {
        log_error("a terminal has no tar to give; write - with a pipe or a file behind <");
        return -ENOTTY;
    }
    if (!wishes->platform)
        return 0;
    import->platform = platform;
    int err = platform_parse(wishes->platform, text, platform);
    if (err)
        log_error("'%s' is no platform: write OS/ARCHITECTURE[/VARIANT], as linux/arm64",
                  wishes->platform);
    return err;
}

static int import_word(const struct wishes *wishes)
{
    char text[PLATFORM_TEXT_SIZE];
    struct platform platform;
    struct image_import import = {0};
    cleanup_store struct store *store = NULL;
    int err = check_wishes(wishes, text, &platform, &import);
    if (!err)
        err = named_open_store(wishes->root, true, &store);
    return err ? err : import_images(store, &import);
}

static int run_import(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = import_word(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_image_import = {
    .name = "import",
    .summary = "take the images of an archive into the store",
    .run = run_import,
};
