/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "options.h"

#include <string.h>

static struct options parsed(const char *text)
{
    struct options options;
    options_init(&options);
    assert_int_equal(options_take(&options, text), 0);
    return options;
}

static void assert_refused(const char *text)
{
    struct options options;
    options_init(&options);
    assert_int_equal(options_take(&options, text), -EINVAL);
    options_finish(&options);
}

static void layers_are_divided_by_colons_topmost_first(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a:b/c:../d,upperdir=u,workdir=/w");
    assert_int_equal(options.lower_count, 3);
    assert_string_equal(options.lowers[0], "/a");
    assert_string_equal(options.lowers[1], "b/c");
    assert_string_equal(options.lowers[2], "../d");
    assert_string_equal(options.upper, "u");
    assert_string_equal(options.work, "/w");
    options_finish(&options);
}

static void a_backslash_takes_the_next_character_as_it_is(void **state)
{
    (void)state;
    struct options options =
        parsed("lowerdir=/a\\:b\\,c:/d\\\\e,upperdir=/u\\,v\\:w,workdir=/x\\\"y");
    assert_int_equal(options.lower_count, 2);
    assert_string_equal(options.lowers[0], "/a:b,c");
    assert_string_equal(options.lowers[1], "/d\\e");
    assert_string_equal(options.upper, "/u,v:w");
    assert_string_equal(options.work, "/x\"y");
    options_finish(&options);
}

static void a_value_between_quotes_may_hold_commas(void **state)
{
    (void)state;
    struct options options = parsed("fsname=\"a,b\",upperdir=\"/u,v\",ro");
    assert_string_equal(options.fsname, "a,b");
    assert_string_equal(options.upper, "/u,v");
    assert_true(options.read_only);
    options_finish(&options);
}

static void a_quote_within_a_path_is_a_quote(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a\"b:/c,upperdir=/d\"e,workdir=w");
    assert_int_equal(options.lower_count, 2);
    assert_string_equal(options.lowers[0], "/a\"b");
    assert_string_equal(options.upper, "/d\"e");
    assert_string_equal(options.work, "w");
    options_finish(&options);
}

static void an_equals_sign_in_a_value_belongs_to_it(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a=b,upperdir=c=d=e");
    assert_string_equal(options.lowers[0], "/a=b");
    assert_string_equal(options.upper, "c=d=e");
    options_finish(&options);
}

static void an_unknown_option_is_refused(void **state)
{
    (void)state;
    static const char *const UNKNOWN[] = {"nonsense",    "nonsense=1",     "lowerdirs=/a",
                                          "LOWERDIR=/a", "redirect_di=on", "=",
                                          "=x",          "ro,nonsense"};
    for (size_t i = 0; i < sizeof(UNKNOWN) / sizeof(UNKNOWN[0]); i++)
        assert_refused(UNKNOWN[i]);
}

static void a_value_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const char *const WRONG[] = {
        "lowerdir=",      "lowerdir",     "lowerdir=/a::/b", "lowerdir=:/a",
        "lowerdir=/a:",   "upperdir=",    "index=maybe",     "metacopy",
        "redirect_dir=2", "profile=fast", "timeout=soon",    "timeout=-1",
        "timeout=nan",    "threads=-1",   "threads=many",    "threads=99999999",
        "fsync=later",    "ro=1",         "allow_other=no",  "volatile=1",
        "threads=1x",     "threads= 1 ",  "timeout=1s"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        assert_refused(WRONG[i]);
}

static void features_are_on_off_or_left_alone(void **state)
{
    (void)state;
    struct options options = parsed("redirect_dir=on,metacopy=off,profile=stateless");
    assert_int_equal(options.redirect, CHOICE_ON);
    assert_int_equal(options.metacopy, CHOICE_OFF);
    assert_int_equal(options.index, CHOICE_DEFAULT);
    assert_int_equal(options.profile, PROFILE_STATELESS);
    options_finish(&options);
}

