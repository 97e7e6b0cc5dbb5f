/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "skeleton.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static struct skeleton_writer *create(void)
{
    int err;
    struct skeleton_writer *writer = skeleton_create(kit_root(), "skeleton", &err);
    assert_non_null(writer);
    assert_int_equal(err, 0);
    return writer;
}

static void raw(struct skeleton_writer *writer, const char *text)
{
    assert_int_equal(skeleton_add_raw(writer, text, strlen(text)), 0);
}

static void content(struct skeleton_writer *writer, const char *path, size_t size)
{
    assert_int_equal(skeleton_add_content(writer, path, size), 0);
}

/* Keeps a file of the test's directory, and puts something else in its place. */
static void replace(struct skeleton_writer *writer, const char *path, const char *text)
{
    assert_true(skeleton_needs(writer, path));
    cleanup_fd int fd = kit_open(path, O_RDONLY);
    assert_int_equal(skeleton_keep(writer, path, fd), 0);
    assert_false(skeleton_needs(writer, path));
    kit_file(path, text);
}

static uint64_t finish(struct skeleton_writer *writer)
{
    uint64_t size;
    assert_int_equal(skeleton_finish(writer, &size), 0);
    skeleton_abandon(writer);
    return size;
}

/* Puts the tar together from the skeleton and the files of the test's directory; 0 or -errno. */
static int assemble(char *tar, size_t room, unsigned *parts)
{
    int err, more;
    struct skeleton_part part;
    size_t used = 0;
    *parts = 0;
    cleanup_skeleton_reader struct skeleton_reader *reader =
        skeleton_open(kit_root(), "skeleton", &err);
    if (!reader)
        return err;
    assert_int_equal(err, 0);
    while ((more = skeleton_next(reader, &part)) > 0) {
        (*parts)++;
        if (part.size >= room - used)
            return -ENOSPC;
        if (part.data) {
            memcpy(tar + used, part.data, part.size);
        } else {
            cleanup_fd int fd = fd_open_beneath(kit_root(), part.path, O_RDONLY);
            if (fd < 0 || pread(fd, tar + used, part.size, 0) != (ssize_t)part.size)
                return -ENOENT;
        }
        used += part.size;
    }
    tar[used] = 0;
    if (more == 0)
        assert_int_equal(used, skeleton_size(reader));
    return more;
}

static void assert_gives(const char *expected, unsigned expected_parts)
{
    char tar[4096];
    unsigned parts;
    assert_int_equal(assemble(tar, sizeof(tar), &parts), 0);
    assert_string_equal(tar, expected);
    assert_int_equal(parts, expected_parts);
}

static void pieces_are_gathered_and_given_back(void **state)
{
    (void)state;
    kit_tree("f dir/a one,f b twothree");
    struct skeleton_writer *writer = create();
    raw(writer, "<");
    raw(writer, "head>");
    content(writer, "dir/a", 3);
    raw(writer, "<middle>");
    content(writer, "b", 3);
    content(writer, "b", 5);
    raw(writer, "<end>");
    assert_int_equal(finish(writer), 30);
    assert_gives("<head>one<middle>twothree<end>", 5);
}

static void an_empty_tar_has_a_skeleton(void **state)
{
    (void)state;
    assert_int_equal(finish(create()), 0);
    assert_gives("", 0);
}

static void long_raw_runs_come_in_pieces(void **state)
{
    (void)state;
    int err;
    struct skeleton_part part;
    enum { MUCH = 1000000 };
    cleanup_free char *much = malloc(MUCH);
    memset(much, 'x', MUCH);
    struct skeleton_writer *writer = create();
    assert_int_equal(skeleton_add_raw(writer, much, MUCH), 0);
    assert_int_equal(finish(writer), MUCH);
    cleanup_skeleton_reader struct skeleton_reader *reader =
        skeleton_open(kit_root(), "skeleton", &err);
    size_t used = 0;
    while (skeleton_next(reader, &part) > 0) {
        assert_memory_equal(part.data, much, part.size);
        used += part.size;
    }
    assert_int_equal(used, MUCH);
}

