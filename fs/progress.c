/* SPDX-License-Identifier: MIT
 *
 * Duty: one line of a terminal, written over itself at most ten times a second, by whichever thread
 * comes by when it is time. What the line says is a pure function of the numbers. Cost: between two
 * lines a call is one clock reading and one atomic load.
 */
#include "progress.h"

#include "cell.h"
#include "moment.h"
#include "report.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

static const int64_t FIRST_LINE = 500000000, BETWEEN_LINES = 100000000; /* nanoseconds */

struct progress {
    char *what; /* escaped */
    uint64_t total;
    int64_t started;
    bool colour;
    _Atomic int64_t due;   /* when the next line may be written */
    pthread_mutex_t write; /* whoever draws; protects `drawn` */
    bool drawn;
};

/* ---- the line ---- */

/* "8s", "2m05s", "1h02m"; nothing where it cannot be told. */
static char *time_left(const struct progress_state *state, char text[24])
{
    text[0] = 0;
    if (state->done == 0 || state->total <= state->done)
        return text;
    double left = state->seconds * (double)(state->total - state->done) / (double)state->done;
    if (left >= 100 * 3600)
        return text;
    unsigned seconds = (unsigned)(left + 0.5);
    if (seconds < 60)
        snprintf(text, 24, "  %us left", seconds);
    else if (seconds < 3600)
        snprintf(text, 24, "  %um%02us left", seconds / 60, seconds % 60);
    else
        snprintf(text, 24, "  %uh%02um left", seconds / 3600, seconds / 60 % 60);
    return text;
}

/* What stands behind the bar: "3.45MB / 10MB  1.2MB/s  5s left". */
static void tell_numbers(const struct progress_state *state, char text[96])
{
    char done[16], total[16] = "", rate[16], left[24];
    double seconds = state->seconds > 0.001 ? state->seconds : 0.001;
    if (state->total)
        report_size(total, state->total);
    snprintf(text, 96, "%s%s%s  %s/s%s", report_size(done, state->done), state->total ? " / " : "",
             total, report_size(rate, (uint64_t)((double)state->done / seconds)),
             time_left(state, left));
}

/* Columns of a bar, its two brackets counted; and bytes that the widest takes with its colours. */
enum { LEAST_BAR = 10, MOST_BAR = 40, BAR_ROOM = MOST_BAR + 16 };

/* Draws a bar of `width` columns. */
static size_t draw_bar(const struct progress_state *state, unsigned width, char *line, size_t room)
{
    uint64_t done = state->done < state->total ? state->done : state->total;
    unsigned inner = width - 2;
    unsigned filled = (unsigned)((double)inner * (double)done / (double)state->total);
    size_t used = (size_t)snprintf(line, room, "[%s", state->colour ? "\033[32m" : "");
    for (unsigned i = 0; i < inner; i++) {
        if (i == filled && state->colour)
            used += (size_t)snprintf(line + used, room - used, "\033[0m");
        line[used++] = i < filled ? '=' : i == filled ? '>' : ' ';
    }
    return used + (size_t)snprintf(line + used, room - used, "%s]  ",
                                   filled == inner && state->colour ? "\033[0m" : "");
}

/* The numbers come first: a narrow terminal loses the bar, then what is done, then their end. */
char *progress_render(const struct progress_state *state, char *line, size_t room)
{
    char numbers[96];
    tell_numbers(state, numbers);
    unsigned used = (unsigned)strlen(numbers), what = cell_width(state->what) + 2;
    unsigned columns = state->columns > 1 ? state->columns - 1 : 0; /* the last one may wrap */
    size_t at = 0;
    line[0] = 0;
    if (used + what <= columns) {
        at += (size_t)snprintf(line, room, "%s  ", state->what);
        used += what;
    }
    if (state->total && at + BAR_ROOM < room && used + LEAST_BAR + 2 <= columns) {
        unsigned width = columns - used - 2;
        at += draw_bar(state, width < MOST_BAR ? width : MOST_BAR, line + at, room - at);
    }
    if (at < room)
        snprintf(line + at, room - at, "%.*s", (int)columns, numbers);
    return line;
}

/* ---- the terminal ---- */

static unsigned terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

/* A line that cannot be written is not worth a word. */
static void put(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written;
}

static char *escape(const char *what)
{
    char *escaped = NULL;
    size_t size;
    FILE *out = open_memstream(&escaped, &size);
    if (!out)
        return NULL;
    cell_write(out, what);
    if (fclose(out) == 0)
        return escaped;
    free(escaped);
    return NULL;
}

struct progress *progress_start(const char *what, uint64_t total)
{
    if (!isatty(STDERR_FILENO))
        return NULL;
    struct progress *progress = calloc(1, sizeof(*progress));
    char *escaped = progress ? escape(what) : NULL;
    if (!escaped)
        return free(progress), NULL;
    const char *no_colour = getenv("NO_COLOR"), *terminal = getenv("TERM");
    progress->what = escaped;
    progress->total = total;
    progress->colour = !(no_colour && *no_colour) && terminal && strcmp(terminal, "dumb") != 0;
    progress->started = moment_steady();
    progress->due = progress->started + FIRST_LINE;
    pthread_mutex_init(&progress->write, NULL);
    return progress;
}

static void draw(struct progress *progress, uint64_t done, int64_t now)
{
    char line[1024], whole[1040];
    struct progress_state state = {
        .what = progress->what,
        .done = done,
        .total = progress->total,
        .seconds = (double)(now - progress->started) / 1e9,
        .columns = terminal_columns(),
        .colour = progress->colour,
    };
    snprintf(whole, sizeof(whole), "\r%s\033[K", progress_render(&state, line, sizeof(line)));
    put(whole);
    progress->drawn = true;
}

void progress_at(void *context, uint64_t bytes)
{
    struct progress *progress = context;
    if (!progress)
        return;
    int64_t now = moment_steady();
    if (now < progress->due || pthread_mutex_trylock(&progress->write) != 0)
        return;
    if (now >= progress->due) {
        progress->due = now + BETWEEN_LINES;
        draw(progress, bytes, now);
    }
    pthread_mutex_unlock(&progress->write);
}

void progress_end(struct progress *progress)
{
    if (!progress)
        return;
    if (progress->drawn)
        put("\r\033[K");
    pthread_mutex_destroy(&progress->write);
    free(progress->what);
    free(progress);
}

int progress_confirm(const char *question)
{
    if (!isatty(STDIN_FILENO)) {
        fprintf(stderr, "plyfs: %s there is nobody to answer; use -f to go ahead\n", question);
        return 0;
    }
    fprintf(stderr, "%s [y/N] ", question);
    cleanup_free char *answer = NULL;
    size_t room = 0;
    ssize_t length = getline(&answer, &room, stdin);
    return length > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}
