/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "upper.h"

#include <fcntl.h>
#include <string.h>

/* An upper "u" over a layer "1", in either form of whiteouts. */
static void open_form(struct kit_union *all, enum whiteform form)
{
    kit_dir("u/d");
    kit_union_open_upper(all, "u:1", (struct features){.sync = true});
    assert_int_equal(all->stack.able.space, OVLSPACE_USER);
    all->stack.able.whiteform = form;
}

static int dir_of(const struct kit_union *all)
{
    return all->stack.layers[0].root;
}

static void opening_finds_out_what_the_filesystem_can_do(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    assert_true(all.stack.stage >= 0);
    assert_int_equal(all.stack.index, -1);
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void opening_sweeps_what_a_killed_daemon_left(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("f work/work/#1 text, d work/work/#2/deep/er, w work/work/#3, f work/work/#2/deep/x");
    kit_tree("d work/work/#4/closed");
    assert_int_equal(fchmodat(kit_root(), "work/work/#4/closed", 0, 0), 0);
    assert_int_equal(fchmodat(kit_root(), "work/work/#4", 0500, 0), 0);
    open_form(&all, WHITEFORM_DEVICE);
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static unsigned mode_of(const char *path)
{
    return kit_stat(path).st_mode & 07777;
}

static void the_stage_and_the_index_are_closed_to_others(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("d u, d 1");
    kit_union_open_upper(&all, "u:1", (struct features){.index = true});
    assert_int_equal(mode_of("work/work"), 0700);
    if (all.stack.index >= 0)
        assert_int_equal(mode_of("work/index"), 0700);
    kit_union_close(&all);
}

/* A directory of mode 0, as the kernel makes it, is for root to open; it is left as it is. */
static void a_stage_that_was_open_to_others_is_closed_and_a_closed_one_is_left(void **state)
{
    (void)state;
    static const struct {
        mode_t before, after;
    } MODES[] = {{0755, 0700}, {0777, 0700}, {0700, 0700}, {0, 0}};
    struct kit_union all;
    kit_tree("d u, d 1, d work/work, d work/index");
    for (unsigned i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++) {
        if (MODES[i].before == 0 && geteuid() != 0)
            continue;
        assert_int_equal(fchmodat(kit_root(), "work/work", MODES[i].before, 0), 0);
        assert_int_equal(fchmodat(kit_root(), "work/index", MODES[i].before, 0), 0);
        kit_union_open_upper(&all, "u:1", (struct features){.index = true});
        assert_int_equal(mode_of("work/work"), MODES[i].after);
        if (all.stack.index >= 0)
            assert_int_equal(mode_of("work/index"), MODES[i].after);
        kit_union_close(&all);
    }
}

static void a_second_mount_of_the_same_upper_is_refused(void **state)
{
    (void)state;
    struct kit_union all, second;
    enum upper_fault fault;
    int locks[2] = {-1, -1};
    open_form(&all, WHITEFORM_DEVICE);
    kit_dir("work2");
    cleanup_free char *other = kit_path("work2");
    kit_union_open(&second, "u:1", true);
    assert_int_equal(upper_open(&second.stack, other, true, locks, &fault), -EWOULDBLOCK);
    assert_int_equal(fault, UPPER_FAULT_UPPER_BUSY);
    kit_union_close(&second);
    kit_union_close(&all);
}

static void a_work_directory_in_use_is_refused(void **state)
{
    (void)state;
    struct kit_union all, second;
    enum upper_fault fault;
    open_form(&all, WHITEFORM_DEVICE);
    cleanup_free char *work = kit_path("work");
    kit_union_open(&second, "u2:1", true);
    assert_int_equal(upper_open(&second.stack, work, true, second.locks, &fault), -EWOULDBLOCK);
    assert_int_equal(fault, UPPER_FAULT_WORK_BUSY);
    kit_union_close(&second);
    kit_union_close(&all);
}

static void a_missing_work_directory_is_refused(void **state)
{
    (void)state;
    struct kit_union all;
    enum upper_fault fault;
    kit_union_open(&all, "u:1", true);
    cleanup_free char *work = kit_path("nothing");
    assert_int_equal(upper_open(&all.stack, work, true, all.locks, &fault), -ENOENT);
    assert_int_equal(fault, UPPER_FAULT_WORK);
    kit_union_close(&all);
}

static void the_mark_of_a_volatile_mount_is_refused_and_kept(void **state)
{
    (void)state;
    struct kit_union all;
    enum upper_fault fault;
    open_form(&all, WHITEFORM_DEVICE);
    assert_int_equal(upper_mark_volatile(&all.stack), 0);
    kit_union_close(&all);
    cleanup_free char *work = kit_path("work");
    kit_union_open(&all, "u:1", true);
    assert_int_equal(upper_open(&all.stack, work, true, all.locks, &fault), -EINVAL);
    assert_int_equal(fault, UPPER_FAULT_INCOMPATIBLE);
    kit_union_close(&all);
    assert_true(kit_exists("work/work/incompat/volatile"));
}

static void a_name_of_the_stage_is_never_used_twice(void **state)
{
    (void)state;
    char one[UPPER_TEMP_MAX], two[UPPER_TEMP_MAX];
    upper_temp_name(one);
    upper_temp_name(two);
    assert_string_not_equal(one, two);
}

static void a_whiteout_is_looked_at_as_one_in_either_form(void **state)
{
    (void)state;
    struct kit_union all;
    struct stat st;
    open_form(&all, WHITEFORM_DEVICE);
    for (int form = WHITEFORM_DEVICE; form <= WHITEFORM_FILE; form++) {
        all.stack.able.whiteform = (enum whiteform)form;
        assert_int_equal(upper_look(&all.stack, dir_of(&all), "x", &st), UPPER_NOTHING);
        assert_int_equal(upper_whiteout(&all.stack, dir_of(&all), "x"), 0);
        assert_int_equal(upper_look(&all.stack, dir_of(&all), "x", &st), UPPER_WHITEOUT);
        assert_int_equal(kit_exists(form == WHITEFORM_DEVICE ? "u/x" : "u/.wh.x"), 1);
        assert_int_equal(upper_uncover(&all.stack, dir_of(&all), "x"), 0);
        assert_int_equal(upper_uncover(&all.stack, dir_of(&all), "x"), 0);
        assert_int_equal(upper_look(&all.stack, dir_of(&all), "x", &st), UPPER_NOTHING);
        assert_int_equal(upper_look(&all.stack, dir_of(&all), "d", &st), UPPER_OBJECT);
    }
    kit_union_close(&all);
}

static void uncover_leaves_an_object_alone(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    kit_file("u/f", "text");
    assert_int_equal(upper_uncover(&all.stack, dir_of(&all), "f"), 0);
    kit_assert_text("u/f", "text");
    kit_union_close(&all);
}

static void a_covered_file_becomes_a_whiteout(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    kit_file("u/f", "text");
    assert_int_equal(upper_cover(&all.stack, dir_of(&all), "f", false), 0);
    assert_true(kit_is_whiteout("u/f"));
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void a_covered_directory_becomes_a_whiteout_and_leaves_nothing(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    kit_tree("w u/d/x, w u/d/y");
    assert_int_equal(upper_cover(&all.stack, dir_of(&all), "d", true), 0);
    assert_true(kit_is_whiteout("u/d"));
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void covering_by_a_file_marks_first_and_removes_then(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_FILE);
    kit_tree("f u/f text, f u/d/.wh.x, f u/d/.wh..wh..opq");
    assert_int_equal(upper_cover(&all.stack, dir_of(&all), "f", false), 0);
    assert_int_equal(upper_cover(&all.stack, dir_of(&all), "d", true), 0);
    assert_true(kit_exists("u/.wh.f") && !kit_exists("u/f"));
    assert_true(kit_exists("u/.wh.d") && !kit_exists("u/d"));
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void covering_nothing_is_an_error_only_of_the_removal(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    assert_int_equal(upper_cover(&all.stack, dir_of(&all), "nothing", true), -ENOENT);
    assert_false(kit_exists("u/nothing"));
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void a_directory_of_whiteouts_is_removed_whole(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    kit_tree("w u/d/x, w u/d/y, f u/f");
    assert_int_equal(upper_remove(&all.stack, dir_of(&all), "d", true), 0);
    assert_int_equal(upper_remove(&all.stack, dir_of(&all), "f", false), 0);
    assert_int_equal(upper_remove(&all.stack, dir_of(&all), "f", false), -ENOENT);
    assert_int_equal(kit_entries("u"), 0);
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&all);
}

static void an_opaque_mark_is_an_attribute_or_a_file(void **state)
{
    (void)state;
    struct kit_union all;
    char value = 0;
    open_form(&all, WHITEFORM_DEVICE);
    assert_int_equal(upper_set_opaque(&all.stack, dir_of(&all), "d"), 0);
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, dir_of(&all), "d", OVLATTR_OPAQUE, &value, 1),
                     1);
    assert_int_equal(value, 'y');
    all.stack.able.space = OVLSPACE_NONE;
    assert_int_equal(upper_set_opaque(&all.stack, dir_of(&all), "d"), 0);
    assert_int_equal(upper_set_opaque(&all.stack, dir_of(&all), "d"), 0);
    assert_true(kit_exists("u/d/.wh..wh..opq"));
    kit_union_close(&all);
}

static void a_name_too_long_for_a_dot_wh_file_is_refused(void **state)
{
    (void)state;
    struct kit_union all;
    struct stat st;
    char name[256];
    memset(name, 'x', 255);
    name[255] = 0;
    open_form(&all, WHITEFORM_FILE);
    assert_int_equal(upper_whiteout(&all.stack, dir_of(&all), name), -ENAMETOOLONG);
    assert_int_equal(upper_look(&all.stack, dir_of(&all), name, &st), UPPER_NOTHING);
    assert_int_equal(upper_uncover(&all.stack, dir_of(&all), name), 0);
    name[251] = 0;
    assert_int_equal(upper_whiteout(&all.stack, dir_of(&all), name), 0);
    assert_int_equal(upper_look(&all.stack, dir_of(&all), name, &st), UPPER_WHITEOUT);
    kit_union_close(&all);
}

static void discarding_removes_a_whole_tree_of_the_stage(void **state)
{
    (void)state;
    struct kit_union all;
    open_form(&all, WHITEFORM_DEVICE);
    kit_tree("f work/work/t/a/b/c text, l work/work/t/l /, w work/work/t/w, d u/keep");
    upper_discard(&all.stack, "t");
    upper_discard(&all.stack, "never there");
    assert_int_equal(kit_entries("work/work"), 0);
    assert_true(kit_exists("u/keep"));
    kit_union_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(opening_finds_out_what_the_filesystem_can_do),
        kit_test(opening_sweeps_what_a_killed_daemon_left),
        kit_test(the_stage_and_the_index_are_closed_to_others),
        kit_test(a_stage_that_was_open_to_others_is_closed_and_a_closed_one_is_left),
        kit_test(a_second_mount_of_the_same_upper_is_refused),
        kit_test(a_work_directory_in_use_is_refused),
        kit_test(a_missing_work_directory_is_refused),
        kit_test(the_mark_of_a_volatile_mount_is_refused_and_kept),
        kit_test(a_name_of_the_stage_is_never_used_twice),
        kit_test(a_whiteout_is_looked_at_as_one_in_either_form),
        kit_test(uncover_leaves_an_object_alone),
        kit_test(a_covered_file_becomes_a_whiteout),
        kit_test(a_covered_directory_becomes_a_whiteout_and_leaves_nothing),
        kit_test(covering_by_a_file_marks_first_and_removes_then),
        kit_test(covering_nothing_is_an_error_only_of_the_removal),
        kit_test(a_directory_of_whiteouts_is_removed_whole),
        kit_test(an_opaque_mark_is_an_attribute_or_a_file),
        kit_test(a_name_too_long_for_a_dot_wh_file_is_refused),
        kit_test(discarding_removes_a_whole_tree_of_the_stage),
    };
    return kit_run("upper", tests, sizeof(tests) / sizeof(tests[0]));
}