static void the_last_of_several_words_counts(void **state)
{
    (void)state;
    struct options options = parsed("upperdir=a,upperdir=b,index=on,index=off,ro,rw");
    assert_string_equal(options.upper, "b");
    assert_int_equal(options.index, CHOICE_OFF);
    assert_false(options.read_only);
    options_finish(&options);
}

static void several_texts_add_up(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a:/b");
    assert_int_equal(options_take(&options, "lowerdir=/c,upperdir=u"), 0);
    assert_int_equal(options.lower_count, 3);
    assert_string_equal(options.lowers[2], "/c");
    options_finish(&options);
}

static void empty_words_are_passed_over(void **state)
{
    (void)state;
    struct options options = parsed(",,ro,,userxattr,");
    assert_true(options.read_only && options.userxattr);
    options_finish(&options);
}

static void options_of_mount_are_handed_on_in_order(void **state)
{
    (void)state;
    struct options options = parsed("nosuid,lowerdir=/a,nodev,allow_other");
    assert_string_equal(options.kernel, "nosuid,nodev,allow_other");
    assert_true(options.allow_other_set);
    options_finish(&options);
}

static void of_words_about_dates_the_last_counts(void **state)
{
    (void)state;
    struct options options = parsed("noatime,nodiratime,atime");
    assert_null(options.kernel);
    assert_int_equal(options.undated, OWNVIEW_UNDATED_DIRS);
    assert_int_equal(options.dates_said, OWNVIEW_UNDATED_DIRS | OWNVIEW_UNDATED);
    options_finish(&options);
    assert_int_equal(options.undated, OWNVIEW_DATED);
}

static void what_has_no_effect_here_is_taken_with_and_without_a_value(void **state)
{
    (void)state;
    struct options options = parsed("xino=off,static_nlink,default_permissions,max_idle_threads=4");
    assert_null(options.kernel);
    options_finish(&options);
}

static void numbers_are_read_whole(void **state)
{
    (void)state;
    struct options options = parsed("timeout=0.5,threads=8,fsync=0,noacl,volatile");
    assert_true(options.timeout > 0.49 && options.timeout < 0.51);
    assert_int_equal(options.threads, 8);
    assert_true(options.no_sync && options.is_volatile);
    assert_int_equal(options.acl, CHOICE_OFF);
    options_finish(&options);
}

static void a_mount_needs_a_layer_and_a_mountpoint(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a");
    assert_int_equal(options_check(&options), -EINVAL);
    assert_int_equal(options_set_string(&options.mountpoint, "m"), 0);
    assert_int_equal(options_check(&options), 0);
    options_finish(&options);
    options = parsed("ro");
    assert_int_equal(options_set_string(&options.mountpoint, "m"), 0);
    assert_int_equal(options_check(&options), -EINVAL);
    options_finish(&options);
}

static void in_the_drop_in_form_an_upper_needs_a_work_directory(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a,upperdir=u");
    assert_int_equal(options_set_string(&options.mountpoint, "m"), 0);
    assert_int_equal(options_check(&options), 0);
    options.drop_in = true;
    assert_int_equal(options_check(&options), -EINVAL);
    options_finish(&options);
    options = parsed("lowerdir=/a,workdir=w");
    assert_int_equal(options_set_string(&options.mountpoint, "m"), 0);
    assert_int_equal(options_check(&options), -EINVAL);
    options_finish(&options);
}

