/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "edit.h"
#include "fd.h"
#include "upper.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The union's root, "u" over "1": where all edits are made. */
struct scene {
    struct kit_union all;
    struct editdir dir;
};

static void open_scene(struct scene *scene, const char *words, enum whiteform form)
{
    kit_dir("u");
    kit_tree(words);
    kit_union_open_upper(&scene->all, "u:1", (struct features){.redirect = true, .sync = true});
    scene->all.stack.able.whiteform = form;
    if (form == WHITEFORM_FILE)
        scene->all.stack.able.rename_whiteout = false;
    scene->dir = (struct editdir){scene->all.stack.layers[0].root, scene->all.stack.root};
}

static void close_scene(struct scene *scene)
{
    assert_int_equal(kit_entries("work/work"), 0);
    kit_union_close(&scene->all);
}

static int make(const struct scene *scene, const char *name, mode_t mode)
{
    const struct making making = {.mode = mode, .target = "target"};
    return edit_make(&scene->all.stack, &scene->dir, name, &making, NULL);
}

static bool is_opaque(const char *path)
{
    char value = 0;
    return ovlattr_get(OVLWHERE_UPPER_USER, kit_root(), path, OVLATTR_OPAQUE, &value, 1) == 1 &&
           value == 'y';
}

/* ---- make ---- */

static void every_kind_of_object_is_made(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "d 1", WHITEFORM_DEVICE);
    static const mode_t KINDS[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK};
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        char name[8], path[16];
        snprintf(name, sizeof(name), "o%zu", i);
        snprintf(path, sizeof(path), "u/%s", name);
        assert_int_equal(make(&scene, name, KINDS[i] | 0751), 0);
        assert_int_equal(kit_stat(path).st_mode & S_IFMT, KINDS[i]);
        if (KINDS[i] != S_IFLNK)
            assert_int_equal(kit_stat(path).st_mode & 07777, 0751);
        assert_int_equal(make(&scene, name, KINDS[i] | 0700), -EEXIST);
    }
    close_scene(&scene);
}

static void every_kind_of_object_takes_the_place_of_a_whiteout(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "d 1", WHITEFORM_DEVICE);
    static const mode_t KINDS[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO};
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        for (int form = WHITEFORM_DEVICE; form <= WHITEFORM_FILE; form++) {
            char name[16], path[24], white[24];
            scene.all.stack.able.whiteform = (enum whiteform)form;
            snprintf(name, sizeof(name), "o%zu%d", i, form);
            snprintf(path, sizeof(path), "u/%s", name);
            snprintf(white, sizeof(white), "u/.wh.%s", name);
            assert_int_equal(upper_whiteout(&scene.all.stack, scene.dir.upper, name), 0);
            assert_int_equal(make(&scene, name, KINDS[i] | 0700), 0);
            assert_int_equal(kit_stat(path).st_mode & S_IFMT, KINDS[i]);
            assert_false(kit_exists(white));
        }
    }
    close_scene(&scene);
}

static void a_directory_over_a_whiteout_is_opaque(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "w u/d, f 1/d/x", WHITEFORM_DEVICE);
    assert_int_equal(make(&scene, "d", S_IFDIR | 0755), 0);
    assert_true(is_opaque("u/d"));
    close_scene(&scene);
}

static void a_directory_that_may_not_be_entered_is_opaque_too(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "w u/d, f 1/d/x", WHITEFORM_DEVICE);
    assert_int_equal(make(&scene, "d", S_IFDIR), 0);
    assert_int_equal(kit_stat("u/d").st_mode & 07777, 0);
    assert_int_equal(fchmodat(kit_root(), "u/d", 0700, 0), 0);
    assert_true(is_opaque("u/d"));
    close_scene(&scene);
}

static void a_file_made_over_a_whiteout_comes_open(void **state)
{
    (void)state;
    struct scene scene;
    const struct making making = {.mode = S_IFREG | 0600};
    int fd = -1;
    open_scene(&scene, "w u/f, f 1/f old", WHITEFORM_DEVICE);
    assert_int_equal(edit_make(&scene.all.stack, &scene.dir, "f", &making, &fd), 0);
    assert_int_equal(fd_write_all(fd, "new", 3), 0);
    close(fd);
    kit_assert_text("u/f", "new");
    close_scene(&scene);
}

