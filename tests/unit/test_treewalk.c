/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "treewalk.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct treewalk *open_walk(const char *path)
{
    int err;
    cleanup_fd int tree = kit_open(path, O_PATH | O_DIRECTORY);
    struct treewalk *walk = treewalk_open(tree, &err);
    assert_non_null(walk);
    return walk;
}

/* The paths of a walk, divided by blanks; "<" is the leaving of a directory. */
static void assert_walk(const char *path, const char *expected)
{
    char text[4096] = "";
    struct walk_step step;
    int more;
    cleanup_treewalk struct treewalk *walk = open_walk(path);
    while ((more = treewalk_next(walk, &step)) == 1) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s%s", used ? " " : "",
                 step.leaving ? "<" : "", step.path);
        assert_string_equal(step.leaf,
                            strrchr(step.path, '/') ? strrchr(step.path, '/') + 1 : step.path);
        struct stat st;
        assert_int_equal(fd_stat(step.dir, step.name, &st), 0);
        assert_int_equal(st.st_ino, step.st.st_ino);
        assert_int_equal(S_ISDIR(st.st_mode), *step.name == 0);
    }
    assert_int_equal(more, 0);
    assert_int_equal(treewalk_next(walk, &step), 0);
    assert_string_equal(text, expected);
}

static void an_empty_directory_is_entered_and_left(void **state)
{
    (void)state;
    kit_tree("d top");
    assert_walk("top", ". <.");
}

static void names_come_in_the_order_of_their_bytes_parents_first(void **state)
{
    (void)state;
    kit_tree("d top/b, f top/b/z, f top/b/a, f top/b.c, f top/A, f top/\xff, l top/link b,"
             "d top/empty");
    assert_walk("top", ". A b b/a b/z <b b.c empty <empty link \xff <.");
}

static void a_whiteout_file_comes_where_its_name_would(void **state)
{
    (void)state;
    kit_tree("f top/a, f top/.wh.b, f top/c, f top/.wh.c, f top/.wh..wh..opq, f top/.wh.");
    assert_walk("top", ". .wh. .wh..wh..opq a .wh.b .wh.c c <.");
}

static void a_skipped_directory_is_left_at_once(void **state)
{
    (void)state;
    struct walk_step step;
    kit_tree("f top/dir/one, f top/dir/two, f top/last");
    cleanup_treewalk struct treewalk *walk = open_walk("top");
    assert_int_equal(treewalk_next(walk, &step), 1);
    assert_int_equal(treewalk_next(walk, &step), 1);
    assert_string_equal(step.path, "dir");
    treewalk_skip(walk);
    assert_int_equal(treewalk_next(walk, &step), 1);
    assert_string_equal(step.path, "dir");
    assert_true(step.leaving);
    assert_int_equal(treewalk_next(walk, &step), 1);
    assert_string_equal(step.path, "last");
}

static void siblings_and_content_can_be_asked_for(void **state)
{
    (void)state;
    struct walk_step step;
    kit_tree("f top/dir/in, f top/file");
    cleanup_treewalk struct treewalk *walk = open_walk("top");
    assert_int_equal(treewalk_next(walk, &step), 1); /* . */
    assert_true(treewalk_within(walk, "dir"));
    assert_false(treewalk_within(walk, "in"));
    assert_false(treewalk_beside(walk, "dir"));
    assert_int_equal(treewalk_next(walk, &step), 1); /* dir */
    assert_true(treewalk_within(walk, "in"));
    assert_true(treewalk_beside(walk, "file"));
    assert_false(treewalk_beside(walk, "in"));
    assert_int_equal(treewalk_next(walk, &step), 1); /* dir/in */
    assert_false(treewalk_within(walk, "in"));
    assert_true(treewalk_beside(walk, "in"));
    assert_false(treewalk_beside(walk, "file"));
    assert_int_equal(treewalk_next(walk, &step), 1); /* dir, left */
    assert_true(treewalk_beside(walk, "file"));
    assert_int_equal(treewalk_next(walk, &step), 1); /* file */
    assert_true(treewalk_beside(walk, "dir"));
}

enum { DEEP = 3000 };

