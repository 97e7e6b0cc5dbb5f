/* SPDX-License-Identifier: MIT */
#include "kit.h"
#include "tarkit.h"

#include "imagefiles.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct imagefiles_fault fault;

/* The files of an archive, staged in "stage". */
static int stage(const char *words, uint64_t size_max, struct imagefiles **files)
{
    kit_dir("stage");
    cleanup_fd int fd = tarkit_archive(words);
    /* Open until the process ends, as a stage is until its import does. */
    const struct imagefiles_tar tar = {
        .fd = fd, .stage = kit_open("stage", O_RDONLY | O_DIRECTORY), .size_max = size_max};
    return imagefiles_of_tar(&tar, files, &fault);
}

static void assert_file(const struct imagefiles *files, const char *path, const char *expected)
{
    cleanup_free char *text = NULL;
    size_t size;
    if (imagefiles_read(files, path, 1000, &text, &size, &fault))
        fail_msg("%s: %s", path, fault.words);
    assert_string_equal(text, expected);
    assert_int_equal(size, strlen(expected));
    assert_true(imagefiles_have(files, path));
}

static void assert_none(const struct imagefiles *files, const char *path)
{
    assert_int_equal(imagefiles_open(files, path), -ENOENT);
}

static void files_of_a_tar_are_found_by_any_spelling(void **state)
{
    (void)state;
    cleanup_imagefiles struct imagefiles *files = NULL;
    assert_int_equal(
        stage("d ./, f ./index.json {}, f ./blobs/sha256/x one, f " ID "/layer.tar two", 0, &files),
        0);
    assert_non_null(files);
    assert_file(files, "index.json", "{}");
    assert_file(files, "./blobs//sha256/./x", "one");
    assert_file(files, "blobs/other/../sha256/x", "one");
    assert_file(files, ID "/layer.tar", "two");
    assert_none(files, "blobs/sha256");
    assert_none(files, "/index.json");
    assert_none(files, "../index.json");
    assert_none(files, "");
}

static void links_are_followed_in_the_table(void **state)
{
    (void)state;
    cleanup_imagefiles struct imagefiles *files = NULL;
    assert_int_equal(stage("f manifest.json [], l " ID "/layer.tar ../one.tar, f one.tar text, "
                           "h two.tar one.tar, l three.tar " ID "/layer.tar, l loop.tar loop.tar, "
                           "l out.tar ../../etc/passwd, l abs.tar /one.tar, l none.tar x.tar",
                           0, &files),
                     0);
    assert_file(files, ID "/layer.tar", "text");
    assert_file(files, "two.tar", "text");
    assert_file(files, "three.tar", "text");
    assert_none(files, "loop.tar");
    assert_none(files, "out.tar");
    assert_none(files, "abs.tar");
    assert_none(files, "none.tar");
}

static void of_a_path_that_is_there_twice_the_last_counts(void **state)
{
    (void)state;
    cleanup_imagefiles struct imagefiles *files = NULL;
    assert_int_equal(
        stage("f index.json long, f index.json two, l a.tar index.json, f a.tar own", 0, &files),
        0);
    assert_file(files, "index.json", "two");
    assert_file(files, "a.tar", "own");
}

static void nothing_is_written_but_numbers(void **state)
{
    (void)state;
    cleanup_imagefiles struct imagefiles *files = NULL;
    kit_file("outside", "safe");
    assert_int_equal(stage("f ../outside bad, f /index.json bad, l blobs .., f blobs/outside bad, "
                           "f blobs/../../outside bad, f index.json {}, c null, p fifo",
                           0, &files),
                     0);
    kit_assert_text("outside", "safe");
    assert_int_equal(kit_entries("stage"), 2);
    assert_true(kit_exists("stage/0") && kit_exists("stage/1"));
    assert_file(files, "index.json", "{}");
    assert_none(files, "null");
    assert_none(files, "fifo");
}

static void a_root_filesystem_is_known_by_its_names(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    assert_int_equal(stage("d ./, d ./usr, f ./index.json {}", 0, &files), 0);
    assert_null(files);
    assert_int_equal(stage("f index.json {}, f etc/passwd root", 0, &files), 0);
    assert_null(files);
    assert_int_equal(stage("f hello text", 0, &files), 0);
    assert_null(files);
    assert_int_equal(stage("d app, f app/index.json {}", 0, &files), 0);
    assert_null(files);
}

