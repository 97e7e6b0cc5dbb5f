/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "record.h"
#include "xattr.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
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

/* The permissions that a list shows to somebody for a mode: owner, named user, group, mask, others.
 */
static void assert_shown_acl(const struct posix_acl_xattr_entry *list, size_t count, mode_t mode,
                             const char *perms)
{
    struct {
        struct posix_acl_xattr_header head;
        struct posix_acl_xattr_entry at[5];
    } acl = {.head = {htole32(POSIX_ACL_XATTR_VERSION)}};
    memcpy(acl.at, list, count * sizeof(*list));
    record_show_acl(mode, &acl, sizeof(acl.head) + count * sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(acl.at[i].e_tag, list[i].e_tag);
        assert_int_equal(acl.at[i].e_perm, htole16((uint16_t)(perms[i] - '0')));
    }
}

static struct posix_acl_xattr_entry acl_entry(uint16_t tag, uint16_t perm)
{
    return (struct posix_acl_xattr_entry){htole16(tag), htole16(perm), htole32(0)};
}

static void an_acl_says_of_owner_mask_and_others_what_is_meant(void **state)
{
    (void)state;
    const struct posix_acl_xattr_entry masked[] = {
        acl_entry(ACL_USER_OBJ, 6), acl_entry(ACL_USER, 7), acl_entry(ACL_GROUP_OBJ, 5),
        acl_entry(ACL_MASK, 4), acl_entry(ACL_OTHER, 0)};
    const struct posix_acl_xattr_entry least[] = {
        acl_entry(ACL_USER_OBJ, 6), acl_entry(ACL_GROUP_OBJ, 5), acl_entry(ACL_OTHER, 0)};
    assert_shown_acl(masked, 5, S_IFREG | 0421, "47521");
    assert_shown_acl(least, 3, S_IFREG | 0421, "421");
}

static void what_makes_no_sense_as_an_acl_is_left(void **state)
{
    (void)state;
    char odd[] = "seventeen bytes..", before[sizeof(odd)];
    memcpy(before, odd, sizeof(odd));
    for (size_t size = 0; size < sizeof(odd); size++) {
        if (size != 4 && size != 12)
            record_show_acl(0, odd, size);
        assert_memory_equal(odd, before, sizeof(odd));
    }
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
        kit_test(an_acl_says_of_owner_mask_and_others_what_is_meant),
        kit_test(what_makes_no_sense_as_an_acl_is_left),
        kit_test(only_directories_and_links_stand_as_themselves),
    };
    return kit_run("record", tests, sizeof(tests) / sizeof(tests[0]));
}