/* Directories "d" in one another, each with a file "e" that comes after the directory. */
static void make_deep(void)
{
    kit_dir("deep");
    cleanup_fd int at = kit_open("deep", O_RDONLY | O_DIRECTORY);
    for (unsigned i = 0; i < DEEP; i++) {
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        assert_int_equal(mknodat(at, "e", S_IFREG | 0644, 0), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        own_close(&at);
        at = next;
    }
}

/* What lies so deep has a path that the kit cannot remove: the tree is shortened from its top. */
static void remove_deep(void)
{
    int dir = kit_root();
    for (unsigned i = 0; i < DEEP; i++) {
        assert_int_equal(unlinkat(dir, "deep/e", 0), 0);
        assert_int_equal(renameat(dir, "deep/d", dir, "aside"), 0);
        assert_int_equal(unlinkat(dir, "deep", AT_REMOVEDIR), 0);
        assert_int_equal(renameat(dir, "aside", dir, "deep"), 0);
    }
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count;
}

static void a_deep_tree_costs_few_descriptors(void **state)
{
    (void)state;
    struct walk_step step;
    unsigned entered = 0, left = 0, files = 0, most = 0, before = open_descriptors();
    make_deep();
    {
        cleanup_treewalk struct treewalk *walk = open_walk("deep");
        int more;
        while ((more = treewalk_next(walk, &step)) == 1) {
            struct stat st;
            assert_int_equal(fd_stat(step.dir, step.name, &st), 0);
            assert_int_equal(st.st_ino, step.st.st_ino);
            *(S_ISREG(step.st.st_mode) ? &files : step.leaving ? &left : &entered) += 1;
            if (entered % 500 == 0) {
                unsigned now = open_descriptors();
                most = now > most ? now : most;
            }
        }
        assert_int_equal(more, 0);
    }
    assert_int_equal(entered, DEEP + 1);
    assert_int_equal(left, DEEP + 1);
    assert_int_equal(files, DEEP);
    assert_true(most > before && most < before + 64);
    assert_int_equal(open_descriptors(), before);
    remove_deep();
}

static void a_directory_moved_during_the_walk_leads_nowhere_else(void **state)
{
    (void)state;
    struct walk_step step = {0};
    char path[512] = "top";
    for (unsigned i = 0; i < 60; i++)
        strcat(path, "/d");
    kit_dir(path);
    kit_tree("f elsewhere/secret, f top/d/d/z");
    cleanup_treewalk struct treewalk *walk = open_walk("top");
    while (!step.leaving)
        assert_int_equal(treewalk_next(walk, &step), 1);
    /* The walk is at the bottom; the upper levels are closed. */
    assert_int_equal(renameat(kit_root(), "top/d/d/d", kit_root(), "elsewhere/d"), 0);
    int more;
    while ((more = treewalk_next(walk, &step)) == 1)
        assert_null(strstr(step.path, "secret"));
    assert_int_equal(more, -ESTALE);
}

static void what_cannot_be_entered_is_named(void **state)
{
    (void)state;
    struct walk_step step;
    int err;
    kit_tree("f top/a/file, f top/b");
    cleanup_fd int file = kit_open("top/b", O_PATH);
    assert_null(treewalk_open(file, &err));
    assert_int_equal(err, -ENOTDIR);
    cleanup_treewalk struct treewalk *walk = open_walk("top");
    assert_int_equal(treewalk_next(walk, &step), 1);
    assert_int_equal(unlinkat(kit_root(), "top/a/file", 0), 0);
    assert_int_equal(unlinkat(kit_root(), "top/a", AT_REMOVEDIR), 0);
    assert_int_equal(treewalk_next(walk, &step), -ENOENT);
    assert_string_equal(treewalk_path(walk), "a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_empty_directory_is_entered_and_left),
        kit_test(names_come_in_the_order_of_their_bytes_parents_first),
        kit_test(a_whiteout_file_comes_where_its_name_would),
        kit_test(a_skipped_directory_is_left_at_once),
        kit_test(siblings_and_content_can_be_asked_for),
        kit_test(a_deep_tree_costs_few_descriptors),
        kit_test(a_directory_moved_during_the_walk_leads_nowhere_else),
        kit_test(what_cannot_be_entered_is_named),
    };
    return kit_run("treewalk", tests, sizeof(tests) / sizeof(tests[0]));
}
