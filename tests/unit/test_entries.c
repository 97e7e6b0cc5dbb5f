/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "entries.h"
#include "fd.h"
#include "hash.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void take(const char *path, struct entries *entries)
{
    cleanup_fd int tree = kit_open(path, O_PATH | O_DIRECTORY);
    assert_int_equal(entries_take(tree, TREEKIND_LAYER, entries, NULL, NULL), 0);
}

static const struct entry_digest *find(const struct entries *entries, const char *path)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (strcmp(entries->at[i].path, path) == 0)
            return &entries->at[i];
    }
    fail_msg("no entry: %s", path);
    return NULL;
}

/* ---- taking ---- */

static void every_entry_is_there_once_in_the_order_of_paths(void **state)
{
    (void)state;
    const char *const expected[] = {".", "a", "a.b", "a/x", "b", "gone", "link"};
    cleanup_entries struct entries entries = {0};
    kit_tree("f top/a/x four, f top/a.b, h top/b top/a/x, w top/gone, l top/link a");
    take("top", &entries);
    assert_int_equal(entries.count, 7);
    for (size_t i = 0; i < 7; i++)
        assert_string_equal(entries.at[i].path, expected[i]);
    assert_int_equal(entries.files, 6);
    assert_int_equal(entries.bytes, strlen("four"));
}

static void content_is_that_of_the_file_the_target_or_the_first_name(void **state)
{
    (void)state;
    char hex[33];
    cleanup_entries struct entries entries = {0};
    kit_tree("f top/a some-text, h top/b top/a, l top/l away, d top/d, w top/w, f top/e");
    take("top", &entries);
    hash_hex_of("some-text", 9, hex);
    assert_string_equal(find(&entries, "a")->content, hex);
    assert_int_equal(find(&entries, "a")->size, 9);
    hash_hex_of("a", 1, hex);
    assert_string_equal(find(&entries, "b")->content, hex);
    assert_int_equal(find(&entries, "b")->type, 'h');
    hash_hex_of("away", 4, hex);
    assert_string_equal(find(&entries, "l")->content, hex);
    hash_hex_of("", 0, hex);
    assert_string_equal(find(&entries, "e")->content, hex);
    assert_string_equal(find(&entries, "d")->content, "-");
    assert_string_equal(find(&entries, "w")->meta, "-");
    assert_string_equal(find(&entries, "w")->content, "-");
}

static void count_seen(void *context, uint64_t bytes)
{
    *(uint64_t *)context = bytes;
}

static void what_was_read_is_told(void **state)
{
    (void)state;
    uint64_t seen = 0;
    cleanup_entries struct entries entries = {0};
    kit_tree("f top/a four, f top/b four, h top/c top/b");
    cleanup_fd int tree = kit_open("top", O_PATH | O_DIRECTORY);
    assert_int_equal(entries_take(tree, TREEKIND_LAYER, &entries, count_seen, &seen), 0);
    assert_int_equal(seen, 8);
}

/* ---- differences ---- */

/* "-path" was there, "+path" is new, "Mpath" has other metadata, "Cpath" other content. */
static int say_difference(void *context, const struct entry_digest *a, const struct entry_digest *b)
{
    char *text = context;
    size_t used = strlen(text);
    char kind = !a ? '+' : !b ? '-' : strcmp(a->content, b->content) != 0 ? 'C' : 'M';
    snprintf(text + used, 256 - used, "%s%c%s", used ? " " : "", kind, (a ? a : b)->path);
    return 0;
}

static void assert_differences(const struct entries *before, const char *expected)
{
    char text[256] = "";
    cleanup_entries struct entries now = {0};
    take("top", &now);
    assert_int_equal(entries_compare(before, &now, say_difference, text), 0);
    assert_string_equal(text, expected);
}

