/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs stats`: a line for each live mount, or of one a line in all or for each operation,
 * once or every second.
 */
#include "command.h"

#include "arguments.h"
#include "control.h"
#include "gauge.h"
#include "log.h"
#include "moment.h"
#include "named.h"
#include "reach.h"
#include "report.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

static const struct column MOUNTS[] = {
    {"Name", "NAME", COLUMN_TEXT},
    {"Rate", "PER SECOND", COLUMN_COUNT},
    {"Requests", "REQUESTS", COLUMN_COUNT},
    {"Errors", "ERRORS", COLUMN_COUNT},
    {"Half", "P50", COLUMN_TEXT},
    {"Most", "P99", COLUMN_TEXT},
    {"CopyUps", "COPY-UPS", COLUMN_COUNT},
    {"Moved", "MOVED", COLUMN_SIZE},
    {"Nodes", "NODES", COLUMN_COUNT},
    {"Fds", "FDS", COLUMN_COUNT},
    {"Threads", "THREADS", COLUMN_COUNT},
    {"Memory", "MEMORY", COLUMN_SIZE},
    {"Readers", "READERS", COLUMN_COUNT},
    {"Mountpoint", NULL, COLUMN_TEXT},
    {"ErrorRate", NULL, COLUMN_COUNT},
    {"P50", NULL, COLUMN_COUNT},
    {"P99", NULL, COLUMN_COUNT},
    {"GivenAhead", NULL, COLUMN_COUNT},
    {"ListedAhead", NULL, COLUMN_COUNT},
    {"NameBytes", NULL, COLUMN_SIZE},
    {"CachedFds", NULL, COLUMN_COUNT},
    {"MergeBytes", NULL, COLUMN_SIZE},
    {"ListingBytes", NULL, COLUMN_SIZE},
    {"Seconds", NULL, COLUMN_COUNT},
    {"Time", NULL, COLUMN_TEXT},
};

static const struct column OPERATIONS[] = {
    {"Operation", "OPERATION", COLUMN_WORD},
    {"Rate", "PER SECOND", COLUMN_COUNT},
    {"Requests", "REQUESTS", COLUMN_COUNT},
    {"Errors", "ERRORS", COLUMN_COUNT},
    {"Half", "P50", COLUMN_TEXT},
    {"Most", "P99", COLUMN_TEXT},
    {"Average", "MEAN", COLUMN_TEXT},
    {"Spent", "TIME", COLUMN_TEXT},
    {"ErrorRate", NULL, COLUMN_COUNT},
    {"P50", NULL, COLUMN_COUNT},
    {"P99", NULL, COLUMN_COUNT},
    {"Mean", NULL, COLUMN_COUNT},
    {"Total", NULL, COLUMN_COUNT},
    {"Time", NULL, COLUMN_TEXT},
};

struct wishes {
    const char *root;
    bool watch, total, json;
    struct report report;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "watch",
     .letter = 'w',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, watch),
     .help = "again every second, what happened in that second, until an interrupt"},
    {.name = "total",
     .letter = 't',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, total),
     .help = "of one mount a line in all, as in the list of all mounts"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "stats",
    .words = "[MOUNT|PATH]",
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells how live mounts fare: requests and how long they took, copy-ups, caches and\n"
        "memory; of one mount each operation. One without a name is said by a path in it, which\n"
        "has a slash.\n",
    .example = "plyfs stats --watch web",
};

static const char *the_mount(const struct wishes *wishes)
{
    return wishes->words.count > 0 ? wishes->words.at[0] : NULL;
}

/* Whether there is to be a line for each operation of one mount. */
static bool by_operation(const struct wishes *wishes)
{
    return the_mount(wishes) && !wishes->total;
}

/* ---- asking ---- */

static int take_the_mount(const struct wishes *wishes, struct gauge **gauge)
{
    json_t *answer = NULL;
    cleanup_free char *name = NULL;
    cleanup_fd int fd = reach(wishes->root, the_mount(wishes), &name);
    if (fd < 0)
        return fd;
    int err = gauge_take(fd, name, gauge, &answer);
    if (err)
        log_error("the daemon of %s does not tell how it fares: %s", name,
                  control_why(answer, err));
    json_decref(answer);
    return err;
}

static int take(const struct wishes *wishes, struct gauge **gauges)
{
    cleanup_store struct store *store = NULL;
    *gauges = NULL;
    if (the_mount(wishes))
        return take_the_mount(wishes, gauges);
    int err = named_open_store(wishes->root, true, &store);
    return err ? err : gauges_take(store, wishes->watch, gauges);
}

/* ---- telling ---- */

static json_t *rows_of(const struct wishes *wishes, const struct gauge *gauges)
{
    json_t *rows = json_array();
    if (!by_operation(wishes)) {
        for (; gauges; gauges = gauges->next)
            json_array_append_new(rows, gauge_json(gauges));
        return rows;
    }
    for (int op = 0; op < METER_OPS; op++) {
        const struct meter_reading *reading = &gauges->operations[op];
        if (reading->count > 0)
            json_array_append_new(
                rows, gauge_operation_json(gauges, meter_op_word((enum meter_op)op), reading));
    }
    return rows;
}

/* What has no operation, for people. */
static void print_facts(const struct gauge *gauge)
{
    char moved[16], names[16], merges[16], listings[16], memory[16];
    const uint64_t *facts = gauge->facts;
    printf("\ncopy-ups  %" PRIu64 ", %s moved\n", facts[GAUGE_COPYUPS],
           report_size(moved, facts[GAUGE_MOVED]));
    printf("ahead     %" PRIu64 " small files came without a request to read them, %" PRIu64
           " directories were read before they were listed\n",
           facts[GAUGE_GIVEN_AHEAD], facts[GAUGE_LISTED_AHEAD]);
    printf("nodes     %" PRIu64 ", names %s\n", facts[GAUGE_NODES],
           report_size(names, facts[GAUGE_NAME_BYTES]));
    printf("caches    %" PRIu64 " open files, merges %s, listings %s\n", facts[GAUGE_CACHED_FDS],
           report_size(merges, facts[GAUGE_MERGE_BYTES]),
           report_size(listings, facts[GAUGE_LISTING_BYTES]));
    printf("daemon    %s, %" PRIu64 " threads, %" PRIu64 " descriptors, %" PRIu64
           " readers of its trace\n",
           report_size(memory, facts[GAUGE_MEMORY]), facts[GAUGE_THREADS], facts[GAUGE_FDS],
           facts[GAUGE_READERS]);
}

static int tell(const struct wishes *wishes, const struct gauge *gauges)
{
    json_t *rows = rows_of(wishes, gauges);
    int err = rows ? report_print(&wishes->report, rows) : -ENOMEM;
    if (!err && by_operation(wishes) && !wishes->report.format && !wishes->report.quiet) {
        print_facts(gauges);
        fflush(stdout);
    }
    json_decref(rows);
    return err;
}

/* Whether a second has gone by, and not the interrupt come, nor who reads gone. */
static bool wait_a_second(int signals)
{
    struct pollfd fds[] = {{.fd = signals, .events = POLLIN}, {.fd = STDOUT_FILENO}};
    int64_t until = moment_steady() + MOMENT_SECOND, left;
    while ((left = until - moment_steady()) > 0) {
        int ready = poll(fds, 2, (int)(left / 1000000) + 1);
        if (ready > 0 && (fds[0].revents || (fds[1].revents & POLLERR)))
            return false;
    }
    return true;
}

/* A terminal is written over, anything else goes on. */
static int watch(const struct wishes *wishes, int signals)
{
    cleanup_gauges struct gauge *before = NULL;
    const bool terminal = isatty(STDOUT_FILENO);
    int err = take(wishes, &before);
    while (!err && wait_a_second(signals)) {
        cleanup_gauges struct gauge *now = NULL, *since = NULL;
        err = take(wishes, &now);
        if (!err)
            err = gauges_since(now, before, &since);
        if (!err) {
            fputs(terminal ? "\033[H\033[2J" : "", stdout);
            err = tell(wishes, since);
        }
        gauges_free(before);
        before = steal_ptr(&now);
    }
    return err;
}

static int watch_until_signal(const struct wishes *wishes)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    cleanup_fd int signals = signalfd(-1, &set, SFD_CLOEXEC);
    return signals < 0 ? -errno : watch(wishes, signals);
}

static int stats(struct wishes *wishes)
{
    cleanup_gauges struct gauge *gauges = NULL;
    if (wishes->json)
        wishes->report.format = "json";
    if (by_operation(wishes)) {
        wishes->report.columns = OPERATIONS;
        wishes->report.count = sizeof(OPERATIONS) / sizeof(OPERATIONS[0]);
    }
    int err = report_check(&wishes->report);
    if (!err && wishes->watch)
        return watch_until_signal(wishes);
    if (!err)
        err = take(wishes, &gauges);
    return err ? err : tell(wishes, gauges);
}

static int run_stats(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(MOUNTS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = stats(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_stats = {
    .name = "stats",
    .summary = "tell how live mounts fare: requests, latencies, caches",
    .run = run_stats,
};
