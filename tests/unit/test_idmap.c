/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "idmap.h"

#include <linux/capability.h>
#include <string.h>

/* As podman sends it for a user whose own id is 1000. */
static const char PODMANS[] = ":0:1000:1:1:110000:65536";

static struct idmap users_mapped(const char *text)
{
    struct idmap map = {0};
    assert_int_equal(idtable_parse(&map.users, text), 0);
    return map;
}

static void a_leading_colon_is_passed_over(void **state)
{
    (void)state;
    struct idmap with = users_mapped(PODMANS), without = users_mapped(PODMANS + 1);
    assert_int_equal(with.users.count, 2);
    assert_int_equal(without.users.count, 2);
    assert_memory_equal(with.users.at, without.users.at, 2 * sizeof(struct idrange));
    idmap_finish(&with);
    idmap_finish(&without);
}

static void what_is_on_disk_is_shown_by_its_range(void **state)
{
    (void)state;
    struct idmap map = users_mapped(PODMANS);
    const uint32_t pairs[][2] = {{0, 1000}, {1, 110000}, {2, 110001}, {65536, 175535}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        uint32_t disk;
        assert_int_equal(idtable_shown(&map.users, pairs[i][0]), pairs[i][1]);
        assert_true(idtable_disk(&map.users, pairs[i][1], &disk));
        assert_int_equal(disk, pairs[i][0]);
    }
    idmap_finish(&map);
}

static void what_is_in_no_range_is_shown_as_the_overflow_id_and_cannot_be_given(void **state)
{
    (void)state;
    struct idmap map = users_mapped(PODMANS);
    uint32_t disk;
    assert_int_equal(idtable_shown(&map.users, 65537), IDMAP_OVERFLOW);
    assert_int_equal(idtable_shown(&map.users, UINT32_MAX - 1), IDMAP_OVERFLOW);
    const uint32_t strangers[] = {0, 1, 999, 1001, 109999, 175536, IDMAP_OVERFLOW, UINT32_MAX};
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
        assert_false(idtable_disk(&map.users, strangers[i], &disk));
    idmap_finish(&map);
}

static void without_ranges_every_id_is_its_own(void **state)
{
    (void)state;
    struct idmap map = users_mapped("5:7:1");
    struct stat st = {.st_uid = 5, .st_gid = 5};
    idmap_show_owner(&map, &st);
    assert_int_equal(st.st_uid, 7);
    assert_int_equal(st.st_gid, 5);
    assert_false(idmap_is_plain(&map));
    idmap_finish(&map);
    assert_true(idmap_is_plain(&map));
}

static void squashing_shows_one_owner_and_changes_nothing_on_disk(void **state)
{
    (void)state;
    struct idmap map = users_mapped(PODMANS);
    uint32_t disk;
    idtable_squash(&map.users, 0);
    assert_int_equal(idtable_shown(&map.users, 1), 0);
    assert_int_equal(idtable_shown(&map.users, 70000), 0);
    assert_true(idtable_disk(&map.users, 110000, &disk));
    assert_int_equal(disk, 1);
    idmap_finish(&map);
}

static void a_table_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    const char *const nonsense[] = {
        "", ":", "0", "0:1", "0:1:", "0:1:0", "a:0:1", "0:0:1x", "0:0:-1", "-1:0:1", "0:0:1:5",
        "0:0:1:5:6", "::0:0:1", "0::1", "4294967295:0:1", "0:4294967294:2", "0:0:4294967296",
        /* overlapping on disk, as shown, and both */
        "0:1000:2:1:5000:1", "0:1000:2:9:1001:1", "0:0:1:0:0:1", "0:0:10:20:5:1"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct idmap map = {0};
        if (idtable_parse(&map.users, nonsense[i]) != -EINVAL)
            fail_msg("'%s' was taken", nonsense[i]);
        idmap_finish(&map);
    }
}

static void neighbouring_ranges_and_the_last_id_are_taken(void **state)
{
    (void)state;
    struct idmap map = users_mapped("0:10:10:10:0:10");
    assert_int_equal(idtable_shown(&map.users, 9), 19);
    assert_int_equal(idtable_shown(&map.users, 10), 0);
    idmap_finish(&map);
    map = users_mapped("0:0:4294967295");
    assert_int_equal(idtable_shown(&map.users, UINT32_MAX - 1), UINT32_MAX - 1);
    idmap_finish(&map);
}

