/* SPDX-License-Identifier: MIT
 *
 * Duty: judge. A kind is a line of a table: its word, how many it takes, and who decides. Nothing
 * is looked at through the mount, so a live one and an unmounted one are judged alike.
 */
#include "expectation.h"

#include "account.h"
#include "arguments.h"
#include "changes.h"
#include "log.h"
#include "look.h"
#include "report.h"
#include "sameness.h"
#include "shadow.h"
#include "volumespec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct expectation_kind {
    const char *word;
    unsigned arity;
    const char *form; /* for people */
    int (*check)(const struct expectation *expectation);
    int (*judge)(struct expectation_case *the_case, const struct expectation *expectation,
                 char **instead);
    int which; /* of the counts */
};

/* What is instead, as printf(3) says it: 0, not so. */
__attribute__((format(printf, 2, 3))) static int say(char **instead, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(instead, format, arguments);
    va_end(arguments);
    if (length < 0)
        *instead = NULL;
    return length < 0 ? -ENOMEM : 0;
}

/* ---- paths ---- */

/* -ENOENT is an answer; what else goes wrong is told. */
static int find(struct expectation_case *the_case, const char *path, bool under, struct look *look)
{
    const struct look_wish wish = {.path = path, .under = under};
    int err = look_find(the_case->store, the_case->row, the_case->stack, &wish, look);
    if (err == -ENOTDIR)
        err = -ENOENT;
    if (err && err != -ENOENT)
        log_error("cannot look at %s in %s: %s", path, the_case->row->name,
                  err == -ENXIO     ? "it lies in a tmpfs or an image, which only the mount shows"
                  : err == -EREMOTE ? "it lies in a volume that only its driver reaches"
                                    : strerror(-err));
    return err;
}

/* Where the content is from, in words: "layer 2". `text` has room for 32 bytes. */
static const char *place_word(char text[32], int layer)
{
    if (layer <= 0)
        return layer == LOOK_STUB ? "no layer, for a volume lies beneath"
               : layer < 0        ? "a volume"
                                  : "the upper";
    snprintf(text, 32, "layer %d", layer);
    return text;
}

static int layer_of(const struct look *look)
{
    if (look->stub)
        return LOOK_STUB;
    return look->host >= 0 ? -1 : (int)shadow_layer_of(look->stack, &look->found.entry);
}

static int judge_present(struct expectation_case *the_case, const struct expectation *expectation,
                         char **instead)
{
    cleanup_look struct look look;
    int err = find(the_case, expectation->words[0], false, &look);
    return err == -ENOENT ? say(instead, "nothing is there") : err ? err : 1;
}

static int judge_absent(struct expectation_case *the_case, const struct expectation *expectation,
                        char **instead)
{
    char text[32];
    cleanup_look struct look look;
    int err = find(the_case, expectation->words[0], false, &look);
    if (err)
        return err == -ENOENT ? 1 : err;
    return say(instead, "it is there, shown from %s", place_word(text, layer_of(&look)));
}

static int judge_whiteout(struct expectation_case *the_case, const struct expectation *expectation,
                          char **instead)
{
    char text[32];
    cleanup_look struct look look;
    int err = find(the_case, expectation->words[0], true, &look);
    if (!err)
        return say(instead, "it is there, shown from %s", place_word(text, layer_of(&look)));
    if (err != -ENOENT)
        return err;
    return look.found.entry.whiteout ? 1 : say(instead, "nothing is there, and no whiteout");
}

/* The number of a layer as people say it: -1 for the host; -EINVAL. */
static int take_layer(const char *word, int *layer)
{
    char *end;
    if (strcmp(word, "upper") == 0 || strcmp(word, "host") == 0)
        return *layer = word[0] == 'u' ? 0 : -1, 0;
    unsigned long number = strtoul(word, &end, 10);
    if (*end || end == word || *word == '-' || number < 1 || number > UINT16_MAX)
        return -EINVAL;
    return *layer = (int)number, 0;
}

static int check_layer(const struct expectation *expectation)
{
    int layer, err = take_layer(expectation->words[0], &layer);
    if (err)
        log_error(
            "expect: '%s' is no layer: write its number (1 is the lowest), upper, or host for "
            "a volume",
            expectation->words[0]);
    return err;
}

static int judge_from_layer(struct expectation_case *the_case,
                            const struct expectation *expectation, char **instead)
{
    int wanted, err = take_layer(expectation->words[0], &wanted);
    char text[32];
    const int most = (int)the_case->stack->count - 1;
    if (!err && wanted > most) {
        log_error("expect: %s has %d layers, so there is no layer %d", the_case->row->name, most,
                  wanted);
        return -EINVAL;
    }
    cleanup_look struct look look = {.found = ROOTPATH_NONE, .host = -1};
    if (!err)
        err = find(the_case, expectation->words[1], false, &look);
    if (err)
        return err == -ENOENT ? say(instead, "nothing is there") : err;
    if (layer_of(&look) == wanted)
        return 1;
    return say(instead, "it is shown from %s", place_word(text, layer_of(&look)));
}

