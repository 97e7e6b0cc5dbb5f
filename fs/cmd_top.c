/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs top`: all live mounts and what they are asked for, drawn anew every second.
 */
#include "command.h"

#include "arguments.h"
#include "gauge.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "report.h"
#include "terminal.h"
#include "traceline.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

struct wishes {
    const char *root;
    int sort;
};

enum sort { BY_REQUESTS, BY_LATENCY, BY_ERRORS, BY_COPYUPS, BY_MEMORY, BY_NAME, SORTS };
static const char *const SORT_WORDS[] = {"requests", "latency", "errors", "copyups",
                                         "memory",   "name",    NULL};

static const struct argument TABLE[] = {
    {.name = "sort",
     .letter = 's',
     .kind = ARGUMENT_CHOICE,
     .at = offsetof(struct wishes, sort),
     .value = "WHAT",
     .help = "what the mounts are ordered by at first",
     .choices = SORT_WORDS},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "top",
    .words = "",
    ARGUMENTS(TABLE),
    .about =
        "Shows all live mounts, refreshed every second: requests, latencies, copy-ups, memory,\n"
        "and the operations that are asked for. Keys: q quits; r, l, e, c, m and n order by\n"
        "requests, latency, errors, copy-ups, memory and name.\n",
    .example = "plyfs top --sort copyups",
};

struct top {
    const struct wishes *wishes;
    struct terminal terminal;
    struct gauge *before, *shown; /* as it was told last, and what came since */
    enum sort sort;
};

/* ---- order ---- */

/* What the greatest of comes first. */
static double weight(const struct gauge *gauge, enum sort sort)
{
    switch (sort) {
    case BY_LATENCY:
        return (double)meter_percentile(&gauge->sum, 0.99);
    case BY_ERRORS:
        return gauge_rate(gauge, gauge->sum.errors);
    case BY_COPYUPS:
        return gauge_rate(gauge, gauge->facts[GAUGE_COPYUPS]);
    case BY_MEMORY:
        return (double)gauge->facts[GAUGE_MEMORY];
    case BY_NAME:
        return 0;
    default:
        return gauge_rate(gauge, gauge->sum.count);
    }
}

/* They come by name, and those of one weight stay so. */
static void put_in_order(struct gauge **gauges, enum sort sort)
{
    struct gauge *sorted = NULL;
    while (*gauges) {
        struct gauge *gauge = *gauges, **at = &sorted;
        *gauges = gauge->next;
        while (*at && weight(*at, sort) >= weight(gauge, sort))
            at = &(*at)->next;
        gauge->next = *at;
        *at = gauge;
    }
    *gauges = sorted;
}

/* ---- drawing ---- */

/* A number in six columns at most: "0", "1.5", "1234", "12.3k". */
static const char *short_number(char text[16], double number)
{
    if (number >= 99999.5)
        snprintf(text, 16, number >= 999949.5 ? "%.1fM" : "%.0fk",
                 number >= 999949.5 ? number / 1e6 : number / 1e3);
    else
        snprintf(text, 16, number < 9.95 && number != (int)number ? "%.1f" : "%.0f", number);
    return text;
}

static const char *time_or_none(char text[16], const struct meter_reading *reading, double share)
{
    return reading->count > 0 ? traceline_took(text, meter_percentile(reading, share)) : "-";
}

static void draw_title(struct picture *picture, const struct top *top)
{
    char requests[16], copyups[16];
    double rate = 0, copies = 0;
    unsigned count = 0;
    for (const struct gauge *at = top->shown; at; at = at->next, count++) {
        rate += gauge_rate(at, at->sum.count);
        copies += gauge_rate(at, at->facts[GAUGE_COPYUPS]);
    }
    picture_row(picture, false, "plyfs top: %u mount%s, %s requests/s, %s copy-ups/s; by %s", count,
                count == 1 ? "" : "s", short_number(requests, rate), short_number(copyups, copies),
                SORT_WORDS[top->sort]);
    picture_row(picture, false,
                "q quit; order by r requests, l latency, e errors, c copy-ups, m memory, n name");
    picture_row(picture, false, "%s", "");
}

static void draw_mount(struct picture *picture, const struct gauge *gauge)
{
    char requests[16], errors[16], half[16], most[16], copyups[16], moved[16], nodes[16],
        memory[16];
    const struct meter_reading *sum = &gauge->sum;
    picture_row(picture, false, "%-16.16s %7s %6s %6s %6s %6s %7s %6s %7s %3" PRIu64, gauge->name,
                short_number(requests, gauge_rate(gauge, sum->count)),
                short_number(errors, gauge_rate(gauge, sum->errors)), time_or_none(half, sum, 0.5),
                time_or_none(most, sum, 0.99),
                short_number(copyups, gauge_rate(gauge, gauge->facts[GAUGE_COPYUPS])),
                report_size(moved, (uint64_t)gauge_rate(gauge, gauge->facts[GAUGE_MOVED])),
                short_number(nodes, (double)gauge->facts[GAUGE_NODES]),
                report_size(memory, gauge->facts[GAUGE_MEMORY]), gauge->facts[GAUGE_READERS]);
}

/* What is left of the screen is shared: the operations get half of it where both want more. */
static void draw_mounts(struct picture *picture, const struct top *top)
{
    const unsigned rows = top->terminal.rows;
    unsigned room = rows > 8 ? (rows - 6) / 2 : 1;
    picture_row(picture, true, "%-16s %7s %6s %6s %6s %6s %7s %6s %7s %3s", "MOUNT", "REQ/S",
                "ERR/S", "P50", "P99", "COPY/S", "MOVED/S", "NODES", "MEMORY", "RD");
    const struct gauge *at = top->shown;
    for (; at && room > 0; at = at->next, room--)
        draw_mount(picture, at);
    unsigned more = 0;
    for (; at; at = at->next)
        more++;
    if (more > 0)
        picture_row(picture, false, "and %u more", more);
    if (!top->shown)
        picture_row(picture, false, "nothing is mounted");
    picture_row(picture, false, "%s", "");
}

/* Operations of all mounts together. Rates are added: mounts may be of different ages. */
struct operation {
    enum meter_op op;
    double rate, errors;
    struct meter_reading reading;
};

static int by_rate(const void *left, const void *right)
{
    const struct operation *one = left, *other = right;
    if (one->rate == other->rate)
        return (int)one->op - (int)other->op;
    return one->rate > other->rate ? -1 : 1;
}

static void draw_operations(struct picture *picture, const struct top *top)
{
    cleanup_free struct operation *operations = calloc(METER_OPS, sizeof(*operations));
    if (!operations)
        return;
    for (int op = 0; op < METER_OPS; op++) {
        operations[op].op = (enum meter_op)op;
        for (const struct gauge *at = top->shown; at; at = at->next) {
            operations[op].rate += gauge_rate(at, at->operations[op].count);
            operations[op].errors += gauge_rate(at, at->operations[op].errors);
            meter_sum(&operations[op].reading, &at->operations[op]);
        }
    }
    qsort(operations, METER_OPS, sizeof(*operations), by_rate);
    picture_row(picture, true, "%-16s %7s %6s %6s %6s", "OPERATION", "REQ/S", "ERR/S", "P50",
                "P99");
    for (int i = 0; i < METER_OPS && operations[i].reading.count > 0; i++) {
        char rate[16], errors[16], half[16], most[16];
        picture_row(picture, false, "%-16s %7s %6s %6s %6s", meter_op_word(operations[i].op),
                    short_number(rate, operations[i].rate),
                    short_number(errors, operations[i].errors),
                    time_or_none(half, &operations[i].reading, 0.5),
                    time_or_none(most, &operations[i].reading, 0.99));
    }
}

static int draw(struct top *top)
{
    struct picture picture;
    put_in_order(&top->shown, top->sort);
    int err = picture_begin(&picture, &top->terminal);
    if (err)
        return err;
    draw_title(&picture, top);
    draw_mounts(&picture, top);
    draw_operations(&picture, top);
    picture_show(&picture);
    return 0;
}

/* ---- every second ---- */

/* What came since the last time; at first, since each mount was mounted. */
static int refresh(struct top *top)
{
    cleanup_store struct store *store = NULL;
    cleanup_gauges struct gauge *now = NULL, *since = NULL;
    int err = named_open_store(top->wishes->root, true, &store);
    if (!err)
        err = gauges_take(store, true, &now);
    if (!err)
        err = gauges_since(now, top->before, &since);
    if (err)
        return err;
    gauges_free(top->before);
    gauges_free(top->shown);
    top->before = steal_ptr(&now);
    top->shown = steal_ptr(&since);
    return draw(top);
}

enum { GOES_ON = 1 };

static int take_keys(struct top *top)
{
    static const char KEYS[SORTS] = {'r', 'l', 'e', 'c', 'm', 'n'};
    char keys[64];
    ssize_t got = read(STDIN_FILENO, keys, sizeof(keys));
    for (ssize_t i = 0; i < got; i++) {
        const char *key = memchr(KEYS, keys[i], sizeof(KEYS));
        if (keys[i] == 'q')
            return 0;
        if (key)
            top->sort = (enum sort)(key - KEYS);
    }
    int err = draw(top);
    return err ? err : GOES_ON;
}

/* Stopped, and later told to go on: the screen is the shell's meanwhile. */
static int sleep_in_background(struct top *top)
{
    terminal_leave(&top->terminal);
    raise(SIGSTOP);
    int err = terminal_enter(&top->terminal);
    if (!err)
        err = draw(top);
    return err ? err : GOES_ON;
}

static int take_signal(struct top *top, int signals)
{
    struct signalfd_siginfo info;
    if (read(signals, &info, sizeof(info)) != sizeof(info))
        return GOES_ON;
    if (info.ssi_signo == SIGTSTP)
        return sleep_in_background(top);
    if (info.ssi_signo != SIGWINCH)
        return 0;
    terminal_measure(&top->terminal);
    int err = draw(top);
    return err ? err : GOES_ON;
}

/* Until the next second has begun, or something else ends it: 0, GOES_ON or -errno. */
static int wait_for_next(struct top *top, int signals)
{
    int64_t until = moment_steady() + MOMENT_SECOND, left;
    int go_on = GOES_ON;
    while (go_on == GOES_ON && (left = until - moment_steady()) > 0) {
        struct pollfd fds[] = {
            {.fd = signals, .events = POLLIN},
            {.fd = top->terminal.has_keys ? STDIN_FILENO : -1, .events = POLLIN},
        };
        if (poll(fds, 2, (int)(left / 1000000) + 1) <= 0)
            continue;
        if (fds[0].revents)
            go_on = take_signal(top, signals);
        else if (fds[1].revents & (POLLHUP | POLLERR))
            go_on = 0;
        else
            go_on = take_keys(top);
    }
    return go_on;
}

static int show(struct top *top)
{
    static const int SIGNALS[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(SIGNALS) / sizeof(SIGNALS[0]); i++)
        sigaddset(&set, SIGNALS[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    cleanup_fd int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return -errno;
    int err = terminal_enter(&top->terminal);
    if (err)
        return err;
    int go_on = GOES_ON;
    while (go_on == GOES_ON) {
        err = refresh(top);
        go_on = err ? err : wait_for_next(top, signals);
    }
    terminal_leave(&top->terminal);
    return go_on;
}

static int check_store(const struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    return named_open_store(wishes->root, true, &store);
}

static int top(const struct wishes *wishes)
{
    struct top top = {.wishes = wishes, .sort = (enum sort)wishes->sort};
    if (!isatty(STDOUT_FILENO)) {
        log_error("top draws on a terminal, and stdout is none; plyfs stats --watch writes to "
                  "anything");
        return -ENOTTY;
    }
    /* What is wrong with the store is told where it can be read. */
    int err = check_store(wishes);
    if (err)
        return err;
    err = show(&top);
    if (err)
        log_error("top cannot go on: %s", strerror(-err));
    gauges_free(top.before);
    gauges_free(top.shown);
    return err;
}

static int run_top(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = top(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_top = {
    .name = "top",
    .summary = "show live mounts and what they are asked for, every second",
    .run = run_top,
};
