/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "copytree.h"
#include "entries.h"
#include "fd.h"
#include "override.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static int try_copy(const char *from, const char *to, struct copytree *job)
{
    cleanup_fd int src = kit_open(from, O_RDONLY | O_DIRECTORY);
    cleanup_fd int dst = kit_open(to, O_RDONLY | O_DIRECTORY);
    job->from = src;
    job->to = dst;
    return copytree_copy(job);
}

static void copy(const char *from, const char *to)
{
    struct copytree job = {0};
    kit_dir(to);
    if (try_copy(from, to, &job) != 0)
        fail_msg("%s", job.words);
}

static int fail_difference(void *context, const struct entry_digest *a,
                           const struct entry_digest *b)
{
    (void)context;
    fail_msg("differs: %s", (a ? a : b)->path);
    return 0;
}

static void take(const char *path, struct entries *entries)
{
    cleanup_fd int tree = kit_open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(entries_take(tree, TREEKIND_LAYER, entries, NULL, NULL), 0);
}

/* Equal in content, types, owners, modes, times, attributes and links. */
static void assert_same(const char *one, const char *other)
{
    cleanup_entries struct entries a = {0}, b = {0};
    take(one, &a);
    take(other, &b);
    assert_int_equal(entries_compare(&a, &b, fail_difference, NULL), 0);
}

