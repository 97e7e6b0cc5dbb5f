/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "attrlist.h"
#include "fd.h"
#include "override.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static void set(const char *name, const char *attr, const void *value, size_t size)
{
    assert_int_equal(xattr_set(kit_root(), name, attr, value, size, 0), 0);
}

static void set_text(const char *name, const char *attr, const char *text)
{
    set(name, attr, text, strlen(text));
}

static struct stat read_list(struct attrlist *list, enum ovlwhere where, const char *name)
{
    struct stat st = kit_stat(name);
    assert_int_equal(attrlist_read(list, where, kit_root(), name, OVERRIDE_ATTR, &st), 0);
    return st;
}

static bool is_ours(const struct tar_xattr *attr)
{
    /* What a security module of this machine adds is not of the test. */
    return strncmp(attr->name, "user.", 5) == 0;
}

/* The names of user.* in the list, divided by blanks. */
static void assert_names(const struct attrlist *list, const char *expected)
{
    char text[1024] = "";
    for (size_t i = 0; i < list->count; i++) {
        size_t used = strlen(text);
        if (is_ours(&list->at[i]))
            snprintf(text + used, sizeof(text) - used, "%s%s", used ? " " : "", list->at[i].name);
    }
    assert_string_equal(text, expected);
}

static void attributes_come_in_the_order_of_their_names(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    char name[32];
    kit_file("file", "");
    assert_names(&list, "");
    for (unsigned i = 20; i-- > 0;) {
        snprintf(name, sizeof(name), "user.%c", 'a' + (int)(i * 7 % 20));
        set(("file"), name, &i, sizeof(i));
    }
    read_list(&list, OVLWHERE_SEALED, "file");
    assert_names(&list, "user.a user.b user.c user.d user.e user.f user.g user.h user.i user.j "
                        "user.k user.l user.m user.n user.o user.p user.q user.r user.s user.t");
}

static void values_are_bytes_of_any_length(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    char big[1500];
    memset(big, 'x', sizeof(big));
    kit_file("file", "");
    set("file", "user.big", big, sizeof(big));
    set("file", "user.empty", "", 0);
    set("file", "user.nul", "a\0b", 3);
    read_list(&list, OVLWHERE_SEALED, "file");
    assert_names(&list, "user.big user.empty user.nul");
    for (size_t i = 0; i < list.count; i++) {
        if (strcmp(list.at[i].name, "user.big") == 0) {
            assert_int_equal(list.at[i].size, sizeof(big));
            assert_memory_equal(list.at[i].value, big, sizeof(big));
        } else if (strcmp(list.at[i].name, "user.nul") == 0) {
            assert_int_equal(list.at[i].size, 3);
            assert_memory_equal(list.at[i].value, "a\0b", 3);
        }
    }
}

static void books_are_marks_and_no_attributes(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    kit_tree("o dir, d fuse");
    set_text("dir", "user.overlay.origin", "x");
    set_text("dir", "user.mine", "x");
    read_list(&list, OVLWHERE_SEALED, "dir");
    assert_names(&list, "user.mine");
    assert_true(ovlset_has(list.marks, OVLATTR_OPAQUE));
    assert_true(ovlset_has(list.marks, OVLATTR_ORIGIN));
    set_text("fuse", "user.fuseoverlayfs.opaque", "y");
    read_list(&list, OVLWHERE_SEALED, "fuse");
    assert_names(&list, "");
    assert_int_equal(list.marks, 1u << OVLATTR_OPAQUE);
}

static void escaped_attributes_are_unescaped_once(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    kit_file("file", "");
    set_text("file", "user.overlay.overlay.opaque", "y");
    set_text("file", "user.overlay.overlay.overlay.opaque", "y");
    set_text("file", "user.plyfs.fuseoverlayfs.opaque", "y");
    read_list(&list, OVLWHERE_SEALED, "file");
    assert_names(&list, "user.fuseoverlayfs.opaque user.overlay.opaque "
                        "user.overlay.overlay.opaque");
    assert_int_equal(list.marks, 0);
}

static void the_other_namespace_is_the_users_in_an_upper_layer(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    kit_tree("o dir");
    read_list(&list, OVLWHERE_UPPER_USER, "dir");
    assert_names(&list, "");
    read_list(&list, OVLWHERE_UPPER_TRUSTED, "dir");
    assert_names(&list, "user.overlay.opaque");
    assert_int_equal(list.marks, 0);
}

