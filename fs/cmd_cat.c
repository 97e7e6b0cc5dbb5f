/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs cat`: files of a named mount byte for byte, what a volume hides too.
 */
#include "command.h"

#include "arguments.h"
#include "fd.h"
#include "log.h"
#include "look.h"

#include <string.h>

struct wishes {
    const char *root;
    bool under;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "under",
     .letter = 'u',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, under),
     .help = "what the layers have, whatever volume lies over it"},
};

static const struct syntax SYNTAX = {
    .command = "cat",
    .words = "MOUNT PATH...",
    .least = 2,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Writes files of a named mount, mounted or not, to standard output. What a volume hides\n"
        "is read with --under.\n",
    .example = "plyfs cat --under web /etc/nginx/nginx.conf",
};

/* That it cannot be written is no fault of what is looked at: *context takes that. */
static int copy_out(void *context, const struct look *look)
{
    enum { PIECE = 1 << 18 };
    int *unwritten = context;
    cleanup_fd int fd = look_read(look);
    if (fd < 0)
        return fd;
    cleanup_free char *piece = malloc(PIECE);
    if (!piece)
        return -ENOMEM;
    for (;;) {
        ssize_t got = fd_read(fd, piece, PIECE);
        if (got <= 0)
            return (int)got;
        *unwritten = fd_write_all(STDOUT_FILENO, piece, (size_t)got);
        if (*unwritten)
            return 0;
    }
}

static int run_cat(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    int unwritten = 0;
    bool failed = err < 0;
    for (unsigned i = 1; !err && !unwritten && i < wishes.words.count; i++) {
        const struct look_wish wish = {.root = wishes.root,
                                       .mount = wishes.words.at[0],
                                       .path = wishes.words.at[i],
                                       .under = wishes.under,
                                       .follow = true};
        failed |= look_at(&wish, copy_out, &unwritten) != 0;
    }
    if (unwritten)
        log_error("cat: cannot write to stdout: %s", strerror(-unwritten));
    arguments_finish(&SYNTAX, &wishes);
    return failed || unwritten ? 1 : 0;
}

const struct command command_cat = {
    .name = "cat",
    .summary = "write files of a named mount, also what a volume hides",
    .run = run_cat,
};