static void what_is_made_over_a_whiteout_takes_the_group_of_a_setgid_directory(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "w u/d, w u/f", WHITEFORM_DEVICE);
    assert_int_equal(fchmodat(kit_root(), "u", 02755, 0), 0);
    assert_int_equal(make(&scene, "d", S_IFDIR | 0755), 0);
    assert_int_equal(make(&scene, "f", S_IFREG | 0644), 0);
    assert_int_equal(kit_stat("u/d").st_mode & 07777, 02755);
    assert_int_equal(kit_stat("u/f").st_gid, kit_stat("u").st_gid);
    close_scene(&scene);
}

/* The stage is gone, as after somebody removed it on the host: an error, and nothing else breaks.
 */
static void a_stage_that_fails_leaves_the_whiteout_and_the_stage_open(void **state)
{
    (void)state;
    struct scene scene;
    const struct making making = {.mode = S_IFREG | 0600};
    int fd = -1;
    open_scene(&scene, "w u/f", WHITEFORM_DEVICE);
    assert_int_equal(fchmodat(kit_root(), "u", 02755, 0), 0);
    assert_int_equal(unlinkat(kit_root(), "work/work", AT_REMOVEDIR), 0);
    assert_int_equal(edit_make(&scene.all.stack, &scene.dir, "f", &making, &fd), -ENOENT);
    assert_int_equal(fd, -1);
    assert_true(fcntl(scene.all.stack.stage, F_GETFD) >= 0);
    assert_true(kit_is_whiteout("u/f"));
    kit_union_close(&scene.all);
}

/* ---- link ---- */

static void a_link_takes_the_place_of_a_whiteout(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "f u/f text, w u/g, f 1/g, f u/.wh.h", WHITEFORM_DEVICE);
    int dir = scene.dir.upper;
    assert_int_equal(edit_link(&scene.all.stack, dir, "f", &scene.dir, "g"), 0);
    assert_int_equal(kit_stat("u/g").st_ino, kit_stat("u/f").st_ino);
    assert_int_equal(edit_link(&scene.all.stack, dir, "f", &scene.dir, "g"), -EEXIST);
    scene.all.stack.able.whiteform = WHITEFORM_FILE;
    assert_int_equal(edit_link(&scene.all.stack, dir, "f", &scene.dir, "h"), 0);
    assert_false(kit_exists("u/.wh.h"));
    assert_int_equal(kit_stat("u/f").st_nlink, 3);
    close_scene(&scene);
}

static void an_open_file_without_a_name_is_linked(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "w u/g", WHITEFORM_DEVICE);
    cleanup_fd int fd = openat(scene.dir.upper, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0) {
        assert_int_equal(fd_write_all(fd, "text", 4), 0);
        assert_int_equal(edit_link(&scene.all.stack, fd, "", &scene.dir, "g"), 0);
        kit_assert_text("u/g", "text");
    }
    close_scene(&scene);
}

/* ---- remove ---- */

struct removal {
    const char *claim, *words, *name;
    bool in_upper, is_dir;
    bool whiteout; /* what is there afterwards; else nothing */
};

static const struct removal REMOVALS[] = {
    {"removing_a_file_of_the_upper_alone_leaves_nothing", "f u/x", "x", true, false, false},
    {"removing_a_file_that_lies_beneath_leaves_a_whiteout", "f 1/x", "x", false, false, true},
    {"removing_a_file_of_both_leaves_a_whiteout", "f u/x, f 1/x", "x", true, false, true},
    {"removing_a_directory_of_the_upper_alone_leaves_nothing", "d u/x", "x", true, true, false},
    {"removing_a_directory_of_both_leaves_a_whiteout", "d u/x, w u/x/y, f 1/x/y", "x", true, true,
     true},
    {"removing_an_opaque_directory_over_another_leaves_a_whiteout", "o u/x, f 1/x/y", "x", true,
     true, true},
    {"removing_a_directory_full_of_whiteouts_leaves_nothing", "o u/x, w u/x/y", "x", true, true,
     false},
};

static void a_removal_leaves_what_the_table_says(void **state)
{
    const struct removal *row = *state;
    struct scene scene;
    struct stat st;
    for (int form = WHITEFORM_DEVICE; form <= WHITEFORM_FILE; form++) {
        open_scene(&scene, row->words, (enum whiteform)form);
        assert_int_equal(
            edit_remove(&scene.all.stack, &scene.dir, row->name, row->in_upper, row->is_dir), 0);
        int look = upper_look(&scene.all.stack, scene.dir.upper, row->name, &st);
        assert_int_equal(look, row->whiteout ? UPPER_WHITEOUT : UPPER_NOTHING);
        assert_int_equal(upper_uncover(&scene.all.stack, scene.dir.upper, row->name), 0);
        close_scene(&scene);
    }
}