static void set_time(const char *path, time_t seconds, long nanoseconds)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {seconds, nanoseconds}};
    assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void whatever_is_changed_is_found(void **state)
{
    (void)state;
    cleanup_entries struct entries before = {0};
    kit_tree("f top/file text, f top/dir/in, l top/link away, o top/opaque");
    set_time("top/file", 1000, 7);
    take("top", &before);
    assert_differences(&before, "");

    kit_file("top/file", "next"); /* of the same length, and at the same time */
    set_time("top/file", 1000, 7);
    assert_differences(&before, "Cfile");
    kit_file("top/file", "text");
    set_time("top/file", 1000, 8);
    assert_differences(&before, "Mfile");
    set_time("top/file", 1000, 7);
    assert_int_equal(fd_chmod(kit_root(), "top/file", 04644), 0);
    assert_differences(&before, "Mfile");
    assert_int_equal(fd_chmod(kit_root(), "top/file", 0644), 0);
    assert_int_equal(xattr_set(kit_root(), "top/file", "user.a", "", 0, 0), 0);
    assert_differences(&before, "Mfile");
    assert_int_equal(xattr_remove(kit_root(), "top/file", "user.a"), 0);
    assert_differences(&before, "");

    assert_int_equal(ovlattr_set(OVLSPACE_USER, kit_root(), "top/opaque", OVLATTR_OPAQUE, "n", 1),
                     0);
    assert_differences(&before, "Mopaque");
}

static void attributes_are_not_mixed_up(void **state)
{
    (void)state;
    cleanup_entries struct entries entries = {0};
    kit_tree("f top/a, f top/b, f top/c");
    assert_int_equal(xattr_set(kit_root(), "top/a", "user.a", "bc", 2, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/b", "user.ab", "c", 1, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/c", "user.a", "bc", 2, 0), 0);
    for (const char *name = "abc"; *name; name++)
        set_time((const char[]){'t', 'o', 'p', '/', *name, 0}, 1, 1);
    take("top", &entries);
    assert_string_not_equal(find(&entries, "a")->meta, find(&entries, "b")->meta);
    assert_string_equal(find(&entries, "a")->meta, find(&entries, "c")->meta);
}

/* Names and values that are the same bytes one after the other. */
static void names_and_values_are_not_mixed_up(void **state)
{
    (void)state;
    cleanup_entries struct entries entries = {0};
    kit_tree("f top/a, f top/b");
    assert_int_equal(xattr_set(kit_root(), "top/a", "user.a", "", 0, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/a", "user.b", "user.c", 7, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/b", "user.a", "user.b", 7, 0), 0);
    assert_int_equal(xattr_set(kit_root(), "top/b", "user.c", "", 0, 0), 0);
    set_time("top/a", 1, 1);
    set_time("top/b", 1, 1);
    take("top", &entries);
    assert_string_not_equal(find(&entries, "a")->meta, find(&entries, "b")->meta);
}

static void what_came_and_what_went_is_told_in_the_order_of_paths(void **state)
{
    (void)state;
    cleanup_entries struct entries before = {0};
    kit_tree("f top/b, f top/d/x, f top/f");
    set_time("top", 1, 1);
    take("top", &before);
    assert_int_equal(unlinkat(kit_root(), "top/b", 0), 0);
    assert_int_equal(unlinkat(kit_root(), "top/d/x", 0), 0);
    assert_int_equal(unlinkat(kit_root(), "top/d", AT_REMOVEDIR), 0);
    kit_tree("f top/a, f top/c, w top/z");
    set_time("top", 1, 1);
    assert_differences(&before, "+a -b +c -d -d/x +z");
}

static void a_whiteout_is_the_same_in_every_form(void **state)
{
    (void)state;
    cleanup_entries struct entries before = {0};
    kit_tree("w top/a, f top/b, o top/c");
    set_time("top", 1, 1);
    set_time("top/c", 1, 1);
    take("top", &before);
    assert_int_equal(unlinkat(kit_root(), "top/a", 0), 0);
    assert_int_equal(ovlattr_remove(OVLSPACE_USER, kit_root(), "top/c", OVLATTR_OPAQUE), 0);
    kit_tree("f top/.wh.a, f top/c/.wh..wh..opq");
    set_time("top", 1, 1);
    set_time("top/c", 1, 1);
    assert_differences(&before, "");
}

