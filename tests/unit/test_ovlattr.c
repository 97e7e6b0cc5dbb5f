/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "ovlattr.h"

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

static void assert_escapes(enum ovlspace space, const char *name, const char *disk)
{
    char found[XATTR_NAME_MAX + 1], buffer[XATTR_NAME_MAX + 1];
    assert_int_equal(ovlattr_escape(space, name, found), 0);
    assert_string_equal(found, disk);
    assert_string_equal(ovlattr_unescape(space, disk, buffer), name);
    assert_false(ovlattr_is_private(space, disk));
}

static void a_users_attribute_keeps_its_name(void **state)
{
    (void)state;
    for (int space = OVLSPACE_TRUSTED; space <= OVLSPACE_NONE; space++) {
        assert_escapes((enum ovlspace)space, "user.colour", "user.colour");
        assert_escapes((enum ovlspace)space, "trusted.overlays", "trusted.overlays");
        assert_escapes((enum ovlspace)space, "security.capability", "security.capability");
        assert_escapes((enum ovlspace)space, "user.overlay", "user.overlay");
    }
}

static void a_users_attribute_of_the_overlays_name_is_escaped_as_in_the_kernel(void **state)
{
    (void)state;
    assert_escapes(OVLSPACE_TRUSTED, "trusted.overlay.opaque", "trusted.overlay.overlay.opaque");
    assert_escapes(OVLSPACE_TRUSTED, "user.overlay.note", "user.overlay.note");
    assert_escapes(OVLSPACE_USER, "user.overlay.redirect", "user.overlay.overlay.redirect");
    assert_escapes(OVLSPACE_USER, "user.overlay.overlay.opaque",
                   "user.overlay.overlay.overlay.opaque");
    assert_escapes(OVLSPACE_USER, "user.overlay.", "user.overlay.overlay.");
    assert_escapes(OVLSPACE_NONE, "user.overlay.opaque", "user.overlay.opaque");
}

static void a_users_attribute_that_a_sealed_layer_would_be_read_by_is_escaped_too(void **state)
{
    (void)state;
    assert_escapes(OVLSPACE_TRUSTED, "user.overlay.redirect", "user.overlay.overlay.redirect");
    assert_escapes(OVLSPACE_TRUSTED, "user.overlay.overlay.opaque",
                   "user.overlay.overlay.overlay.opaque");
    assert_escapes(OVLSPACE_TRUSTED, "user.overlay.plyfs.ino", "user.overlay.overlay.plyfs.ino");
    assert_escapes(OVLSPACE_USER, "trusted.overlay.metacopy", "trusted.overlay.overlay.metacopy");
    assert_escapes(OVLSPACE_USER, "trusted.overlay.note", "trusted.overlay.note");
}

static void a_users_attribute_of_fuse_overlayfs_is_escaped_in_every_namespace(void **state)
{
    (void)state;
    for (int space = OVLSPACE_TRUSTED; space <= OVLSPACE_NONE; space++) {
        assert_escapes((enum ovlspace)space, "user.fuseoverlayfs.opaque",
                       "user.plyfs.fuseoverlayfs.opaque");
        assert_escapes((enum ovlspace)space, "user.plyfs.fuseoverlayfs.opaque",
                       "user.plyfs.plyfs.fuseoverlayfs.opaque");
        assert_escapes((enum ovlspace)space, "user.plyfs.x", "user.plyfs.plyfs.x");
    }
}

static void the_overlays_own_are_private(void **state)
{
    (void)state;
    static const char *const OWN[] = {"user.overlay.redirect", "user.overlay.plyfs.ino",
                                      "user.overlay.whatever", "user.fuseoverlayfs.opaque"};
    char buffer[XATTR_NAME_MAX + 1];
    for (size_t i = 0; i < sizeof(OWN) / sizeof(OWN[0]); i++) {
        assert_true(ovlattr_is_private(OVLSPACE_USER, OWN[i]));
        assert_null(ovlattr_unescape(OVLSPACE_USER, OWN[i], buffer));
    }
    assert_true(ovlattr_is_private(OVLSPACE_TRUSTED, "trusted.overlay.opaque"));
    assert_false(ovlattr_is_private(OVLSPACE_TRUSTED, "user.overlay.opaque"));
    assert_string_equal(ovlattr_unescape(OVLSPACE_TRUSTED, "user.overlay.opaque", buffer),
                        "user.overlay.opaque");
    assert_true(ovlattr_is_book("user.overlay.opaque"));
    assert_true(ovlattr_is_book("trusted.overlay.redirect"));
    assert_true(ovlattr_is_book("user.fuseoverlayfs.opaque"));
    assert_false(ovlattr_is_book("user.overlay.overlay.opaque"));
    assert_false(ovlattr_is_book("user.overlay.whatever"));
}