static int judge_shadowed(struct expectation_case *the_case, const struct expectation *expectation,
                          char **instead)
{
    const char *path = expectation->words[0];
    const struct look_wish wish = {.path = path};
    cleanup_look struct look look;
    cleanup_shadow_count struct shadow_count count = {0};
    int err = look_find(the_case->store, the_case->row, the_case->stack, &wish, &look);
    if (!look.destination)
        return err == -ENOMEM ? err : say(instead, "no volume covers it");
    err = shadow_count(the_case->stack, path, &count);
    if (err == -ENOTDIR)
        return say(instead, "the volume at %s hides nothing there", look.destination);
    if (err) {
        log_error("cannot look at what is hidden at %s: %s", path, strerror(-err));
        return err;
    }
    if (count.all.files > count.of[0].files)
        return 1;
    return say(instead, "the volume at %s hides %s there", look.destination,
               count.all.files > 0 ? "changes of the upper alone" : "nothing");
}

/* ---- changes ---- */

struct comparison {
    const struct stack *stack;
    const char *path; /* without its first slash; "": everything */
    char **instead;
    bool met; /* something of it is there, or was */
};

/* Whether `path` is `top` or lies beneath. */
static bool is_within(const char *path, const char *top)
{
    size_t length = strlen(top);
    return length == 0 ||
           (strncmp(path, top, length) == 0 && (path[length] == 0 || path[length] == '/'));
}

static const char *difference_words(unsigned differs)
{
    if (differs & SAMENESS_TYPE)
        return "is of another type";
    if (differs & SAMENESS_CONTENT)
        return "has another content";
    if (differs & SAMENESS_META)
        return "has another owner or other permissions";
    return differs & SAMENESS_ATTRIBUTES ? "has other extended attributes" : "has another mtime";
}

/* 1 ends the walk: it is changed, and *instead says how. */
static int take_change(void *context, const struct change *change)
{
    unsigned differs = 0;
    struct comparison *comparison = context;
    bool gone = change->kind == CHANGE_DELETED && is_within(comparison->path, change->path);
    if (change->on_the_way || (!gone && !is_within(change->path, comparison->path)))
        return 0;
    if (change->kind != CHANGE_CHANGED) {
        int err = say(comparison->instead, "/%s was %s", change->path,
                      change->kind == CHANGE_ADDED ? "added" : "deleted");
        return err ? err : 1;
    }
    int err = sameness_find(comparison->stack, change, &differs, NULL);
    if (err || !(differs || change->replaced))
        return err;
    err = say(comparison->instead, "/%s %s", change->path,
              change->replaced ? "is another directory" : difference_words(differs));
    return err ? err : 1;
}

/* What neither the union nor the layers have is no more unchanged than changed. */
static int judge_unchanged(struct expectation_case *the_case, const struct expectation *expectation,
                           char **instead)
{
    cleanup_free char *absolute = NULL;
    if (asprintf(&absolute, "/%s", expectation->words[0]) < 0)
        return absolute = NULL, -ENOMEM;
    cleanup_free char *clean = volume_path_clean(absolute);
    if (!clean)
        return -ENOMEM;
    struct comparison comparison = {
        .stack = the_case->stack, .path = clean + 1, .instead = instead};
    int said = changes_walk(the_case->stack, take_change, &comparison);
    if (said < 0)
        log_error("cannot compare %s with the layers: %s", clean, strerror(-said));
    if (said)
        return said < 0 ? said : 0;
    cleanup_look struct look look;
    int err = find(the_case, clean, true, &look);
    return err == -ENOENT ? say(instead, "nothing is there, nor was") : err ? err : 1;
}

/* ---- the ledger ---- */

enum { COUNT_COPYUPS, COUNT_MOVED, COUNT_DENIED, COUNT_WARNED };

static int take_event(void *context, const struct event *event)
{
    struct expectation_case *the_case = context;
    the_case->counts[COUNT_COPYUPS] += event->kind == EVENT_COPYUP;
    the_case->counts[COUNT_MOVED] += event->kind == EVENT_COPYUP ? event->moved : 0;
    the_case->counts[COUNT_DENIED] += event->kind == EVENT_DENIED;
    the_case->counts[COUNT_WARNED] += event->kind == EVENT_WARNED;
    return 0;
}

static int count(struct expectation_case *the_case)
{
    const struct event_wish all = {0};
    if (the_case->counted)
        return 0;
    the_case->counted = true;
    return account_each(the_case->store, the_case->row, &all, take_event, the_case);
}