static void set_time(const char *path, time_t seconds, long nanoseconds)
{
    const struct timespec times[2] = {{seconds + 1, 5}, {seconds, nanoseconds}};
    assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void the_copy_is_the_same(void **state)
{
    (void)state;
    kit_tree("f src/a/file text, h src/a/again src/a/file, h src/b src/a/file, l src/link a/file,"
             "d src/empty, f src/a/b/c/d deep, f src/a.b, f src/zero");
    assert_int_equal(mknodat(kit_root(), "src/pipe", S_IFIFO | 0640, 0), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/a/file", 04751), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/empty", 01777), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/zero", 0400), 0);
    assert_int_equal(xattr_set(kit_root(), "src/a/b", "user.mine", "value", 5, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "src/zero", "user.mine", "", 0, 0), 0);
    set_time("src/zero", 600, 6);
    set_time("src/link", 100, 7);
    set_time("src/a/file", 200, 8);
    set_time("src/a/b", 300, 9);
    set_time("src/a", 400, 10);
    set_time("src", 500, 11);
    copy("src", "dst");
    assert_same("src", "dst");
    assert_int_equal(kit_stat("dst/b").st_ino, kit_stat("dst/a/again").st_ino);
    assert_int_equal(kit_stat("dst/b").st_nlink, 3);
    assert_int_equal(kit_stat("dst/zero").st_atim.tv_sec, 601);
    assert_int_equal(kit_stat("dst").st_mtim.tv_nsec, 11);
}

static void owners_devices_and_capabilities_are_kept(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    const unsigned char capability[20] = {1, 0, 0, 2, 0, 32};
    kit_tree("f src/file text, d src/dir, l src/link file");
    assert_int_equal(fchownat(kit_root(), "src/file", 12, 34, 0), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/file", 06755), 0);
    assert_int_equal(fchownat(kit_root(), "src/dir", 56, 78, 0), 0);
    assert_int_equal(fchownat(kit_root(), "src/link", 9, 10, AT_SYMLINK_NOFOLLOW), 0);
    assert_int_equal(
        xattr_set(kit_root(), "src/file", "security.capability", capability, sizeof(capability), 0),
        0);
    if (mknodat(kit_root(), "src/null", S_IFCHR | 0666, makedev(1, 3)) < 0)
        skip();
    copy("src", "dst");
    assert_same("src", "dst");
    assert_int_equal(kit_stat("dst/file").st_mode, S_IFREG | 06755);
    assert_int_equal(kit_stat("dst/null").st_rdev, makedev(1, 3));
    assert_int_equal(xattr_get(kit_root(), "dst/file", "security.capability", NULL, 0), 20);
}

static void whiteouts_and_opaque_marks_stay_as_they_are(void **state)
{
    (void)state;
    kit_tree("w src/gone, o src/dir, f src/dir/.wh.file, o src/x x, e src/x/attribute,"
             "f src/y/.wh..wh..opq, d src/fuse");
    assert_int_equal(xattr_set(kit_root(), "src/fuse", "user.fuseoverlayfs.opaque", "y", 1, 0), 0);
    copy("src", "dst");
    assert_same("src", "dst");
    assert_true(kit_is_whiteout("dst/gone"));
    assert_true(kit_exists("dst/dir/.wh.file"));
    assert_true(kit_exists("dst/y/.wh..wh..opq"));
    char value = 0;
    assert_int_equal(ovlattr_get(OVLWHERE_SEALED, kit_root(), "dst/x", OVLATTR_OPAQUE, &value, 1),
                     1);
    assert_int_equal(value, 'x');
}

static void books_of_the_mount_are_dropped(void **state)
{
    (void)state;
    kit_tree("d src/dir, f src/file text");
    kit_mark("src/dir", OVLATTR_ORIGIN, "x");
    kit_mark("src/dir", OVLATTR_IMPURE, "y");
    kit_mark("src/dir", OVLATTR_OPAQUE, "y");
    kit_mark("src/file", OVLATTR_INO, "1");
    assert_int_equal(xattr_set(kit_root(), "src/file", "user.overlay.overlay.mine", "1", 1, 0), 0);
    copy("src", "dst");
    assert_int_equal(kit_marks(OVLWHERE_SEALED, kit_root(), "dst/dir"), 1u << OVLATTR_OPAQUE);
    assert_int_equal(kit_marks(OVLWHERE_SEALED, kit_root(), "dst/file"), 0);
    assert_int_equal(xattr_get(kit_root(), "dst/file", "user.overlay.overlay.mine", NULL, 0), 1);
}

static void what_stands_on_another_layer_is_refused_by_name(void **state)
{
    (void)state;
    const char *const trees[] = {"d one/dir, r one/dir /other", "m one/x/file"};
    const char *const names[] = {"dir: ", "x/file: "};
    for (size_t i = 0; i < 2; i++) {
        struct copytree job = {0};
        kit_tree(trees[i]);
        kit_dir("dst");
        assert_int_equal(try_copy("one", "dst", &job), -EINVAL);
        assert_memory_equal(job.words, names[i], strlen(names[i]));
        assert_int_equal(unlinkat(kit_root(), i ? "one/x/file" : "one/dir", i ? 0 : AT_REMOVEDIR),
                         0);
    }
}

static void a_copy_into_itself_ends(void **state)
{
    (void)state;
    struct copytree job = {0};
    kit_tree("f src/a, d src/store/stage/tree");
    assert_int_equal(try_copy("src", "src/store/stage/tree", &job), -EINVAL);
    assert_non_null(strstr(job.words, "store/stage/tree"));
}

static void sockets_are_left_out_and_pipes_not_opened(void **state)
{
    (void)state;
    kit_dir("src");
    assert_int_equal(mknodat(kit_root(), "src/socket", S_IFSOCK | 0600, 0), 0);
    assert_int_equal(mknodat(kit_root(), "src/pipe", S_IFIFO | 0600, 0), 0);
    copy("src", "dst");
    assert_false(kit_exists("dst/socket"));
    assert_int_equal(kit_stat("dst/pipe").st_mode, S_IFIFO | 0600);
}

static void symlinks_are_copied_and_not_followed(void **state)
{
    (void)state;
    kit_tree("f secret/key text, l src/dir ../secret, l src/file ../secret/key, l src/none gone");
    copy("src", "dst");
    assert_true(S_ISLNK(kit_stat("dst/dir").st_mode));
    assert_true(S_ISLNK(kit_stat("dst/file").st_mode));
    assert_same("src", "dst");
}

/* The sizes of its symlinks are 0. */
static void a_filesystem_that_makes_up_its_files_can_be_copied(void **state)
{
    (void)state;
    struct copytree job = {0};
    cleanup_fd int from = open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (from < 0)
        skip();
    kit_dir("dst");
    cleanup_fd int to = kit_open("dst", O_RDONLY | O_DIRECTORY);
    job.from = from;
    job.to = to;
    if (copytree_copy(&job) != 0)
        fail_msg("%s", job.words);
    char target[64] = "";
    assert_true(readlinkat(to, "mnt", target, sizeof(target) - 1) > 0);
    assert_memory_equal(target, "mnt:[", 5);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    kit_file("src/sparse", "");
    cleanup_fd int fd = kit_open("src/sparse", O_WRONLY);
    assert_int_equal(pwrite(fd, "end", 3, 64 << 20), 3);
    copy("src", "dst");
    struct stat st = kit_stat("dst/sparse");
    assert_int_equal(st.st_size, (64 << 20) + 3);
    assert_true(st.st_blocks < 4096);
}

static void note(void *context, uint64_t bytes)
{
    *(uint64_t *)context = bytes;
}

static void what_was_copied_is_told(void **state)
{
    (void)state;
    uint64_t seen = 0;
    struct copytree job = {.seen = note, .context = &seen};
    kit_tree("f src/a four, f src/b four, h src/c src/a, d dst");
    assert_int_equal(try_copy("src", "dst", &job), 0);
    assert_int_equal(seen, 8);
}

/* ---- an ordinary user ---- */

static void copy_of_user(const char *from, const char *to)
{
    struct copytree job = {0};
    kit_dir(to);
    assert_int_equal(fchownat(kit_root(), to, 1000, 1000, 0), 0);
    assert_int_equal(fchmod(kit_root(), 0755), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (setresgid(1000, 1000, 1000) < 0 || setresuid(1000, 1000, 1000) < 0)
            _exit(2);
        int err = try_copy(from, to, &job);
        if (err)
            fprintf(stderr, "%s\n", job.words);
        _exit(err ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void what_an_ordinary_user_may_not_give_is_recorded(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    kit_tree(
        "f src/file text, d src/dir, f src/mine text, w src/gone, l src/link file, f src/shut");
    if (mknodat(kit_root(), "src/null", S_IFCHR | 0666, makedev(1, 3)) < 0)
        skip();
    assert_int_equal(fd_chmod(kit_root(), "src/file", 06755), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/mine", 0444), 0);
    assert_int_equal(fd_chmod(kit_root(), "src/shut", 0), 0); /* nothing in it has to be read */
    assert_int_equal(fchownat(kit_root(), "src/mine", 1000, 1000, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "src/mine", "user.mine", "1", 1, 0), 0);
    copy_of_user("src", "dst");
    /* As it is read it is the same, but for the owner of a symlink, which has no place. */
    assert_int_equal(fchownat(kit_root(), "dst/link", 0, 0, AT_SYMLINK_NOFOLLOW), 0);
    assert_same("src", "dst");
    struct stat st = kit_stat("dst/file");
    assert_int_equal(st.st_uid, 1000);
    assert_int_equal(st.st_mode, S_IFREG | 0755); /* and not setuid to the one who copied it */
    assert_int_equal(kit_stat("dst/null").st_mode & S_IFMT, S_IFREG);
    assert_true(xattr_get(kit_root(), "dst/null", OVERRIDE_ATTR, NULL, 0) > 0);
    assert_int_equal(xattr_get(kit_root(), "dst/mine", OVERRIDE_ATTR, NULL, 0), -ENODATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_copy_is_the_same),
        kit_test(owners_devices_and_capabilities_are_kept),
        kit_test(whiteouts_and_opaque_marks_stay_as_they_are),
        kit_test(books_of_the_mount_are_dropped),
        kit_test(what_stands_on_another_layer_is_refused_by_name),
        kit_test(a_copy_into_itself_ends),
        kit_test(sockets_are_left_out_and_pipes_not_opened),
        kit_test(symlinks_are_copied_and_not_followed),
        kit_test(a_filesystem_that_makes_up_its_files_can_be_copied),
        kit_test(holes_stay_holes),
        kit_test(what_was_copied_is_told),
        kit_test(what_an_ordinary_user_may_not_give_is_recorded),
    };
    return kit_run("copytree", tests, sizeof(tests) / sizeof(tests[0]));
}