static void a_name_too_long_to_be_escaped_is_refused(void **state)
{
    (void)state;
    char name[XATTR_NAME_MAX + 1], disk[XATTR_NAME_MAX + 1];
    memset(name, 'x', XATTR_NAME_MAX);
    name[XATTR_NAME_MAX] = 0;
    assert_int_equal(ovlattr_escape(OVLSPACE_USER, name, disk), 0);
    assert_string_equal(disk, name);
    memcpy(name, "user.overlay.", 13);
    assert_int_equal(ovlattr_escape(OVLSPACE_USER, name, disk), -EOPNOTSUPP);
    name[XATTR_NAME_MAX - 8] = 0;
    assert_int_equal(ovlattr_escape(OVLSPACE_USER, name, disk), 0);
    assert_int_equal(strlen(disk), XATTR_NAME_MAX);
}

static void an_upper_is_read_in_its_own_namespace_and_a_sealed_layer_in_both(void **state)
{
    (void)state;
    kit_dir("d");
    kit_mark("d", OVLATTR_OPAQUE, "y");
    char value;
    assert_int_equal(kit_marks(OVLWHERE_UPPER_TRUSTED, kit_root(), "d"), 0);
    assert_int_equal(
        ovlattr_get(OVLWHERE_UPPER_TRUSTED, kit_root(), "d", OVLATTR_OPAQUE, &value, 1), -ENODATA);
    assert_int_equal(kit_marks(OVLWHERE_UPPER_NONE, kit_root(), "d"), 0);
    assert_true(ovlset_has(kit_marks(OVLWHERE_SEALED, kit_root(), "d"), OVLATTR_OPAQUE));
    assert_int_equal(ovlattr_get(OVLWHERE_SEALED, kit_root(), "d", OVLATTR_OPAQUE, &value, 1), 1);
}

static void what_is_set_is_listed_read_and_removed(void **state)
{
    (void)state;
    char value[8];
    kit_dir("d");
    assert_int_equal(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d"), 0);
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), "d", OVLATTR_OPAQUE, value, 8),
                     -ENODATA);
    kit_mark("d", OVLATTR_OPAQUE, "y");
    kit_mark("d", OVLATTR_REDIRECT, "/other");
    ovlset set = kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d");
    assert_true(ovlset_has(set, OVLATTR_OPAQUE) && ovlset_has(set, OVLATTR_REDIRECT));
    assert_false(ovlset_has(set, OVLATTR_METACOPY));
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), "d", OVLATTR_OPAQUE, value, 8),
                     1);
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), "d", OVLATTR_REDIRECT, value, 3),
                     -ERANGE);
    assert_int_equal(ovlattr_remove(OVLSPACE_USER, kit_root(), "d", OVLATTR_OPAQUE), 0);
    assert_int_equal(ovlattr_remove(OVLSPACE_USER, kit_root(), "d", OVLATTR_OPAQUE), 0);
    assert_false(ovlset_has(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d"), OVLATTR_OPAQUE));
}

static void an_open_object_is_reached_without_a_name(void **state)
{
    (void)state;
    char value[8];
    kit_file("f", "");
    kit_mark("f", OVLATTR_METACOPY, "");
    cleanup_fd int fd = kit_open("f", O_PATH);
    assert_true(ovlset_has(kit_marks(OVLWHERE_UPPER_USER, fd, ""), OVLATTR_METACOPY));
    assert_int_equal(ovlattr_set(OVLSPACE_USER, fd, "", OVLATTR_REDIRECT, "x", 1), 0);
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), "f", OVLATTR_REDIRECT, value, 8),
                     1);
}

static void a_symlink_is_not_followed_to_anothers_attributes(void **state)
{
    (void)state;
    kit_dir("d");
    kit_mark("d", OVLATTR_OPAQUE, "y");
    kit_symlink("l", "d");
    assert_int_equal(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "l"), 0);
}

static void fuse_overlayfs_opaque_mark_counts_as_opaque(void **state)
{
    (void)state;
    char value = 0;
    kit_dir("d");
    cleanup_free char *path = kit_path("d");
    assert_int_equal(setxattr(path, "user.fuseoverlayfs.opaque", "y", 1, 0), 0);
    assert_true(ovlset_has(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d"), OVLATTR_OPAQUE));
    assert_int_equal(ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), "d", OVLATTR_OPAQUE, &value, 1),
                     1);
    assert_int_equal(value, 'y');
}

