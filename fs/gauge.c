/* SPDX-License-Identifier: MIT
 *
 * Duty: from a daemon's answer to numbers, and from numbers to rows.
 */
#include "gauge.h"

#include "control.h"
#include "log.h"
#include "moment.h"
#include "report.h"
#include "traceline.h"

#include <string.h>

static const char *const FIELDS[GAUGE_FACTS] = {
    [GAUGE_AGE] = "Age",
    [GAUGE_COPYUPS] = "CopyUps",
    [GAUGE_MOVED] = "Moved",
    [GAUGE_GIVEN_AHEAD] = "GivenAhead",
    [GAUGE_LISTED_AHEAD] = "ListedAhead",
    [GAUGE_NODES] = "Nodes",
    [GAUGE_NAME_BYTES] = "NameBytes",
    [GAUGE_CACHED_FDS] = "CachedFds",
    [GAUGE_MERGE_BYTES] = "MergeBytes",
    [GAUGE_LISTING_BYTES] = "ListingBytes",
    [GAUGE_FDS] = "Fds",
    [GAUGE_THREADS] = "Threads",
    [GAUGE_MEMORY] = "Memory",
    [GAUGE_READERS] = "Readers",
};

void gauges_free(struct gauge *gauges)
{
    while (gauges) {
        struct gauge *next = gauges->next;
        free(gauges->id);
        free(gauges->name);
        free(gauges->mountpoint);
        free(gauges);
        gauges = next;
    }
}

enum { PATIENCE = 2 };

/* ---- from JSON ---- */

static uint64_t number_in(const json_t *object, const char *field)
{
    json_int_t number = json_integer_value(json_object_get(object, field));
    return number > 0 ? (uint64_t)number : 0;
}

/* What a daemon of another version counts in buckets that are none here is left out. */
static void read_operation(const json_t *told, struct meter_reading *reading)
{
    const json_t *buckets = json_object_get(told, "Buckets");
    reading->errors = number_in(told, "Errors");
    reading->total = number_in(told, "Total");
    for (size_t i = 0; i + 1 < json_array_size(buckets); i += 2) {
        json_int_t bucket = json_integer_value(json_array_get(buckets, i));
        json_int_t count = json_integer_value(json_array_get(buckets, i + 1));
        if (bucket < 0 || bucket >= METER_BUCKETS || count < 0)
            continue;
        reading->buckets[bucket] += (uint64_t)count;
        reading->count += (uint64_t)count;
    }
}

static void read_vitals(const json_t *vitals, struct gauge *gauge)
{
    const json_t *operations = json_object_get(vitals, "Operations");
    for (int fact = 0; fact < GAUGE_FACTS; fact++)
        gauge->facts[fact] = number_in(vitals, FIELDS[fact]);
    for (int op = 0; op < METER_OPS; op++) {
        const json_t *told = json_object_get(operations, meter_op_word((enum meter_op)op));
        if (!told)
            continue;
        read_operation(told, &gauge->operations[op]);
        meter_sum(&gauge->sum, &gauge->operations[op]);
    }
}

/* Where it is mounted it says itself; `mountpoint` is where, for a daemon of before, if it is
 * known. */
static int take(int fd, const char *id, const char *name, const char *mountpoint,
                struct gauge **gauge, json_t **answer)
{
    cleanup_gauges struct gauge *made = calloc(1, sizeof(*made));
    *answer = NULL;
    int err = made ? own_copy(&made->id, id) : -ENOMEM;
    if (!err)
        err = own_copy(&made->name, name);
    if (!err)
        err = control_ask_on(fd, json_pack("{s:s}", "do", "stats"), PATIENCE, answer);
    if (err)
        return err;
    const json_t *vitals = json_object_get(*answer, "stats");
    made->time = moment_now();
    read_vitals(vitals, made);
    const char *told = json_string_value(json_object_get(vitals, "Mountpoint"));
    err = own_copy(&made->mountpoint, told ? told : mountpoint);
    if (!err)
        *gauge = steal_ptr(&made);
    return err;
}

int gauge_take(int fd, const char *name, struct gauge **gauge, json_t **answer)
{
    return take(fd, name, name, NULL, gauge, answer);
}

/* ---- all of them ---- */

struct round {
    struct store *store;
    struct gauge *gauges;
    bool quietly;
};

static void put_in_order(struct gauge **at, struct gauge *gauge)
{
    while (*at && strcmp((*at)->name, gauge->name) < 0)
        at = &(*at)->next;
    gauge->next = *at;
    *at = gauge;
}

static int take_one(void *context, const struct mount_row *row)
{
    struct round *round = context;
    struct gauge *gauge = NULL;
    json_t *answer = NULL;
    if (!row->mountpoint)
        return 0;
    cleanup_fd int fd = control_connect(round->store, row, PATIENCE);
    int err = fd < 0 ? fd : take(fd, row->id, row->name, row->mountpoint, &gauge, &answer);
    if (!err)
        put_in_order(&round->gauges, gauge);
    else if (err != -ENOTCONN && err != -ENOMEM && !round->quietly)
        log_warning("the daemon of %s does not tell how it fares: %s", row->name,
                    control_why(answer, err));
    json_decref(answer);
    return err == -ENOMEM ? err : 0;
}