static void blobs_without_documents_are_no_root_filesystem(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    assert_int_equal(stage("f blobs/sha256/x one", 0, &files), -EBADMSG);
    assert_non_null(strstr(fault.words, "index.json"));
    assert_int_equal(stage("f " ID "/layer.tar one", 0, &files), -EBADMSG);
}

static void what_is_no_archive_is_refused(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    kit_dir("stage");
    cleanup_fd int fd = tarkit_file_of("this is no archive at all", 25);
    cleanup_fd int dir = kit_open("stage", O_RDONLY | O_DIRECTORY);
    const struct imagefiles_tar tar = {.fd = fd, .stage = dir};
    assert_int_equal(imagefiles_of_tar(&tar, &files, &fault), -EBADMSG);
    assert_true(fault.words[0] != 0);
    assert_null(files);
}

static int stage_of(int archive, uint64_t size_max, struct imagefiles **files)
{
    kit_dir("stage");
    cleanup_fd int fd = archive;
    const struct imagefiles_tar tar = {
        .fd = fd, .stage = kit_open("stage", O_RDONLY | O_DIRECTORY), .size_max = size_max};
    return imagefiles_of_tar(&tar, files, &fault);
}

static void holes_are_bounded_as_bytes_are(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    kit_dir("in");
    tarkit_run("cd in && truncate -s 40G a.tar && echo '[]' > manifest.json");
    static const char command[] = "tar -C in -S -cf - manifest.json a.tar";
    assert_int_equal(stage_of(tarkit_output(command), 30ull << 30, &files), -EFBIG);
    assert_non_null(strstr(fault.words, "a.tar"));
    assert_int_equal(kit_entries("stage"), 1);
}

/* Whatever follows the end of the tar, without an end of its own. */
static void what_belongs_to_no_image_is_bounded(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    alarm(60);
    assert_int_equal(stage_of(open("/dev/zero", O_RDONLY | O_CLOEXEC), 1000, &files), -EFBIG);
    alarm(0);
    assert_non_null(strstr(fault.words, "belong to no image"));
}

static void bytes_are_bounded(void **state)
{
    (void)state;
    struct imagefiles *files = NULL;
    assert_int_equal(stage("f index.json 12345, f a.tar 12345", 9, &files), -EFBIG);
    assert_non_null(strstr(fault.words, "a.tar"));
    assert_int_equal(stage("f index.json 12345, f a.tar 12345", 10, &files), 0);
    cleanup_free char *text = NULL;
    size_t size;
    assert_int_equal(imagefiles_read(files, "a.tar", 4, &text, &size, &fault), -EBADMSG);
    assert_non_null(strstr(fault.words, "5 bytes"));
    imagefiles_destroy(files);
}

static void a_directory_is_never_left(void **state)
{
    (void)state;
    kit_tree("f outside text, f layout/index.json {}, f layout/blobs/sha256/x one, "
             "l layout/link ../outside, l layout/inside index.json, l layout/up ..");
    char *fifo = kit_path("layout/fifo");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    free(fifo);
    cleanup_fd int dir = kit_open("layout", O_RDONLY | O_DIRECTORY);
    cleanup_imagefiles struct imagefiles *files = imagefiles_of_directory(dir);
    assert_file(files, "blobs/sha256/x", "one");
    assert_true(imagefiles_have(files, "index.json"));
    assert_false(imagefiles_have(files, "manifest.json"));
    assert_true(imagefiles_open(files, "../outside") < 0);
    assert_true(imagefiles_open(files, "link") < 0);
    assert_true(imagefiles_open(files, "inside") < 0);
    assert_true(imagefiles_open(files, "up/outside") < 0);
    assert_true(imagefiles_open(files, "/etc/passwd") < 0);
    assert_none(files, "fifo");
    assert_none(files, "blobs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(files_of_a_tar_are_found_by_any_spelling),
        kit_test(links_are_followed_in_the_table),
        kit_test(of_a_path_that_is_there_twice_the_last_counts),
        kit_test(nothing_is_written_but_numbers),
        kit_test(a_root_filesystem_is_known_by_its_names),
        kit_test(blobs_without_documents_are_no_root_filesystem),
        kit_test(what_is_no_archive_is_refused),
        kit_test(bytes_are_bounded),
        kit_test(holes_are_bounded_as_bytes_are),
        kit_test(what_belongs_to_no_image_is_bounded),
        kit_test(a_directory_is_never_left),
    };
    return kit_run("imagefiles", tests, sizeof(tests) / sizeof(tests[0]));
}