static void what_was_recorded_is_applied_and_not_listed(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    kit_tree("f null, f text content");
    set_text("null", OVERRIDE_ATTR, "3:4:0666:char-1-3");
    struct stat st = read_list(&list, OVLWHERE_SEALED, "null");
    assert_names(&list, "");
    assert_int_equal(st.st_mode, S_IFCHR | 0666);
    assert_int_equal(st.st_rdev, makedev(1, 3));
    assert_int_equal(st.st_uid, 3);
    assert_int_equal(st.st_gid, 4);
    set_text("text", OVERRIDE_ATTR, "not a record");
    st = read_list(&list, OVLWHERE_SEALED, "text");
    assert_names(&list, OVERRIDE_ATTR);
    assert_int_equal(st.st_mode, S_IFREG | 0644);
}

static void an_acl_of_what_was_recorded_is_as_it_was_meant(void **state)
{
    (void)state;
    /* user::rw- user:1000:rwx group::--- mask::r-x other::--- */
    const unsigned char acl[44] = {2,    0,    0,    0,    1,    0,    6,  0,    0xff, 0xff, 0xff,
                                   0xff, 2,    0,    7,    0,    0xe8, 3,  0,    0,    4,    0,
                                   0,    0,    0xff, 0xff, 0xff, 0xff, 16, 0,    5,    0,    0xff,
                                   0xff, 0xff, 0xff, 32,   0,    0,    0,  0xff, 0xff, 0xff, 0xff};
    cleanup_attrlist struct attrlist list = {0};
    kit_file("file", "");
    int err = xattr_set(kit_root(), "file", "system.posix_acl_access", acl, sizeof(acl), 0);
    if (err == -EOPNOTSUPP)
        skip();
    assert_int_equal(err, 0);
    set_text("file", OVERRIDE_ATTR, "3:4:0421");
    read_list(&list, OVLWHERE_SEALED, "file");
    assert_int_equal(list.count, 1);
    assert_string_equal(list.at[0].name, "system.posix_acl_access");
    const unsigned char *shown = list.at[0].value;
    assert_int_equal(list.at[0].size, sizeof(acl));
    assert_int_equal(shown[6], 4);
    assert_int_equal(shown[30], 2);
    assert_int_equal(shown[38], 1);
}

static void a_capability_loses_the_user_namespace_that_it_is_of(void **state)
{
    (void)state;
    /* Version 3, effective; permitted: CAP_NET_RAW; the root id 100000. */
    const unsigned char third[24] = {1, 0, 0, 3, 0, 32, [20] = 0xa0, 0x86, 1, 0};
    const unsigned char second[20] = {1, 0, 0, 2, 0, 32};
    cleanup_attrlist struct attrlist list = {0};
    kit_file("file", "");
    int err = xattr_set(kit_root(), "file", "security.capability", third, sizeof(third), 0);
    if (err == -EPERM)
        skip();
    assert_int_equal(err, 0);
    read_list(&list, OVLWHERE_SEALED, "file");
    assert_int_equal(list.count, 1);
    assert_string_equal(list.at[0].name, "security.capability");
    assert_int_equal(list.at[0].size, sizeof(second));
    assert_memory_equal(list.at[0].value, second, sizeof(second));
}

static void a_list_that_is_read_again_forgets(void **state)
{
    (void)state;
    cleanup_attrlist struct attrlist list = {0};
    kit_tree("o dir, d plain");
    set_text("dir", "user.mine", "x");
    read_list(&list, OVLWHERE_SEALED, "dir");
    read_list(&list, OVLWHERE_SEALED, "plain");
    assert_names(&list, "");
    assert_int_equal(list.marks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(attributes_come_in_the_order_of_their_names),
        kit_test(values_are_bytes_of_any_length),
        kit_test(books_are_marks_and_no_attributes),
        kit_test(escaped_attributes_are_unescaped_once),
        kit_test(the_other_namespace_is_the_users_in_an_upper_layer),
        kit_test(what_was_recorded_is_applied_and_not_listed),
        kit_test(an_acl_of_what_was_recorded_is_as_it_was_meant),
        kit_test(a_capability_loses_the_user_namespace_that_it_is_of),
        kit_test(a_list_that_is_read_again_forgets),
    };
    return kit_run("attrlist", tests, sizeof(tests) / sizeof(tests[0]));
}