static void owners_are_mapped_and_squashed_by_their_options(void **state)
{
    (void)state;
    struct options options = parsed("uidmapping=:0:1000:1:1:110000:65536,gidmapping=0:100:1");
    assert_int_equal(options.map.users.count, 2);
    assert_int_equal(options.map.groups.count, 1);
    assert_false(options.map.users.squashed);
    assert_int_equal(options_take(&options, "squash_to_root"), 0);
    assert_int_equal(options.map.users.squash_to, 0);
    assert_int_equal(options_take(&options, "squash_to_gid=5"), 0);
    assert_int_equal(options.map.groups.squash_to, 5);
    options_finish(&options);
    options = parsed("squash_to_uid=7,squash_to_root");
    assert_int_equal(options.map.users.squash_to, 7);
    assert_int_equal(options.map.groups.squash_to, 0);
    options_finish(&options);
    const char *const nonsense[] = {"uidmapping=0:1",     "gidmapping=x",
                                    "uidmapping",         "squash_to_uid=-1",
                                    "squash_to_gid=root", "squash_to_uid=4294967295",
                                    "squash_to_root=1"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_refused(nonsense[i]);
}

static void a_label_of_selinux_keeps_its_commas_on_the_way_to_the_kernel(void **state)
{
    (void)state;
    char *text = NULL;
    struct options options = parsed("context=\"system_u:object_r:container_file_t:s0:c1,c2\",ro");
    assert_string_equal(options.context, "system_u:object_r:container_file_t:s0:c1,c2");
    assert_true(options.read_only);
    assert_null(options.kernel);
    assert_int_equal(options_format_context(options.context, &text), 0);
    assert_string_equal(text, "context=\"system_u:object_r:container_file_t:s0:c1\\,c2\"");
    free(text);
    options_finish(&options);
    assert_refused("context=a\"b");
    assert_refused("context");
}

static void finished_options_are_empty(void **state)
{
    (void)state;
    struct options options = parsed("lowerdir=/a:/b,upperdir=u,nodev,timeout=3");
    options_finish(&options);
    assert_int_equal(options.lower_count, 0);
    assert_null(options.lowers);
    assert_null(options.upper);
    assert_null(options.kernel);
    assert_true(options.timeout < 0);
}

static void what_the_kernel_lists_is_taken_to_remount_alone(void **state)
{
    (void)state;
    const char *text = "ro,user_id=0,group_id=0,max_read=131072,relatime,remount";
    struct options options = parsed(text);
    assert_true(options.remount && options.read_only);
    assert_int_equal(options_set_string(&options.mountpoint, "/m"), 0);
    assert_int_equal(options_check(&options), 0);
    options.remount = false;
    assert_int_equal(options_check(&options), -EINVAL);
    options_finish(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layers_are_divided_by_colons_topmost_first),
        cmocka_unit_test(a_backslash_takes_the_next_character_as_it_is),
        cmocka_unit_test(a_value_between_quotes_may_hold_commas),
        cmocka_unit_test(a_quote_within_a_path_is_a_quote),
        cmocka_unit_test(an_equals_sign_in_a_value_belongs_to_it),
        cmocka_unit_test(an_unknown_option_is_refused),
        cmocka_unit_test(a_value_that_makes_no_sense_is_refused),
        cmocka_unit_test(features_are_on_off_or_left_alone),
        cmocka_unit_test(the_last_of_several_words_counts),
        cmocka_unit_test(several_texts_add_up),
        cmocka_unit_test(empty_words_are_passed_over),
        cmocka_unit_test(options_of_mount_are_handed_on_in_order),
        cmocka_unit_test(of_words_about_dates_the_last_counts),
        cmocka_unit_test(what_has_no_effect_here_is_taken_with_and_without_a_value),
        cmocka_unit_test(numbers_are_read_whole),
        cmocka_unit_test(a_mount_needs_a_layer_and_a_mountpoint),
        cmocka_unit_test(in_the_drop_in_form_an_upper_needs_a_work_directory),
        cmocka_unit_test(owners_are_mapped_and_squashed_by_their_options),
        cmocka_unit_test(a_label_of_selinux_keeps_its_commas_on_the_way_to_the_kernel),
        cmocka_unit_test(what_the_kernel_lists_is_taken_to_remount_alone),
        cmocka_unit_test(finished_options_are_empty),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
