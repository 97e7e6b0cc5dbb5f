/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs policy`: which copy-ups a named mount may make. The catalog is changed first; then a
 * daemon that serves the mount is told, and has the new policy in force when it answers.
 */
#include "command.h"

#include "account.h"
#include "arguments.h"
#include "catalogpolicy.h"
#include "control.h"
#include "log.h"
#include "named.h"
#include "policy.h"
#include "report.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const RULES[] = {"allow", "warn", "deny", "budget", NULL};

static const struct column COLUMNS[] = {
    {"Number", "NUMBER", COLUMN_COUNT}, {"Rule", "RULE", COLUMN_WORD, RULES},
    {"Glob", "GLOB", COLUMN_TEXT},      {"Size", "SIZE", COLUMN_SIZE},
    {"Moved", "MOVED", COLUMN_SIZE},
};

struct wishes {
    const char *root, *budget;
    struct sayings rules; /* --deny, --warn, --allow, and --max-size of the one before */
    struct words removed;
    uint64_t before;
    bool clear, json;
    struct report report;
    struct words words;
};

#define RULE_ARGUMENT(word, text)                                                                  \
    {                                                                                              \
        .name = word, .kind = ARGUMENT_SAYING, .at = offsetof(struct wishes, rules),               \
        .value = "GLOB", .help = text                                                              \
    }

static const struct argument TABLE[] = {
    RULE_ARGUMENT("deny", "refuse to copy up what it names (EROFS)"),
    RULE_ARGUMENT("warn", "copy it up, and note it in the ledger"),
    RULE_ARGUMENT("allow", "copy it up, whatever later rules say"),
    {.name = "max-size",
     .kind = ARGUMENT_SAYING,
     .at = offsetof(struct wishes, rules),
     .value = "SIZE",
     .help = "the rule said before it speaks only of files that are larger"},
    {.name = "before",
     .kind = ARGUMENT_SIZE,
     .at = offsetof(struct wishes, before),
     .value = "NUMBER",
     .help = "put the rules before that one (else behind the last)"},
    {.name = "remove",
     .kind = ARGUMENT_LIST,
     .at = offsetof(struct wishes, removed),
     .value = "NUMBER",
     .help = "take away that rule"},
    {.name = "clear",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, clear),
     .help = "take away all rules and the budget first"},
    {.name = "budget",
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, budget),
     .value = "BYTES",
     .help = "how much copy-ups may move in all (else EDQUOT), or none"},
    {.name = "json",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, json),
     .help = "the same as --format json"},
    REPORT_ARGUMENTS(struct wishes, report),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "policy",
    .words = "MOUNT",
    .least = 1,
    .most = 1,
    .words_at = offsetof(struct wishes, words),
    ARGUMENTS(TABLE),
    .about = "Says which copy-ups a named mount may make, mounted or not: of the rules in their\n"
             "order the first that names a path decides, and what none names is allowed. Without\n"
             "a change the rules are listed.\n",
    .example = "plyfs policy web --allow '/var/**' --deny '**' --max-size 10M --budget 1G",
};

/* ---- changing ---- */

static int refuse(const char *option, const char *value, const char *what)
{
    log_error("policy: --%s %s: %s", option, value, what);
    return -EINVAL;
}

static int take_size(const char *option, const char *value, int64_t *size)
{
    uint64_t bytes;
    int err = arguments_size(value, &bytes);
    if (err || bytes > INT64_MAX)
        return refuse(option, value, "this is no size; write 512, 64k, 10M, 1.5G or 10GB");
    *size = (int64_t)bytes;
    return 0;
}

static int add_rule(struct policy *policy, unsigned at, const struct saying *said)
{
    int act = policy_act_of(said->option);
    int err = policy_insert(policy, at, (enum policy_act)act, said->value, POLICY_UNLIMITED);
    return err == -EINVAL ? refuse(said->option, said->value,
                                   "this names no path: write '/etc', '*.log' or '/usr/**'")
                          : err;
}

/* A limit belongs to the rule that was said before it. */
static int add_rules(struct policy *policy, unsigned at, const struct sayings *rules)
{
    unsigned added = 0;
    int err = 0;
    for (unsigned i = 0; i < rules->count && !err; i++) {
        const struct saying *said = &rules->at[i];
        if (strcmp(said->option, "max-size") != 0)
            err = add_rule(policy, at + added++, said);
        else if (added == 0)
            err =
                refuse(said->option, said->value, "say the rule first: --deny GLOB --max-size 10M");
        else
            err = take_size(said->option, said->value, &policy->rules[at + added - 1].above);
    }
    return err;
}

static int by_number_downwards(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? 1 : a > b ? -1 : 0;
}

/* Numbers are those of the listing, so the last goes first. */
static int remove_rules(struct policy *policy, const struct words *numbers)
{
    cleanup_free uint64_t *order = calloc(numbers->count + 1, sizeof(*order));
    if (!order)
        return -ENOMEM;
    for (unsigned i = 0; i < numbers->count; i++) {
        char *end;
        order[i] = strtoull(numbers->at[i], &end, 10);
        if (!isdigit((unsigned char)*numbers->at[i]) || *end || order[i] < 1 ||
            order[i] > policy->count)
            return refuse("remove", numbers->at[i], "there is no rule of that number");
    }
    qsort(order, numbers->count, sizeof(*order), by_number_downwards);
    for (unsigned i = 0; i < numbers->count; i++) {
        if (i == 0 || order[i] != order[i - 1])
            policy_remove(policy, (unsigned)order[i] - 1);
    }
    return 0;
}

static int change(struct policy *policy, const struct wishes *wishes)
{
    int err = 0;
    if (wishes->clear)
        policy_finish(policy);
    unsigned at = policy->count;
    if (wishes->before && wishes->before <= policy->count)
        at = (unsigned)wishes->before - 1;
    else if (wishes->before)
        err = refuse("before", "NUMBER", "there is no rule of that number");
    if (!err && wishes->removed.count > 0 && (wishes->rules.count > 0 || wishes->clear))
        err = refuse("remove", wishes->removed.at[0], "this is for a call of its own");
    if (!err)
        err = remove_rules(policy, &wishes->removed);
    if (!err)
        err = add_rules(policy, at, &wishes->rules);
    if (!err && wishes->budget && strcmp(wishes->budget, "none") == 0)
        policy->budget = POLICY_UNLIMITED;
    else if (!err && wishes->budget)
        err = take_size("budget", wishes->budget, &policy->budget);
    return err;
}

static int read_change_write(struct store *store, const struct mount_row *row,
                             const struct wishes *wishes)
{
    cleanup_policy struct policy policy = POLICY_NONE;
    int err = catalog_begin(store->catalog);
    if (err)
        return err;
    err = catalog_read_policy(store->catalog, row->id, &policy);
    if (!err)
        err = change(&policy, wishes);
    if (!err)
        err = catalog_write_policy(store->catalog, row->id, &policy);
    return catalog_end(store->catalog, err);
}

/* A mount that nobody serves reads it when it is mounted. */
static int tell_daemon(const struct store *store, const struct mount_row *row)
{
    enum { PATIENCE = 10 };
    json_t *answer = NULL;
    int err = control_ask(store, row, json_pack("{s:s}", "do", "policy"), PATIENCE, &answer);
    if (err == -ENOTCONN)
        err = 0;
    else if (err)
        log_error("the policy is written, but the daemon of %s did not take it: %s; it will when "
                  "it is mounted again",
                  row->name, control_why(answer, err));
    json_decref(answer);
    return err;
}

static int set(struct store *store, const struct mount_row *row, const struct wishes *wishes)
{
    int err = read_change_write(store, row, wishes);
    if (err && err != -EINVAL)
        log_error("cannot change the policy of %s: %s", row->name, strerror(-err));
    return err ? err : tell_daemon(store, row);
}

/* ---- listing ---- */

static json_t *size_or_null(int64_t size)
{
    return size < 0 ? json_null() : json_integer(size);
}

static int add_rows(json_t *rows, const struct policy *policy, uint64_t moved)
{
    for (unsigned i = 0; i < policy->count; i++) {
        const struct policy_rule *rule = &policy->rules[i];
        json_t *row = json_pack("{s:i, s:s, s:o, s:o, s:n}", "Number", (int)i + 1, "Rule",
                                policy_act_word(rule->act), "Glob", report_text(rule->glob), "Size",
                                size_or_null(rule->above), "Moved");
        if (json_array_append_new(rows, row) != 0)
            return -ENOMEM;
    }
    if (policy->budget < 0)
        return 0;
    json_t *row = json_pack("{s:n, s:s, s:n, s:I, s:I}", "Number", "Rule", "budget", "Glob", "Size",
                            (json_int_t)policy->budget, "Moved", (json_int_t)moved);
    return json_array_append_new(rows, row) == 0 ? 0 : -ENOMEM;
}

static int list(struct store *store, const struct mount_row *row, const struct report *report)
{
    cleanup_policy struct policy policy = POLICY_NONE;
    uint64_t moved = 0;
    int err = account_moved(store, row, &moved);
    if (err)
        return err;
    err = catalog_read_policy(store->catalog, row->id, &policy);
    if (err)
        log_error("cannot read the policy of %s: %s", row->name, strerror(-err));
    json_t *rows = json_array();
    if (!err)
        err = rows ? add_rows(rows, &policy, moved) : -ENOMEM;
    if (!err)
        err = report_print(report, rows);
    json_decref(rows);
    return err;
}

/* ---- the command ---- */

static bool is_change(const struct wishes *wishes)
{
    return wishes->clear || wishes->budget || wishes->before || wishes->rules.count > 0 ||
           wishes->removed.count > 0;
}

static int find_and_do(struct wishes *wishes)
{
    cleanup_store struct store *store = NULL;
    cleanup_mount_row struct mount_row row = {0};
    if (wishes->json)
        wishes->report.format = "json";
    int err = report_check(&wishes->report);
    if (!err)
        err = named_open_store(wishes->root, false, &store);
    if (!err)
        err = named_find(store, wishes->words.at[0], false, &row);
    if (err)
        return err;
    return is_change(wishes) ? set(store, &row, wishes) : list(store, &row, &wishes->report);
}

static int run_policy(int argc, char **argv)
{
    struct wishes wishes = {.report = {REPORT_COLUMNS(COLUMNS)}};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    if (!err)
        err = find_and_do(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return err < 0;
}

const struct command command_policy = {
    .name = "policy",
    .summary = "say which copy-ups a named mount may make",
    .run = run_policy,
};
