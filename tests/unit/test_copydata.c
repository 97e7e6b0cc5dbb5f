/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "copydata.h"
#include "fd.h"

#include <fcntl.h>
#include <string.h>

enum { MIB = 1 << 20 };

static int create(const char *name)
{
    int fd = openat(kit_root(), name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void write_at(int fd, off_t at, size_t size, int seed)
{
    cleanup_free uint8_t *bytes = malloc(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096 + (size_t)seed);
    assert_int_equal(pwrite(fd, bytes, size, at), size);
}

static void assert_same_bytes(int a, int b, off_t size)
{
    cleanup_free char *left = malloc(MIB), *right = malloc(MIB);
    for (off_t at = 0; at < size; at += MIB) {
        size_t part = size - at < MIB ? (size_t)(size - at) : (size_t)MIB;
        assert_int_equal(pread(a, left, part, at), part);
        assert_int_equal(pread(b, right, part, at), part);
        assert_memory_equal(left, right, part);
    }
}

static off_t size_of(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

static void a_whole_file_is_copied(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    write_at(src, 0, 3 * MIB + 17, 1);
    assert_int_equal(copydata_copy(src, dst, 3 * MIB + 17, true, NULL, &copied), 0);
    assert_int_equal(size_of(dst), 3 * MIB + 17);
    assert_same_bytes(src, dst, 3 * MIB + 17);
    assert_true(copied.means != COPYMEANS_NONE);
    assert_true(copied.means == COPYMEANS_REFLINK || copied.bytes == 3 * MIB + 17);
}

static void only_the_beginning_is_copied_where_no_more_is_wanted(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    write_at(src, 0, 2 * MIB, 2);
    assert_int_equal(copydata_copy(src, dst, MIB + 1, false, NULL, &copied), 0);
    assert_int_equal(size_of(dst), MIB + 1);
    assert_same_bytes(src, dst, MIB + 1);
    assert_int_equal(copied.bytes, MIB + 1);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    struct stat st;
    off_t size = 64 * (off_t)MIB;
    write_at(src, 8 * MIB, 8192, 3);
    write_at(src, 40 * MIB, 8192, 4);
    assert_int_equal(ftruncate(src, size), 0);
    assert_int_equal(copydata_copy(src, dst, size, false, NULL, &copied), 0);
    assert_int_equal(size_of(dst), size);
    assert_same_bytes(src, dst, size);
    assert_int_equal(fstat(dst, &st), 0);
    assert_true(st.st_blocks * 512 < MIB);
    assert_true(copied.bytes < MIB);
}

static void a_file_that_is_all_hole_moves_no_byte(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    struct stat st;
    assert_int_equal(ftruncate(src, 32 * MIB), 0);
    assert_int_equal(copydata_copy(src, dst, 32 * MIB, false, NULL, &copied), 0);
    assert_int_equal(fstat(dst, &st), 0);
    assert_int_equal(st.st_size, 32 * MIB);
    assert_int_equal(st.st_blocks, 0);
    assert_int_equal(copied.bytes, 0);
}

static void an_empty_file_is_copied_by_doing_nothing(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    assert_int_equal(copydata_copy(src, dst, 0, true, NULL, &copied), 0);
    assert_int_equal(size_of(dst), 0);
    assert_int_equal(copied.means, COPYMEANS_NONE);
}

static void a_file_that_shrank_meanwhile_ends_in_a_hole(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    char bytes[10];
    write_at(src, 0, 1000, 5);
    assert_int_equal(copydata_copy(src, dst, MIB, false, NULL, &copied), 0);
    assert_int_equal(size_of(dst), MIB);
    assert_same_bytes(src, dst, 1000);
    assert_int_equal(pread(dst, bytes, 10, 5000), 10);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\0\0", 10);
}

static void a_target_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), made = create("dst");
    cleanup_fd int dst = kit_open("dst", O_RDONLY);
    struct copied copied;
    write_at(src, 0, 4096, 6);
    assert_true(copydata_copy(src, dst, 4096, false, NULL, &copied) < 0);
    assert_int_equal(size_of(made), 0);
}

static unsigned patience;

static bool lose_patience(void)
{
    return patience-- == 0;
}

static void a_copy_that_nobody_wants_any_more_ends(void **state)
{
    (void)state;
    cleanup_fd int src = create("src"), dst = create("dst");
    struct copied copied;
    write_at(src, 0, 50 * MIB, 7);
    patience = 1;
    assert_int_equal(copydata_copy(src, dst, 50 * MIB, false, lose_patience, &copied), -EINTR);
    assert_int_equal(copied.bytes, 32 * MIB);
    patience = 3; /* it is asked three times, and not after the last piece */
    assert_int_equal(copydata_fill(src, dst, 50 * MIB, false, lose_patience, &copied), 0);
    assert_int_equal(patience, 0);
    assert_same_bytes(src, dst, 50 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_whole_file_is_copied),
        kit_test(only_the_beginning_is_copied_where_no_more_is_wanted),
        kit_test(holes_stay_holes),
        kit_test(a_file_that_is_all_hole_moves_no_byte),
        kit_test(an_empty_file_is_copied_by_doing_nothing),
        kit_test(a_file_that_shrank_meanwhile_ends_in_a_hole),
        kit_test(a_target_that_cannot_be_written_is_an_error),
        kit_test(a_copy_that_nobody_wants_any_more_ends),
    };
    return kit_run("copydata", tests, sizeof(tests) / sizeof(tests[0]));
}
