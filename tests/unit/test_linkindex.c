/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "linkindex.h"
#include "resolve.h"

#include <fcntl.h>
#include <stdio.h>

static void assert_nlink(const char *value, unsigned long expected)
{
    const struct stack stack = {.able.space = OVLSPACE_USER};
    kit_mark("f", OVLATTR_NLINK, value);
    assert_int_equal(linkindex_shown(&stack, kit_root(), "f", 3, 5, 42), expected);
}

static void the_link_count_is_relative_to_the_upper_or_the_lower_inode(void **state)
{
    (void)state;
    kit_file("f", "");
    assert_nlink("U+1", 4);
    assert_nlink("U-1", 2);
    assert_nlink("U+0", 3);
    assert_nlink("L-2", 3);
    assert_nlink("L+10", 15);
}

static void an_absurd_link_count_is_not_believed(void **state)
{
    (void)state;
    const struct stack stack = {.able.space = OVLSPACE_USER};
    kit_file("f", "");
    static const char *const ABSURD[] = {"U-3", "U-100", "L-9", "X+1", "U", "", "U+99999999999999"};
    for (size_t i = 0; i < sizeof(ABSURD) / sizeof(ABSURD[0]); i++)
        assert_nlink(ABSURD[i], 42);
    assert_int_equal(ovlattr_remove(OVLSPACE_USER, kit_root(), "f", OVLATTR_NLINK), 0);
    assert_int_equal(linkindex_shown(&stack, kit_root(), "f", 3, 5, 42), 42);
}

/* The index needs file handles and a filesystem that tells its uuid (Linux 6.9). */
static bool open_indexed(struct kit_union *all)
{
    kit_union_open_upper(all, "u:1", (struct features){.index = true});
    return all->stack.index >= 0;
}

static void opening_sweeps_inodes_of_which_no_name_is_left(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("d u, f 1/a text, f work/index/gone g, f work/index/shown s, f work/index/fresh f");
    kit_tree("f u/named n, h work/index/named u/named");
    kit_mark("work/index/gone", OVLATTR_NLINK, "U-1");
    kit_mark("work/index/shown", OVLATTR_NLINK, "U+1");
    kit_mark("work/index/fresh", OVLATTR_NLINK, "L+0");
    kit_mark("work/index/named", OVLATTR_NLINK, "U-1");
    if (open_indexed(&all)) {
        assert_false(kit_exists("work/index/gone"));
        assert_true(kit_exists("work/index/shown"));
        assert_true(kit_exists("work/index/fresh"));
        assert_true(kit_exists("work/index/named"));
    }
    kit_union_close(&all);
}

static void a_name_that_is_linked_leaves_the_count_as_it_was(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("d u, f 1/a text, h 1/b 1/a, h 1/c 1/a, f work/index/hex text");
    kit_mark("work/index/hex", OVLATTR_NLINK, "L+0");
    if (open_indexed(&all)) {
        int root = all.stack.layers[0].root, index = all.stack.index;
        assert_int_equal(linkindex_link_first(&all.stack, "hex", root, "a", 3), 0);
        assert_int_equal(linkindex_shown(&all.stack, index, "hex", 2, 0, 42), 3);
        assert_int_equal(linkindex_link(&all.stack, "hex", root, "b", 3), 0);
        assert_int_equal(linkindex_shown(&all.stack, index, "hex", 3, 0, 42), 3);
        assert_int_equal(kit_stat("u/b").st_ino, kit_stat("work/index/hex").st_ino);
        assert_int_equal(linkindex_write(&all.stack, "hex", 5), 0);
        assert_int_equal(linkindex_shown(&all.stack, index, "hex", 3, 0, 42), 5);
    }
    kit_union_close(&all);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        kit_test(the_link_count_is_relative_to_the_upper_or_the_lower_inode),
        kit_test(an_absurd_link_count_is_not_believed),
        kit_test(opening_sweeps_inodes_of_which_no_name_is_left),
        kit_test(a_name_that_is_linked_leaves_the_count_as_it_was),
    };
    return kit_run("linkindex", tests, sizeof(tests) / sizeof(tests[0]));
}
