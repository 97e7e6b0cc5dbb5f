/* SPDX-License-Identifier: MIT
 *
 * Archives become trees, hostile ones do not. Each test has "tree" and "books" beside what must
 * stay as it is; run as root it shows what root does, else what any user does.
 */
#include "tarkit.h"

#include "fd.h"
#include "kit.h"
#include "override.h"
#include "skeleton.h"
#include "unpack.h"
#include "xattr.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

/* ---- unpacking ---- */

static struct unpack job;
static struct tar_sums sums;

static void begin(void)
{
    kit_dir("tree");
    kit_dir("books");
    kit_file("outside/secret", "secret");
    job = (struct unpack){.tree = kit_open("tree", O_RDONLY | O_DIRECTORY),
                          .books = kit_open("books", O_RDONLY | O_DIRECTORY)};
}

/* What lies beside the tree is as it was. */
static void end(void)
{
    own_close(&job.tree);
    own_close(&job.books);
    kit_assert_text("outside/secret", "secret");
    assert_int_equal(kit_entries("outside"), 1);
    assert_int_equal(kit_entries("."), 3);
}

/* In a directory where nothing has been unpacked. */
static void start_anew(void)
{
    assert_int_equal(kit_leave(NULL), 0);
    assert_int_equal(kit_enter(NULL), 0);
}

/* Unpacks and closes the archive. */
static int run(int archive)
{
    int err;
    cleanup_fd int fd = archive;
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(fd, NULL, NULL, &err);
    assert_non_null(reader);
    err = unpack_tree(&job, reader, &sums);
    assert_int_equal(err != 0, *job.words != 0);
    return err;
}

static int unpack_archive(int archive)
{
    begin();
    int err = run(archive);
    end();
    return err;
}

static int unpack_words(const char *words)
{
    return unpack_archive(tarkit_archive(words));
}

/* An archive that is being made, for entries that words cannot say. */
static struct tar_writer *making;
static int made = -1;

static struct tar_writer *make(void)
{
    made = tarkit_file();
    making = tar_writer_open(made, TAR_PLAIN);
    assert_non_null(making);
    return making;
}

static int finish(void)
{
    assert_int_equal(tar_writer_finish(making, NULL), 0);
    tar_writer_close(making);
    assert_int_equal(lseek(made, 0, SEEK_SET), 0);
    return made;
}

/* Puts the tar together from tree and skeleton and compares it with the archive. */
static void assert_gives_back(int archive)
{
    size_t size, used = 0;
    int err, more;
    struct skeleton_part part;
    cleanup_free unsigned char *bytes = tarkit_bytes(archive, &size);
    cleanup_fd int books = kit_open("books", O_RDONLY | O_DIRECTORY);
    cleanup_fd int tree = kit_open("tree", O_RDONLY | O_DIRECTORY);
    cleanup_skeleton_reader struct skeleton_reader *reader = skeleton_open(books, "skeleton", &err);
    assert_non_null(reader);
    assert_int_equal(skeleton_size(reader), size);
    while ((more = skeleton_next(reader, &part)) > 0) {
        cleanup_free char *content = malloc(part.size);
        if (!part.data) {
            cleanup_fd int fd = fd_open_beneath(tree, part.path, O_RDONLY);
            assert_true(fd >= 0);
            assert_int_equal(pread(fd, content, part.size, 0), part.size);
        }
        assert_memory_equal(bytes + used, part.data ? part.data : content, part.size);
        used += part.size;
    }
    assert_int_equal(more, 0);
    assert_int_equal(used, size);
}

static void assert_symlink(const char *path, const char *target)
{
    char found[256];
    ssize_t length = readlinkat(kit_root(), path, found, sizeof(found) - 1);
    assert_true(length >= 0);
    found[length] = 0;
    assert_string_equal(found, target);
}

static bool is_opaque(const char *path)
{
    char value;
    return ovlattr_get(OVLWHERE_SEALED, kit_root(), path, OVLATTR_OPAQUE, &value, 1) == 1 &&
           value == 'y';
}

static bool has_attr(const char *path, const char *attr, const char *value)
{
    char found[256];
    ssize_t size = xattr_get(kit_root(), path, attr, found, sizeof(found));
    return size == (ssize_t)strlen(value) && memcmp(found, value, (size_t)size) == 0;
}

/* ---- what an archive says is there ---- */