/* How a number may stand to another: bits of "less", "the same" and "more". */
enum { LESS = 1, SAME = 2, MORE = 4 };

static const struct {
    const char *sign;
    unsigned meets;
} RELATIONS[] = {{"<=", LESS | SAME}, {">=", MORE | SAME}, {"!=", LESS | MORE}, {"==", SAME},
                 {"=", SAME},         {"<", LESS},         {">", MORE}};

/* "<= 10MB": which relations it meets, and the number. */
static int take_comparison(const char *word, unsigned *meets, uint64_t *number)
{
    for (size_t i = 0; i < sizeof(RELATIONS) / sizeof(RELATIONS[0]); i++) {
        size_t length = strlen(RELATIONS[i].sign);
        if (strncmp(word, RELATIONS[i].sign, length) != 0)
            continue;
        *meets = RELATIONS[i].meets;
        word += length;
        return arguments_size(word + strspn(word, " \t"), number);
    }
    return -EINVAL;
}

static int check_comparison(const struct expectation *expectation)
{
    unsigned meets;
    uint64_t number;
    int err = take_comparison(expectation->words[0], &meets, &number);
    if (err)
        log_error("expect: %s '%s' is no comparison: write '<= 10', '= 0' or '> 10MB'",
                  expectation->kind->word, expectation->words[0]);
    return err ? -EINVAL : 0;
}

static int judge_count(struct expectation_case *the_case, const struct expectation *expectation,
                       char **instead)
{
    unsigned meets;
    uint64_t wanted;
    char size[16];
    int err = take_comparison(expectation->words[0], &meets, &wanted);
    if (!err)
        err = count(the_case);
    if (err)
        return err;
    uint64_t found = the_case->counts[expectation->kind->which];
    if (meets & (found < wanted ? LESS : found > wanted ? MORE : SAME))
        return 1;
    if (expectation->kind->which != COUNT_MOVED)
        return say(instead, "there are %llu", (unsigned long long)found);
    return say(instead, "it is %llu bytes (%s)", (unsigned long long)found,
               report_size(size, found));
}

/* ---- kinds ---- */

static const struct expectation_kind KINDS[] = {
    {"shadowed", 1, "shadowed PATH", NULL, judge_shadowed, 0},
    {"from-layer", 2, "from-layer LAYER PATH", check_layer, judge_from_layer, 0},
    {"present", 1, "present PATH", NULL, judge_present, 0},
    {"absent", 1, "absent PATH", NULL, judge_absent, 0},
    {"whiteout", 1, "whiteout PATH", NULL, judge_whiteout, 0},
    {"unchanged", 1, "unchanged PATH", NULL, judge_unchanged, 0},
    {"copyups", 1, "copyups '<= N'", check_comparison, judge_count, COUNT_COPYUPS},
    {"moved", 1, "moved '<= SIZE'", check_comparison, judge_count, COUNT_MOVED},
    {"denied", 1, "denied '= N'", check_comparison, judge_count, COUNT_DENIED},
    {"warned", 1, "warned '= N'", check_comparison, judge_count, COUNT_WARNED},
};

static const struct expectation_kind *kind_of(const char *word)
{
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        if (strcmp(KINDS[i].word, word) == 0)
            return &KINDS[i];
    }
    return NULL;
}

int expectation_arity(const char *word)
{
    const struct expectation_kind *kind = kind_of(word);
    return kind ? (int)kind->arity : -EINVAL;
}

int expectation_parse(const char *const *words, unsigned count, struct expectation *expectation)
{
    const struct expectation_kind *kind = kind_of(words[0]);
    *expectation = (struct expectation){.kind = kind};
    if (!kind) {
        log_error("expect: '%s' is nothing that can be expected; plyfs expect --help lists it",
                  words[0]);
        return -EINVAL;
    }
    if (count <= kind->arity) {
        log_error("expect: something is missing behind '%s'; write %s", kind->word, kind->form);
        return -EINVAL;
    }
    for (unsigned i = 0; i < kind->arity; i++)
        expectation->words[i] = words[1 + i];
    int err = kind->check ? kind->check(expectation) : 0;
    return err ? err : 1 + (int)kind->arity;
}

int expectation_judge(struct expectation_case *the_case, const struct expectation *expectation,
                      char **instead)
{
    *instead = NULL;
    return expectation->kind->judge(the_case, expectation, instead);
}

char *expectation_text(const struct expectation *expectation)
{
    const char *first = expectation->words[0], *second = expectation->words[1];
    char *text = NULL;
    int length = asprintf(&text, "%s %s%s%s", expectation->kind->word, first, second ? " " : "",
                          second ? second : "");
    return length < 0 ? NULL : text;
}
