/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "ownview.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { MOST = 4 };

/* Opens the directories, and a view of each where we may make one; else the test is skipped. */
static void open_all(const char *const *paths, unsigned count, int *dirs, int *views)
{
    char *real[MOST] = {NULL};
    for (unsigned i = 0; i < count; i++) {
        dirs[i] = kit_open(paths[i], O_RDONLY | O_DIRECTORY);
        real[i] = fd_real_path(dirs[i]);
        assert_non_null(real[i]);
    }
    ownview_open(dirs, real, count, OWNVIEW_UNDATED, views);
    for (unsigned i = 0; i < count; i++)
        free(real[i]);
    for (unsigned i = 0; i < count && views[0] < 0; i++)
        assert_int_equal(views[i], -1);
    if (views[0] < 0)
        skip();
}

static void assert_views_of(const char *const *paths, unsigned count)
{
    int dirs[MOST], views[MOST];
    struct stat dir, view;
    struct statvfs fs;
    open_all(paths, count, dirs, views);
    for (unsigned i = 0; i < count; i++) {
        assert_true(views[i] >= 0);
        assert_int_equal(fd_stat(dirs[i], "", &dir), 0);
        assert_int_equal(fd_stat(views[i], "", &view), 0);
        assert_int_equal(dir.st_ino, view.st_ino);
        assert_int_equal(fstatvfs(views[i], &fs), 0);
        assert_true(fs.f_flag & ST_NOATIME);
        close(dirs[i]);
        close(views[i]);
    }
}

static void a_view_is_of_the_very_directory(void **state)
{
    (void)state;
    kit_dir("a/b");
    kit_dir("a/bc");
    kit_dir("a/b/c");
    assert_views_of((const char *const[]){"a/b"}, 1);
    assert_views_of((const char *const[]){"a/b", "a/bc"}, 2);
    assert_views_of((const char *const[]){"a/b", "a"}, 2);
    assert_views_of((const char *const[]){"a", "a/bc", "a", "a/b/c"}, 4);
}

static void names_are_moved_between_views_of_one_mount(void **state)
{
    (void)state;
    int dirs[2], views[2];
    kit_dir("one");
    kit_file("two/file", "text");
    open_all((const char *const[]){"one", "two"}, 2, dirs, views);
    assert_int_equal(renameat(views[1], "file", views[0], "moved"), 0);
    for (unsigned i = 0; i < 2; i++) {
        close(dirs[i]);
        close(views[i]);
    }
}

static void what_has_no_path_has_no_view(void **state)
{
    (void)state;
    kit_dir("a");
    char *real[] = {NULL};
    int dirs[] = {kit_open("a", O_RDONLY | O_DIRECTORY)}, views[] = {0};
    ownview_open(dirs, real, 1, OWNVIEW_UNDATED, views);
    assert_int_equal(views[0], -1);
    close(dirs[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_view_is_of_the_very_directory),
        kit_test(names_are_moved_between_views_of_one_mount),
        kit_test(what_has_no_path_has_no_view),
    };
    return kit_run("ownview", tests, sizeof(tests) / sizeof(tests[0]));
}
