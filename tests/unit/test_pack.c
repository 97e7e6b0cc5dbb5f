/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "digest.h"
#include "fd.h"
#include "override.h"
#include "pack.h"
#include "skeleton.h"
#include "tarkit.h"
#include "unpack.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

/* Packs a directory of the kit; the archive is at its beginning. */
static int pack_as(enum treekind kind, const char *path)
{
    int fd = tarkit_file();
    cleanup_fd int tree = kit_open(path, O_PATH | O_DIRECTORY);
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(fd, TAR_PLAIN);
    assert_non_null(writer);
    assert_int_equal(pack_tree(tree, kind, writer, NULL, NULL), 0);
    assert_int_equal(tar_writer_finish(writer, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static int pack(const char *path)
{
    return pack_as(TREEKIND_LAYER, path);
}

static struct tar_reader *open_archive(int fd)
{
    int err;
    struct tar_reader *reader = tar_reader_open(fd, NULL, NULL, &err);
    assert_non_null(reader);
    return reader;
}

/* Makes the tree "top" from the words, packs it, and compares the names in the archive. */
static void assert_packed_as(enum treekind kind, const char *words, const char *expected)
{
    char text[4096] = "";
    struct tar_entry entry;
    int more;
    kit_dir("top");
    kit_tree(words);
    cleanup_fd int archive = pack_as(kind, "top");
    cleanup_tar_reader struct tar_reader *reader = open_archive(archive);
    while ((more = tar_reader_next(reader, &entry)) == 1) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, "%s%s%s%s%s%s", used ? ", " : "", entry.path,
                 entry.target ? " -> " : "", entry.target ? entry.target : "",
                 entry.link ? " = " : "", entry.link ? entry.link : "");
    }
    assert_int_equal(more, 0);
    assert_string_equal(text, expected);
}

static void assert_packed(const char *words, const char *expected)
{
    assert_packed_as(TREEKIND_LAYER, words, expected);
}

static void parents_come_first_and_directories_end_in_a_slash(void **state)
{
    (void)state;
    assert_packed("f top/b/x/file text, f top/b.c, d top/a, l top/link ../away, f top/b/w",
                  "a/, b/, b/w, b/x/, b/x/file, b.c, link -> ../away");
}

static void an_empty_layer_is_an_empty_archive(void **state)
{
    (void)state;
    assert_packed("d top", "");
}

static void whiteouts_are_empty_files_with_a_prefix(void **state)
{
    (void)state;
    assert_packed("w top/gone, w top/dir/gone, f top/dir/.wh.also, o top/x x, e top/x/third",
                  "dir/, dir/.wh.also, dir/.wh.gone, .wh.gone, x/, x/.wh.third");
}

static void the_opaque_mark_is_first_in_its_directory(void **state)
{
    (void)state;
    assert_packed("o top/dir, f top/dir/+, o top/dir/inner, f top/.wh..wh..opq",
                  ".wh..wh..opq, dir/, dir/.wh..wh..opq, dir/+, dir/inner/, "
                  "dir/inner/.wh..wh..opq");
}

static void hard_links_are_by_the_name_that_comes_first(void **state)
{
    (void)state;
    assert_packed("f top/z text, h top/dir/m top/z, h top/y top/z, l top/dir/s away, h top/t "
                  "top/dir/s",
                  "dir/, dir/m, dir/s -> away, t = dir/s, y = dir/m, z = dir/m");
}

static void sockets_are_left_out(void **state)
{
    (void)state;
    kit_dir("top");
    assert_int_equal(mknodat(kit_root(), "top/a", S_IFSOCK | 0600, 0), 0);
    assert_packed("h top/b top/a, f top/c", "c");
}

static void long_names_of_any_bytes_are_kept(void **state)
{
    (void)state;
    char words[600], expected[600], name[256];
    memset(name, '\xfe', 255);
    name[255] = 0;
    snprintf(words, sizeof(words), "f top/%s/%s", name, "b\xff\n");
    snprintf(expected, sizeof(expected), "%s/, %s/b\xff\n", name, name);
    assert_packed(words, expected);
}

static const struct tar_xattr *find_attr(const struct tar_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->xattr_count; i++) {
        if (strcmp(entry->xattrs[i].name, name) == 0)
            return &entry->xattrs[i];
    }
    return NULL;
}