static void files_links_and_directories_are_made(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("d dir,f dir/file text,l dir/link file,h hard dir/file,p fifo,"
                                  "f empty,l dangling /no/where"),
                     0);
    kit_assert_text("tree/dir/file", "text");
    kit_assert_text("tree/hard", "text");
    assert_int_equal(kit_stat("tree/hard").st_ino, kit_stat("tree/dir/file").st_ino);
    assert_symlink("tree/dir/link", "file");
    assert_symlink("tree/dangling", "/no/where");
    assert_true(S_ISFIFO(kit_stat("tree/fifo").st_mode));
    assert_int_equal(kit_stat("tree/empty").st_size, 0);
    assert_int_equal(kit_stat("tree/dir/file").st_mtime, 1000000000);
    assert_int_equal(kit_stat("tree/dir").st_mtime, 1000000000);
    assert_int_equal(kit_stat("tree/dir").st_mode, S_IFDIR | 0755);
    assert_int_equal(job.files, 7);
    assert_int_equal(job.bytes, 4);
    assert_true(job.skeleton);
}

static void directories_that_nobody_described_are_plain(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f a/b/file text"), 0);
    kit_assert_text("tree/a/b/file", "text");
    const char *const implied[] = {"tree", "tree/a", "tree/a/b"};
    for (size_t i = 0; i < 3; i++) {
        struct stat st = kit_stat(implied[i]);
        assert_int_equal(st.st_mode, S_IFDIR | 0755);
        assert_int_equal(st.st_mtime, 0);
    }
    assert_int_equal(job.files, 3);
}