/* ---- rmdir of what nobody has looked into ---- */

struct unseen {
    const char *claim, *words;
    int err;
};

static const struct unseen UNSEEN[] = {
    {"an_empty_directory_of_the_upper_goes_unseen", "d u/x", 0},
    {"an_empty_opaque_directory_goes_unseen", "d u/x, f 1/y", 0},
    {"a_directory_with_a_file_does_not_go_unseen", "f u/x/y", -ENOTEMPTY},
    {"a_directory_with_a_whiteout_does_not_go_unseen", "o u/x, w u/x/y", -ENOTEMPTY},
    {"a_directory_over_another_does_not_go_unseen", "o u/x, d 1/x", -ENOTEMPTY},
    {"a_directory_over_a_lower_file_does_not_go_unseen", "o u/x, f 1/x", -ENOTEMPTY},
    {"a_file_does_not_go_as_a_directory", "f u/x", -ENOTDIR},
    {"a_name_that_is_not_there_does_not_go_unseen", "d u", -ENOENT},
};

static void an_unseen_directory_goes_where_the_table_says(void **state)
{
    const struct unseen *row = *state;
    struct scene scene;
    struct stat st;
    open_scene(&scene, row->words, WHITEFORM_DEVICE);
    int before = upper_look(&scene.all.stack, scene.dir.upper, "x", &st);
    assert_int_equal(edit_remove_unseen(&scene.all.stack, &scene.dir, "x"), row->err);
    int look = upper_look(&scene.all.stack, scene.dir.upper, "x", &st);
    assert_int_equal(look, row->err ? before : UPPER_NOTHING);
    close_scene(&scene);
}

/* ---- rename ---- */

struct move {
    const char *claim, *words; /* "from" moves to "to" */
    bool is_dir, exchange, leave_whiteout;
    bool whiteout;     /* whether "from" is a whiteout afterwards; else nothing, unless exchanged */
    const char *holds; /* what "to" has afterwards: a file's text, or a name in a directory */
};

static const struct move MOVES[] = {
    {"a_file_moves", "f u/from F", false, false, false, false, "F"},
    {"a_file_moves_onto_another", "f u/from F, f u/to T", false, false, false, false, "F"},
    {"a_file_moves_onto_a_whiteout", "f u/from F, w u/to, f 1/to", false, false, false, false, "F"},
    {"a_file_moves_off_a_lower_one", "f u/from F, f 1/from", false, false, false, true, "F"},
    {"a_file_moves_off_a_lower_one_onto_a_whiteout", "f u/from F, f 1/from, w u/to, f 1/to", false,
     false, false, true, "F"},
    {"a_file_moves_and_leaves_the_whiteout_that_is_asked_for", "f u/from F", false, false, true,
     true, "F"},
    {"a_directory_moves", "f u/from/F", true, false, false, false, "F"},
    {"a_directory_moves_onto_a_whiteout", "f u/from/F, w u/to, f 1/to/x", true, false, false, false,
     "F"},
    {"a_directory_moves_off_a_lower_one_onto_a_whiteout", "f u/from/F, d 1/from, w u/to, f 1/to/x",
     true, false, false, true, "F"},
    {"a_directory_moves_onto_an_empty_one", "f u/from/F, d u/to", true, false, false, false, "F"},
    {"a_directory_moves_onto_one_that_holds_whiteouts", "f u/from/F, w u/to/x, f 1/to/x", true,
     false, false, false, "F"},
    {"a_directory_moves_off_a_lower_one_onto_one_that_holds_whiteouts",
     "f u/from/F, d 1/from, w u/to/x, f 1/to/x", true, false, false, true, "F"},
    {"two_files_are_exchanged", "f u/from F, f u/to T", false, true, false, false, "F"},
    {"two_directories_are_exchanged", "f u/from/F, f u/to/T", true, true, false, false, "F"},
};

