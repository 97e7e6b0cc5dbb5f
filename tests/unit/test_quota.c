/* SPDX-License-Identifier: MIT */
#include "quota.h"

#include "kit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>

enum { PAGE = 4096 };

static struct quota *open_quota(uint64_t limit, const char *usage)
{
    struct quota *quota = NULL;
    static int root = -1;
    own_close(&root);
    root = kit_open("tree", O_RDONLY | O_DIRECTORY);
    cleanup_free char *path = usage ? kit_path(usage) : NULL;
    assert_int_equal(quota_open(root, limit, path, &quota), 0);
    return quota;
}

static void make_file(const char *path, off_t size)
{
    kit_file(path, "");
    cleanup_fd int fd = kit_open(path, O_RDWR);
    assert_int_equal(ftruncate(fd, size), 0);
}

static void content_counts_in_whole_pages_and_hard_links_once(void **state)
{
    (void)state;
    kit_tree("d tree/dir");
    make_file("tree/small", 1);
    make_file("tree/dir/hole", 3 * PAGE);
    kit_link("tree/dir/again", "tree/small");
    struct quota *quota = open_quota(100 * PAGE, NULL);
    assert_int_equal(quota_used(quota), 4 * PAGE);
    assert_int_equal(quota_limit(quota), 100 * PAGE);
    quota_close(quota);
}

static void what_does_not_fit_is_refused_and_the_room_is_told(void **state)
{
    (void)state;
    uint64_t room = 0;
    kit_tree("d tree");
    make_file("tree/f", 6 * PAGE);
    struct quota *quota = open_quota(8 * PAGE, NULL);
    assert_int_equal(quota_take(quota, 3 * PAGE, &room), -ENOSPC);
    assert_int_equal(room, 2 * PAGE);
    assert_int_equal(quota_take(quota, 2 * PAGE, &room), 0);
    assert_int_equal(quota_take(quota, 1, &room), -ENOSPC);
    quota_give(quota, 2 * PAGE);
    assert_int_equal(quota_used(quota), 6 * PAGE);
    quota_close(quota);
}

static void what_the_host_removed_is_found_before_anybody_is_refused(void **state)
{
    (void)state;
    uint64_t room = 0;
    kit_tree("d tree");
    make_file("tree/f", 8 * PAGE);
    struct quota *quota = open_quota(8 * PAGE, NULL);
    assert_int_equal(unlinkat(kit_root(), "tree/f", 0), 0);
    assert_int_equal(quota_take(quota, 8 * PAGE, &room), 0);
    quota_close(quota);
}

static void a_file_without_a_name_counts_as_long_as_it_is_held(void **state)
{
    (void)state;
    uint64_t room = 0;
    kit_tree("d tree");
    make_file("tree/f", 8 * PAGE);
    struct quota *quota = open_quota(8 * PAGE, NULL);
    assert_int_equal(unlinkat(kit_root(), "tree/f", 0), 0);
    quota_hold(quota, 8 * PAGE);
    assert_int_equal(quota_take(quota, PAGE, &room), -ENOSPC);
    quota_hold(quota, -8 * PAGE);
    quota_give(quota, 8 * PAGE);
    assert_int_equal(quota_take(quota, 8 * PAGE, &room), 0);
    quota_close(quota);
}

static void two_share_a_counter(void **state)
{
    (void)state;
    uint64_t room = 0;
    kit_tree("d tree");
    struct quota *one = open_quota(8 * PAGE, "usage"), *other = open_quota(8 * PAGE, "usage");
    assert_int_equal(quota_take(one, 5 * PAGE, &room), 0);
    assert_int_equal(quota_used(other), 5 * PAGE);
    make_file("tree/f", 5 * PAGE);
    assert_int_equal(quota_take(other, 4 * PAGE, &room), -ENOSPC);
    assert_int_equal(room, 3 * PAGE);
    quota_close(one);
    quota_close(other);
}

static void what_a_crash_left_in_the_counter_is_counted_anew(void **state)
{
    (void)state;
    kit_tree("d tree");
    make_file("tree/f", PAGE);
    pid_t child = fork();
    if (child == 0) {
        uint64_t room = 0;
        struct quota *quota = open_quota(8 * PAGE, "usage");
        quota_hold(quota, 3 * PAGE);
        _exit(quota_take(quota, 5 * PAGE, &room) != 0);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    struct quota *quota = open_quota(8 * PAGE, "usage");
    assert_int_equal(quota_used(quota), PAGE);
    quota_close(quota);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(content_counts_in_whole_pages_and_hard_links_once),
        kit_test(what_does_not_fit_is_refused_and_the_room_is_told),
        kit_test(what_the_host_removed_is_found_before_anybody_is_refused),
        kit_test(a_file_without_a_name_counts_as_long_as_it_is_held),
        kit_test(two_share_a_counter),
        kit_test(what_a_crash_left_in_the_counter_is_counted_anew),
    };
    return kit_run("quota", tests, sizeof(tests) / sizeof(tests[0]));
}
