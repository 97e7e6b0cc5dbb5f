/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs expect`: whether a named mount is as somebody expects it, told by the exit status.
 */
#include "command.h"

#include "arguments.h"
#include "expectation.h"
#include "log.h"
#include "named.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { HOLDS, DOES_NOT_HOLD, CANNOT_BE_TOLD };

struct wishes {
    const char *root, *file;
    bool json, quiet;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "file",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, file),
     .value = "FILE",
     .help = "more of them, one in a line; # begins a comment, - is stdin"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "an object in a line for each"},
    {.name = "quiet",
     .letter = 'q',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, quiet),
     .help = "no summary"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "expect",
    .words = "MOUNT [EXPECTATION]...",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Looks whether a named mount, mounted or not, is as it is expected to be:\n"
             "  shadowed PATH          a volume hides something of the layers there\n"
             "  from-layer LAYER PATH  it shows the content of layer 1 (the lowest), 2..., of the\n"
             "                         upper, or, for a volume, of the host\n"
             "  present PATH, absent PATH\n"
             "  whiteout PATH          the upper hides what the layers have there\n"
             "  unchanged PATH         it and all beneath it is as in the layers\n"
             "  copyups '<= N', moved '<= SIZE', denied '= N', warned '= N'\n"
             "                         what the ledger counts: < <= = != >= >\n"
             "The status is 0 when all hold, 1 when one does not, 2 when that cannot be told.\n",
    .example = "plyfs expect web shadowed /data copyups '<= 10' unchanged /usr",
};

/* ---- what is expected ---- */

struct list {
    struct expectation *at;
    unsigned count;
    char **texts; /* what was read of a file, which the expectations borrow from */
    size_t text_count;
};

static void list_finish(struct list *list)
{
    for (size_t i = 0; i < list->text_count; i++)
        free(list->texts[i]);
    free(list->texts);
    free(list->at);
}

/* Adds the first of `words`; how many it took, or -errno. */
static int add(struct list *list, const char *const *words, unsigned count, unsigned line)
{
    struct expectation *at = reallocarray(list->at, list->count + 1, sizeof(*at));
    if (!at)
        return -ENOMEM;
    list->at = at;
    int took = expectation_parse(words, count, &at[list->count]);
    at[list->count].line = line;
    list->count += took > 0;
    return took;
}

static int take_words(struct list *list, const struct words *words)
{
    unsigned next = 1; /* behind the mount */
    while (next < words->count) {
        int took = add(list, words->at + next, words->count - next, 0);
        if (took < 0)
            return took;
        next += (unsigned)took;
    }
    return 0;
}

/* The next word, closed by a NUL; the last one is the rest of the line. NULL: there is none. */
static char *cut_word(char **at, bool last)
{
    char *word = *at + strspn(*at, " \t");
    if (*word == 0)
        return NULL;
    char *end = last ? word + strlen(word) : word + strcspn(word, " \t");
    *at = *end ? end + 1 : end;
    *end = 0;
    return word;
}

static int take_line(struct list *list, char *text, unsigned line)
{
    const char *words[3];
    unsigned count = 0;
    text[strcspn(text, "\r\n")] = 0;
    for (size_t end = strlen(text); end > 0 && strchr(" \t", text[end - 1]); end--)
        text[end - 1] = 0;
    char *at = text, *word = cut_word(&at, false);
    if (!word || *word == '#')
        return 0;
    words[count++] = word;
    int arity = expectation_arity(word);
    while (arity > 0 && (word = cut_word(&at, (int)count == arity)) != NULL) {
        words[count++] = word;
        if ((int)count > arity)
            break;
    }
    int took = add(list, words, count, line);
    return took < 0 ? took : 0;
}

static int keep_text(struct list *list, char *text)
{
    char **texts = reallocarray(list->texts, list->text_count + 1, sizeof(*texts));
    if (!texts)
        return -ENOMEM;
    list->texts = texts;
    texts[list->text_count++] = text;
    return 0;
}

static int take_lines(struct list *list, const char *path, FILE *from)
{
    int err = 0;
    unsigned line = 0;
    while (!err) {
        char *text = NULL;
        size_t room = 0;
        line++;
        if (getline(&text, &room, from) < 0) {
            err = ferror(from) ? -errno : 0;
            free(text);
            if (err)
                log_error("expect: cannot read %s: %s", path, strerror(-err));
            return err;
        }
        err = keep_text(list, text);
        if (err)
            free(text);
        else
            err = take_line(list, text, line);
    }
    log_error("expect: that was line %u of %s", line, path);
    return err;
}

static int take_file(struct list *list, const char *path)
{
    const bool standard = strcmp(path, "-") == 0;
    FILE *from = standard ? stdin : fopen(path, "re");
    if (!from) {
        int err = -errno;
        log_error("expect: cannot read %s: %s", path, strerror(-err));
        return err;
    }
    int err = take_lines(list, path, from);
    if (!standard)
        fclose(from);
    return err;
}

/* ---- judging ---- */

struct outcome {
    unsigned held, failed;
    json_t *rows;
};

static int add_row(struct outcome *outcome, const char *text, bool holds, const char *instead)
{
    json_t *row = json_pack("{s:o, s:b, s:o}", "Expectation", report_text(text), "Holds", holds,
                            "Instead", report_text(instead));
    return json_array_append_new(outcome->rows, row) == 0 ? 0 : -ENOMEM;
}

static int judge(struct expectation_case *the_case, const struct wishes *wishes,
                 const struct expectation *expectation, struct outcome *outcome)
{
    char *said = NULL;
    int holds = expectation_judge(the_case, expectation, &said);
    cleanup_free char *instead = said;
    cleanup_free char *text = expectation_text(expectation);
    if (holds < 0 || !text)
        return holds < 0 ? holds : -ENOMEM;
    outcome->held += holds > 0;
    outcome->failed += holds == 0;
    if (holds == 0 && expectation->line)
        log_error("expected %s (line %u of %s): %s", text, expectation->line, wishes->file,
                  instead);
    else if (holds == 0)
        log_error("expected %s: %s", text, instead);
    return add_row(outcome, text, holds > 0, instead);
}

static int tell(const struct wishes *wishes, const struct outcome *outcome)
{
    unsigned all = outcome->held + outcome->failed;
    if (wishes->json)
        return report_print_value("json", outcome->rows);
    if (wishes->quiet || all < 2)
        return 0;
    if (outcome->failed == 0)
        printf("all %u expectations hold\n", all);
    else
        printf("%u of %u expectations do not hold\n", outcome->failed, all);
    return fflush(stdout) == 0 ? 0 : -errno;
}

static int judge_all(struct expectation_case *the_case, const struct wishes *wishes,
                     const struct list *list)
{
    int err = 0;
    struct outcome outcome = {.rows = json_array()};
    if (!outcome.rows)
        return -ENOMEM;
    for (unsigned i = 0; i < list->count && !err; i++)
        err = judge(the_case, wishes, &list->at[i], &outcome);
    if (!err)
        err = tell(wishes, &outcome);
    json_decref(outcome.rows);
    return err ? err : outcome.failed > 0 ? DOES_NOT_HOLD : HOLDS;
}

/* ---- the command ---- */

static int open_and_judge(const struct wishes *wishes, const struct list *list)
{
    struct named_view view;
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    int err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    if (err)
        return err;
    err = named_view_flushed(store, &row, &view);
    if (err)
        return err;
    struct expectation_case the_case = {.store = store, .row = &row, .stack = &view.stack};
    err = judge_all(&the_case, wishes, list);
    named_view_close(&view);
    return err;
}

static int expect(const struct wishes *wishes)
{
    struct list list = {0};
    int err = take_words(&list, &wishes->words);
    if (!err && wishes->file)
        err = take_file(&list, wishes->file);
    if (!err && list.count == 0) {
        log_error("expect: say what is expected: plyfs expect %s absent /etc/secret",
                  wishes->words.at[0]);
        err = -EINVAL;
    }
    if (!err)
        err = open_and_judge(wishes, &list);
    list_finish(&list);
    return err;
}

static int run_expect(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (err == ARGUMENTS_HELPED)
        err = HOLDS;
    else if (!err)
        err = expect(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? CANNOT_BE_TOLD : err;
}

const struct command command_expect = {
    .name = "expect",
    .summary = "test what a named mount shows, hides and has copied up",
    .run = run_expect,
};
