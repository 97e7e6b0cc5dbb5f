/* SPDX-License-Identifier: MIT */
#include "catalogkit.h"

#include "catalogpolicy.h"

#include <string.h>

static void write_three_rules(struct catalog *catalog)
{
    cleanup_policy struct policy policy = POLICY_NONE;
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "**", 10 << 20), 0);
    assert_int_equal(policy_insert(&policy, 0, POLICY_WARN, "/\xff*", POLICY_UNLIMITED), 0);
    assert_int_equal(policy_insert(&policy, 0, POLICY_ALLOW, "/tmp/**", 0), 0);
    policy.budget = INT64_MAX;
    assert_int_equal(catalog_write_policy(catalog, MOUNT, &policy), 0);
}

static void a_mount_begins_without_a_policy(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    cleanup_policy struct policy policy;
    assert_int_equal(catalog_read_policy(catalog, MOUNT, &policy), 0);
    assert_int_equal(policy.count, 0);
    assert_int_equal(policy.budget, POLICY_UNLIMITED);
}

static void a_policy_comes_back_as_it_was_written(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    write_three_rules(catalog);
    cleanup_policy struct policy policy;
    assert_int_equal(catalog_read_policy(catalog, MOUNT, &policy), 0);
    assert_int_equal(policy.count, 3);
    assert_int_equal(policy.budget, INT64_MAX);
    assert_int_equal(policy.rules[0].act, POLICY_ALLOW);
    assert_string_equal(policy.rules[0].glob, "/tmp/**");
    assert_int_equal(policy.rules[0].above, 0);
    assert_int_equal(policy.rules[1].act, POLICY_WARN);
    assert_string_equal(policy.rules[1].glob, "/\xff*");
    assert_int_equal(policy.rules[1].above, POLICY_UNLIMITED);
    assert_int_equal(policy.rules[2].act, POLICY_DENY);
    assert_int_equal(policy.rules[2].above, 10 << 20);
}

static void a_policy_is_of_its_mount_alone(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    write_three_rules(catalog);
    cleanup_policy struct policy policy;
    assert_int_equal(catalog_read_policy(catalog, OTHER, &policy), 0);
    assert_int_equal(policy.count, 0);
    assert_int_equal(policy.budget, POLICY_UNLIMITED);
}

static void what_is_written_takes_the_place_of_what_was(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    write_three_rules(catalog);
    cleanup_policy struct policy policy = POLICY_NONE, found;
    assert_int_equal(policy_insert(&policy, 0, POLICY_DENY, "/etc", POLICY_UNLIMITED), 0);
    assert_int_equal(catalog_write_policy(catalog, MOUNT, &policy), 0);
    assert_int_equal(catalog_read_policy(catalog, MOUNT, &found), 0);
    assert_int_equal(found.count, 1);
    assert_string_equal(found.rules[0].glob, "/etc");
    assert_int_equal(found.budget, POLICY_UNLIMITED);
}

static void a_policy_goes_with_its_mount(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_mounts();
    write_three_rules(catalog);
    assert_int_equal(catalog_remove_mount(catalog, MOUNT), 0);
    cleanup_policy struct policy policy = POLICY_NONE;
    assert_int_equal(catalog_read_policy(catalog, MOUNT, &policy), -ENOENT);
    assert_int_equal(catalog_write_policy(catalog, MOUNT, &policy), -ENOENT);
    add_mount(catalog, MOUNT, "web");
    assert_int_equal(catalog_read_policy(catalog, MOUNT, &policy), 0);
    assert_int_equal(policy.count, 0);
    assert_int_equal(policy.budget, POLICY_UNLIMITED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_mount_begins_without_a_policy),
        kit_test(a_policy_comes_back_as_it_was_written),
        kit_test(a_policy_is_of_its_mount_alone),
        kit_test(what_is_written_takes_the_place_of_what_was),
        kit_test(a_policy_goes_with_its_mount),
    };
    return kit_run("catalogpolicy", tests, sizeof(tests) / sizeof(tests[0]));
}