static int stop(void *context, const struct entry_digest *a, const struct entry_digest *b)
{
    (void)a, (void)b;
    return ++*(int *)context == 2 ? -ECANCELED : 0;
}

static void a_comparison_can_be_ended(void **state)
{
    (void)state;
    int told = 0;
    cleanup_entries struct entries entries = {0}, none = {0};
    kit_tree("f top/a, f top/b, f top/c");
    take("top", &entries);
    assert_int_equal(entries_compare(&entries, &none, stop, &told), -ECANCELED);
    assert_int_equal(told, 2);
}

/* ---- the file ---- */

static void what_was_written_is_read(void **state)
{
    (void)state;
    char digest[33], again[33], text[256] = "";
    cleanup_entries struct entries taken = {0}, read = {0};
    kit_tree("f top/a text, f top/new\nline, l top/\xff\xfe b, h top/z top/a, w top/w, o top/o");
    take("top", &taken);
    assert_int_equal(entries_write(&taken, kit_root(), "entries", digest), 0);
    assert_int_equal(entries_read(kit_root(), "entries", &read, again), 0);
    assert_string_equal(digest, again);
    assert_int_equal(read.count, taken.count);
    assert_int_equal(read.files, taken.files);
    assert_int_equal(read.bytes, taken.bytes);
    assert_int_equal(entries_compare(&taken, &read, say_difference, text), 0);
    assert_string_equal(text, "");
    assert_int_equal(entries_write(&taken, kit_root(), "entries", digest), -EEXIST);
}

static void the_form_of_the_file_is_fixed(void **state)
{
    (void)state;
    char digest[33];
    cleanup_entries struct entries entries = {0};
    kit_tree("w top/b");
    take("top", &entries);
    strcpy(entries.at[0].meta, "00000000000000000000000000000000");
    assert_int_equal(entries_write(&entries, kit_root(), "entries", digest), 0);
    cleanup_free char *text = kit_text("entries");
    const char expected[] = "00000000000000000000000000000000 - 0 d .\0- - 0 w b";
    assert_memory_equal(text, expected, sizeof(expected));
    assert_int_equal(kit_stat("entries").st_size, sizeof(expected));
}

static void write_bytes(const void *data, size_t size)
{
    cleanup_fd int fd =
        openat(kit_root(), "entries", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, data, size), 0);
}

#define H "0123456789abcdef0123456789abcdef"

static void a_damaged_file_is_refused(void **state)
{
    (void)state;
    /* The last NUL of each is that of the string. */
    static const struct {
        const char *text;
        size_t size;
    } damaged[] = {
#define CASE(text) {text, sizeof(text)}
        CASE(""),
        CASE("-"),
        CASE("- -"),
        CASE("- - 0"),
        CASE("- - 0 f"),
        CASE("- - 0 f "),
        CASE("- - 0 x path"),
        CASE("- - 0  path"),
        CASE("- - -1 f path"),
        CASE("- - f path"),
        CASE("- - 18446744073709551616 f path"),
        CASE("- -  f path"),
        CASE("-- - 0 f path"),
        CASE(H "0 - 0 f path"),
        CASE("0123 - 0 f path"),
        CASE(H " " H H " 0 f path"),
        CASE("0123456789ABCDEF0123456789abcdef - 0 f path"),
        CASE("- - 0 ff path"),
        CASE("- - 0 f b\0- - 0 f a"),
        CASE("- - 0 f a\0- - 0 f a"),
        CASE("- - 0 f a\0\0"),
        CASE("\0- - 0 f a"),
#undef CASE
    };
    char digest[33];
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        cleanup_entries struct entries entries = {0};
        write_bytes(damaged[i].text, damaged[i].size);
        if (entries_read(kit_root(), "entries", &entries, digest) != -EBADMSG)
            fail_msg("taken: %s (%zu)", damaged[i].text, i);
    }
    cleanup_entries struct entries entries = {0};
    write_bytes("- - 0 f a", 9); /* without its NUL */
    assert_int_equal(entries_read(kit_root(), "entries", &entries, digest), -EBADMSG);
    kit_symlink("link", "entries");
    assert_int_equal(entries_read(kit_root(), "link", &entries, digest), -ELOOP);
    kit_dir("dir");
    assert_int_equal(entries_read(kit_root(), "dir", &entries, digest), -EBADMSG);
    assert_int_equal(entries_read(kit_root(), "none", &entries, digest), -ENOENT);
}

