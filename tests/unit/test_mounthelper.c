/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "mounthelper.h"

#include <string.h>

static void the_name_tells(void **state)
{
    (void)state;
    assert_true(mounthelper_is("mount.fuse.plyfs"));
    assert_true(mounthelper_is("/sbin/mount.plyfs"));
    assert_false(mounthelper_is("/mount.d/plyfs"));
    assert_false(mounthelper_is("fuse-overlayfs"));
}

/* What is left of the words, joined by blanks; *fake as it was told. */
static char *left_of(const char *const *words, int count, bool *fake)
{
    char *argv[16], *owned[16], joined[256] = "";
    for (int i = 0; i < count; i++)
        argv[i] = owned[i] = strdup(words[i]);
    argv[count] = NULL;
    int left = mounthelper_strip(count, argv, fake);
    assert_null(argv[left]);
    for (int i = 0; i < left; i++) {
        strcat(joined, i ? " " : "");
        strcat(joined, argv[i]);
    }
    for (int i = 0; i < count; i++)
        free(owned[i]);
    return strdup(joined);
}

static void assert_left(const char *const *words, int count, const char *wanted, bool wanted_fake)
{
    bool fake;
    char *left = left_of(words, count, &fake);
    assert_string_equal(left, wanted);
    assert_int_equal(fake, wanted_fake);
    free(left);
}

static void letters_of_mount_are_taken_out_and_options_stay(void **state)
{
    (void)state;
    const char *const words[] = {
        "mount.fuse.plyfs", "-x", "source",     "/at", "-s", "-nv", "-o", "-n", "-N",
        "/proc/1/ns/mnt",   "-t", "fuse.plyfs", "-o",  "ro"};
    assert_left(words, 14, "mount.fuse.plyfs -x source /at -o -n -o ro", false);
}

static void nothing_is_to_be_mounted_at_f(void **state)
{
    (void)state;
    const char *const words[] = {"mount.plyfs", "source", "/at", "-sf"};
    assert_left(words, 4, "mount.plyfs source /at", true);
}

static void a_letter_at_the_end_without_its_value_is_no_harm(void **state)
{
    (void)state;
    const char *const namespace[] = {"mount.plyfs", "source", "-N"};
    const char *const options[] = {"mount.plyfs", "-o"};
    assert_left(namespace, 3, "mount.plyfs source", false);
    assert_left(options, 2, "mount.plyfs -o", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_name_tells),
        kit_test(letters_of_mount_are_taken_out_and_options_stay),
        kit_test(nothing_is_to_be_mounted_at_f),
        kit_test(a_letter_at_the_end_without_its_value_is_no_harm),
    };
    return kit_run("mounthelper", tests, sizeof(tests) / sizeof(tests[0]));
}