static void a_description_that_comes_late_counts(void **state)
{
    (void)state;
    struct tar_entry late = {.path = "a/", .mode = S_IFDIR | 0711, .mtime = {77, 88}};
    struct tar_entry root = {.path = "./", .mode = S_IFDIR | 0750, .mtime = {5, 0}};
    tarkit_add(make(), S_IFREG, "a/file", "text");
    tarkit_add_entry(making, &late, NULL);
    tarkit_add_entry(making, &root, NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    assert_int_equal(kit_stat("tree/a").st_mode, S_IFDIR | 0711);
    assert_int_equal(kit_stat("tree/a").st_mtim.tv_nsec, 88);
    assert_int_equal(kit_stat("tree").st_mode, S_IFDIR | 0750);
    assert_int_equal(kit_stat("tree").st_mtime, 5);
}

static void modes_ignore_the_umask_and_directories_may_be_closed(void **state)
{
    (void)state;
    struct tar_entry closed = {.path = "d/", .mode = S_IFDIR | 0555};
    struct tar_entry open = {
        .path = "d/f", .mode = S_IFREG | 0666, .uid = geteuid(), .gid = getegid()};
    closed.uid = open.uid;
    closed.gid = open.gid;
    tarkit_add_entry(make(), &closed, NULL);
    tarkit_add_entry(making, &open, NULL);
    mode_t before = umask(077);
    assert_int_equal(unpack_archive(finish()), 0);
    umask(before);
    assert_int_equal(kit_stat("tree/d/f").st_mode & 07777, 0666);
    if (geteuid() == 0)
        assert_int_equal(kit_stat("tree/d").st_mode & 07777, 0555);
}

static void attributes_and_set_id_bits_survive_the_owner(void **state)
{
    (void)state;
    static const char CAPS[] = "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0";
    const struct tar_xattr xattrs[] = {{"user.note", "text", 4}, {"security.capability", CAPS, 20}};
    struct tar_entry entry = {.path = "f",
                              .mode = S_IFREG | 06755,
                              .uid = 1234,
                              .gid = 5678,
                              .xattrs = xattrs,
                              .xattr_count = geteuid() == 0 ? 2 : 1};
    tarkit_add_entry(make(), &entry, NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    assert_true(has_attr("tree/f", "user.note", "text"));
    if (geteuid() == 0) {
        struct stat st = kit_stat("tree/f");
        assert_int_equal(st.st_mode, entry.mode);
        assert_int_equal(st.st_uid, 1234);
        assert_int_equal(st.st_gid, 5678);
        assert_int_equal(xattr_get(kit_root(), "tree/f", "security.capability", NULL, 0), 20);
    }
}

static void devices_are_made_or_recorded(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("c null"), 0);
    struct stat st = kit_stat("tree/null");
    if (S_ISREG(st.st_mode))
        assert_true(has_attr("tree/null", OVERRIDE_ATTR, "0:0:0644:char-1-3"));
    else
        assert_int_equal(st.st_rdev, makedev(1, 3));
}

static void names_of_any_bytes_are_kept(void **state)
{
    (void)state;
    char longest[256], path[300];
    memset(longest, 0xff, 255);
    longest[255] = 0;
    tarkit_add(make(), S_IFREG, longest, "text");
    tarkit_add(making, S_IFREG, "e\xcc\x81\n", "decomposed");
    assert_int_equal(unpack_archive(finish()), 0);
    snprintf(path, sizeof(path), "tree/%s", longest);
    kit_assert_text(path, "text");
    kit_assert_text("tree/e\xcc\x81\n", "decomposed");
}

static void holes_stay_holes(void **state)
{
    (void)state;
    begin();
    cleanup_fd int archive = tarkit_output("cd outside && truncate -s 64M s && "
                                           "printf hello | dd of=s bs=1 seek=5000000 "
                                           "conv=notrunc status=none && tar -S -cf - s && rm s");
    assert_int_equal(run(dup(archive)), 0);
    end();
    assert_gives_back(archive);
    struct stat st = kit_stat("tree/s");
    assert_int_equal(st.st_size, 64 << 20);
    assert_true(st.st_blocks < 1024);
    cleanup_fd int fd = kit_open("tree/s", O_RDONLY);
    char text[5];
    assert_int_equal(pread(fd, text, 5, 5000000), 5);
    assert_memory_equal(text, "hello", 5);
}

/* ---- the last entry of a path wins ---- */

static void the_last_entry_of_a_path_wins(void **state)
{
    (void)state;
    cleanup_fd int archive =
        tarkit_archive("f a one,f a two,l b target,f b three,f c four,l c target,f d five,d d,"
                       "f d/x six,d e,f e/f/x seven,f e/y eight,f e nine,f g ten,h h g,f g eleven");
    assert_int_equal(unpack_archive(dup(archive)), 0);
    kit_assert_text("tree/a", "two");
    kit_assert_text("tree/b", "three");
    assert_symlink("tree/c", "target");
    kit_assert_text("tree/d/x", "six");
    kit_assert_text("tree/e", "nine");
    kit_assert_text("tree/g", "eleven");
    kit_assert_text("tree/h", "ten");
    assert_true(job.skeleton);
    assert_gives_back(archive);
}

static void a_directory_that_comes_again_keeps_its_content(void **state)
{
    (void)state;
    const struct tar_xattr old = {"user.old", "1", 1}, fresh = {"user.new", "2", 1};
    struct tar_entry first = {
        .path = "d/", .mode = S_IFDIR | 0700, .xattrs = &old, .xattr_count = 1};
    struct tar_entry second = {
        .path = "d", .mode = S_IFDIR | 0755, .xattrs = &fresh, .xattr_count = 1, .mtime = {9, 0}};
    tarkit_add_entry(make(), &first, NULL);
    tarkit_add(making, S_IFREG, "d/file", "text");
    tarkit_add(making, S_IFREG, "d/.wh..wh..opq", NULL);
    tarkit_add_entry(making, &second, NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    kit_assert_text("tree/d/file", "text");
    assert_int_equal(kit_stat("tree/d").st_mode, S_IFDIR | 0755);
    assert_int_equal(kit_stat("tree/d").st_mtime, 9);
    assert_false(has_attr("tree/d", "user.old", "1"));
    assert_true(has_attr("tree/d", "user.new", "2"));
    assert_true(is_opaque("tree/d"));
}

static void a_hard_link_to_itself_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f a one,h a a,h b a,h b ./a"), 0);
    kit_assert_text("tree/a", "one");
    assert_int_equal(kit_stat("tree/b").st_nlink, 2);
}

/* ---- whiteouts ---- */

static void whiteouts_hide_lower_layers_wherever_they_stand(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f .wh.gone,f d/.wh.gone,f file text,f .wh.file,d dir,"
                                  "f dir/x text,f .wh.dir,f .wh.early,f early text,"
                                  "f .wh.later,d later,f .wh.implied,f implied/x text,"
                                  "f .wh.twice,f .wh.twice,f .wh.more,f more text,d more"),
                     0);
    assert_true(kit_is_whiteout("tree/gone"));
    assert_true(kit_is_whiteout("tree/d/gone"));
    assert_true(kit_is_whiteout("tree/twice"));
    kit_assert_text("tree/file", "text");
    kit_assert_text("tree/early", "text");
    kit_assert_text("tree/dir/x", "text");
    kit_assert_text("tree/implied/x", "text");
    assert_true(is_opaque("tree/dir"));
    assert_true(is_opaque("tree/later"));
    assert_true(is_opaque("tree/implied"));
    assert_true(is_opaque("tree/more"));
    assert_false(is_opaque("tree/d"));
    assert_false(kit_exists("tree/.wh.gone"));
}

static void an_opaque_mark_counts_wherever_it_stands(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f a/.wh..wh..opq,d b,f b/file text,f b/.wh..wh..opq,"
                                  "f c/.wh..wh..opq,f c/d/file text,f x/y/.wh..wh..opq"),
                     0);
    assert_true(is_opaque("tree/a"));
    assert_true(is_opaque("tree/b"));
    assert_true(is_opaque("tree/c"));
    assert_true(is_opaque("tree/x/y"));
    assert_false(is_opaque("tree/x"));
    assert_false(is_opaque("tree/c/d"));
    kit_assert_text("tree/b/file", "text");
    assert_int_equal(kit_entries("tree/a"), 0);
}

