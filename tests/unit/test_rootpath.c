/* SPDX-License-Identifier: MIT
 *
 * Paths in a union: "u" is the upper, "1" and "2" lie beneath.
 */
#include "kit.h"

#include "place.h"
#include "rootpath.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* What a path leads to, as words: the resolved path, and after it the text of a file, "/" for a
 * directory, " -> TARGET" for a symlink, "?" for what is not there; or the error. */
static char *describe(const struct stack *stack, const char *path, bool follow)
{
    char *words = NULL, text[64] = "";
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    struct place place;
    int err = rootpath_find(stack, path, follow, &found);
    if (err) {
        assert_null(found.path);
        assert_true(asprintf(&words, "%s", strerrorname_np(-err)) > 0);
        return words;
    }
    const struct change change = rootpath_change(&found);
    if (found.entry.present)
        assert_int_equal(place_of(stack, &change, &place), 0);
    if (!found.entry.present) {
        strcpy(text, "?");
    } else if (S_ISDIR(found.entry.st.st_mode)) {
        strcpy(text, "/");
    } else if (S_ISLNK(found.entry.st.st_mode)) {
        strcpy(text, " -> ");
        assert_true(readlinkat(place.dir, place.name, text + 4, sizeof(text) - 5) > 0);
    } else {
        cleanup_fd int fd = place_open_data(stack, &change, &place);
        assert_true(fd >= 0);
        text[0] = '=';
        assert_true(read(fd, text + 1, sizeof(text) - 2) >= 0);
    }
    if (found.entry.present)
        place_finish(stack, &place);
    assert_true(asprintf(&words, "%s%s", found.path, text) >= 0);
    return words;
}

struct expected {
    const char *path, *words;
};

static void assert_paths(const char *layers, bool writable, bool follow,
                         const struct expected *expected, size_t count)
{
    struct kit_union all;
    kit_union_open(&all, layers, writable);
    for (size_t i = 0; i < count; i++) {
        cleanup_free char *words = describe(&all.stack, expected[i].path, follow);
        assert_string_equal(words, expected[i].words);
    }
    kit_union_close(&all);
}

#define assert_find(layers, writable, follow, ...)                                                 \
    do {                                                                                           \
        static const struct expected expected[] = {__VA_ARGS__};                                   \
        assert_paths(layers, writable, follow, expected, sizeof(expected) / sizeof(*expected));    \
    } while (0)

static void names_are_found_in_whichever_layer_shows_them(void **state)
{
    (void)state;
    kit_tree("f u/a/up up, f 1/a/mid mid, f 2/a/low low, f 2/b/low low, d u/c");
    assert_find("u:1:2", true, true, {"/a/up", "a/up=up"}, {"a/mid", "a/mid=mid"},
                {"//a//low", "a/low=low"}, {"/b", "b/"}, {"/c/", "c/"}, {"/", "/"}, {"", "/"},
                {"/./a/./up", "a/up=up"});
    assert_find("1:2", false, true, {"/a/low", "a/low=low"}, {"/", "/"}, {"/b/..", "/"});
}

static void dots_go_back_and_never_out(void **state)
{
    (void)state;
    kit_tree("f 1/a/b/c text, f 1/top text, d u/a");
    assert_find("u:1", true, true, {"/a/b/../b/c", "a/b/c=text"}, {"/../../top", "top=text"},
                {"/a/../../../a/b/../../top", "top=text"}, {"/a/b/..", "a/"}, {"..", "/"});
}

static void a_symlink_is_resolved_inside(void **state)
{
    (void)state;
    kit_tree("f 1/a/b/c text, l 1/rel a/b, l 1/abs /a/b, l 1/a/up ../a/b/c, l 1/out ../../../a,"
             "l u/over /rel/c, l 1/etc /etc, f 1/etc2 x, d u/a");
    assert_find("u:1", true, true, {"/rel/c", "a/b/c=text"}, {"/abs/c", "a/b/c=text"},
                {"/a/up", "a/b/c=text"}, {"/out/b/c", "a/b/c=text"}, {"/over", "a/b/c=text"},
                {"/rel/../up", "a/b/c=text"}, {"/abs", "a/b/"});
    /* It ends in itself, not in the directory of the host. */
    assert_find("u:1", true, true, {"/etc", "ELOOP"});
}

