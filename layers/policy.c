/* SPDX-License-Identifier: MIT
 *
 * Duty: judge.
 */
#include "policy.h"

#include "pathglob.h"

#include <string.h>

static const char *const WORDS[POLICY_ACTS] = {
    [POLICY_ALLOW] = "allow", [POLICY_WARN] = "warn", [POLICY_DENY] = "deny"};

const char *policy_act_word(enum policy_act act)
{
    return WORDS[act];
}

int policy_act_of(const char *word)
{
    for (int act = 0; act < POLICY_ACTS; act++) {
        if (strcmp(WORDS[act], word) == 0)
            return act;
    }
    return -EINVAL;
}

/* ---- rules ---- */

int policy_insert(struct policy *policy, unsigned at, enum policy_act act, const char *glob,
                  int64_t above)
{
    int err = pathglob_check(glob);
    if (err)
        return err;
    struct policy_rule *rules =
        reallocarray(policy->rules, policy->count + 1, sizeof(*policy->rules));
    if (!rules)
        return -ENOMEM;
    policy->rules = rules;
    if (at > policy->count)
        at = policy->count;
    struct policy_rule rule = {.act = act, .above = above};
    err = own_copy(&rule.glob, glob);
    if (err)
        return err;
    memmove(rules + at + 1, rules + at, (policy->count - at) * sizeof(*rules));
    rules[at] = rule;
    policy->count++;
    return 0;
}

void policy_remove(struct policy *policy, unsigned at)
{
    struct policy_rule *rules = policy->rules;
    free(rules[at].glob);
    policy->count--;
    memmove(rules + at, rules + at + 1, (policy->count - at) * sizeof(*rules));
}

void policy_finish(struct policy *policy)
{
    for (unsigned i = 0; i < policy->count; i++)
        free(policy->rules[i].glob);
    free(policy->rules);
    *policy = POLICY_NONE;
}

/* ---- the verdict ---- */

static bool speaks_of(const struct policy_rule *rule, const struct policy_case *the_case)
{
    bool large = rule->above < 0 || the_case->size > (uint64_t)rule->above;
    return large && pathglob_names(rule->glob, the_case->path, the_case->is_dir);
}

/* What the rules alone say. */
static enum policy_act find_act(const struct policy *policy, const struct policy_case *the_case)
{
    for (unsigned i = 0; i < policy->count; i++) {
        if (speaks_of(&policy->rules[i], the_case))
            return policy->rules[i].act;
    }
    return POLICY_ALLOW;
}

static bool is_affordable(const struct policy *policy, const struct policy_case *the_case)
{
    if (policy->budget < 0 || the_case->bytes == 0)
        return true;
    uint64_t budget = (uint64_t)policy->budget;
    return the_case->moved <= budget && the_case->bytes <= budget - the_case->moved;
}

enum policy_verdict policy_judge(const struct policy *policy, const struct policy_case *the_case)
{
    enum policy_act act = find_act(policy, the_case);
    if (act == POLICY_DENY)
        return POLICY_DENIED;
    if (!is_affordable(policy, the_case))
        return POLICY_SPENT;
    return act == POLICY_WARN ? POLICY_WARNED : POLICY_ALLOWED;
}