static void what_is_replaced_is_kept(void **state)
{
    (void)state;
    kit_tree("f a one,f b two");
    struct skeleton_writer *writer = create();
    content(writer, "a", 3);
    raw(writer, "<1>");
    content(writer, "b", 3);
    raw(writer, "<2>");
    replace(writer, "a", "other");
    content(writer, "a", 5);
    raw(writer, "<3>");
    replace(writer, "a", "last");
    content(writer, "a", 4);
    assert_false(skeleton_needs(writer, "c"));
    finish(writer);
    assert_gives("one<1>two<2>other<3>last", 7);
}

static void what_is_replaced_at_once_is_kept(void **state)
{
    (void)state;
    kit_tree("f a one");
    struct skeleton_writer *writer = create();
    content(writer, "a", 3);
    replace(writer, "a", "other");
    finish(writer);
    assert_gives("one", 1);
}

static void a_kept_file_that_shrank_is_an_error(void **state)
{
    (void)state;
    kit_tree("f a on");
    struct skeleton_writer *writer = create();
    content(writer, "a", 3);
    cleanup_fd int fd = kit_open("a", O_RDONLY);
    assert_int_equal(skeleton_keep(writer, "a", fd), -EIO);
    skeleton_abandon(writer);
}

static void a_skeleton_is_never_written_over(void **state)
{
    (void)state;
    int err;
    kit_file("skeleton", "");
    assert_null(skeleton_create(kit_root(), "skeleton", &err));
    assert_int_equal(err, -EEXIST);
    kit_symlink("link", "skeleton");
    assert_null(skeleton_open(kit_root(), "link", &err));
    assert_int_equal(err, -ELOOP);
}

/* A skeleton with every kind of record; its bytes, to be freed. */
static char *one_of_all_kinds(size_t *size)
{
    kit_tree("f a one,f b two");
    struct skeleton_writer *writer = create();
    raw(writer, "<head>");
    content(writer, "a", 3);
    replace(writer, "a", "other");
    content(writer, "a", 5);
    raw(writer, "<end>");
    finish(writer);
    assert_gives("<head>oneother<end>", 4);
    *size = (size_t)kit_stat("skeleton").st_size;
    return kit_text("skeleton");
}

static void put_back(const char *bytes, size_t size)
{
    cleanup_fd int fd = kit_open("skeleton", O_WRONLY | O_TRUNC);
    assert_int_equal(fd_write_all(fd, bytes, size), 0);
}

static void what_is_cut_short_is_refused(void **state)
{
    (void)state;
    char tar[4096];
    unsigned parts;
    size_t size;
    cleanup_free char *bytes = one_of_all_kinds(&size);
    for (size_t cut = 0; cut < size; cut++) {
        put_back(bytes, cut);
        assert_int_equal(assemble(tar, sizeof(tar), &parts), -EBADMSG);
    }
}

/* Some flips change bytes of the tar or a path, which its sum has to tell; none may do harm. */
static void a_flipped_bit_does_no_harm(void **state)
{
    (void)state;
    char tar[4096];
    unsigned parts, refused = 0;
    size_t size;
    cleanup_free char *bytes = one_of_all_kinds(&size);
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        put_back(bytes, size);
        int err = assemble(tar, sizeof(tar), &parts);
        assert_true(err == 0 || err == -EBADMSG || err == -ENOENT);
        refused += err == -EBADMSG;
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(refused > 5 * size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(pieces_are_gathered_and_given_back), kit_test(an_empty_tar_has_a_skeleton),
        kit_test(long_raw_runs_come_in_pieces),       kit_test(what_is_replaced_is_kept),
        kit_test(what_is_replaced_at_once_is_kept),   kit_test(a_kept_file_that_shrank_is_an_error),
        kit_test(a_skeleton_is_never_written_over),   kit_test(what_is_cut_short_is_refused),
        kit_test(a_flipped_bit_does_no_harm),
    };
    return kit_run("skeleton", tests, sizeof(tests) / sizeof(tests[0]));
}
