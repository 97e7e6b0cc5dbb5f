/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "policy.h"

#include <stdio.h>
#include <string.h>

static void a_glob_that_names_nothing_is_refused(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "", POLICY_UNLIMITED), -EINVAL);
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "/a/../b", POLICY_UNLIMITED), -EINVAL);
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "./a", POLICY_UNLIMITED), -EINVAL);
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "..a", POLICY_UNLIMITED), 0);
    assert_int_equal(policy.count, 1);
}

/* ---- rules ---- */

static void add(struct policy *policy, enum policy_act act, const char *glob, int64_t above)
{
    assert_int_equal(policy_insert(policy, policy->count, act, glob, above), 0);
}

static enum policy_verdict judge(const struct policy *policy, const char *path, uint64_t size)
{
    const struct policy_case file = {.path = path, .size = size, .bytes = size};
    return policy_judge(policy, &file);
}

static void what_no_rule_names_is_allowed(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    assert_int_equal(judge(&policy, "/etc/passwd", 1), POLICY_ALLOWED);
    add(&policy, POLICY_DENY, "/usr", POLICY_UNLIMITED);
    assert_int_equal(judge(&policy, "/etc/passwd", 1), POLICY_ALLOWED);
    assert_int_equal(judge(&policy, "/usr/bin/sh", 1), POLICY_DENIED);
}

static void the_first_rule_that_speaks_of_a_path_decides(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    add(&policy, POLICY_ALLOW, "/etc/passwd", POLICY_UNLIMITED);
    add(&policy, POLICY_WARN, "/etc/*.conf", POLICY_UNLIMITED);
    add(&policy, POLICY_DENY, "/etc", POLICY_UNLIMITED);
    add(&policy, POLICY_WARN, "/etc", POLICY_UNLIMITED);
    assert_int_equal(judge(&policy, "/etc/passwd", 1), POLICY_ALLOWED);
    assert_int_equal(judge(&policy, "/etc/a.conf", 1), POLICY_WARNED);
    assert_int_equal(judge(&policy, "/etc/shadow", 1), POLICY_DENIED);
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "passwd", POLICY_UNLIMITED), 0);
    assert_int_equal(judge(&policy, "/etc/passwd", 1), POLICY_DENIED);
    policy_remove(&policy, 0);
    assert_int_equal(judge(&policy, "/etc/passwd", 1), POLICY_ALLOWED);
    policy_remove(&policy, 2);
    assert_int_equal(judge(&policy, "/etc/shadow", 1), POLICY_WARNED);
    assert_int_equal(policy.count, 3);
}

static void a_rule_with_a_size_speaks_of_larger_files_alone(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    add(&policy, POLICY_DENY, "**", 1000);
    assert_int_equal(judge(&policy, "/file", 1000), POLICY_ALLOWED);
    assert_int_equal(judge(&policy, "/file", 1001), POLICY_DENIED);
    const struct policy_case directory = {.path = "/etc", .is_dir = true};
    assert_int_equal(policy_judge(&policy, &directory), POLICY_ALLOWED);
    policy_remove(&policy, 0);
    add(&policy, POLICY_DENY, "**", 0);
    assert_int_equal(judge(&policy, "/empty", 0), POLICY_ALLOWED);
    assert_int_equal(judge(&policy, "/file", 1), POLICY_DENIED);
}

/* ---- the budget ---- */

static enum policy_verdict spend(const struct policy *policy, uint64_t bytes, uint64_t moved)
{
    const struct policy_case file = {
        .path = "/file", .size = 1 << 20, .bytes = bytes, .moved = moved};
    return policy_judge(policy, &file);
}

static void a_budget_may_be_spent_to_its_end(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    policy.budget = 1000;
    assert_int_equal(spend(&policy, 1000, 0), POLICY_ALLOWED);
    assert_int_equal(spend(&policy, 1001, 0), POLICY_SPENT);
    assert_int_equal(spend(&policy, 1, 999), POLICY_ALLOWED);
    assert_int_equal(spend(&policy, 1, 1000), POLICY_SPENT);
    assert_int_equal(spend(&policy, 1, 5000), POLICY_SPENT);
    assert_int_equal(spend(&policy, UINT64_MAX, 1), POLICY_SPENT);
}

static void what_moves_nothing_needs_no_budget(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    policy.budget = 0;
    assert_int_equal(spend(&policy, 0, 0), POLICY_ALLOWED);
    assert_int_equal(spend(&policy, 0, 5000), POLICY_ALLOWED);
    assert_int_equal(spend(&policy, 1, 0), POLICY_SPENT);
}

static void a_rule_decides_before_the_budget(void **state)
{
    (void)state;
    cleanup_policy struct policy policy = POLICY_NONE;
    policy.budget = 0;
    add(&policy, POLICY_DENY, "/no", POLICY_UNLIMITED);
    add(&policy, POLICY_ALLOW, "/yes", POLICY_UNLIMITED);
    assert_int_equal(judge(&policy, "/no", 1), POLICY_DENIED);
    assert_int_equal(judge(&policy, "/yes", 1), POLICY_SPENT);
}

static void every_act_leads_back_to_its_number(void **state)
{
    (void)state;
    for (int act = 0; act < POLICY_ACTS; act++)
        assert_int_equal(policy_act_of(policy_act_word((enum policy_act)act)), act);
    assert_int_equal(policy_act_of("refuse"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_glob_that_names_nothing_is_refused),
        cmocka_unit_test(what_no_rule_names_is_allowed),
        cmocka_unit_test(the_first_rule_that_speaks_of_a_path_decides),
        cmocka_unit_test(a_rule_with_a_size_speaks_of_larger_files_alone),
        cmocka_unit_test(a_budget_may_be_spent_to_its_end),
        cmocka_unit_test(what_moves_nothing_needs_no_budget),
        cmocka_unit_test(a_rule_decides_before_the_budget),
        cmocka_unit_test(every_act_leads_back_to_its_number),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
