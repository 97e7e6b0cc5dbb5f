/* SPDX-License-Identifier: MIT
 *
 * Duty: events as JSON, and the grammar of --since.
 */
#include "eventword.h"

#include "moment.h"
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char *eventword_type(mode_t type)
{
    switch (type & S_IFMT) {
    case S_IFREG:
        return "file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symlink";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "character";
    case S_IFBLK:
        return "block";
    default:
        return NULL;
    }
}

char *eventword_caller(char text[40], const struct event *event)
{
    if (event->pid)
        snprintf(text, 40, "%s[%d]", event->command[0] ? event->command : "?", (int)event->pid);
    else
        snprintf(text, 40, event->writeback ? "unknown (writeback)" : "unknown");
    return text;
}

static json_t *number_or_null(bool known, uint64_t number)
{
    return known ? json_integer((json_int_t)number) : json_null();
}

json_t *eventword_json(const struct event *event)
{
    char time[36], caller[40];
    return json_pack("{s:s, s:s, s:o, s:o, s:s?, s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:s, s:I}",
                     "Time", report_time(time, event->time), "Event", event_kind_word(event->kind),
                     "Path", report_text(event->path), "Layer",
                     number_or_null(event->layer > 0, event->layer), "Type",
                     eventword_type(event->type), "Cause", event->cause, "Pid",
                     number_or_null(event->pid != 0, (uint64_t)event->pid), "Command",
                     report_text(event->command[0] ? event->command : NULL), "Uid",
                     number_or_null(event->pid != 0, event->uid), "Caller",
                     report_text(eventword_caller(caller, event)), "Size", (json_int_t)event->size,
                     "Moved", (json_int_t)event->moved, "Means", event_means_word(event->means),
                     "Duration", (json_int_t)event->duration);
}

/* ---- moments ---- */

static int64_t unit_of(char letter)
{
    switch (letter) {
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 60 * 60;
    case 'd':
        return 24 * 60 * 60;
    default:
        return 0;
    }
}

/* A number of up to ten digits, which may not be negative. */
static const char *take_number(const char *at, int64_t *number)
{
    const char *begin = at;
    for (*number = 0; *at >= '0' && *at <= '9' && at - begin < 10; at++)
        *number = *number * 10 + (*at - '0');
    return at == begin ? NULL : at;
}

/* Which the 31st of April is not: timegm(3) would make it another day. */
static bool is_a_day(const struct tm *parts)
{
    struct tm day = {.tm_year = parts->tm_year, .tm_mon = parts->tm_mon, .tm_mday = parts->tm_mday};
    (void)timegm(&day);
    return day.tm_mday == parts->tm_mday;
}

static bool take_calendar(const char *word, int64_t *seconds)
{
    static const char *const FORMS[] = {"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"};
    for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++) {
        struct tm parts = {0};
        const char *end = strptime(word, FORMS[i], &parts);
        if (end && *end == 0 && is_a_day(&parts)) {
            *seconds = timegm(&parts);
            return true;
        }
    }
    return false;
}

/* What lies beyond the range of the clock is its end. */
static int64_t in_nanoseconds(int64_t seconds)
{
    int64_t most = INT64_MAX / MOMENT_SECOND;
    return (seconds > most ? most : seconds < -most ? -most : seconds) * MOMENT_SECOND;
}

int eventword_moment(const char *word, int64_t now, int64_t *moment)
{
    int64_t number;
    const char *end = take_number(word + (word[0] == '@'), &number);
    if (word[0] == '@') {
        *moment = end ? in_nanoseconds(number) : 0;
        return end && *end == 0 ? 0 : -EINVAL;
    }
    if (end && unit_of(end[0]) && end[1] == 0) {
        *moment = now - in_nanoseconds(number * unit_of(end[0]));
        return 0;
    }
    if (!take_calendar(word, &number))
        return -EINVAL;
    *moment = in_nanoseconds(number);
    return 0;
}