int gauges_take(struct store *store, bool quietly, struct gauge **gauges)
{
    struct round round = {.store = store, .quietly = quietly};
    int err = catalog_each_mount(store->catalog, take_one, &round);
    *gauges = round.gauges;
    return err;
}

static uint64_t less(uint64_t now, uint64_t before)
{
    return now > before ? now - before : 0;
}

static void subtract(struct gauge *gauge, const struct gauge *before)
{
    static const enum gauge_fact COUNTS[] = {GAUGE_AGE, GAUGE_COPYUPS, GAUGE_MOVED};
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++)
        gauge->facts[COUNTS[i]] = less(gauge->facts[COUNTS[i]], before->facts[COUNTS[i]]);
    for (int op = 0; op < METER_OPS; op++)
        meter_subtract(&gauge->operations[op], &before->operations[op]);
    meter_subtract(&gauge->sum, &before->sum);
}

static struct gauge *copy_of(const struct gauge *gauge)
{
    struct gauge *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *gauge;
    copy->next = NULL;
    copy->name = copy->mountpoint = NULL;
    int err = own_copy(&copy->id, gauge->id);
    if (!err)
        err = own_copy(&copy->name, gauge->name);
    if (!err)
        err = own_copy(&copy->mountpoint, gauge->mountpoint);
    if (!err)
        return copy;
    gauges_free(copy);
    return NULL;
}

/* A mount that was mounted anew since is younger than it was. */
int gauges_since(const struct gauge *now, const struct gauge *before, struct gauge **since)
{
    struct gauge **at = since;
    for (*at = NULL; now; now = now->next, at = &(*at)->next) {
        const struct gauge *same = before;
        *at = copy_of(now);
        if (!*at)
            return -ENOMEM;
        while (same && strcmp(same->id, now->id) != 0)
            same = same->next;
        if (same && same->facts[GAUGE_AGE] < now->facts[GAUGE_AGE])
            subtract(*at, same);
    }
    return 0;
}

/* ---- rows ---- */

double gauge_rate(const struct gauge *gauge, uint64_t count)
{
    uint64_t age = gauge->facts[GAUGE_AGE];
    return age > 0 ? (double)count * (double)MOMENT_SECOND / (double)age : 0;
}

/* Two digits behind the point are enough. */
static json_t *rate(const struct gauge *gauge, uint64_t count)
{
    return json_real((double)(int64_t)(gauge_rate(gauge, count) * 100 + 0.5) / 100);
}

static json_t *took(int64_t nanoseconds)
{
    char text[16];
    return nanoseconds > 0 ? json_string(traceline_took(text, nanoseconds)) : json_null();
}

/* The fields of one reading; `row` is taken over, and comes back or NULL. */
static json_t *add_reading(json_t *row, const struct gauge *gauge,
                           const struct meter_reading *reading)
{
    int64_t median = meter_percentile(reading, 0.5), late = meter_percentile(reading, 0.99);
    json_t *numbers =
        json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o}", "Rate", rate(gauge, reading->count),
                  "ErrorRate", rate(gauge, reading->errors), "Requests", (json_int_t)reading->count,
                  "Errors", (json_int_t)reading->errors, "P50", (json_int_t)median, "P99",
                  (json_int_t)late, "Half", took(median), "Most", took(late));
    if (!row || !numbers || json_object_update(row, numbers) != 0) {
        json_decref(row);
        row = NULL;
    }
    json_decref(numbers);
    return row;
}

json_t *gauge_json(const struct gauge *gauge)
{
    char time[36];
    json_t *row =
        json_pack("{s:s, s:o, s:o, s:o}", "Time", report_time(time, gauge->time), "Name",
                  report_text(gauge->name), "Mountpoint", report_text(gauge->mountpoint), "Seconds",
                  json_real((double)gauge->facts[GAUGE_AGE] / (double)MOMENT_SECOND));
    for (int fact = GAUGE_COPYUPS; row && fact < GAUGE_FACTS; fact++)
        json_object_set_new(row, FIELDS[fact], json_integer((json_int_t)gauge->facts[fact]));
    return add_reading(row, gauge, &gauge->sum);
}

json_t *gauge_operation_json(const struct gauge *gauge, const char *name,
                             const struct meter_reading *reading)
{
    uint64_t mean = reading->count > 0 ? reading->total / reading->count : 0;
    char time[36];
    json_t *row =
        json_pack("{s:s, s:s, s:I, s:I, s:o, s:o}", "Time", report_time(time, gauge->time),
                  "Operation", name, "Mean", (json_int_t)mean, "Total", (json_int_t)reading->total,
                  "Average", took((int64_t)mean), "Spent", took((int64_t)reading->total));
    return add_reading(row, gauge, reading);
}
