/* SPDX-License-Identifier: MIT
 *
 * Duty: policies as rows in and out of the database.
 */
#include "catalogpolicy.h"

#include "catalogdb.h"

#include <string.h>

/* ---- reading ---- */

static int read_budget(struct catalog *catalog, const char *mount, int64_t *budget)
{
    cleanup_query struct query query = query_ask(catalog, POLICY_BUDGET);
    query_give_text(&query, mount);
    int found = query_step(&query);
    if (found > 0)
        *budget = query_take_number(&query);
    return found < 0 ? found : found ? query.err : -ENOENT;
}

/* A row that says what no rule can say is damage. */
static int take_rule(struct query *query, struct policy *policy)
{
    cleanup_free char *word = query_take_text(query), *glob = query_take_text(query);
    int64_t above = query_take_number(query);
    int act = word ? policy_act_of(word) : -EIO;
    if (query->err)
        return query->err;
    int err = act < 0 || !glob
                  ? -EIO
                  : policy_insert(policy, policy->count, (enum policy_act)act, glob, above);
    return err == -EINVAL ? -EIO : err;
}

static int read_rules(struct catalog *catalog, const char *mount, struct policy *policy)
{
    int more, err = 0;
    cleanup_query struct query query = query_ask(catalog, POLICY_RULES);
    query_give_text(&query, mount);
    while (!err && (more = query_step(&query)) > 0)
        err = take_rule(&query, policy);
    return err ? err : more;
}

int catalog_read_policy(struct catalog *catalog, const char *mount, struct policy *policy)
{
    *policy = POLICY_NONE;
    int err = read_budget(catalog, mount, &policy->budget);
    if (!err)
        err = read_rules(catalog, mount, policy);
    if (err)
        policy_finish(policy);
    return err;
}

/* ---- writing ---- */

static int clear(struct catalog *catalog, const char *mount)
{
    cleanup_query struct query query = query_ask(catalog, POLICY_CLEAR);
    query_give_text(&query, mount);
    return query_step(&query);
}

static int add_rule(struct catalog *catalog, const char *mount, unsigned position,
                    const struct policy_rule *rule)
{
    cleanup_query struct query query = query_ask(catalog, POLICY_ADD);
    query_give_text(&query, mount);
    query_give_number(&query, position);
    query_give_text(&query, policy_act_word(rule->act));
    query_give_text(&query, rule->glob);
    query_give_number(&query, rule->above);
    return query_step(&query);
}

static int set_budget(struct catalog *catalog, const char *mount, int64_t budget)
{
    cleanup_query struct query query = query_ask(catalog, POLICY_SET_BUDGET);
    query_give_number(&query, budget);
    query_give_text(&query, mount);
    return query_change_one(&query);
}

int catalog_write_policy(struct catalog *catalog, const char *mount, const struct policy *policy)
{
    bool own;
    int err = catalogdb_change_begin(catalog, &own);
    if (err)
        return err;
    err = set_budget(catalog, mount, policy->budget);
    if (!err)
        err = clear(catalog, mount);
    for (unsigned i = 0; i < policy->count && !err; i++)
        err = add_rule(catalog, mount, i, &policy->rules[i]);
    return catalogdb_change_end(catalog, own, err);
}
