/* SPDX-License-Identifier: MIT
 *
 * Duty: words to conditions. A comma begins a new word of op=, or, before a KEY= that there is, a
 * new filter; in a path it is part of it otherwise.
 */
#include "tracefilter.h"

#include "moment.h"
#include "pathglob.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum key { KEY_OP, KEY_PATH, KEY_PID, KEY_SLOW, KEYS };
static const char *const KEY_WORDS[KEYS] = {"op", "path", "pid", "slow"};

/* What people call the operations of the kernel that have several purposes, and the causes of
 * copy-ups that are no operations. */
static const struct {
    const char *word;
    enum meter_op op;
} FINER[] = {
    {"chmod", METER_SETATTR},    {"chown", METER_SETATTR}, {"utimens", METER_SETATTR},
    {"truncate", METER_SETATTR}, {"mmap", METER_WRITE},    {"writeback", METER_WRITE},
    {"chattr", METER_IOCTL},
};

static const char ROUTE_WORD[] = "route";

struct texts {
    char **at;
    size_t count;
};

struct tracefilter {
    bool all;
    struct texts ops, paths;
    pid_t *pids;
    size_t pid_count;
    int64_t slow; /* nanoseconds */
};

/* ---- making ---- */

static void texts_finish(struct texts *texts)
{
    for (size_t i = 0; i < texts->count; i++)
        free(texts->at[i]);
    free(texts->at);
}

void tracefilter_destroy(struct tracefilter *filter)
{
    if (!filter)
        return;
    texts_finish(&filter->ops);
    texts_finish(&filter->paths);
    free(filter->pids);
    free(filter);
}

static int texts_add(struct texts *texts, const char *text)
{
    char **at = reallocarray(texts->at, texts->count + 1, sizeof(*at));
    if (!at)
        return -ENOMEM;
    texts->at = at;
    at[texts->count] = strdup(text);
    return at[texts->count] ? (texts->count++, 0) : -ENOMEM;
}

static bool is_known_op(const char *word)
{
    for (size_t i = 0; i < sizeof(FINER) / sizeof(FINER[0]); i++) {
        if (strcmp(FINER[i].word, word) == 0)
            return true;
    }
    return meter_op_of(word) >= 0 || event_kind_of(word) >= 0 || strcmp(word, ROUTE_WORD) == 0;
}

static int take_op(struct tracefilter *filter, const char *word, char why[256])
{
    if (is_known_op(word))
        return texts_add(&filter->ops, word);
    snprintf(
        why, 256,
        "op=%.60s: there is no such operation or event; there are lookup, getattr, open, read, "
        "write, create, unlink, rename, chmod, chown... and copyup, whiteout, opaque, "
        "redirect, route",
        word);
    return -EINVAL;
}

static int take_pid(struct tracefilter *filter, const char *word, char why[256])
{
    char *end;
    long pid = strtol(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || pid <= 0 || pid > INT32_MAX) {
        snprintf(why, 256, "pid=%.60s: that is no process id", word);
        return -EINVAL;
    }
    pid_t *pids = reallocarray(filter->pids, filter->pid_count + 1, sizeof(*pids));
    if (!pids)
        return -ENOMEM;
    filter->pids = pids;
    pids[filter->pid_count++] = (pid_t)pid;
    return 0;
}

int tracefilter_time(const char *text, int64_t *nanoseconds)
{
    static const struct {
        const char *unit;
        double factor;
    } UNITS[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}};
    char *end;
    double number = strtod(text, &end);
    if (strchr("0123456789", *text) == NULL || !*text ||
        strspn(text, "0123456789.") != (size_t)(end - text))
        return -EINVAL;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (strcmp(UNITS[i].unit, end) == 0 && number * UNITS[i].factor < 1e18) {
            *nanoseconds = (int64_t)(number * UNITS[i].factor);
            return 0;
        }
    }
    return -EINVAL;
}

static int take_slow(struct tracefilter *filter, const char *word, char why[256])
{
    int err = tracefilter_time(word, &filter->slow);
    if (err)
        snprintf(why, 256, "slow=%.60s: write a time with its unit: 500us, 10ms, 1.5s", word);
    return err;
}

static int take_path(struct tracefilter *filter, const char *word, char why[256])
{
    int err = pathglob_check(word);
    if (err)
        snprintf(why, 256,
                 "path=%.60s: write a path or a pattern without . and .. in it: path=/etc/**",
                 word);
    return err ? err : texts_add(&filter->paths, word);
}

static int take_value(struct tracefilter *filter, enum key key, const char *value, char why[256])
{
    static int (*const TAKE[KEYS])(struct tracefilter *, const char *, char[256]) = {
        [KEY_OP] = take_op, [KEY_PATH] = take_path, [KEY_PID] = take_pid, [KEY_SLOW] = take_slow};
    return TAKE[key](filter, value, why);
}