static void the_whole_layer_may_be_opaque(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f .wh..wh..opq,f a text"), 0);
    assert_true(is_opaque("tree"));
    assert_int_equal(kit_entries("tree"), 1);
}

static void books_of_aufs_are_passed_over(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("d .wh..wh.plnk,f .wh..wh.plnk/1 text,f a/.wh..wh.aufs,f b"), 0);
    assert_int_equal(kit_entries("tree"), 1);
}

static void a_device_that_looks_like_a_whiteout_is_one(void **state)
{
    (void)state;
    struct tar_entry entry = {.path = "a", .mode = S_IFCHR | 0};
    tarkit_add(make(), S_IFREG, "b", "text");
    tarkit_add_entry(making, &entry, NULL);
    entry.path = "b";
    tarkit_add_entry(making, &entry, NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    assert_true(kit_is_whiteout("tree/a"));
    kit_assert_text("tree/b", "text");
}

/* ---- forged books ---- */

static void an_archive_cannot_write_an_overlays_books(void **state)
{
    (void)state;
    static const char *const FORGED[] = {
        "user.overlay.opaque",
        "user.overlay.redirect",
        "user.overlay.metacopy",
        "user.overlay.whiteout",
        "user.overlay.plyfs.ino",
        "user.overlay.overlay.opaque",
        "user.fuseoverlayfs.opaque",
        "trusted.overlay.opaque",
        "trusted.overlay.redirect",
        "trusted.overlay.metacopy",
        OVERRIDE_ATTR,
    };
    enum { COUNT = sizeof(FORGED) / sizeof(FORGED[0]) };
    struct tar_xattr xattrs[COUNT];
    for (int i = 0; i < COUNT; i++)
        xattrs[i] = (struct tar_xattr){FORGED[i], i + 1 == COUNT ? "0:0:4755" : "y",
                                       i + 1 == COUNT ? 8 : 1};
    struct tar_entry file = {.path = "file",
                             .mode = S_IFREG | 0644,
                             .uid = geteuid(),
                             .gid = getegid(),
                             .xattrs = xattrs,
                             .xattr_count = COUNT};
    struct tar_entry dir = file;
    dir.path = "dir/";
    dir.mode = S_IFDIR | 0755;
    tarkit_add_entry(make(), &file, NULL);
    tarkit_add_entry(making, &dir, NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    const char *const made_of[] = {"tree/file", "tree/dir"};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kit_marks(OVLWHERE_SEALED, kit_root(), made_of[i]), 0);
        assert_false(has_attr(made_of[i], OVERRIDE_ATTR, "0:0:4755"));
        /* The user's own they stay. */
        assert_true(has_attr(made_of[i], "user.overlay.overlay.redirect", "y"));
        assert_true(has_attr(made_of[i], "user.overlay.overlay.overlay.opaque", "y"));
        if (geteuid() == 0)
            assert_true(has_attr(made_of[i], "trusted.overlay.overlay.opaque", "y"));
    }
}

/* ---- hostile archives ---- */

static void assert_all_refused(const char *const *hostile, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (unpack_words(hostile[i]) != -EBADMSG)
            fail_msg("not refused: %s", hostile[i]);
        start_anew();
    }
}

static void names_that_lead_out_are_refused(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "f ../outside/secret evil",
        "f a/../../outside/secret evil",
        "f /etc/passwd evil",
        "d ..",
        "d a/..",
        "l ../link target",
        "h ../hard a",
        "f a one,h b ../outside/secret",
        "f a one,h b /outside/secret",
        "f a one,h b a/../../outside/secret",
    };
    assert_all_refused(HOSTILE, sizeof(HOSTILE) / sizeof(HOSTILE[0]));
}

static void nothing_is_written_through_a_symlink(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "l a ../outside,f a/secret evil",
        "l a ../outside,d a/new",
        "l a ../outside,f a/b/c evil",
        "l a ../outside,f a/.wh.secret",
        "l a ../outside,f a/.wh..wh..opq",
        "l a ../outside,h a/new a",
        "l a ../outside,h b a/secret",
        "l a ../outside,l b a,f b/secret evil",
        "d x,l x/a ../../outside,f x/a/secret evil",
        "l a .,f a/a/a evil",
    };
    assert_all_refused(HOSTILE, sizeof(HOSTILE) / sizeof(HOSTILE[0]));
}