static void a_symlink_at_the_end_is_itself_where_it_is_not_followed(void **state)
{
    (void)state;
    kit_tree("d 1/a, l 1/link /a, l 1/a/deep ../link, d u/a");
    assert_find("u:1", true, false, {"/link", "link -> /a"}, {"/a/deep", "a/deep -> ../link"},
                {"/link/deep", "a/deep -> ../link"}, {"/link/.", "a/"});
}

static void loops_end(void **state)
{
    (void)state;
    kit_tree("l 1/self self, l 1/a b, l 1/b /a, l 1/grow grow/x, f 1/end text");
    for (int i = 0; i < 42; i++) {
        char name[16], target[16];
        snprintf(name, sizeof(name), "1/l%d", i);
        snprintf(target, sizeof(target), i ? "l%d" : "end", i - 1);
        kit_symlink(name, target);
    }
    assert_find("1", false, true, {"/self", "ELOOP"}, {"/a", "ELOOP"}, {"/b/x", "ELOOP"},
                {"/grow", "ELOOP"}, {"/l39", "end=text"}, {"/l40", "ELOOP"});
}

static void what_is_not_there_is_where_it_would_be(void **state)
{
    (void)state;
    kit_tree("d 1/a, l 1/dangling /a/none/deep, l 1/link a, w u/gone, f 1/gone text, d u/a");
    assert_find("u:1", true, true, {"/none", "none?"}, {"/none/x//y/", "none/x/y?"},
                {"/link/none/x", "a/none/x?"}, {"/dangling", "a/none/deep?"},
                {"/dangling/more", "a/none/deep/more?"}, {"/gone", "gone?"}, {"/gone/x", "gone/x?"},
                {"/none/x/../../link", "a/"}, {"/none/../a", "a/"});
}

static void a_file_in_the_way_is_told(void **state)
{
    (void)state;
    kit_tree("f u/file text, f 1/a/file text, l 1/link file, f 1/file/hidden text");
    assert_find("u:1", true, true, {"/file/x", "ENOTDIR"}, {"/file/..", "ENOTDIR"},
                {"/a/file/x", "ENOTDIR"}, {"/link/x", "ENOTDIR"}, {"/file/hidden", "ENOTDIR"});
}

static void a_slash_at_the_end_means_a_directory(void **state)
{
    (void)state;
    kit_tree("f u/file text, d 1/a, l 1/to_a a, l 1/to_file file, l 1/dangling none");
    assert_find("u:1", true, false, {"/a/", "a/"}, {"/a//", "a/"}, {"/to_a/", "a/"},
                {"/to_file/", "ENOTDIR"}, {"/file/", "ENOTDIR"}, {"/file/.", "ENOTDIR"},
                {"/a/../file//", "ENOTDIR"}, {"/dangling/", "none?"}, {"/none/", "none?"});
}

static void redirected_and_opaque_directories_are_followed(void **state)
{
    (void)state;
    kit_tree("d u/new, r u/new /old, w u/old, f 1/old/sub/file text, o u/cut, f 1/cut/below text,"
             "f u/cut/above text, w u/a/gone, f 1/a/gone text, f 1/a/kept text");
    assert_find("u:1", true, true, {"/new/sub/file", "new/sub/file=text"}, {"/old", "old?"},
                {"/cut/below", "cut/below?"}, {"/cut/above", "cut/above=text"},
                {"/a/gone", "a/gone?"}, {"/a/kept", "a/kept=text"},
                {"/new/sub/../../cut/above", "cut/above=text"});
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct kit_union all;
    struct rootpath found;
    char path[8192];
    kit_dir("1/a");
    kit_union_open(&all, "1", false);
    memset(path, 'x', sizeof(path));
    path[256] = 0;
    assert_int_equal(rootpath_find(&all.stack, path, true, &found), -ENAMETOOLONG);
    path[255] = 0;
    assert_int_equal(rootpath_find(&all.stack, path, true, &found), 0);
    assert_false(found.entry.present);
    rootpath_finish(&found);
    memset(path, '/', sizeof(path) - 1);
    path[sizeof(path) - 1] = 0;
    assert_int_equal(rootpath_find(&all.stack, path, true, &found), -ENAMETOOLONG);
    kit_union_close(&all);
}