static void assert_disk_name(const char *path, enum ovlattr attr, const char *expected)
{
    char disk[64];
    ovlattr_disk_name(OVLWHERE_SEALED, kit_root(), path, attr, disk);
    assert_string_equal(disk, expected);
}

static void the_name_on_disk_is_that_of_the_attribute_that_is_read(void **state)
{
    (void)state;
    kit_dir("a");
    kit_dir("b");
    kit_mark("a", OVLATTR_OPAQUE, "y");
    cleanup_free char *path = kit_path("b");
    assert_int_equal(setxattr(path, "user.fuseoverlayfs.opaque", "y", 1, 0), 0);
    assert_disk_name("a", OVLATTR_OPAQUE, "user.overlay.opaque");
    assert_disk_name("a", OVLATTR_REDIRECT, "");
    assert_disk_name("b", OVLATTR_OPAQUE, "user.fuseoverlayfs.opaque");
    assert_disk_name("b", OVLATTR_REDIRECT, "");
}

static void attributes_are_found_among_many(void **state)
{
    (void)state;
    char name[80];
    kit_dir("d");
    cleanup_free char *path = kit_path("d");
    for (int i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "user.an attribute that takes some room in a list %d", i);
        if (setxattr(path, name, "", 0, 0) < 0)
            break; /* the filesystem has no room for more */
    }
    kit_mark("d", OVLATTR_IMPURE, "y");
    assert_true(ovlset_has(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d"), OVLATTR_IMPURE));
}

static void what_cannot_be_asked_is_an_error_and_not_an_absence(void **state)
{
    (void)state;
    ovlset set;
    char value;
    assert_int_equal(ovlattr_list(OVLWHERE_SEALED, kit_root(), "missing", &set), -ENOENT);
    assert_int_equal(set, 0);
    assert_int_equal(ovlattr_get(OVLWHERE_SEALED, kit_root(), "missing", OVLATTR_OPAQUE, &value, 1),
                     -ENOENT);
}

static void the_books_of_a_sealed_layer_are_known_by_name_in_both_namespaces(void **state)
{
    (void)state;
    const char *const books[] = {"trusted.overlay.opaque", "user.overlay.opaque",
                                 "user.overlay.origin",    "user.overlay.impure",
                                 "user.overlay.uuid",      "user.overlay.plyfs.ino",
                                 "trusted.overlay.uuid",   "user.fuseoverlayfs.origin"};
    const char *const users[] = {"user.overlay.mine", "user.overlay.overlay.opaque",
                                 "user.overlay.",     "user.opaque",
                                 "trusted.overlay",   "security.capability"};
    for (size_t i = 0; i < sizeof(books) / sizeof(books[0]); i++)
        assert_true(ovlattr_is_book(books[i]));
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
        assert_false(ovlattr_is_book(users[i]));
}

static void nothing_is_written_where_no_namespace_is(void **state)
{
    (void)state;
    kit_dir("d");
    assert_int_equal(ovlattr_set(OVLSPACE_NONE, kit_root(), "d", OVLATTR_OPAQUE, "y", 1),
                     -EOPNOTSUPP);
    assert_int_equal(kit_marks(OVLWHERE_UPPER_USER, kit_root(), "d"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_users_attribute_keeps_its_name),
        kit_test(a_users_attribute_of_the_overlays_name_is_escaped_as_in_the_kernel),
        kit_test(a_users_attribute_that_a_sealed_layer_would_be_read_by_is_escaped_too),
        kit_test(a_users_attribute_of_fuse_overlayfs_is_escaped_in_every_namespace),
        kit_test(the_overlays_own_are_private),
        kit_test(a_name_too_long_to_be_escaped_is_refused),
        kit_test(an_upper_is_read_in_its_own_namespace_and_a_sealed_layer_in_both),
        kit_test(what_is_set_is_listed_read_and_removed),
        kit_test(an_open_object_is_reached_without_a_name),
        kit_test(a_symlink_is_not_followed_to_anothers_attributes),
        kit_test(fuse_overlayfs_opaque_mark_counts_as_opaque),
        kit_test(the_name_on_disk_is_that_of_the_attribute_that_is_read),
        kit_test(attributes_are_found_among_many),
        kit_test(the_books_of_a_sealed_layer_are_known_by_name_in_both_namespaces),
        kit_test(what_cannot_be_asked_is_an_error_and_not_an_absence),
        kit_test(nothing_is_written_where_no_namespace_is),
    };
    return kit_run("ovlattr", tests, sizeof(tests) / sizeof(tests[0]));
}