static void metadata_and_content_arrive(void **state)
{
    (void)state;
    struct tar_entry entry;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {1234567890, 123456789}};
    kit_file("top/file", "content");
    assert_int_equal(fd_chmod(kit_root(), "top/file", 04711), 0);
    assert_int_equal(xattr_set(kit_root(), "top/file", "user.mine", "a\0b", 3, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/file", "user.overlay.overlay.opaque", "y", 1, 0),
                     0);
    assert_int_equal(xattr_set(kit_root(), "top/file", "user.overlay.origin", "y", 1, 0), 0);
    assert_int_equal(utimensat(kit_root(), "top/file", times, 0), 0);
    struct stat st = kit_stat("top/file");
    cleanup_fd int archive = pack("top");
    cleanup_tar_reader struct tar_reader *reader = open_archive(archive);
    assert_int_equal(tar_reader_next(reader, &entry), 1);
    assert_int_equal(entry.mode, S_IFREG | 04711);
    assert_int_equal(entry.uid, st.st_uid);
    assert_int_equal(entry.gid, st.st_gid);
    assert_int_equal(entry.mtime.tv_sec, 1234567890);
    assert_int_equal(entry.mtime.tv_nsec, 123456789);
    assert_non_null(find_attr(&entry, "user.mine"));
    assert_int_equal(find_attr(&entry, "user.mine")->size, 3);
    assert_memory_equal(find_attr(&entry, "user.mine")->value, "a\0b", 3);
    assert_non_null(find_attr(&entry, "user.overlay.opaque"));
    assert_null(find_attr(&entry, "user.overlay.origin"));
    assert_null(find_attr(&entry, "user.overlay.overlay.opaque"));
    const void *data;
    size_t size;
    off_t offset;
    assert_int_equal(tar_reader_data(reader, &data, &size, &offset), 1);
    assert_int_equal(size, strlen("content"));
    assert_memory_equal(data, "content", size);
}

static void a_recorded_device_is_packed_as_one(void **state)
{
    (void)state;
    struct tar_entry entry;
    const char record[] = "7:8:0620:block-8-17";
    kit_file("top/disk", "");
    assert_int_equal(xattr_set(kit_root(), "top/disk", OVERRIDE_ATTR, record, strlen(record), 0),
                     0);
    cleanup_fd int archive = pack("top");
    cleanup_tar_reader struct tar_reader *reader = open_archive(archive);
    assert_int_equal(tar_reader_next(reader, &entry), 1);
    assert_int_equal(entry.mode, S_IFBLK | 0620);
    assert_int_equal(entry.rdev, makedev(8, 17));
    assert_int_equal(entry.uid, 7);
    assert_int_equal(entry.gid, 8);
    assert_null(find_attr(&entry, OVERRIDE_ATTR));
}

