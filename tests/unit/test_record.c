/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "record.h"
#include "xattr.h"

#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>

static void assert_recorded(const char *name, const struct stat *meant)
{
    struct stat st;
    assert_int_equal(record_write(RECORD_CONTAINERS, kit_root(), name, meant), 0);
    assert_int_equal(fd_stat(kit_root(), name, &st), 0);
    assert_int_equal(st.st_mode & 07000, 0);
    assert_int_equal(record_read(RECORD_CONTAINERS, kit_root(), name, &st), 0);
    assert_int_equal(st.st_mode, meant->st_mode);
    assert_int_equal(st.st_uid, meant->st_uid);
    assert_int_equal(st.st_gid, meant->st_gid);
    assert_int_equal(st.st_rdev, meant->st_rdev);
}

static void what_is_meant_is_read_again_and_its_maker_can_write_it(void **state)
{
    (void)state;
    struct stat st;
    kit_dir("d");
    kit_file("f", "content");
    const struct stat closed = {.st_mode = S_IFREG | 04000, .st_uid = 5, .st_gid = 6};
    const struct stat dir = {.st_mode = S_IFDIR | 03111, .st_uid = 7, .st_gid = 8};
    const struct stat node = {.st_mode = S_IFCHR | 0666, .st_rdev = makedev(1, 3)};
    assert_recorded("f", &closed);
    assert_recorded("d", &dir);
    assert_recorded("f", &node);
    assert_int_equal(fd_stat(kit_root(), "d", &st), 0);
    assert_int_equal(st.st_mode & 0700, 0700);
}

static void without_an_attribute_to_look_for_nothing_is_read(void **state)
{
    (void)state;
    struct stat st;
    kit_file("f", "content");
    const struct stat meant = {.st_mode = S_IFREG | 0640, .st_uid = 5, .st_gid = 6};
    assert_recorded("f", &meant);
    assert_int_equal(fd_stat(kit_root(), "f", &st), 0);
    const struct stat before = st;
    assert_int_equal(record_read(NULL, kit_root(), "f", &st), 0);
    assert_int_equal(record_read("user.fuseoverlayfs.override_stat", kit_root(), "f", &st), 0);
    assert_memory_equal(&st, &before, sizeof(st));
}

static void a_layer_is_recorded_when_its_root_is(void **state)
{
    (void)state;
    const struct stat meant = {.st_mode = S_IFDIR | 0755};
    kit_dir("layer");
    cleanup_fd int layer = fd_open_name(kit_root(), "layer", O_RDONLY | O_DIRECTORY, 0);
    assert_null(record_of_layer(layer));
    assert_int_equal(record_write(RECORD_CONTAINERS, layer, "", &meant), 0);
    assert_string_equal(record_of_layer(layer), RECORD_CONTAINERS);
}

static void the_names_that_may_be_records_are_known(void **state)
{
    (void)state;
    assert_true(record_is_name(RECORD_CONTAINERS));
    assert_true(record_is_name(RECORD_PRIVILEGED));
    assert_true(record_is_name("user.fuseoverlayfs.override_stat"));
    assert_false(record_is_name("user.containers.other"));
}

static void only_directories_and_links_stand_as_themselves(void **state)
{
    (void)state;
    assert_int_equal(record_disk_type(S_IFDIR | 0755), S_IFDIR);
    assert_int_equal(record_disk_type(S_IFLNK | 0777), S_IFLNK);
    assert_int_equal(record_disk_type(S_IFIFO | 0600), S_IFREG);
    assert_int_equal(record_disk_type(S_IFBLK | 0600), S_IFREG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_is_meant_is_read_again_and_its_maker_can_write_it),
        kit_test(without_an_attribute_to_look_for_nothing_is_read),
        kit_test(a_layer_is_recorded_when_its_root_is),
        kit_test(the_names_that_may_be_records_are_known),
        kit_test(only_directories_and_links_stand_as_themselves),
    };
    return kit_run("record", tests, sizeof(tests) / sizeof(tests[0]));
}