/* ---- walking beneath ---- */

static int write_down(void *context, const struct change *change)
{
    FILE *to = context;
    assert_int_equal(change->kind, CHANGE_ADDED);
    fprintf(to, "%s%s", ftell(to) > 0 ? " " : "", change->path);
    return 0;
}

static void assert_beneath(const char *layers, bool writable, const char *path,
                           const char *expected)
{
    struct kit_union all;
    char *text = NULL;
    size_t size = 0;
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    FILE *to = open_memstream(&text, &size);
    kit_union_open(&all, layers, writable);
    assert_int_equal(rootpath_find(&all.stack, path, true, &found), 0);
    assert_int_equal(rootpath_walk(&all.stack, &found, write_down, to), 0);
    fclose(to);
    assert_string_equal(text, expected);
    free(text);
    kit_union_close(&all);
}

static void a_walk_tells_what_is_shown_beneath(void **state)
{
    (void)state;
    kit_tree("f u/d/up x, f 1/d/sub/mid x, f 2/d/low x, w u/d/gone, f 2/d/gone x, f 2/other x,"
             "l 1/link d");
    assert_beneath("u:1:2", true, "/d", "d/low d/sub d/sub/mid d/up");
    assert_beneath("u:1:2", true, "/link", "d/low d/sub d/sub/mid d/up");
    assert_beneath("u:1:2", true, "/d/sub", "d/sub/mid");
    assert_beneath("1:2", false, "/d", "d/gone d/low d/sub d/sub/mid");
    assert_beneath("2", false, "/", "d d/gone d/low other");
    assert_beneath("u", true, "/", "d d/up");
}

static void a_sealed_root_has_no_upper_part(void **state)
{
    (void)state;
    struct kit_union all;
    kit_tree("f 1/d/file x, f u/d/file x");
    for (int writable = 0; writable < 2; writable++) {
        cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
        kit_union_open(&all, writable ? "u:1" : "1", writable);
        assert_int_equal(rootpath_find(&all.stack, "/", true, &found), 0);
        cleanup_fd int upper = rootpath_open_upper(&found);
        assert_int_equal(upper >= 0, writable);
        assert_true(writable || upper == -ENOENT);
        kit_union_close(&all);
    }
}

static void there_is_no_walk_beneath_a_file(void **state)
{
    (void)state;
    struct kit_union all;
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    kit_file("1/file", "");
    kit_union_open(&all, "1", false);
    assert_int_equal(rootpath_find(&all.stack, "file", true, &found), 0);
    assert_int_equal(rootpath_walk(&all.stack, &found, write_down, NULL), -ENOTDIR);
    rootpath_finish(&found);
    assert_int_equal(rootpath_find(&all.stack, "none", true, &found), 0);
    assert_int_equal(rootpath_walk(&all.stack, &found, write_down, NULL), -ENOTDIR);
    kit_union_close(&all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(names_are_found_in_whichever_layer_shows_them),
        kit_test(dots_go_back_and_never_out),
        kit_test(a_symlink_is_resolved_inside),
        kit_test(a_symlink_at_the_end_is_itself_where_it_is_not_followed),
        kit_test(loops_end),
        kit_test(what_is_not_there_is_where_it_would_be),
        kit_test(a_file_in_the_way_is_told),
        kit_test(a_slash_at_the_end_means_a_directory),
        kit_test(redirected_and_opaque_directories_are_followed),
        kit_test(what_is_too_long_is_refused),
        kit_test(a_walk_tells_what_is_shown_beneath),
        kit_test(a_sealed_root_has_no_upper_part),
        kit_test(there_is_no_walk_beneath_a_file),
    };
    return kit_run("rootpath", tests, sizeof(tests) / sizeof(tests[0]));
}
