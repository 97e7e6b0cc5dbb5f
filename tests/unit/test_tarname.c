/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "tarname.h"

#include <string.h>

static const struct {
    const char *text;
    enum tarname_kind kind;
    const char *path, *parent;
} TAKEN[] = {
    {".", TARNAME_ROOT, "", ""},
    {"./", TARNAME_ROOT, "", ""},
    {"././/", TARNAME_ROOT, "", ""},
    {"a", TARNAME_PLAIN, "a", ""},
    {"./a/", TARNAME_PLAIN, "a", ""},
    {"a//b/./c", TARNAME_PLAIN, "a/b/c", "a/b"},
    {"...", TARNAME_PLAIN, "...", ""},
    {"a/..b", TARNAME_PLAIN, "a/..b", "a"},
    {".whatever", TARNAME_PLAIN, ".whatever", ""},
    {"\xff\xfe/\n", TARNAME_PLAIN, "\xff\xfe/\n", "\xff\xfe"},
    {".wh.a", TARNAME_WHITEOUT, "a", ""},
    {"d/.wh.a", TARNAME_WHITEOUT, "d/a", "d"},
    {"d/.wh.a/", TARNAME_WHITEOUT, "d/a", "d"},
    {"d/.wh....", TARNAME_WHITEOUT, "d/...", "d"},
    {".wh..wh..opq", TARNAME_OPAQUE, "", ""},
    {"a/b/.wh..wh..opq", TARNAME_OPAQUE, "a/b", "a"},
    {".wh..wh.plnk/1.2", TARNAME_BOOKS, NULL, NULL},
    {"a/.wh..wh.aufs", TARNAME_BOOKS, NULL, NULL},
};

static const char *const REFUSED[] = {
    "",
    "/",
    "/a",
    "..",
    "../a",
    "a/..",
    "a/../b",
    "a/b/../../c",
    "./../a",
    ".wh.",
    "a/.wh.",
    ".wh..",
    ".wh...",
    "a/.wh...",
    "a/.wh.b/c",
    ".wh.a/.wh.b",
    ".wh.a/../b",
    "//a",
    "a/.wh../b",
    ".wh./a",
    ".wh..wh..opq/a",
};

static void every_form_of_a_path_becomes_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(TAKEN) / sizeof(TAKEN[0]); i++) {
        struct tarname name;
        char parent[TARNAME_MAX];
        assert_null(tarname_read(TAKEN[i].text, TREEKIND_LAYER, &name));
        assert_int_equal(name.kind, TAKEN[i].kind);
        if (!TAKEN[i].path)
            continue;
        assert_string_equal(name.path, TAKEN[i].path);
        tarname_parent(&name, parent);
        assert_string_equal(parent, TAKEN[i].parent);
        const char *slash = strrchr(name.path, '/');
        assert_string_equal(name.path + name.name, slash ? slash + 1 : name.path);
    }
}

static void what_leads_out_or_hides_nothing_is_refused(void **state)
{
    (void)state;
    struct tarname name;
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        if (!tarname_read(REFUSED[i], TREEKIND_LAYER, &name))
            fail_msg("taken: %s", REFUSED[i]);
    }
}

static void no_name_is_a_whiteout_in_a_plain_tree(void **state)
{
    (void)state;
    static const char *const NAMES[] = {
        ".wh.a", ".wh.", ".wh..", "d/.wh..wh..opq", ".wh..wh.plnk/1.2", ".wh.a/b"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct tarname name;
        assert_null(tarname_read(NAMES[i], TREEKIND_PLAIN, &name));
        assert_int_equal(name.kind, TARNAME_PLAIN);
        assert_string_equal(name.path, NAMES[i]);
    }
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        struct tarname name;
        if (!strstr(REFUSED[i], ".wh.") && !tarname_read(REFUSED[i], TREEKIND_PLAIN, &name))
            fail_msg("taken: %s", REFUSED[i]);
    }
}

static void names_and_paths_and_depth_are_bounded(void **state)
{
    (void)state;
    struct tarname name;
    char text[3 * TARNAME_MAX] = "";
    memset(text, 'n', 255);
    assert_null(tarname_read(text, TREEKIND_LAYER, &name));
    text[255] = 'n';
    assert_non_null(tarname_read(text, TREEKIND_LAYER, &name));

    for (int i = 0; i < 4095; i++)
        text[i] = i % 200 == 199 ? '/' : 'n';
    text[4095] = 0;
    assert_null(tarname_read(text, TREEKIND_LAYER, &name));
    assert_string_equal(name.path, text);
    strcpy(text + 4095, "n");
    assert_non_null(tarname_read(text, TREEKIND_LAYER, &name));

    *text = 0;
    for (int i = 0; i < TARNAME_DEPTH_MAX; i++)
        strcat(text, "./d/");
    assert_null(tarname_read(text, TREEKIND_LAYER, &name));
    strcat(text, "d");
    assert_non_null(tarname_read(text, TREEKIND_LAYER, &name));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_form_of_a_path_becomes_one),
        kit_test(what_leads_out_or_hides_nothing_is_refused),
        kit_test(no_name_is_a_whiteout_in_a_plain_tree),
        kit_test(names_and_paths_and_depth_are_bounded),
    };
    return kit_run("tarname", tests, sizeof(tests) / sizeof(tests[0]));
}