static void set_all_times(const char *paths)
{
    const struct timespec times[2] = {{1, 0}, {1, 0}};
    cleanup_free char *copy = strdup(paths);
    char *rest = NULL;
    for (char *path = strtok_r(copy, " ", &rest); path; path = strtok_r(NULL, " ", &rest))
        assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* Names made in another order, whiteouts written in another form, attributes set in another order:
 * it is the same content. */
static void the_same_content_gives_the_same_bytes(void **state)
{
    (void)state;
    size_t sizes[2];
    kit_tree("f one/a x, f one/b y, w one/c, o one/dir, f one/dir/f, h one/z one/a");
    kit_tree("f two/dir/.wh..wh..opq, f two/z x, f two/dir/f, f two/.wh.c, f two/b y, h two/a "
             "two/z");
    assert_int_equal(xattr_set(kit_root(), "one/b", "user.a", "1", 1, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "one/b", "user.b", "2", 1, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "two/b", "user.b", "2", 1, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "two/b", "user.a", "1", 1, 0), 0);
    set_all_times("one/a one/b one/dir/f one/dir two/a two/b two/dir/f two/dir");
    cleanup_fd int first = pack("one"), second = pack("two");
    cleanup_free unsigned char *a = tarkit_bytes(first, &sizes[0]);
    cleanup_free unsigned char *b = tarkit_bytes(second, &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(a, b, sizes[0]);
}

static void other_programs_read_it(void **state)
{
    (void)state;
    kit_tree("f top/dir/file some-text, h top/link top/dir/file, l top/symlink dir, w top/gone");
    cleanup_fd int archive = pack("top");
    size_t size, listed;
    cleanup_free unsigned char *bytes = tarkit_bytes(archive, &size);
    cleanup_fd int copy = openat(kit_root(), "layer.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(fd_write_all(copy, bytes, size), 0);
    cleanup_fd int listing = tarkit_output("tar tf layer.tar && tar xOf layer.tar dir/file");
    cleanup_free unsigned char *text = tarkit_bytes(listing, &listed);
    const char expected[] = "dir/\ndir/file\n.wh.gone\nlink\nsymlink\nsome-text";
    assert_int_equal(listed, strlen(expected));
    assert_memory_equal(text, expected, listed);
}

static void note(void *context, uint64_t bytes)
{
    assert_true(bytes > *(uint64_t *)context);
    *(uint64_t *)context = bytes;
}

static void what_was_packed_is_told(void **state)
{
    (void)state;
    uint64_t seen = 0;
    kit_tree("f top/a four, f top/b four, f top/c");
    cleanup_fd int tree = kit_open("top", O_PATH | O_DIRECTORY);
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(-1, TAR_PLAIN);
    assert_int_equal(pack_tree(tree, TREEKIND_LAYER, writer, note, &seen), 0);
    assert_int_equal(seen, 8);
}

static void half_a_layer_is_refused(void **state)
{
    (void)state;
    kit_tree("d top/dir, r top/dir /elsewhere");
    cleanup_fd int tree = kit_open("top", O_PATH | O_DIRECTORY);
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(-1, TAR_PLAIN);
    assert_int_equal(pack_tree(tree, TREEKIND_LAYER, writer, NULL, NULL), -EINVAL);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    static char data[300000];
    cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    kit_file("top/file", "");
    cleanup_fd int file = kit_open("top/file", O_WRONLY);
    assert_int_equal(fd_write_all(file, data, sizeof(data)), 0);
    cleanup_fd int tree = kit_open("top", O_PATH | O_DIRECTORY);
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(full, TAR_PLAIN);
    assert_int_equal(pack_tree(tree, TREEKIND_LAYER, writer, NULL, NULL), -ENOSPC);
}

/* ---- from the skeleton ---- */

/* The skeleton of "head" CONTENT-OF-dir/file "tail", beside the tree. */
static void make_skeleton(const char *content)
{
    int err;
    uint64_t size;
    kit_dir("books");
    cleanup_fd int books = kit_open("books", O_RDONLY | O_DIRECTORY);
    cleanup_skeleton_writer struct skeleton_writer *writer =
        skeleton_create(books, "skeleton", &err);
    assert_non_null(writer);
    assert_int_equal(skeleton_add_raw(writer, "head", 4), 0);
    assert_int_equal(skeleton_add_content(writer, "dir/file", strlen(content)), 0);
    assert_int_equal(skeleton_add_raw(writer, "tail", 4), 0);
    assert_int_equal(skeleton_finish(writer, &size), 0);
    assert_int_equal(size, 8 + strlen(content));
}

static int pack_books(bool skeleton, int fd, enum tar_filter filter, struct tar_sums *sums,
                      uint64_t *seen)
{
    cleanup_fd int tree = kit_open("top", O_RDONLY | O_DIRECTORY);
    cleanup_fd int books = kit_open("books", O_RDONLY | O_DIRECTORY);
    const struct pack pack = {.tree = tree,
                              .books = books,
                              .skeleton = skeleton,
                              .fd = fd,
                              .filter = filter,
                              .seen = seen ? note : NULL,
                              .context = seen};
    return pack_layer(&pack, sums);
}

static void a_layer_with_a_skeleton_gives_the_bytes_that_came(void **state)
{
    (void)state;
    struct tar_sums sums;
    char expected[65];
    uint64_t seen = 0;
    size_t size;
    kit_file("top/dir/file", "content");
    make_skeleton("content");
    cleanup_fd int fd = tarkit_file();
    assert_int_equal(pack_books(true, fd, TAR_PLAIN, &sums, &seen), 0);
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    assert_int_equal(size, 15);
    assert_memory_equal(bytes, "headcontenttail", 15);
    assert_int_equal(digest_of("headcontenttail", 15, expected), 0);
    assert_string_equal(sums.diff_id, expected);
    assert_int_equal(seen, 7);
}

static void what_came_can_be_compressed(void **state)
{
    (void)state;
    struct tar_sums plain, packed;
    size_t size;
    kit_file("top/dir/file", "content");
    make_skeleton("content");
    assert_int_equal(pack_books(true, -1, TAR_PLAIN, &plain, NULL), 0);
    cleanup_fd int fd = tarkit_file();
    assert_int_equal(pack_books(true, fd, TAR_GZIP, &packed, NULL), 0);
    assert_string_equal(plain.diff_id, packed.diff_id);
    assert_string_not_equal(packed.blob, packed.diff_id);
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    assert_int_equal(bytes[0], 0x1f);
    assert_int_equal(bytes[1], 0x8b);
    assert_int_equal(size, packed.blob_size);
}

static void a_layer_without_a_skeleton_is_packed_from_its_tree(void **state)
{
    (void)state;
    struct tar_sums sums;
    char expected[65];
    size_t size;
    kit_tree("f top/dir/file content, d books");
    assert_int_equal(pack_books(false, -1, TAR_PLAIN, &sums, NULL), 0);
    cleanup_fd int archive = pack("top");
    cleanup_free unsigned char *bytes = tarkit_bytes(archive, &size);
    assert_int_equal(digest_of(bytes, size, expected), 0);
    assert_string_equal(sums.diff_id, expected);
    assert_int_equal(sums.tar_size, size);
}

static int pack_changed(void)
{
    struct tar_sums sums;
    return pack_books(true, -1, TAR_PLAIN, &sums, NULL);
}

static void a_tree_that_is_not_what_came_is_told(void **state)
{
    (void)state;
    kit_file("top/dir/file", "content");
    make_skeleton("content");
    assert_int_equal(pack_changed(), 0);
    kit_file("top/dir/file", "content and more");
    assert_int_equal(pack_changed(), -EBADMSG);
    assert_int_equal(unlinkat(kit_root(), "top/dir/file", 0), 0);
    assert_int_equal(pack_changed(), -EBADMSG);
    kit_tree("f away content, l top/dir/file ../../away");
    assert_int_equal(pack_changed(), -EBADMSG);
    assert_int_equal(unlinkat(kit_root(), "top/dir/file", 0), 0);
    assert_int_equal(mknodat(kit_root(), "top/dir/file", S_IFIFO | 0600, 0), 0);
    assert_int_equal(pack_changed(), -EBADMSG);
    assert_int_equal(unlinkat(kit_root(), "top/dir/file", 0), 0);
    assert_int_equal(unlinkat(kit_root(), "top/dir", AT_REMOVEDIR), 0);
    kit_tree("f elsewhere/file content, l top/dir ../elsewhere");
    assert_int_equal(pack_changed(), -EBADMSG);
}

static void a_broken_skeleton_is_told(void **state)
{
    (void)state;
    kit_tree("f top/dir/file content, f books/skeleton nothing");
    assert_int_equal(pack_changed(), -EBADMSG);
    assert_int_equal(unlinkat(kit_root(), "books/skeleton", 0), 0);
    assert_int_equal(pack_changed(), -ENOENT);
}

/* ---- there and back ---- */

/* Unpacks an archive into "NAME/tree", its books beside it. */
static void unpack_as(int archive, const char *name)
{
    char path[64];
    int err;
    struct tar_sums sums;
    snprintf(path, sizeof(path), "%s/tree", name);
    kit_dir(path);
    cleanup_fd int tree = kit_open(path, O_RDONLY | O_DIRECTORY);
    cleanup_fd int books = kit_open(name, O_RDONLY | O_DIRECTORY);
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(archive, NULL, NULL, &err);
    struct unpack unpack = {.tree = tree, .books = books};
    assert_non_null(reader);
    if (unpack_tree(&unpack, reader, &sums) != 0)
        fail_msg("%s", unpack.words);
    assert_int_equal(lseek(archive, 0, SEEK_SET), 0);
}

static void assert_same_archive(int one, int other)
{
    size_t sizes[2];
    cleanup_free unsigned char *a = tarkit_bytes(one, &sizes[0]);
    cleanup_free unsigned char *b = tarkit_bytes(other, &sizes[1]);
    assert_int_equal(sizes[0], sizes[1]);
    assert_memory_equal(a, b, sizes[0]);
}

static void what_was_packed_and_unpacked_packs_to_the_same_bytes(void **state)
{
    (void)state;
    kit_tree("f top/a text, h top/dir/link top/a, l top/l away, w top/w, o top/o, f top/o/in, "
             "f top/.wh.x, f top/.wh.dir");
    assert_int_equal(mknodat(kit_root(), "top/pipe", S_IFIFO | 0640, 0), 0);
    assert_int_equal(fd_chmod(kit_root(), "top/a", 06755), 0);
    assert_int_equal(xattr_set(kit_root(), "top/a", "user.mine", "=\0%", 3, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/a", "user.overlay.overlay.opaque", "y", 1, 0), 0);
    cleanup_fd int first = pack("top");
    unpack_as(first, "again");
    cleanup_fd int second = pack("again/tree");
    assert_same_archive(first, second);
}

static void an_archive_of_any_order_comes_back_as_it_was(void **state)
{
    (void)state;
    cleanup_fd int archive = tarkit_archive(
        "f z later, d dir, f dir/.wh.gone, f a text, h dir/link a, f dir/.wh..wh..opq, f a other");
    unpack_as(archive, "layer");
    cleanup_fd int tree = kit_open("layer/tree", O_RDONLY | O_DIRECTORY);
    cleanup_fd int books = kit_open("layer", O_RDONLY | O_DIRECTORY);
    cleanup_fd int back = tarkit_file();
    struct tar_sums sums;
    const struct pack job = {.tree = tree, .books = books, .skeleton = true, .fd = back};
    assert_int_equal(pack_layer(&job, &sums), 0);
    assert_same_archive(archive, back);
}

/* ---- plain trees ---- */

static void a_plain_tree_is_packed_as_it_is_with_its_root(void **state)
{
    (void)state;
    assert_packed_as(TREEKIND_PLAIN,
                     "f top/.wh.a, f top/dir/.wh..wh..opq, o top/o, w top/w, d top/r, r top/r /x",
                     "./, .wh.a, dir/, dir/.wh..wh..opq, o/, r/, w");
}

static void a_plain_tree_comes_back_as_it_was(void **state)
{
    (void)state;
    kit_tree("f top/a text, h top/dir/link top/a, l top/l away, w top/w, o top/o, f top/o/in, "
             "f top/.wh.x, f top/.wh.dir");
    assert_int_equal(fd_chmod(kit_root(), "top", 02710), 0);
    assert_int_equal(fd_chmod(kit_root(), "top/w", 0640), 0);
    cleanup_fd int first = pack_as(TREEKIND_PLAIN, "top");
    kit_dir("again");
    cleanup_fd int tree = kit_open("again", O_RDONLY | O_DIRECTORY);
    int err;
    struct tar_sums sums;
    struct unpack job = {.kind = TREEKIND_PLAIN, .tree = tree, .books = -1};
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(first, NULL, NULL, &err);
    assert_int_equal(unpack_tree(&job, reader, &sums), 0);
    assert_int_equal(lseek(first, 0, SEEK_SET), 0);
    cleanup_fd int second = pack_as(TREEKIND_PLAIN, "again");
    assert_same_archive(first, second);
}

/* Whoever may write into a volume may write such a record. */
static void root_believes_no_record_in_a_plain_tree(void **state)
{
    (void)state;
    const char record[] = "0:0:4755:file";
    struct tar_entry entry;
    if (geteuid() != 0)
        skip();
    kit_file("top/file", "");
    assert_int_equal(xattr_set(kit_root(), "top/file", OVERRIDE_ATTR, record, strlen(record), 0),
                     0);
    assert_int_equal(fd_chmod(kit_root(), "top/file", 0600), 0);
    cleanup_fd int archive = pack_as(TREEKIND_PLAIN, "top");
    cleanup_tar_reader struct tar_reader *reader = open_archive(archive);
    assert_int_equal(tar_reader_next(reader, &entry), 1);
    assert_int_equal(tar_reader_next(reader, &entry), 1);
    assert_int_equal(entry.mode, S_IFREG | 0600);
    assert_non_null(find_attr(&entry, OVERRIDE_ATTR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(parents_come_first_and_directories_end_in_a_slash),
        kit_test(an_empty_layer_is_an_empty_archive),
        kit_test(whiteouts_are_empty_files_with_a_prefix),
        kit_test(the_opaque_mark_is_first_in_its_directory),
        kit_test(hard_links_are_by_the_name_that_comes_first),
        kit_test(sockets_are_left_out),
        kit_test(long_names_of_any_bytes_are_kept),
        kit_test(metadata_and_content_arrive),
        kit_test(a_recorded_device_is_packed_as_one),
        kit_test(the_same_content_gives_the_same_bytes),
        kit_test(other_programs_read_it),
        kit_test(what_was_packed_is_told),
        kit_test(half_a_layer_is_refused),
        kit_test(a_full_disk_is_told),
        kit_test(a_layer_with_a_skeleton_gives_the_bytes_that_came),
        kit_test(what_came_can_be_compressed),
        kit_test(a_layer_without_a_skeleton_is_packed_from_its_tree),
        kit_test(a_tree_that_is_not_what_came_is_told),
        kit_test(a_broken_skeleton_is_told),
        kit_test(what_was_packed_and_unpacked_packs_to_the_same_bytes),
        kit_test(an_archive_of_any_order_comes_back_as_it_was),
        kit_test(a_plain_tree_is_packed_as_it_is_with_its_root),
        kit_test(a_plain_tree_comes_back_as_it_was),
        kit_test(root_believes_no_record_in_a_plain_tree),
    };
    return kit_run("pack", tests, sizeof(tests) / sizeof(tests[0]));
}
