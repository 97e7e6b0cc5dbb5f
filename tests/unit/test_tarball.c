/* SPDX-License-Identifier: MIT */
#include "tarkit.h"

#include "digest.h"
#include "fd.h"
#include "kit.h"

#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static struct tar_reader *open_reader(int fd)
{
    int err;
    struct tar_reader *reader = tar_reader_open(fd, NULL, NULL, &err);
    assert_non_null(reader);
    return reader;
}

/* The content of the entry at hand, to be freed; what is between pieces is 0. */
static char *content(struct tar_reader *reader, size_t size)
{
    const void *data;
    size_t length;
    off_t offset;
    int more;
    char *all = calloc(1, size + 1);
    assert_non_null(all);
    while ((more = tar_reader_data(reader, &data, &length, &offset)) > 0) {
        assert_true((size_t)offset + length <= size);
        memcpy(all + offset, data, length);
    }
    assert_int_equal(more, 0);
    return all;
}

/* Reads everything; the answer of the first call that is not fine. */
static int read_all(struct tar_reader *reader, struct tar_sums *sums)
{
    struct tar_entry entry;
    const void *data;
    size_t size;
    off_t offset;
    int more;
    while ((more = tar_reader_next(reader, &entry)) > 0) {
        while ((more = tar_reader_data(reader, &data, &size, &offset)) > 0)
            continue;
        if (more < 0)
            return more;
    }
    return more < 0 ? more : tar_reader_finish(reader, sums);
}

static int read_file(int fd, struct tar_sums *sums)
{
    cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
    int err = read_all(reader, sums);
    if (err)
        assert_true(*tar_reader_words(reader));
    return err;
}

static void assert_sum_of(int fd, const char *hex)
{
    char expected[DIGEST_HEX_SIZE];
    size_t size;
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    assert_int_equal(digest_of(bytes, size, expected), 0);
    assert_string_equal(hex, expected);
}

static struct tar_entry next(struct tar_reader *reader)
{
    struct tar_entry entry;
    assert_int_equal(tar_reader_next(reader, &entry), 1);
    return entry;
}

/* ---- what is written is read ---- */