/* user::rwx user:1:rwx group::r-x group:2:r-x mask::rwx other::--- */
static const unsigned char ACL[] = {2,   0,   0,   0,   1,   0,  7, 0, 255, 255, 255, 255, 2,
                                    0,   7,   0,   1,   0,   0,  0, 4, 0,   5,   0,   255, 255,
                                    255, 255, 8,   0,   5,   0,  2, 0, 0,   0,   16,  0,   7,
                                    0,   255, 255, 255, 255, 32, 0, 0, 0,   255, 255, 255, 255};

static void an_acl_is_mapped_both_ways_and_nobody_in_it_squashed(void **state)
{
    (void)state;
    unsigned char value[sizeof(ACL)];
    struct idmap map = users_mapped("1:70001:1");
    assert_int_equal(idtable_parse(&map.groups, "2:515:1"), 0);
    idtable_squash(&map.users, 0);
    memcpy(value, ACL, sizeof(ACL));
    assert_int_equal(idmap_show_attr(&map, "system.posix_acl_access", value, sizeof(ACL)), 0);
    assert_int_equal(value[16] | value[17] << 8 | value[18] << 16, 70001);
    assert_int_equal(value[32] | value[33] << 8, 515);
    assert_int_equal(value[8], 255);
    assert_int_equal(idmap_store_attr(&map, "system.posix_acl_default", value, sizeof(ACL)), 0);
    assert_memory_equal(value, ACL, sizeof(ACL));
    /* 1 is nobody's shown id */
    assert_int_equal(idmap_store_attr(&map, "system.posix_acl_access", value, sizeof(ACL)),
                     -EINVAL);
    idmap_finish(&map);
}

static void an_acl_that_is_cut_short_is_left_to_its_reader(void **state)
{
    (void)state;
    struct idmap map = users_mapped("1:70001:1");
    for (size_t size = 0; size < sizeof(ACL); size++) {
        unsigned char *value = malloc(size ? size : 1);
        memcpy(value, ACL, size);
        (void)!idmap_show_attr(&map, "system.posix_acl_access", value, size);
        (void)!idmap_show_attr(&map, "security.capability", value, size);
        free(value);
    }
    idmap_finish(&map);
}

static void the_root_of_a_capability_is_mapped(void **state)
{
    (void)state;
    const char attr[] = "security.capability";
    struct idmap map = users_mapped("0:100000:10");
    unsigned char value[XATTR_CAPS_SZ_3] = {1, 0, 0, 3, 0, 32}, old[XATTR_CAPS_SZ_2] = {1, 0, 0, 2};
    assert_int_equal(idmap_show_attr(&map, attr, value, sizeof(value)), 0);
    assert_int_equal(value[20] | value[21] << 8 | value[22] << 16, 100000);
    assert_int_equal(idmap_store_attr(&map, attr, value, sizeof(value)), 0);
    assert_int_equal(value[20] | value[21] | value[22], 0);
    assert_int_equal(idmap_store_attr(&map, attr, value, sizeof(value)), -EINVAL);
    value[20] = 11;
    assert_int_equal(idmap_show_attr(&map, attr, value, sizeof(value)), -EOVERFLOW);
    assert_int_equal(idmap_show_attr(&map, attr, old, sizeof(old)), 0);
    assert_int_equal(idmap_show_attr(&map, "user.other", value, sizeof(value)), 0);
    assert_int_equal(value[20], 11);
    idmap_finish(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_leading_colon_is_passed_over),
        kit_test(what_is_on_disk_is_shown_by_its_range),
        kit_test(what_is_in_no_range_is_shown_as_the_overflow_id_and_cannot_be_given),
        kit_test(without_ranges_every_id_is_its_own),
        kit_test(squashing_shows_one_owner_and_changes_nothing_on_disk),
        kit_test(a_table_that_makes_no_sense_is_refused),
        kit_test(neighbouring_ranges_and_the_last_id_are_taken),
        kit_test(an_acl_is_mapped_both_ways_and_nobody_in_it_squashed),
        kit_test(an_acl_that_is_cut_short_is_left_to_its_reader),
        kit_test(the_root_of_a_capability_is_mapped),
    };
    return kit_run("idmap", tests, sizeof(tests) / sizeof(tests[0]));
}