static void a_rename_leaves_what_the_table_says(void **state)
{
    const struct move *row = *state;
    struct scene scene;
    open_scene(&scene, row->words, WHITEFORM_DEVICE);
    const struct renaming renaming = {
        .from = &scene.dir,
        .to = &scene.dir,
        .from_name = "from",
        .to_name = "to",
        .is_dir = row->is_dir,
        .exchange = row->exchange,
        .leave_whiteout = row->leave_whiteout,
    };
    assert_int_equal(edit_rename(&scene.all.stack, &renaming), 0);
    if (row->is_dir) {
        char path[16];
        snprintf(path, sizeof(path), "u/to/%s", row->holds);
        assert_true(kit_exists(path));
        assert_int_equal(kit_entries("u/to"), 1);
    } else {
        kit_assert_text("u/to", row->holds);
    }
    assert_int_equal(kit_is_whiteout("u/from"), row->whiteout);
    assert_int_equal(kit_exists("u/from"), row->whiteout || row->exchange);
    close_scene(&scene);
}

static void in_the_other_form_a_rename_leaves_a_mark_and_takes_one_away(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "f u/from F, f 1/from, f u/.wh.to, f 1/to", WHITEFORM_FILE);
    const struct renaming renaming = {
        .from = &scene.dir, .to = &scene.dir, .from_name = "from", .to_name = "to"};
    assert_int_equal(edit_rename(&scene.all.stack, &renaming), 0);
    kit_assert_text("u/to", "F");
    assert_true(kit_exists("u/.wh.from"));
    assert_false(kit_exists("u/.wh.to"));
    close_scene(&scene);
}

static void a_rename_without_rename_whiteout_covers_the_old_name_all_the_same(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "f u/from F, f 1/from", WHITEFORM_DEVICE);
    scene.all.stack.able.rename_whiteout = false;
    const struct renaming renaming = {
        .from = &scene.dir, .to = &scene.dir, .from_name = "from", .to_name = "to"};
    assert_int_equal(edit_rename(&scene.all.stack, &renaming), 0);
    assert_true(kit_is_whiteout("u/from"));
    close_scene(&scene);
}

static void a_directory_that_is_not_empty_is_not_replaced_by_a_file(void **state)
{
    (void)state;
    struct scene scene;
    open_scene(&scene, "f u/from F, f u/to/x", WHITEFORM_DEVICE);
    const struct renaming renaming = {
        .from = &scene.dir, .to = &scene.dir, .from_name = "from", .to_name = "to"};
    assert_int_equal(edit_rename(&scene.all.stack, &renaming), -EISDIR);
    kit_assert_text("u/from", "F");
    assert_true(kit_exists("u/to/x"));
    close_scene(&scene);
}

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

int main(void)
{
    /* cmocka wants the state writable; nothing writes it. */
    static struct removal removals[COUNT(REMOVALS)];
    static struct unseen unseen[COUNT(UNSEEN)];
    static struct move moves[COUNT(MOVES)];
    const struct CMUnitTest single[] = {
        kit_test(every_kind_of_object_is_made),
        kit_test(every_kind_of_object_takes_the_place_of_a_whiteout),
        kit_test(a_directory_over_a_whiteout_is_opaque),
        kit_test(a_directory_that_may_not_be_entered_is_opaque_too),
        kit_test(a_file_made_over_a_whiteout_comes_open),
        kit_test(what_is_made_over_a_whiteout_takes_the_group_of_a_setgid_directory),
        kit_test(a_stage_that_fails_leaves_the_whiteout_and_the_stage_open),
        kit_test(a_link_takes_the_place_of_a_whiteout),
        kit_test(an_open_file_without_a_name_is_linked),
        kit_test(in_the_other_form_a_rename_leaves_a_mark_and_takes_one_away),
        kit_test(a_rename_without_rename_whiteout_covers_the_old_name_all_the_same),
        kit_test(a_directory_that_is_not_empty_is_not_replaced_by_a_file),
    };
    struct CMUnitTest tests[COUNT(single) + COUNT(REMOVALS) + COUNT(UNSEEN) + COUNT(MOVES)];
    memcpy(tests, single, sizeof(single));
    size_t count = COUNT(single);
    for (size_t i = 0; i < COUNT(REMOVALS); i++) {
        removals[i] = REMOVALS[i];
        tests[count++] =
            kit_test_of(removals[i].claim, a_removal_leaves_what_the_table_says, &removals[i]);
    }
    for (size_t i = 0; i < COUNT(UNSEEN); i++) {
        unseen[i] = UNSEEN[i];
        tests[count++] =
            kit_test_of(unseen[i].claim, an_unseen_directory_goes_where_the_table_says, &unseen[i]);
    }
    for (size_t i = 0; i < COUNT(MOVES); i++) {
        moves[i] = MOVES[i];
        tests[count++] =
            kit_test_of(moves[i].claim, a_rename_leaves_what_the_table_says, &moves[i]);
    }
    return kit_run("edit", tests, count);
}