static void sound_lines_are_taken(void **state)
{
    (void)state;
    char digest[33];
    const char text[] = H " " H " 18446744073709551615 f a b\0- - 0 w c";
    cleanup_entries struct entries entries = {0};
    write_bytes(text, sizeof(text));
    assert_int_equal(entries_read(kit_root(), "entries", &entries, digest), 0);
    assert_int_equal(entries.count, 2);
    assert_string_equal(entries.at[0].path, "a b");
    assert_true(entries.at[0].size == UINT64_MAX);
    write_bytes("", 0);
    entries_finish(&entries);
    assert_int_equal(entries_read(kit_root(), "entries", &entries, digest), 0);
    assert_int_equal(entries.count, 0);
}

/* Every byte of a small file is changed in turn, and every length is tried: each is refused or is
 * another sound file, whose digest tells. */
static void no_damage_goes_unseen(void **state)
{
    (void)state;
    char digest[33], other[33];
    cleanup_entries struct entries taken = {0};
    kit_tree("f top/a text, l top/b a, w top/c");
    take("top", &taken);
    assert_int_equal(entries_write(&taken, kit_root(), "entries", digest), 0);
    size_t size = (size_t)kit_stat("entries").st_size;
    cleanup_free char *text = kit_text("entries");
    for (size_t i = 0; i < size; i++) {
        const char kept = text[i];
        const char changes[] = {0, ' ', '0', 'z', (char)(kept ^ 1), (char)0xff};
        for (size_t change = 0; change < sizeof(changes); change++) {
            cleanup_entries struct entries entries = {0};
            text[i] = changes[change];
            write_bytes(text, size);
            int err = entries_read(kit_root(), "entries", &entries, other);
            assert_true(err == -EBADMSG ||
                        (err == 0 && (strcmp(digest, other) == 0) == (text[i] == kept)));
        }
        text[i] = kept;
        cleanup_entries struct entries entries = {0};
        write_bytes(text, i);
        int err = entries_read(kit_root(), "entries", &entries, other);
        assert_true(err == -EBADMSG || (err == 0 && strcmp(digest, other) != 0));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_entry_is_there_once_in_the_order_of_paths),
        kit_test(content_is_that_of_the_file_the_target_or_the_first_name),
        kit_test(what_was_read_is_told),
        kit_test(whatever_is_changed_is_found),
        kit_test(attributes_are_not_mixed_up),
        kit_test(names_and_values_are_not_mixed_up),
        kit_test(what_came_and_what_went_is_told_in_the_order_of_paths),
        kit_test(a_whiteout_is_the_same_in_every_form),
        kit_test(a_comparison_can_be_ended),
        kit_test(what_was_written_is_read),
        kit_test(the_form_of_the_file_is_fixed),
        kit_test(a_damaged_file_is_refused),
        kit_test(sound_lines_are_taken),
        kit_test(no_damage_goes_unseen),
    };
    return kit_run("entries", tests, sizeof(tests) / sizeof(tests[0]));
}
