/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs report`: one page that shows a named mount, its ledger and its volumes.
 */
#include "command.h"

#include "arguments.h"
#include "fd.h"
#include "log.h"
#include "named.h"
#include "outfile.h"
#include "page.h"
#include "reportdata.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct wishes {
    const char *root, *output;
    bool json;
    struct words words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "output",
     .letter = 'o',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, output),
     .value = "FILE",
     .help = "write there instead of to standard output"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "write what the page shows, and no page"},
};

static const struct syntax SYNTAX = {
    .command = "report",
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Writes one page that shows a named mount, mounted or not: its layers and their sizes,\n"
        "what was copied up, when and by whom, and what its volumes hide. It needs no network.\n",
    .example = "plyfs report web -o report.html",
};

/* Inside a script element nothing may look like markup; in JSON these stand in strings alone. */
static int write_escaped(const char *text, size_t size, void *context)
{
    FILE *to = context;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '<' || text[i] == '>' || text[i] == '&')
            fprintf(to, "\\u%04x", (unsigned)text[i]);
        else
            putc(text[i], to);
    }
    return ferror(to) ? -1 : 0;
}

static int print_page(FILE *to, const json_t *data)
{
    fwrite(page_before, 1, page_before_size, to);
    int failed = json_dump_callback(data, write_escaped, to, JSON_COMPACT | JSON_ENSURE_ASCII);
    fwrite(page_after, 1, page_after_size, to);
    return failed;
}

static int print_json(FILE *to, const json_t *data)
{
    int failed = json_dumpf(data, to, JSON_COMPACT);
    putc('\n', to);
    return failed;
}

/* The text of it all, the caller's to free. */
static int make_text(const json_t *data, bool json, char **text, size_t *size)
{
    FILE *to = open_memstream(text, size);
    if (!to)
        return -ENOMEM;
    bool failed = (json ? print_json(to, data) : print_page(to, data)) != 0 || ferror(to);
    return fclose(to) != 0 || failed ? -ENOMEM : 0;
}

/* JSON is something for a terminal, and so is what was asked for by `-o -`. */
static int open_output(const struct wishes *wishes, struct outfile *out)
{
    if (wishes->output && strcmp(wishes->output, "-") != 0)
        return outfile_open(out, wishes->output);
    *out = (struct outfile){.fd = STDOUT_FILENO};
    if (wishes->json || wishes->output || !isatty(STDOUT_FILENO))
        return 0;
    log_error("a page is nothing for a terminal; use -o FILE, or a pipe");
    return -ENOTTY;
}

static int write_report(const struct wishes *wishes, const json_t *data)
{
    size_t size = 0;
    cleanup_free char *text = NULL;
    cleanup_outfile struct outfile out = {.fd = -1};
    int err = open_output(wishes, &out);
    if (err)
        return err;
    err = make_text(data, wishes->json, &text, &size);
    if (!err)
        err = fd_write_all(out.fd, text, size);
    if (err)
        log_error("cannot write the report: %s", strerror(-err));
    return err ? err : outfile_publish(&out);
}

static int report(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    json_t *data = err ? NULL : reportdata_gather(store, &row, &err);
    if (!err)
        err = write_report(wishes, data);
    json_decref(data);
    return err;
}

static int run_report(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = report(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_report = {
    .name = "report",
    .summary = "write a page that shows a named mount and what it copied up",
    .run = run_report,
};