static void a_symlink_is_replaced_and_never_followed(void **state)
{
    (void)state;
    struct tar_entry dir = {.path = "d/", .mode = S_IFDIR | 0777, .mtime = {1, 0}};
    tarkit_add(make(), S_IFLNK, "a", "../outside/secret");
    tarkit_add(making, S_IFREG, "a", "evil");
    tarkit_add(making, S_IFLNK, "d", "../outside");
    tarkit_add_entry(making, &dir, NULL);
    tarkit_add(making, S_IFREG, "d/secret", "evil");
    tarkit_add(making, S_IFLNK, "w", "../outside/secret");
    tarkit_add(making, S_IFREG, ".wh.w", NULL);
    assert_int_equal(unpack_archive(finish()), 0);
    kit_assert_text("tree/a", "evil");
    kit_assert_text("tree/d/secret", "evil");
    assert_symlink("tree/w", "../outside/secret");
    assert_true(kit_stat("outside").st_mtime > 1000);
}

static void a_file_is_no_directory(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f a one,f a/b two"), -EBADMSG);
    assert_non_null(strstr(job.words, "a"));
}

static void whiteouts_of_nothing_are_refused(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {"f .wh.",   "f a/.wh.",   "f .wh..",
                                          "f .wh...", "f a/.wh...", "f .wh.a/b text"};
    assert_all_refused(HOSTILE, sizeof(HOSTILE) / sizeof(HOSTILE[0]));
}

static void hard_links_reach_only_what_the_layer_has(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "h a missing",        "d d,h a d",         "h a .",
        "f .wh.w,h a w",      "f x one,h a .wh.x", "h a b,f b late",
        "f a/b text,h a a/b", "f f text,h a f/b",
    };
    assert_all_refused(HOSTILE, sizeof(HOSTILE) / sizeof(HOSTILE[0]));
}

static void a_layer_that_is_no_directory_is_refused(void **state)
{
    (void)state;
    assert_int_equal(unpack_words("f a text,h . a"), -EBADMSG);
}

static void zeros_without_end_are_limited(void **state)
{
    (void)state;
    begin();
    cleanup_fd int archive = tarkit_output("cd outside && truncate -s 1G z && "
                                           "tar -cf - z | zstd -q && rm z");
    job.size_max = 100 << 20;
    assert_int_equal(run(dup(archive)), -EFBIG);
    end();
    assert_false(kit_exists("tree/z"));
}

static void holes_count_for_the_limit(void **state)
{
    (void)state;
    begin();
    cleanup_fd int archive = tarkit_output("cd outside && truncate -s 1T z && "
                                           "tar -S -cf - z && rm z");
    job.size_max = 100 << 20;
    assert_int_equal(run(dup(archive)), -EFBIG);
    end();
}

static void what_is_no_content_is_limited_too(void **state)
{
    (void)state;
    begin();
    cleanup_fd int archive = tarkit_output("(tar -cf - outside; head -c 200M /dev/zero) | zstd -q");
    job.size_max = 1 << 20;
    assert_int_equal(run(dup(archive)), -EFBIG);
    end();
    assert_true(kit_stat("books/skeleton").st_size < 80 << 20);
}

static void content_of_several_files_is_limited_together(void **state)
{
    (void)state;
    begin();
    job.size_max = 8;
    assert_int_equal(run(tarkit_archive("f a 1234,f b 5678")), 0);
    end();
    start_anew();
    begin();
    job.size_max = 8;
    assert_int_equal(run(tarkit_archive("f a 1234,f b 5678,f c 9")), -EFBIG);
    end();
}

static void the_number_of_entries_is_limited(void **state)
{
    (void)state;
    begin();
    job.files_max = 3;
    assert_int_equal(run(tarkit_archive("f a,f b,f c")), 0);
    assert_int_equal(run(tarkit_archive("f a,f b,f c,f d")), -EEXIST);
    end();
    start_anew();
    begin();
    job.files_max = 3;
    /* Directories that are only implied count as well. */
    assert_int_equal(run(tarkit_archive("f a/b/c/d text")), -EFBIG);
    end();
}

static void a_path_without_end_is_refused(void **state)
{
    (void)state;
    char path[1200] = "";
    for (int i = 0; i < 300; i++)
        strcat(path, "d/");
    strcat(path, "f");
    tarkit_add(make(), S_IFREG, path, "text");
    assert_int_equal(unpack_archive(finish()), -EBADMSG);
}