/* The key that a word begins with, its value behind it; KEYS: none. */
static enum key key_of(const char *word, const char **value)
{
    size_t length = strcspn(word, "=");
    for (int key = 0; word[length] == '=' && key < KEYS; key++) {
        if (strlen(KEY_WORDS[key]) == length && strncmp(KEY_WORDS[key], word, length) == 0)
            return *value = word + length + 1, (enum key)key;
    }
    return KEYS;
}

/* The comma that ends a value of this key; NULL: it is the last. */
static char *end_of(char *value, enum key key)
{
    const char *ignored;
    for (char *comma = strchr(value, ','); comma; comma = strchr(comma + 1, ',')) {
        if (key != KEY_PATH || key_of(comma + 1, &ignored) != KEYS)
            return comma;
    }
    return NULL;
}

static int take_word(struct tracefilter *filter, const char *word, char why[256])
{
    cleanup_free char *copy = strdup(word);
    enum key key = KEYS;
    int err = copy ? 0 : -ENOMEM;
    for (char *at = copy, *next; at && !err; at = next) {
        const char *value = at;
        enum key named = key_of(at, &value);
        key = named == KEYS && key == KEY_OP ? KEY_OP : named;
        if (key == KEYS) {
            snprintf(why, 256, "'%.80s' is no filter; write op=, path=, pid= or slow= and a value",
                     at);
            return -EINVAL;
        }
        next = end_of(at + (value - at), key);
        if (next)
            *next++ = 0;
        err = take_value(filter, key, value, why);
    }
    return err;
}

int tracefilter_parse(const char *const *words, size_t count, bool all, struct tracefilter **filter,
                      char why[256])
{
    int err = 0;
    *why = 0;
    *filter = NULL;
    cleanup_tracefilter struct tracefilter *made = calloc(1, sizeof(*made));
    if (!made)
        return -ENOMEM;
    made->all = all;
    for (size_t i = 0; i < count && !err; i++)
        err = take_word(made, words[i], why);
    if (!err)
        *filter = steal_ptr(&made);
    return err;
}

/* ---- judging ---- */

static bool has_text(const struct texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (strcmp(texts->at[i], text) == 0)
            return true;
    }
    return false;
}

/* The operation that a word means, or of which it is a part; or -EINVAL. */
static int op_of(const char *word)
{
    int op = meter_op_of(word);
    for (size_t i = 0; op < 0 && i < sizeof(FINER) / sizeof(FINER[0]); i++) {
        if (strcmp(FINER[i].word, word) == 0)
            op = FINER[i].op;
    }
    return op;
}

/* What a line is called besides its cause. */
static const char *kind_word(const struct trace_note *note)
{
    switch (note->kind) {
    case TRACE_REQUEST:
        return meter_op_word(note->op);
    case TRACE_ROUTE:
        return ROUTE_WORD;
    default:
        return event_kind_word(note->event.kind);
    }
}

static bool path_passes(const struct texts *globs, const struct trace_note *note)
{
    const bool is_dir = S_ISDIR(note->event.type);
    for (size_t i = 0; i < globs->count; i++) {
        if (pathglob_names(globs->at[i], note->event.path, is_dir))
            return true;
        if (note->kind == TRACE_REQUEST && note->to &&
            pathglob_names(globs->at[i], note->to, is_dir))
            return true;
    }
    return globs->count == 0;
}

static bool pid_passes(const struct tracefilter *filter, pid_t pid)
{
    for (size_t i = 0; i < filter->pid_count; i++) {
        if (filter->pids[i] == pid)
            return true;
    }
    return filter->pid_count == 0;
}

/* A copy-up for a chmod is one for a setattr too. */
static bool op_passes(const struct texts *ops, const struct trace_note *note)
{
    int op = op_of(note->event.cause);
    return ops->count == 0 || has_text(ops, note->event.cause) || has_text(ops, kind_word(note)) ||
           (op >= 0 && has_text(ops, meter_op_word((enum meter_op)op)));
}

bool tracefilter_passes(const struct tracefilter *filter, const struct trace_note *note)
{
    if (note->kind == TRACE_REQUEST && !filter->all)
        return false;
    return op_passes(&filter->ops, note) && note->event.duration >= filter->slow &&
           pid_passes(filter, note->event.pid) && path_passes(&filter->paths, note);
}

static uint64_t bit_of(const char *word)
{
    int op = op_of(word);
    return op < 0 ? 0 : trace_wants_request((enum meter_op)op);
}

uint64_t tracefilter_wants(const struct tracefilter *filter)
{
    uint64_t wants = TRACE_WANTS_EVENTS;
    if (!filter->all)
        return wants;
    for (size_t i = 0; i < filter->ops.count; i++)
        wants |= bit_of(filter->ops.at[i]);
    return filter->ops.count > 0 ? wants : ~UINT64_C(0);
}
