/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs explain`: why a path shows what it shows, layer by layer.
 */
#include "command.h"

#include "account.h"
#include "arguments.h"
#include "borrowed.h"
#include "cell.h"
#include "eventword.h"
#include "log.h"
#include "moment.h"
#include "mountof.h"
#include "named.h"
#include "report.h"
#include "verdict.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static const struct column COLUMNS[] = {
    {"Layer", "LAYER", COLUMN_TEXT}, {"State", "STATE", COLUMN_TEXT}, {"Mode", "MODE", COLUMN_TEXT},
    {"Size", "SIZE", COLUMN_SIZE},   {"Path", "PATH", COLUMN_TEXT},   {"Note", "NOTE", COLUMN_TEXT},
};

struct wishes {
    const char *root, *upper, *work;
    bool json, userxattr, files;
    const char *format;
    struct words lowers, words;
};

static const struct argument TABLE[] = {
    ARGUMENT_ROOT(struct wishes, root),
    {.name = "lower",
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, lowers),
     .value = "DIR",
     .help = "a layer, the topmost first: directories instead of a mount"},
    {.name = "upper",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, upper),
     .value = "DIR",
     .help = "the upper over them"},
    {.name = "work",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, work),
     .value = "DIR",
     .help = "its work directory, for the index of hard links"},
    {.name = "userxattr",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, userxattr),
     .help = "the upper is marked in user.overlay.*"},
    {.name = "white-files",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, files),
     .help = "the upper's whiteouts are .wh. files"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    {.name = "format",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, format),
     .value = "FORM",
     .help = "table, json, or '{{.Verdict.State}} {{.Verdict.Why}}'"},
};

static const struct syntax SYNTAX = {
    .command = "explain",
    .words = "[MOUNT] PATH",
    .least = 1,
    .most = 2,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells layer by layer why a path shows what it shows: who wins, what is merged, and what\n"
        "hides the rest. Of a named mount, mounted or not, or with --lower and --upper of bare\n"
        "directories. Without MOUNT the path lies in one that is mounted, and may have no name.\n"
        "A symlink at the end of the path is not followed.\n",
    .example = "plyfs explain web /etc/passwd",
};

/* ---- the event that put it into the upper ---- */

/* What the upper has at the path: a copy that wins, or a whiteout; else no event is asked for. */
static const struct explain_layer *in_upper(const struct inquiry *inquiry)
{
    if (!inquiry->stack->writable || inquiry->err)
        return NULL;
    const struct explain_layer *top = &inquiry->explain.at[0];
    const bool copy = top->state == EXPLAIN_WINS && inquiry->copied != COPIED_NOT_HERE;
    return copy || top->state == EXPLAIN_WHITEOUT ? top : NULL;
}

/* The one that holds so far; NULLs where none does. */
struct memory {
    bool whiteout; /* a whiteout is looked for, else a copy-up */
    json_t *event;
    char *words; /* of the same */
};

static void forget(struct memory *memory)
{
    json_decref(memory->event);
    free(memory->words);
    memory->event = NULL;
    memory->words = NULL;
}

/* "copied up 3 minutes ago by dpkg[12] (chmod): 1.2kB moved, reflink". */
static char *words_of(const struct event *event)
{
    char *words = NULL, ago[36], caller[40], size[16];
    report_ago(ago, event->time, moment_now());
    eventword_caller(caller, event);
    int length =
        event->kind == EVENT_WHITEOUT
            ? asprintf(&words, "removed %s by %s (%s)", ago, caller, event->cause)
            : asprintf(&words, "copied up %s by %s (%s): %s moved, %s", ago, caller, event->cause,
                       report_size(size, event->moved), event_means_word(event->means));
    return length < 0 ? NULL : words;
}

/* What was removed and made anew was not copied up: an event of the other kind ends what was. */
static int remember(void *context, const struct event *event)
{
    struct memory *memory = context;
    if (event->kind != EVENT_COPYUP && event->kind != EVENT_WHITEOUT)
        return 0;
    forget(memory);
    if ((event->kind == EVENT_WHITEOUT) != memory->whiteout)
        return 0;
    memory->event = eventword_json(event);
    memory->words = words_of(event);
    return memory->event && memory->words ? 0 : -ENOMEM;
}

static int find_event(const struct inquiry *inquiry, struct store *store,
                      const struct mount_row *row, struct memory *memory)
{
    cleanup_free char *path = NULL;
    const struct explain_layer *top = in_upper(inquiry);
    memory->whiteout = top && top->state == EXPLAIN_WHITEOUT;
    if (!top)
        return 0;
    if (asprintf(&path, "/%s", inquiry->path) < 0)
        return path = NULL, -ENOMEM;
    const struct event_wish wish = {.path = path};
    return account_each(store, row, &wish, remember, memory);
}

/* ---- telling ---- */

static void print_text(const char *before, const char *text)
{
    fputs(before, stdout);
    cell_write(stdout, text);
}

/* The layers, and above them the volume that covers them. */
static json_t *rows_of(const struct inquiry *inquiry, const json_t *object)
{
    json_t *rows = json_copy(json_object_get(object, "Layers"));
    json_t *volume = json_object_get(object, "Volume");
    if (!inquiry_volume(inquiry))
        return rows;
    json_t *row =
        json_pack("{s:s, s:s, s:O, s:O, s:o, s:O}", "Layer", "volume", "State", "covers", "Mode",
                  json_object_get(volume, "Mode"), "Size", json_object_get(volume, "Size"), "Path",
                  report_text(inquiry->said), "Note", json_object_get(volume, "Destination"));
    if (json_array_insert_new(rows, 0, row) == 0)
        return rows;
    json_decref(rows);
    return NULL;
}

static int print_table(const struct inquiry *inquiry, const json_t *object)
{
    const struct report report = {REPORT_COLUMNS(COLUMNS)};
    json_t *rows = rows_of(inquiry, object);
    int err = rows ? report_print(&report, rows) : -ENOMEM;
    json_decref(rows);
    return err;
}

static const char *state_words(const struct inquiry *inquiry)
{
    const char *state = verdict_state(inquiry);
    return strcmp(state, "error") == 0    ? "cannot be looked up"
           : strcmp(state, "absent") == 0 ? "is absent"
                                          : "is visible";
}

/* What was followed, then the sentence, then what put it there. */
static void print_verdict(const struct inquiry *inquiry, const struct memory *memory)
{
    cleanup_free char *why = verdict_why(inquiry);
    for (unsigned i = 0; i < inquiry->link_count; i++) {
        print_text("\nfollowed: ", inquiry->links[i].path);
        print_text(" -> ", inquiry->links[i].target);
    }
    print_text("\n", inquiry->said);
    printf(" %s: ", inquiry_volume(inquiry) ? "is shown by a volume" : state_words(inquiry));
    print_text("", why ? why : strerror(ENOMEM));
    if (memory->words)
        print_text("\n", memory->words);
    putchar('\n');
}

static int tell(const struct wishes *wishes, const struct inquiry *inquiry,
                const struct memory *memory)
{
    const char *format = wishes->format ? wishes->format : "table";
    json_t *object = verdict_json(inquiry);
    int err = json_object_set_new(object, "Event",
                                  memory->event ? json_incref(memory->event) : json_null());
    if (err) {
        json_decref(object);
        return -ENOMEM;
    }
    if (strcmp(format, "table") == 0) {
        err = print_table(inquiry, object);
        print_verdict(inquiry, memory);
    } else {
        json_t *list = json_pack("[O]", object);
        err = list ? report_print_value(format, list) : -ENOMEM;
        json_decref(list);
    }
    json_decref(object);
    return err || fflush(stdout) == 0 ? err : -EIO;
}

static int refuse(const char *path, int err)
{
    log_error("cannot explain %s: %s", path,
              err == -EAGAIN ? "it changes faster than it can be looked at; try again"
                             : strerror(-err));
    return err;
}

/* ---- a mount ---- */

static int explain_in_view(const struct wishes *wishes, struct store *store,
                           const struct mount_row *row, const struct stack *stack, const char *path)
{
    cleanup_inquiry struct inquiry inquiry = {0};
    cleanup(forget) struct memory memory = {0};
    int err = inquiry_make(stack, path, &inquiry);
    if (!err)
        err = inquiry_add_volumes(&inquiry, store, row);
    if (!err)
        err = find_event(&inquiry, store, row, &memory);
    return err ? refuse(path, err) : tell(wishes, &inquiry, &memory);
}

static int explain_in(const struct wishes *wishes, struct store *store, const struct mount_row *row,
                      const char *path)
{
    struct named_view view;
    int err = named_view_flushed(store, row, &view);
    if (err)
        return err;
    err = explain_in_view(wishes, store, row, &view.stack, path);
    named_view_close(&view);
    return err;
}

/* The mount that the only word lies in. */
static int find_around(struct store *store, const char *path, struct mount_row *row, char **inside)
{
    int err = mountof_find(store, path, row, inside);
    if (err == -ENOENT)
        log_error("%s lies in no mount of the store %s; say MOUNT PATH, or --lower and --upper",
                  path, store->path);
    else if (err)
        log_error("cannot look for the mount of %s: %s", path, strerror(-err));
    return err;
}

/* Where there is no store, a path alone is in no mount of one. */
static int open_store(const struct wishes *wishes, bool alone, struct store **store)
{
    cleanup_free char *path = alone ? store_default_path(wishes->root) : NULL;
    if (!path)
        return named_open_store(wishes->root, false, store);
    int err = store_open(path, false, store);
    if (err == -ENOENT)
        log_error("%s lies in no mount; say MOUNT PATH, or --lower and --upper",
                  wishes->words.at[0]);
    return err;
}

static int explain_named(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    cleanup_free char *inside = NULL;
    const bool alone = wishes->words.count == 1;
    int err = open_store(wishes, alone, &store);
    if (err)
        return err;
    err = alone ? find_around(store, wishes->words.at[0], &row, &inside)
                : named_find(store, wishes->words.at[0], false, &row);
    return err ? err : explain_in(wishes, store, &row, alone ? inside : wishes->words.at[1]);
}

/* A path in a mount that no store keeps, or with MOUNT a path in it. -ENOTCONN: there is none. */
static int explain_borrowed(const struct wishes *wishes)
{
    const bool alone = wishes->words.count == 1;
    cleanup_borrowed struct borrowed borrowed = {0};
    cleanup_inquiry struct inquiry inquiry = {0};
    int err = borrowed_open(wishes->words.at[0], &borrowed);
    if (err)
        return err;
    const char *path = alone ? borrowed.inside : wishes->words.at[1];
    err = inquiry_make(&borrowed.stack, path, &inquiry);
    if (!err)
        err = borrowed_add_volumes(&borrowed, &inquiry);
    return err ? refuse(path, err) : tell(wishes, &inquiry, &(struct memory){0});
}

static int explain_mount(const struct wishes *wishes)
{
    const bool is_path = wishes->words.count == 1 || strchr(wishes->words.at[0], '/');
    int err = is_path ? explain_borrowed(wishes) : -ENOTCONN;
    return err == -ENOTCONN ? explain_named(wishes) : err;
}

/* ---- directories ---- */

/* Nothing is tried out in an upper that is only looked at: how it is marked is what a mount by the
 * same user would find, or what the options say. */
static int open_books(const struct wishes *wishes, struct stack *stack)
{
    stack->able.space = wishes->userxattr || geteuid() != 0 ? OVLSPACE_USER : OVLSPACE_TRUSTED;
    stack->able.whiteform = wishes->files ? WHITEFORM_FILE : WHITEFORM_DEVICE;
    stack->able.handles = geteuid() == 0;
    if (!wishes->work)
        return 0;
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/index", wishes->work) < 0)
        return path = NULL, -ENOMEM;
    stack->index = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stack->index < 0 && errno != ENOENT ? -errno : 0;
}

static int open_directories(const struct wishes *wishes, struct fdcache *fds, struct stack *stack)
{
    const unsigned above = wishes->upper ? 1 : 0, count = wishes->lowers.count + above;
    unsigned culprit = 0;
    cleanup_free const char **paths = calloc(count, sizeof(*paths));
    if (!paths)
        return -ENOMEM;
    paths[0] = wishes->upper;
    for (unsigned i = 0; i < wishes->lowers.count; i++)
        paths[i + above] = wishes->lowers.at[i];
    int err = stack_open(stack, paths, count, above, fds, &culprit);
    if (err)
        log_error("cannot open the layer %s: %s", paths[culprit], strerror(-err));
    else if ((err = open_books(wishes, stack)) != 0)
        log_error("cannot look into the work directory %s: %s", wishes->work, strerror(-err));
    return err;
}

static int explain_directories(const struct wishes *wishes)
{
    const char *path = wishes->words.at[0];
    struct stack stack = {.stage = -1, .index = -1};
    if (wishes->words.count > 1) {
        log_error("explain: with --lower or --upper there is no MOUNT, and one PATH");
        return -EINVAL;
    }
    struct fdcache *fds = fdcache_create(256);
    cleanup_inquiry struct inquiry inquiry = {0};
    int err = fds ? open_directories(wishes, fds, &stack) : -ENOMEM;
    if (!err) {
        err = inquiry_make(&stack, path, &inquiry);
        err = err ? refuse(path, err) : tell(wishes, &inquiry, &(struct memory){0});
    }
    if (stack.layers)
        stack_close(&stack);
    fdcache_destroy(fds);
    return err;
}

static int run_explain(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (wishes.json)
        wishes.format = "json";
    if (!err)
        err = wishes.lowers.count > 0 || wishes.upper ? explain_directories(&wishes)
                                                      : explain_mount(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0 ? 1 : 0;
}

const struct command command_explain = {
    .name = "explain",
    .summary = "tell layer by layer why a path shows what it shows",
    .run = run_explain,
};
