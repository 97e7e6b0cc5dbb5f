/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs trace`: lines from the daemon of a mount, as they come, until a signal, the
 * unmount, or the end of whoever reads them.
 */
#include "command.h"

#include "arguments.h"
#include "control.h"
#include "log.h"
#include "reach.h"
#include "tracefilter.h"
#include "traceline.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/signalfd.h>

struct wishes {
    const char *root;
    bool all, json;
    struct words filters, words;
};

static const struct argument TABLE[] = {
    {.name = "filter",
     .letter = 'f',
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, filters),
     .value = "KEY=VALUE",
     .help = "only op=WORD[,WORD]..., path=GLOB, pid=N, slow=TIME (10ms)"},
    {.name = "all",
     .letter = 'a',
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, all),
     .help = "every request too, with how long it took and how it ended"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "an object in each line"},
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "trace",
    .words = "MOUNT|PATH",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about =
        "Tells what a mount does while it does it, a line for each copy-up, whiteout,\n"
        "opaque directory, redirect and way into a volume, and with --all for each request.\n"
        "It ends with an interrupt, or when the mount is unmounted. A mount without a name is\n"
        "said by a path in it, which has a slash.\n",
    .example = "plyfs trace --all --filter op=write,chmod,path=/etc/** web",
};

/* ---- asking ---- */

static json_t *request_of(const struct wishes *wishes)
{
    json_t *filters = json_array();
    for (unsigned i = 0; i < wishes->filters.count; i++)
        json_array_append_new(filters, json_string(wishes->filters.at[i]));
    return json_pack("{s:s, s:b, s:o}", "do", "trace", "all", wishes->all, "filters", filters);
}

static int check_filters(const struct wishes *wishes)
{
    char why[256];
    cleanup_tracefilter struct tracefilter *filter = NULL;
    int err =
        tracefilter_parse(wishes->filters.at, wishes->filters.count, wishes->all, &filter, why);
    if (err)
        log_error("trace: --filter: %s", *why ? why : strerror(-err));
    return err;
}

static int begin(const struct wishes *wishes, struct control_stream **stream)
{
    enum { PATIENCE = 10 };
    json_t *answer = NULL;
    cleanup_free char *name = NULL;
    int err = check_filters(wishes);
    if (err)
        return err;
    int fd = reach(wishes->root, wishes->words.at[0], &name);
    if (fd < 0)
        return fd;
    err = control_follow(fd, request_of(wishes), PATIENCE, stream, &answer);
    if (err)
        log_error("cannot trace %s: %s", name, control_why(answer, err));
    json_decref(answer);
    return err;
}

/* ---- telling ---- */

static void print(const struct wishes *wishes, const json_t *line)
{
    if (!wishes->json) {
        traceline_print(stdout, line);
        return;
    }
    json_dumpf(line, stdout, JSON_COMPACT);
    putchar('\n');
}

static bool is_last(const json_t *line)
{
    const char *event = json_string_value(json_object_get(line, "Event"));
    return event && strcmp(event, "unmounted") == 0;
}

enum { GOES_ON, ENDED };

/* Who reads may go: that is an end like any other, and of what was not read nothing is told. Any
 * other failure is told in the end. */
static int end_of_reading(void)
{
    if (errno == EPIPE) {
        __fpurge(stdout);
        clearerr(stdout);
    }
    return ENDED;
}

/* Prints what has come. */
static int print_lines(const struct wishes *wishes, struct control_stream *stream)
{
    json_t *line;
    bool last = false;
    int got;
    while (!last && (got = control_stream_next(stream, &line)) > 0) {
        print(wishes, line);
        last = is_last(line);
        json_decref(line);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return end_of_reading();
    if (!last && got < 0)
        log_error("the daemon of %s has gone without a word", wishes->words.at[0]);
    return last ? ENDED : got;
}

/* Who reads may go, and an interrupt may come, without anything being told. */
static int follow(const struct wishes *wishes, struct control_stream *stream, int signals)
{
    struct pollfd fds[] = {
        {.fd = control_stream_fd(stream), .events = POLLIN},
        {.fd = signals, .events = POLLIN},
        {.fd = STDOUT_FILENO},
    };
    if (!wishes->json)
        traceline_print_titles(stdout);
    /* What came with the answer is here, and nothing need follow it. */
    int err = print_lines(wishes, stream);
    while (err == GOES_ON) {
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[1].revents || (fds[2].revents & POLLERR))
            return 0;
        if (fds[0].revents)
            err = print_lines(wishes, stream);
    }
    return err < 0 ? err : 0;
}

static int trace(const struct wishes *wishes)
{
    sigset_t set;
    struct control_stream *stream = NULL;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    cleanup_fd int signals = signalfd(-1, &set, SFD_CLOEXEC);
    int err = signals < 0 ? -errno : begin(wishes, &stream);
    if (!err)
        err = follow(wishes, stream, signals);
    control_stream_close(stream);
    return err;
}

static int run_trace(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = trace(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_trace = {
    .name = "trace",
    .summary = "tell what a mount does while it does it",
    .run = run_trace,
};
