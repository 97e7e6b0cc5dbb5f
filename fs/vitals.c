/* SPDX-License-Identifier: MIT
 *
 * Duty: gather what the caches, the tables and the kernel count.
 */
#include "vitals.h"

#include "ahead.h"
#include "listing.h"
#include "merge.h"
#include "meter.h"
#include "report.h"
#include "route.h"
#include "scout.h"

#include <stdio.h>
#include <string.h>

/* ---- the process ---- */

static uint64_t count_entries(const char *path)
{
    uint64_t count = 0;
    cleanup_dir DIR *dir = opendir(path);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir))
        count += entry->d_name[0] != '.';
    return count;
}

static uint64_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file) {
        if (fscanf(file, "%lu %lu", &all, &resident) != 2)
            resident = 0;
        fclose(file);
    }
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Without the one by which they are counted. */
static uint64_t open_descriptors(void)
{
    uint64_t count = count_entries("/proc/self/fd");
    return count > 0 ? count - 1 : 0;
}

/* ---- the mount ---- */

static uint64_t merge_bytes(struct mount *mount)
{
    uint64_t bytes = 0;
    route_enter(mount);
    for (unsigned i = 0; i < TREES_MAX; i++) {
        const struct tree *tree = mount->trees[i];
        bytes += tree && tree->stack.merges ? mergecache_bytes(tree->stack.merges) : 0;
    }
    route_leave(mount);
    return bytes;
}

static json_t *buckets_json(const struct meter_reading *reading)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < METER_BUCKETS; i++) {
        if (reading->buckets[i] == 0)
            continue;
        json_array_append_new(list, json_integer(i));
        json_array_append_new(list, json_integer((json_int_t)reading->buckets[i]));
    }
    return list;
}

static json_t *operations_json(const struct meter *meter)
{
    json_t *operations = json_object();
    for (int op = 0; op < METER_OPS; op++) {
        struct meter_reading reading;
        meter_read(meter, (enum meter_op)op, &reading);
        if (reading.count == 0)
            continue;
        json_object_set_new(operations, meter_op_word((enum meter_op)op),
                            json_pack("{s:I, s:I, s:o}", "Errors", (json_int_t)reading.errors,
                                      "Total", (json_int_t)reading.total, "Buckets",
                                      buckets_json(&reading)));
    }
    return operations;
}

json_t *vitals_json(struct mount *mount, unsigned readers)
{
    uint64_t copyups, moved;
    meter_read_copyups(mount->meter, &copyups, &moved);
    const struct {
        const char *field;
        uint64_t number;
    } FACTS[] = {
        {"Age", (uint64_t)meter_age(mount->meter)},
        {"CopyUps", copyups},
        {"Moved", moved},
        {"GivenAhead", ahead_given(mount->ahead)},
        {"ListedAhead", scout_of_use(mount->scout)},
        {"Nodes", node_table_count(mount->nodes)},
        {"NameBytes", node_table_name_bytes(mount->nodes)},
        {"CachedFds", fdcache_count(mount->fds)},
        {"MergeBytes", merge_bytes(mount)},
        {"ListingBytes", listings_bytes(mount->listings)},
        {"Fds", open_descriptors()},
        {"Threads", count_entries("/proc/self/task")},
        {"Memory", resident_bytes()},
        {"Readers", readers},
    };
    json_t *vitals = json_object();
    for (size_t i = 0; i < sizeof(FACTS) / sizeof(FACTS[0]); i++)
        json_object_set_new(vitals, FACTS[i].field, json_integer((json_int_t)FACTS[i].number));
    json_object_set_new(vitals, "Mountpoint", report_text(mount->at));
    json_object_set_new(vitals, "Operations", operations_json(mount->meter));
    return vitals;
}