static void a_deep_tree_goes_away_again(void **state)
{
    (void)state;
    char path[1200] = "";
    for (int i = 0; i < 200; i++)
        strcat(path, "d/");
    strcat(path, "f");
    tarkit_add(make(), S_IFREG, path, "text");
    tarkit_add(making, S_IFREG, "d", "file");
    cleanup_fd int archive = finish();
    assert_int_equal(unpack_archive(dup(archive)), 0);
    kit_assert_text("tree/d", "file");
    assert_gives_back(archive);
}

static void a_broken_archive_is_refused_with_words(void **state)
{
    (void)state;
    size_t size;
    cleanup_fd int archive = tarkit_archive("f a one,f b two,f c three");
    cleanup_free unsigned char *bytes = tarkit_bytes(archive, &size);
    assert_int_equal(unpack_archive(tarkit_file_of(bytes, 1024 + 700)), -EBADMSG);
    start_anew();
    bytes[1024 + 100] ^= 1;
    assert_int_equal(unpack_archive(tarkit_file_of(bytes, size)), -EBADMSG);
}

static void an_archive_without_end_needs_a_voucher(void **state)
{
    (void)state;
    size_t size;
    cleanup_fd int archive = tarkit_archive("f a one,f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(archive, &size);
    assert_int_equal(unpack_archive(tarkit_file_of(bytes, 1024)), -EBADMSG);
    start_anew();
    begin();
    job.vouched = true;
    cleanup_fd int cut = tarkit_file_of(bytes, 1024);
    assert_int_equal(run(dup(cut)), 0);
    end();
    assert_gives_back(cut);
}

static void words_do_not_speak_to_the_terminal(void **state)
{
    (void)state;
    tarkit_add(make(), S_IFREG, "../\33[2Jgone\n", "text");
    assert_int_equal(unpack_archive(finish()), -EBADMSG);
    assert_non_null(strstr(job.words, "../?[2Jgone?: "));
}

/* ---- without privilege ---- */

/* Unpacks as a user who may nothing. */
static void unpack_as_nobody(int archive)
{
    begin();
    if (geteuid() != 0) {
        assert_int_equal(run(archive), 0);
        return end();
    }
    assert_int_equal(fchown(job.tree, 65534, 65534), 0);
    assert_int_equal(fchown(job.books, 65534, 65534), 0);
    pid_t child = fork();
    if (child == 0) {
        int err = -1, status = setresgid(65534, 65534, 65534) | setresuid(65534, 65534, 65534) |
                               prctl(PR_SET_DUMPABLE, 1);
        struct tar_reader *reader = status ? NULL : tar_reader_open(archive, NULL, NULL, &err);
        if (reader)
            err = unpack_tree(&job, reader, &sums);
        if (err)
            dprintf(2, "unpacking as nobody: %s\n", job.words);
        _exit(err != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    close(archive);
    assert_int_equal(status, 0);
    end();
}

static void without_privilege_owners_and_devices_are_recorded(void **state)
{
    (void)state;
    const struct tar_xattr xattr = {"user.note", "text", 4};
    struct tar_entry file = {.path = "dir/file",
                             .mode = S_IFREG | 04511,
                             .uid = 1,
                             .gid = 2,
                             .size = 4,
                             .xattrs = &xattr,
                             .xattr_count = 1};
    struct tar_entry dir = {
        .path = "dir", .mode = S_IFDIR | 02555, .uid = 3, .gid = 4, .mtime = {7, 0}};
    struct tar_entry disk = {.path = "disk", .mode = S_IFBLK | 0660, .rdev = makedev(8, 1)};
    tarkit_add_entry(make(), &dir, NULL);
    tarkit_add_entry(making, &file, "text");
    tarkit_add_entry(making, &disk, NULL);
    tarkit_add(making, S_IFREG, "dir/.wh.gone", NULL);
    tarkit_add(making, S_IFREG, "dir/.wh..wh..opq", NULL);
    tarkit_add(making, S_IFLNK, "link", "dir/file");
    cleanup_fd int archive = finish();
    unpack_as_nobody(dup(archive));
    assert_gives_back(archive);
    assert_true(has_attr("tree/dir/file", OVERRIDE_ATTR, "1:2:4511:file"));
    assert_true(has_attr("tree/dir/file", "user.note", "text"));
    assert_true(has_attr("tree/dir", OVERRIDE_ATTR, "3:4:2555:dir"));
    assert_true(has_attr("tree/disk", OVERRIDE_ATTR, "0:0:0660:block-8-1"));
    assert_true(has_attr("tree", OVERRIDE_ATTR, "0:0:0755:dir"));
    /* Nobody is to run a file of someone else's with the rights of who unpacked it. */
    assert_int_equal(kit_stat("tree/dir/file").st_mode & 07777, 0511);
    assert_int_equal(kit_stat("tree/dir").st_mode & 07777, 0755);
    assert_int_equal(kit_stat("tree/dir").st_mtime, 7);
    assert_true(S_ISREG(kit_stat("tree/disk").st_mode));
    assert_true(kit_is_whiteout("tree/dir/gone"));
    assert_true(is_opaque("tree/dir"));
    assert_symlink("tree/link", "dir/file");
}

static void a_file_that_its_owner_could_not_read_is_recorded(void **state)
{
    (void)state;
    struct tar_entry entry = {.path = "file", .mode = S_IFREG | 0, .uid = 65534, .gid = 65534};
    if (geteuid() != 0)
        entry.uid = geteuid(), entry.gid = getegid();
    tarkit_add_entry(make(), &entry, NULL);
    unpack_as_nobody(finish());
    char text[OVERRIDE_MAX];
    snprintf(text, sizeof(text), "%u:%u:0000:file", entry.uid, entry.gid);
    assert_true(has_attr("tree/file", OVERRIDE_ATTR, text));
    assert_int_equal(kit_stat("tree/file").st_mode & 07777, 0400);
}

/* ---- archives of other tools ---- */

static const char TREE[] =
    "mkdir -p in/dir in/empty && seq 100000 > in/dir/large && echo text > in/file && "
    "ln in/file in/hard && ln -s dir/large in/link && chmod 4751 in/file && chmod 1777 in/empty && "
    "truncate -s 300k in/sparse && seq 1000 >> in/sparse && "
    "find in -exec touch -h -d @1234567890 {} +";

static const char LIST[] =
    "list() { (cd $1 && find . -type d -printf '%P %m %U:%G %T@\\n' -o -printf "
    "'%P %y %m %U:%G %s %T@ %l %n\\n'; find . -type f -exec sha256sum {} +) | LC_ALL=C sort; }; "
    "list in > in.txt; list tree | diff in.txt -; rm -rf in in.txt";

static void archives_of_gnu_tar_come_out_as_they_went_in(void **state)
{
    (void)state;
    static const char *const FORMATS[] = {"gnu -S", "pax -S", "ustar", "v7"};
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(FORMATS[0]); i++) {
        char command[1024];
        begin();
        snprintf(command, sizeof(command), "%s && tar --format=%s --numeric-owner -cf - -C in .",
                 TREE, FORMATS[i]);
        cleanup_fd int archive = tarkit_output(command);
        assert_int_equal(run(dup(archive)), 0);
        assert_true(job.skeleton);
        assert_gives_back(archive);
        cleanup_fd int difference = tarkit_output(LIST);
        size_t size;
        cleanup_free unsigned char *text = tarkit_bytes(difference, &size);
        text[size] = 0;
        assert_string_equal((char *)text, "");
        end();
        start_anew();
    }
}

/* ---- plain trees ---- */

static void begin_plain(void)
{
    begin();
    own_close(&job.books);
    job.kind = TREEKIND_PLAIN;
    job.books = -1;
}

static void names_of_whiteouts_are_ordinary_in_a_plain_tree(void **state)
{
    (void)state;
    begin_plain();
    int archive = tarkit_archive("f .wh.a text, d .wh.dir, f .wh.dir/in in, f .wh..wh..opq x, "
                                 "f a stays, h .wh.link .wh.a");
    assert_int_equal(run(archive), 0);
    kit_assert_text("tree/.wh.a", "text");
    kit_assert_text("tree/.wh.dir/in", "in");
    kit_assert_text("tree/.wh..wh..opq", "x");
    kit_assert_text("tree/a", "stays");
    assert_int_equal(kit_stat("tree/.wh.a").st_nlink, 2);
    assert_false(is_opaque("tree"));
    end();
}

static void attributes_of_overlays_are_ordinary_in_a_plain_tree(void **state)
{
    (void)state;
    const struct tar_xattr xattrs[] = {{"user.overlay.opaque", "y", 1}};
    const struct tar_entry entry = {
        .path = "dir", .mode = S_IFDIR | 0755, .xattrs = xattrs, .xattr_count = 1};
    char value;
    begin_plain();
    tarkit_add_entry(make(), &entry, "");
    assert_int_equal(run(finish()), 0);
    assert_int_equal(xattr_get(kit_root(), "tree/dir", "user.overlay.opaque", &value, 1), 1);
    assert_int_equal(value, 'y');
    end();
}

/* Any user may make this device: it is the one that reads as a whiteout. */
static void a_device_without_a_number_is_ordinary_in_a_plain_tree(void **state)
{
    (void)state;
    const struct tar_entry entry = {.path = "c", .mode = S_IFCHR | 0640, .rdev = makedev(0, 0)};
    begin_plain();
    struct tar_writer *writer = make();
    tarkit_add_entry(writer, &entry, "");
    tarkit_add(writer, 0, "again", "c");
    assert_int_equal(run(finish()), 0);
    assert_int_equal(kit_stat("tree/c").st_nlink, 2);
    assert_int_equal(kit_stat("tree/c").st_mode & 07777, 0640);
    end();
}

static void a_plain_root_stays_as_it_is_unless_it_is_described(void **state)
{
    (void)state;
    begin_plain();
    assert_int_equal(fd_chmod(kit_root(), "tree", 01750), 0);
    assert_int_equal(run(tarkit_archive("f a")), 0);
    assert_int_equal(kit_stat("tree").st_mode & 07777, 01750);
    end();
    start_anew();
    begin_plain();
    assert_int_equal(run(tarkit_archive("d ., f a")), 0);
    assert_int_equal(kit_stat("tree").st_mode & 07777, 0755);
    end();
}

static void an_undescribed_directory_of_a_plain_tree_is_its_makers(void **state)
{
    (void)state;
    begin_plain();
    assert_int_equal(run(tarkit_archive("f dir/a")), 0);
    struct stat st = kit_stat("tree/dir");
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_true(st.st_mtim.tv_sec > 1000000000);
    end();
}

static void a_plain_tree_is_guarded_as_a_layer_is(void **state)
{
    (void)state;
    static const char *const HOSTILE[] = {
        "f ../outside/new x",
        "f /outside/new x",
        "l out ../outside, f out/new x",
        "h in ../outside/secret",
        "l out ../outside, h in out/secret",
        "l tree ., h tree/x a",
        "f a, f a/b",
    };
    for (size_t i = 0; i < sizeof(HOSTILE) / sizeof(HOSTILE[0]); i++) {
        begin_plain();
        assert_int_equal(run(tarkit_archive(HOSTILE[i])), -EBADMSG);
        end();
        start_anew();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(files_links_and_directories_are_made),
        kit_test(directories_that_nobody_described_are_plain),
        kit_test(a_description_that_comes_late_counts),
        kit_test(modes_ignore_the_umask_and_directories_may_be_closed),
        kit_test(attributes_and_set_id_bits_survive_the_owner),
        kit_test(devices_are_made_or_recorded),
        kit_test(names_of_any_bytes_are_kept),
        kit_test(holes_stay_holes),
        kit_test(the_last_entry_of_a_path_wins),
        kit_test(a_directory_that_comes_again_keeps_its_content),
        kit_test(a_hard_link_to_itself_changes_nothing),
        kit_test(whiteouts_hide_lower_layers_wherever_they_stand),
        kit_test(an_opaque_mark_counts_wherever_it_stands),
        kit_test(the_whole_layer_may_be_opaque),
        kit_test(books_of_aufs_are_passed_over),
        kit_test(a_device_that_looks_like_a_whiteout_is_one),
        kit_test(an_archive_cannot_write_an_overlays_books),
        kit_test(names_that_lead_out_are_refused),
        kit_test(nothing_is_written_through_a_symlink),
        kit_test(a_symlink_is_replaced_and_never_followed),
        kit_test(a_file_is_no_directory),
        kit_test(whiteouts_of_nothing_are_refused),
        kit_test(hard_links_reach_only_what_the_layer_has),
        kit_test(a_layer_that_is_no_directory_is_refused),
        kit_test(zeros_without_end_are_limited),
        kit_test(holes_count_for_the_limit),
        kit_test(what_is_no_content_is_limited_too),
        kit_test(content_of_several_files_is_limited_together),
        kit_test(the_number_of_entries_is_limited),
        kit_test(a_path_without_end_is_refused),
        kit_test(a_deep_tree_goes_away_again),
        kit_test(a_broken_archive_is_refused_with_words),
        kit_test(an_archive_without_end_needs_a_voucher),
        kit_test(words_do_not_speak_to_the_terminal),
        kit_test(without_privilege_owners_and_devices_are_recorded),
        kit_test(a_file_that_its_owner_could_not_read_is_recorded),
        kit_test(archives_of_gnu_tar_come_out_as_they_went_in),
        kit_test(names_of_whiteouts_are_ordinary_in_a_plain_tree),
        kit_test(attributes_of_overlays_are_ordinary_in_a_plain_tree),
        kit_test(a_device_without_a_number_is_ordinary_in_a_plain_tree),
        kit_test(a_plain_root_stays_as_it_is_unless_it_is_described),
        kit_test(an_undescribed_directory_of_a_plain_tree_is_its_makers),
        kit_test(a_plain_tree_is_guarded_as_a_layer_is),
    };
    return kit_run("unpack", tests, sizeof(tests) / sizeof(tests[0]));
}