static const struct tar_xattr XATTRS[] = {
    {"security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20},
    {"user.a-b", "x\ny", 3},
    {"user.empty", "", 0},
};

/* Names that PAX has no place for, or that go out encoded; and what only looks as if it were. */
static const struct tar_xattr ODD_NAMES[] = {
    {"user.50%", "1", 1},      {"user.a b", "2", 1},   {"user.a=b", "3", 1},   {"user.%25", "4", 1},
    {"user.\xc3\xa9", "5", 1}, {"user.%zz%4", "6", 1}, {"user.plain", "7", 1},
};
enum { ODD_COUNT = sizeof(ODD_NAMES) / sizeof(ODD_NAMES[0]) };

static void assert_same_entry(const struct tar_entry *found, const struct tar_entry *wanted)
{
    assert_string_equal(found->path, wanted->path);
    assert_int_equal(found->mode, wanted->mode);
    assert_int_equal(found->uid, wanted->uid);
    assert_int_equal(found->gid, wanted->gid);
    assert_int_equal(found->rdev, wanted->rdev);
    assert_int_equal(found->size, wanted->size);
    assert_int_equal(found->mtime.tv_sec, wanted->mtime.tv_sec);
    assert_int_equal(found->mtime.tv_nsec, wanted->mtime.tv_nsec);
    assert_int_equal(found->xattr_count, wanted->xattr_count);
    for (size_t i = 0; i < found->xattr_count; i++) {
        assert_string_equal(found->xattrs[i].name, wanted->xattrs[i].name);
        assert_int_equal(found->xattrs[i].size, wanted->xattrs[i].size);
        assert_memory_equal(found->xattrs[i].value, wanted->xattrs[i].value,
                            wanted->xattrs[i].size);
    }
    if (wanted->target)
        assert_string_equal(found->target, wanted->target);
    if (wanted->link)
        assert_string_equal(found->link, wanted->link);
    assert_int_equal(!found->target, !wanted->target);
    assert_int_equal(!found->link, !wanted->link);
}

static const struct tar_entry KINDS[] = {
    {.path = "dir/", .mode = S_IFDIR | 01777, .uid = 1000, .mtime = {1, 0}},
    {.path = "dir/file",
     .mode = S_IFREG | 04755,
     .size = 4,
     .mtime = {1700000000, 123456789},
     .xattrs = XATTRS,
     .xattr_count = 3},
    {.path = "dir/hard", .mode = S_IFREG | 04755, .link = "dir/file", .mtime = {5, 0}},
    {.path = "link", .mode = S_IFLNK | 0777, .target = "../\xff/nowhere", .mtime = {-5, 0}},
    {.path = "null", .mode = S_IFCHR | 0666, .rdev = 0x103, .uid = 4000000000u, .gid = 70000},
    {.path = "disk", .mode = S_IFBLK | 0600, .rdev = 0x801},
    {.path = "fifo", .mode = S_IFIFO | 0600},
    {.path = "bytes\xff\xfe\xc3", .mode = S_IFREG | 0, .mtime = {1LL << 34, 0}},
    {.path = "e\xcc\x81 is not \xc3\xa9", .mode = S_IFREG | 0644},
};
/* Another sum means that every layer that was exported and is exported again has another DiffID. */
static const char KINDS_SUM[] = "74cf439639081d7000e4e026d4c59305e721ac1fe43911d4a341c4d0d3ae0f49";
enum { KIND_COUNT = sizeof(KINDS) / sizeof(KINDS[0]) };

static int write_kinds(enum tar_filter filter, struct tar_sums *sums)
{
    int fd = tarkit_file();
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(fd, filter);
    assert_non_null(writer);
    for (int i = 0; i < KIND_COUNT; i++)
        tarkit_add_entry(writer, &KINDS[i], "text");
    assert_int_equal(tar_writer_finish(writer, sums), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

static void every_kind_of_entry_comes_back(void **state)
{
    (void)state;
    for (int filter = TAR_PLAIN; filter <= TAR_ZSTD; filter++) {
        struct tar_sums written, sums;
        struct tar_entry entry;
        cleanup_fd int fd = write_kinds(filter, &written);
        cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
        for (int i = 0; i < KIND_COUNT; i++) {
            entry = next(reader);
            assert_same_entry(&entry, &KINDS[i]);
            cleanup_free char *text = content(reader, (size_t)entry.size);
            assert_string_equal(text, entry.size ? "text" : "");
        }
        assert_int_equal(tar_reader_next(reader, &entry), 0);
        assert_int_equal(tar_reader_next(reader, &entry), 0);
        assert_int_equal(tar_reader_finish(reader, &sums), 0);
        assert_memory_equal(&sums.diff_id, &written.diff_id, sizeof(sums.diff_id));
        assert_memory_equal(&sums.blob, &written.blob, sizeof(sums.blob));
        assert_int_equal(sums.tar_size, written.tar_size);
        assert_int_equal(sums.blob_size, written.blob_size);
        assert_true(sums.ended);
        assert_sum_of(fd, sums.blob);
    }
}

static void names_of_attributes_come_back_whatever_is_in_them(void **state)
{
    (void)state;
    const struct tar_entry odd = {
        .path = "odd", .mode = S_IFREG | 0644, .xattrs = ODD_NAMES, .xattr_count = ODD_COUNT};
    struct tar_sums sums;
    int fd = tarkit_file();
    cleanup_fd int read_again = fd;
    {
        cleanup_tar_writer struct tar_writer *writer = tar_writer_open(fd, TAR_PLAIN);
        assert_non_null(writer);
        tarkit_add_entry(writer, &odd, "");
        assert_int_equal(tar_writer_finish(writer, &sums), 0);
    }
    assert_int_equal(lseek(read_again, 0, SEEK_SET), 0);
    cleanup_tar_reader struct tar_reader *reader = open_reader(read_again);
    struct tar_entry entry = next(reader);
    assert_same_entry(&entry, &odd);
}

static void names_are_bytes_in_any_locale(void **state)
{
    (void)state;
    setenv("LC_ALL", "C.UTF-8", 1);
    setlocale(LC_ALL, "");
    every_kind_of_entry_comes_back(state);
    setlocale(LC_ALL, "C");
    unsetenv("LC_ALL");
}

static void the_same_entries_give_the_same_bytes(void **state)
{
    (void)state;
    for (int filter = TAR_PLAIN; filter <= TAR_ZSTD; filter++) {
        struct tar_sums one, two;
        cleanup_fd int first = write_kinds(filter, &one);
        cleanup_fd int second = write_kinds(filter, &two);
        assert_memory_equal(&one, &two, sizeof(one));
        assert_sum_of(first, two.blob);
        assert_sum_of(second, one.blob);
        assert_string_equal(one.diff_id, KINDS_SUM);
    }
}

static void content_must_be_as_long_as_was_said(void **state)
{
    (void)state;
    struct tar_sums sums;
    const struct tar_entry file = {.path = "a", .mode = S_IFREG | 0644, .size = 3};
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(-1, TAR_PLAIN);
    assert_int_equal(tar_writer_add(writer, &file), 0);
    assert_int_equal(tar_writer_data(writer, "abcd", 4), -EINVAL);
    assert_int_equal(tar_writer_data(writer, "ab", 2), 0);
    assert_int_equal(tar_writer_add(writer, &file), -EINVAL);
    assert_int_equal(tar_writer_finish(writer, &sums), -EINVAL);
    assert_int_equal(tar_writer_data(writer, "c", 1), 0);
    assert_int_equal(tar_writer_finish(writer, &sums), 0);
    assert_int_equal(sums.tar_size, 512 + 512 + 1024);
}

static void a_socket_cannot_be_written(void **state)
{
    (void)state;
    const struct tar_entry entry = {.path = "s", .mode = S_IFSOCK | 0644};
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(-1, TAR_PLAIN);
    assert_int_equal(tar_writer_add(writer, &entry), -EOPNOTSUPP);
}

static void a_full_disk_is_told(void **state)
{
    (void)state;
    for (int filter = TAR_PLAIN; filter <= TAR_ZSTD; filter++) {
        cleanup_fd int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
        cleanup_tar_writer struct tar_writer *writer = tar_writer_open(full, filter);
        tarkit_add(writer, S_IFREG, "a", "text");
        assert_int_equal(tar_writer_finish(writer, NULL), -ENOSPC);
    }
}

static void a_writer_that_is_given_up_does_not_end_its_archive(void **state)
{
    (void)state;
    struct stat st;
    cleanup_fd int fd = tarkit_file();
    struct tar_writer *writer = tar_writer_open(fd, TAR_GZIP);
    tarkit_add(writer, S_IFREG, "a", "text");
    tar_writer_close(writer);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 0);
}

static void a_ready_made_tar_is_only_compressed(void **state)
{
    (void)state;
    struct tar_sums sums;
    size_t size;
    cleanup_fd int plain = tarkit_archive("f a one,f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(plain, &size);
    cleanup_fd int fd = tarkit_file();
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(fd, TAR_GZIP);
    assert_int_equal(tar_writer_raw(writer, bytes, 1000), 0);
    assert_int_equal(tar_writer_raw(writer, bytes + 1000, size - 1000), 0);
    assert_int_equal(tar_writer_finish(writer, &sums), 0);
    assert_int_equal(sums.tar_size, size);
    assert_sum_of(plain, sums.diff_id);
    assert_sum_of(fd, sums.blob);
    assert_int_equal(read_file(fd, &sums), 0);
    assert_sum_of(plain, sums.diff_id);
}

/* ---- archives of other tools ---- */

static void every_compression_is_read(void **state)
{
    (void)state;
    static const char *const TOOLS[] = {"cat", "gzip", "zstd -q", "xz", "bzip2"};
    kit_file("in/file", "text of a file");
    cleanup_fd int plain = tarkit_output("tar -cf - in");
    for (size_t i = 0; i < sizeof(TOOLS) / sizeof(TOOLS[0]); i++) {
        char command[64];
        struct tar_sums sums;
        snprintf(command, sizeof(command), "tar -cf - in | %s", TOOLS[i]);
        cleanup_fd int fd = tarkit_output(command);
        assert_int_equal(read_file(fd, &sums), 0);
        assert_sum_of(plain, sums.diff_id);
        assert_sum_of(fd, sums.blob);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(sums.blob_size, st.st_size);
        assert_int_equal(sums.tar_size, 10240);
        assert_true(sums.ended);
    }
}

static void members_one_after_the_other_and_what_follows_count(void **state)
{
    (void)state;
    struct tar_sums sums;
    kit_file("in/file", "text of a file");
    cleanup_fd int whole = tarkit_output("tar -cf - in");
    cleanup_fd int plain = tarkit_output("tar -cf - in; printf trailing");
    cleanup_fd int parts = tarkit_output("tar -cf all in && (head -c 700 all | gzip; "
                                         "tail -c +701 all | gzip; printf trailing)");
    assert_int_equal(read_file(plain, &sums), 0);
    assert_sum_of(plain, sums.diff_id);
    assert_sum_of(plain, sums.blob);
    assert_int_equal(read_file(parts, &sums), 0);
    assert_sum_of(whole, sums.diff_id);
    assert_sum_of(parts, sums.blob);
}

static void what_is_compressed_twice_is_refused(void **state)
{
    (void)state;
    struct tar_sums sums;
    kit_file("in/file", "text");
    cleanup_fd int fd = tarkit_output("tar -cf - in | gzip | zstd -q");
    assert_int_equal(read_file(fd, &sums), -EBADMSG);
}

static void holes_are_left_out(void **state)
{
    (void)state;
    static const char *const WAYS[] = {"--format=gnu", "--format=pax --sparse-version=1.0",
                                       "--format=pax --sparse-version=0.1",
                                       "--format=pax --sparse-version=0.0"};
    kit_dir("in");
    for (size_t i = 0; i < sizeof(WAYS) / sizeof(WAYS[0]); i++) {
        char command[256];
        struct tar_entry entry;
        snprintf(command, sizeof(command),
                 "rm -f in/s && truncate -s 1M in/s && "
                 "printf hello | dd of=in/s bs=1 seek=500000 conv=notrunc status=none && "
                 "tar %s -S -cf - in/s",
                 WAYS[i]);
        cleanup_fd int fd = tarkit_output(command);
        cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
        entry = next(reader);
        assert_string_equal(entry.path, "in/s");
        assert_true(entry.sparse);
        assert_int_equal(entry.size, 1 << 20);
        cleanup_free char *text = content(reader, 1 << 20);
        assert_memory_equal(text + 500000, "hello", 6);
    }
}

/* ---- the tap ---- */

struct tap {
    char *bytes; /* of the whole tar */
    size_t size;
    size_t left; /* calls that succeed */
};

static int collect(void *context, const void *data, size_t size)
{
    struct tap *tap = context;
    if (tap->left-- == 0)
        return -ENOSPC;
    tap->bytes = realloc(tap->bytes, tap->size + size);
    assert_non_null(tap->bytes);
    memcpy(tap->bytes + tap->size, data, size);
    tap->size += size;
    return 0;
}

/* Raw bytes and content put together again; every third file's content is not asked for. */
static struct tap taken_apart(int fd, size_t *content_bytes)
{
    struct tap tap = {.left = SIZE_MAX};
    struct tar_sums sums;
    struct tar_entry entry;
    const void *data;
    size_t size;
    off_t offset;
    unsigned count = 0;
    *content_bytes = 0;
    cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
    tar_reader_tap(reader, collect, &tap);
    while (tar_reader_next(reader, &entry) > 0) {
        if (++count % 3 == 0)
            continue;
        while (tar_reader_data(reader, &data, &size, &offset) > 0) {
            if (entry.sparse)
                continue;
            collect(&tap, data, size);
            *content_bytes += size;
        }
    }
    assert_int_equal(tar_reader_finish(reader, &sums), 0);
    return tap;
}

static void raw_bytes_and_content_are_the_whole(void **state)
{
    (void)state;
    static const char *const FORMATS[] = {"gnu -S", "pax -S", "ustar", "v7"};
    kit_tree("f in/a one,f in/b two,l in/l a,h in/h in/a,d in/d,f in/d/c three");
    tarkit_run("seq 300000 > in/large; truncate -s 300k in/sparse; "
               "seq 1000 >> in/sparse; seq 200000 > in/d/large");
    for (size_t i = 0; i < sizeof(FORMATS) / sizeof(FORMATS[0]); i++) {
        char command[128];
        size_t size, content_bytes;
        snprintf(command, sizeof(command), "tar --format=%s -cf - in; printf trailing", FORMATS[i]);
        cleanup_fd int fd = tarkit_output(command);
        cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
        struct tap tap = taken_apart(fd, &content_bytes);
        assert_int_equal(tap.size, size);
        assert_memory_equal(tap.bytes, bytes, size);
        assert_true(content_bytes > 1000000);
        free(tap.bytes);
    }
}

static void an_error_of_the_tap_is_the_answer(void **state)
{
    (void)state;
    struct tar_sums sums;
    for (size_t calls = 0; calls < 4; calls++) {
        struct tap tap = {.left = calls};
        cleanup_fd int fd = tarkit_archive("f a one,f b two,f c three");
        cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
        tar_reader_tap(reader, collect, &tap);
        assert_int_equal(read_all(reader, &sums), -ENOSPC);
        free(tap.bytes);
    }
}

/* What comes after the end of a tar may be without an end. */
static void after_an_error_of_the_tap_nothing_more_is_read(void **state)
{
    (void)state;
    struct tar_sums sums;
    struct tap tap = {.left = 2};
    cleanup_fd int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
    tar_reader_tap(reader, collect, &tap);
    alarm(20);
    assert_int_equal(read_all(reader, &sums), -ENOSPC);
    alarm(0);
    free(tap.bytes);
}

/* ---- broken archives ---- */

static void what_is_cut_short_is_refused(void **state)
{
    (void)state;
    static const char *const TOOLS[] = {"cat", "gzip", "zstd -q", "xz", "bzip2"};
    kit_dir("in");
    tarkit_run("seq 1000 > in/file");
    for (size_t i = 0; i < sizeof(TOOLS) / sizeof(TOOLS[0]); i++) {
        char command[64];
        struct tar_sums sums;
        size_t size;
        snprintf(command, sizeof(command), "tar -cf - in | %s", TOOLS[i]);
        cleanup_fd int fd = tarkit_output(command);
        cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
        cleanup_fd int half = tarkit_file_of(bytes, size / 3);
        assert_int_equal(read_file(half, &sums), -EBADMSG);
    }
}

static void a_missing_end_mark_is_told(void **state)
{
    (void)state;
    struct tar_sums sums;
    size_t size;
    cleanup_fd int fd = tarkit_archive("f a one,f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    cleanup_fd int cut = tarkit_file_of(bytes, 1024);
    cleanup_fd int nothing = tarkit_file();
    assert_int_equal(read_file(cut, &sums), 0);
    assert_false(sums.ended);
    assert_int_equal(read_file(nothing, &sums), 0);
    assert_false(sums.ended);
    assert_int_equal(sums.tar_size, 0);
}

static void a_flipped_bit_of_a_header_is_found(void **state)
{
    (void)state;
    size_t size;
    cleanup_fd int fd = tarkit_archive("f a one,f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    for (size_t at = 0; at < 512; at += 13) {
        struct tar_sums sums;
        bytes[1024 + at] ^= 4;
        cleanup_fd int flipped = tarkit_file_of(bytes, size);
        assert_int_equal(read_file(flipped, &sums), -EBADMSG);
        bytes[1024 + at] ^= 4;
    }
}

static void a_flipped_bit_of_what_is_compressed_is_found(void **state)
{
    (void)state;
    static const char *const TOOLS[] = {"gzip", "zstd -q --check", "xz", "bzip2"};
    kit_dir("in");
    tarkit_run("seq 1000 > in/file");
    for (size_t i = 0; i < sizeof(TOOLS) / sizeof(TOOLS[0]); i++) {
        char command[64];
        size_t size;
        snprintf(command, sizeof(command), "tar -cf - in | %s", TOOLS[i]);
        cleanup_fd int fd = tarkit_output(command);
        cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
        for (size_t at = size / 2; at < size; at += 37) {
            struct tar_sums sums;
            bytes[at] ^= 1;
            cleanup_fd int flipped = tarkit_file_of(bytes, size);
            assert_int_equal(read_file(flipped, &sums), -EBADMSG);
            bytes[at] ^= 1;
        }
    }
}

static void what_is_no_tar_is_refused(void **state)
{
    (void)state;
    struct tar_sums sums;
    cleanup_fd int text = tarkit_output("seq 5000");
    cleanup_fd int few = tarkit_output("printf abc");
    cleanup_fd int packed = tarkit_output("seq 5000 | gzip");
    assert_int_equal(read_file(text, &sums), -EBADMSG);
    assert_int_equal(read_file(few, &sums), -EBADMSG);
    assert_int_equal(read_file(packed, &sums), -EBADMSG);
}

static void a_descriptor_that_cannot_be_read_keeps_its_error(void **state)
{
    (void)state;
    struct tar_sums sums;
    cleanup_fd int dir = kit_open(".", O_RDONLY | O_DIRECTORY);
    assert_int_equal(read_file(dir, &sums), -EISDIR);
}

/* ---- pipes, and closing early ---- */

static void closing_does_not_wait_for_a_silent_pipe(void **state)
{
    (void)state;
    int ends[2];
    size_t size;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    cleanup_fd int from = ends[0], to = ends[1];
    tar_reader_close(open_reader(from));
    cleanup_fd int fd = tarkit_archive("f a one,f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &size);
    assert_int_equal(fd_write_all(to, bytes, size), 0);
    tar_reader_close(open_reader(from));
}

static void closing_does_not_wait_for_room(void **state)
{
    (void)state;
    struct tar_entry entry;
    cleanup_fd int fd = tarkit_output("truncate -s 64M zeros && tar -cf - zeros");
    cleanup_tar_reader struct tar_reader *reader = open_reader(fd);
    assert_int_equal(tar_reader_next(reader, &entry), 1);
}

struct pour {
    int to;
    const unsigned char *bytes;
    size_t size;
};

static void *pour_slowly(void *context)
{
    const struct pour *pour = context;
    for (size_t at = 0; at < pour->size; at += 100) {
        size_t size = pour->size - at < 100 ? pour->size - at : 100;
        if (fd_write_all(pour->to, pour->bytes + at, size) != 0)
            break;
    }
    close(pour->to);
    return NULL;
}

static void a_pipe_may_give_a_little_at_a_time(void **state)
{
    (void)state;
    int ends[2];
    pthread_t thread;
    struct tar_sums sums;
    kit_dir("in");
    cleanup_fd int fd = tarkit_output("seq 20000 > in/file; tar -cf - in | gzip");
    struct pour pour;
    cleanup_free unsigned char *bytes = tarkit_bytes(fd, &pour.size);
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(fcntl(ends[1], F_SETFL, 0), 0);
    pour.to = ends[1];
    pour.bytes = bytes;
    assert_int_equal(pthread_create(&thread, NULL, pour_slowly, &pour), 0);
    assert_int_equal(read_file(ends[0], &sums), 0);
    pthread_join(thread, NULL);
    close(ends[0]);
    assert_sum_of(fd, sums.blob);
}

static void remember(void *context, uint64_t bytes)
{
    *(uint64_t *)context = bytes;
}

static void it_is_told_how_much_was_read(void **state)
{
    (void)state;
    int err;
    uint64_t seen = 0;
    struct tar_sums sums;
    cleanup_fd int fd = tarkit_archive("f a one,f b two");
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(fd, remember, &seen, &err);
    assert_int_equal(read_all(reader, &sums), 0);
    assert_int_equal(seen, sums.blob_size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_kind_of_entry_comes_back),
        kit_test(names_of_attributes_come_back_whatever_is_in_them),
        kit_test(names_are_bytes_in_any_locale),
        kit_test(the_same_entries_give_the_same_bytes),
        kit_test(content_must_be_as_long_as_was_said),
        kit_test(a_socket_cannot_be_written),
        kit_test(a_full_disk_is_told),
        kit_test(a_writer_that_is_given_up_does_not_end_its_archive),
        kit_test(a_ready_made_tar_is_only_compressed),
        kit_test(every_compression_is_read),
        kit_test(members_one_after_the_other_and_what_follows_count),
        kit_test(what_is_compressed_twice_is_refused),
        kit_test(holes_are_left_out),
        kit_test(raw_bytes_and_content_are_the_whole),
        kit_test(an_error_of_the_tap_is_the_answer),
        kit_test(after_an_error_of_the_tap_nothing_more_is_read),
        kit_test(what_is_cut_short_is_refused),
        kit_test(a_missing_end_mark_is_told),
        kit_test(a_flipped_bit_of_a_header_is_found),
        kit_test(a_flipped_bit_of_what_is_compressed_is_found),
        kit_test(what_is_no_tar_is_refused),
        kit_test(a_descriptor_that_cannot_be_read_keeps_its_error),
        kit_test(closing_does_not_wait_for_a_silent_pipe),
        kit_test(closing_does_not_wait_for_room),
        kit_test(a_pipe_may_give_a_little_at_a_time),
        kit_test(it_is_told_how_much_was_read),
    };
    return kit_run("tarball", tests, sizeof(tests) / sizeof(tests[0]));
}
