/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "fd.h"
#include "pack.h"
#include "seal.h"
#include "skeleton.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define cleanup_row cleanup(layer_row_finish)

static struct store *open_here(void)
{
    struct store *store = NULL;
    cleanup_free char *path = kit_path("store");
    assert_int_equal(store_open(path, true, &store), 0);
    return store;
}

/* Puts the directory `path` of the test into a new stage as "layer". */
static void stage_layer(struct store *store, struct stage *stage, const char *path)
{
    assert_int_equal(store_stage(store, stage), 0);
    assert_int_equal(mkdirat(stage->dir, "layer", 0755), 0);
    assert_int_equal(renameat(kit_root(), path, stage->dir, "layer/tree"), 0);
}

/* Seals a tree made from words, which say where it is: "tree". */
static int seal_words(struct store *store, const char *words, const struct tar_sums *sums,
                      const char *name, struct layer_row *row)
{
    struct stage stage;
    kit_dir("tree");
    kit_tree(words);
    stage_layer(store, &stage, "tree");
    const struct seal seal = {.staged = "layer", .sums = sums, .source = "a test", .name = name};
    int err = seal_layer(store, &stage, &seal, row);
    if (!err)
        assert_false(fd_stat(stage.dir, "layer", &(struct stat){0}) == 0);
    store_unstage(store, &stage);
    return err;
}

static const struct tar_sums SUMS = {
    .diff_id = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    .tar_size = 10240};

static void set_time(const char *path)
{
    const struct timespec times[2] = {{1, 1}, {1, 1}};
    assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static bool never(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    fail_msg("fault %d: %s", fault, id);
    return false;
}

static void assert_consistent(struct store *store)
{
    assert_int_equal(store_check(store, never, NULL, NULL), 0);
}

static void a_tree_becomes_a_layer_with_a_row(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0}, found = {0};
    assert_int_equal(seal_words(store, "f tree/a text, d tree/d, w tree/w", NULL, "base", &row), 0);
    assert_int_equal(strlen(row.id), 64);
    assert_string_equal(row.name, "base");
    assert_string_equal(row.source, "a test");
    assert_int_equal(row.files, 3);
    assert_int_equal(row.bytes, 4);
    assert_true(row.tar_bytes > 0 && row.tar_bytes % 512 == 0);
    assert_false(row.skeleton);
    assert_int_equal(catalog_find_layer(store->catalog, row.id, &found), 0);
    assert_string_equal(found.entries, row.entries);
    assert_int_equal(found.created, row.created);
    char path[256];
    snprintf(path, sizeof(path), "store/layers/%s/tree/a", row.id);
    kit_assert_text(path, "text");
    assert_consistent(store);
}

static void the_id_is_that_of_the_archive_it_would_be(void **state)
{
    (void)state;
    struct tar_sums sums;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0};
    kit_tree("f tree/a text, l tree/l a, o tree/o");
    {
        cleanup_fd int tree = kit_open("tree", O_RDONLY | O_DIRECTORY);
        const struct pack pack = {.tree = tree, .books = -1, .fd = -1};
        assert_int_equal(pack_layer(&pack, &sums), 0);
    }
    assert_int_equal(seal_words(store, "d tree", NULL, NULL, &row), 0);
    assert_string_equal(row.id, sums.diff_id);
    assert_int_equal(row.tar_bytes, sums.tar_size);
    assert_null(row.name);
}

/* Seals the tree beside a skeleton of a tar of SUMS.tar_size + `more` bytes. */
static bool seal_with_skeleton(struct store *store, size_t more)
{
    static const char tar[20480];
    struct stage stage;
    uint64_t size;
    int err;
    cleanup_row struct layer_row row = {0};
    kit_tree("f tree/a text");
    stage_layer(store, &stage, "tree");
    cleanup_fd int books = fd_open_name(stage.dir, "layer", O_RDONLY | O_DIRECTORY, 0);
    {
        cleanup_skeleton_writer struct skeleton_writer *writer =
            skeleton_create(books, "skeleton", &err);
        assert_non_null(writer);
        assert_int_equal(skeleton_add_raw(writer, tar, SUMS.tar_size + more), 0);
        assert_int_equal(skeleton_finish(writer, &size), 0);
    }
    const struct seal seal = {.staged = "layer", .sums = &SUMS, .source = "a.tar"};
    assert_int_equal(seal_layer(store, &stage, &seal, &row), 0);
    store_unstage(store, &stage);
    assert_string_equal(row.id, SUMS.diff_id);
    assert_int_equal(row.tar_bytes, SUMS.tar_size);
    assert_consistent(store);
    return row.skeleton;
}

static void what_came_as_a_tar_keeps_its_sums_and_its_skeleton(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_true(seal_with_skeleton(store, 0));
}

static void a_skeleton_of_another_tar_is_of_no_account(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_false(seal_with_skeleton(store, 512));
}

static void a_layer_that_is_there_is_used(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row first = {0}, second = {0}, found = {0};
    kit_tree("f tree/a text");
    set_time("tree/a");
    assert_int_equal(seal_words(store, "d tree", NULL, NULL, &first), 0);
    kit_tree("f tree/a text");
    set_time("tree/a");
    assert_int_equal(seal_words(store, "d tree", NULL, "named", &second), 0);
    assert_string_equal(first.id, second.id);
    assert_int_equal(first.created, second.created);
    assert_string_equal(second.name, "named");
    assert_int_equal(catalog_find_layer(store->catalog, "named", &found), 0);
    assert_string_equal(found.id, first.id);
    assert_int_equal(kit_entries("store/layers"), 1);
    assert_int_equal(kit_entries("store/stage"), 0);
    assert_consistent(store);
}

static void a_name_that_is_taken_leaves_nothing_behind(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row first = {0}, second = {0};
    assert_int_equal(seal_words(store, "f tree/a", NULL, "name", &first), 0);
    assert_int_equal(seal_words(store, "f tree/b", NULL, "name", &second), -EEXIST);
    assert_null(second.id);
    assert_int_equal(kit_entries("store/layers"), 1);
    assert_int_equal(kit_entries("store/stage"), 0);
    assert_consistent(store);
    /* Nor can a layer that is there take it. */
    assert_int_equal(seal_words(store, "f tree/c", &SUMS, NULL, &second), 0);
    layer_row_finish(&second);
    assert_int_equal(seal_words(store, "f tree/c", &SUMS, "name", &second), -EEXIST);
    assert_consistent(store);
}

static void what_a_crash_left_makes_room(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0};
    char path[256];
    snprintf(path, sizeof(path), "store/layers/%s/tree/half", SUMS.diff_id);
    kit_file(path, "half");
    assert_int_equal(seal_words(store, "f tree/whole text", &SUMS, NULL, &row), 0);
    assert_false(kit_exists(path));
    assert_consistent(store);
}

static void a_tree_that_cannot_be_sealed_stays_in_the_stage(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0};
    assert_int_equal(seal_words(store, "m tree/file", NULL, NULL, &row), -EINVAL);
    assert_int_equal(seal_words(store, "m tree/file", &SUMS, NULL, &row), -EINVAL);
    assert_int_equal(kit_entries("store/layers"), 0);
    assert_consistent(store);
}

/* Seals the same layer by way of another process's store, as soon as this one is being read. */
static void overtake(void *context, uint64_t bytes)
{
    struct layer_row *row = context;
    (void)bytes;
    if (row->id)
        return;
    cleanup_store struct store *store = open_here();
    assert_int_equal(seal_words(store, "f tree/faster text", &SUMS, "faster", row), 0);
}

static void whoever_was_faster_has_sealed_the_layer(void **state)
{
    (void)state;
    struct stage stage;
    char path[256];
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0}, faster = {0};
    kit_tree("f slower/slower text");
    stage_layer(store, &stage, "slower");
    const struct seal seal = {
        .staged = "layer", .sums = &SUMS, .source = "a test", .seen = overtake, .context = &faster};
    assert_int_equal(seal_layer(store, &stage, &seal, &row), 0);
    store_unstage(store, &stage);
    assert_string_equal(row.name, "faster");
    assert_string_equal(row.entries, faster.entries);
    snprintf(path, sizeof(path), "store/layers/%s/tree/faster", SUMS.diff_id);
    assert_true(kit_exists(path));
    assert_consistent(store);
}

static void the_same_layer_sealed_by_many_is_there_once(void **state)
{
    (void)state;
    enum { MANY = 6 };
    pid_t children[MANY];
    store_close(open_here());
    for (unsigned i = 0; i < MANY; i++) {
        char path[64];
        snprintf(path, sizeof(path), "tree%u/a", i);
        kit_file(path, "text");
        set_time(path);
    }
    for (unsigned i = 0; i < MANY; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            char path[16];
            struct stage stage;
            struct store *store = open_here();
            struct layer_row row;
            snprintf(path, sizeof(path), "tree%u", i);
            stage_layer(store, &stage, path);
            const struct seal seal = {.staged = "layer", .source = "many"};
            int err = seal_layer(store, &stage, &seal, &row);
            store_unstage(store, &stage);
            _exit(err ? 1 : 0);
        }
    }
    for (unsigned i = 0; i < MANY; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    cleanup_store struct store *store = open_here();
    assert_int_equal(kit_entries("store/layers"), 1);
    assert_consistent(store);
}

/* ---- verifying ---- */

static int say_path(void *context, const struct entry_digest *was, const struct entry_digest *is)
{
    char *text = context;
    size_t used = strlen(text);
    snprintf(text + used, 256 - used, "%s%c%s", used ? " " : "",
             !was  ? '+'
             : !is ? '-'
                   : '!',
             (was ? was : is)->path);
    return 0;
}

static int verify(struct store *store, const struct layer_row *row, char text[256])
{
    const struct seal_check check = {.each = say_path, .context = text};
    text[0] = 0;
    return seal_verify(store, row, &check);
}

static void what_was_changed_behind_the_stores_back_is_named(void **state)
{
    (void)state;
    char text[256], path[256];
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0};
    assert_int_equal(seal_words(store, "f tree/a text, f tree/b, f tree/c", NULL, NULL, &row), 0);
    assert_int_equal(verify(store, &row, text), 0);
    assert_string_equal(text, "");
    snprintf(path, sizeof(path), "store/layers/%s/tree/a", row.id);
    kit_file(path, "next");
    path[strlen(path) - 1] = 'b';
    assert_int_equal(unlinkat(kit_root(), path, 0), 0);
    path[strlen(path) - 1] = 'd';
    kit_file(path, "");
    assert_int_equal(verify(store, &row, text), 0);
    assert_string_equal(text, "!. !a -b +d");
}

static void an_entries_file_that_was_changed_is_not_believed(void **state)
{
    (void)state;
    char text[256], path[256];
    cleanup_store struct store *store = open_here();
    cleanup_row struct layer_row row = {0};
    assert_int_equal(seal_words(store, "f tree/a text", NULL, NULL, &row), 0);
    snprintf(path, sizeof(path), "store/layers/%s/entries", row.id);
    kit_file(path, ""); /* which is sound in itself */
    assert_int_equal(verify(store, &row, text), -EBADMSG);
    kit_file(path, "rubbish");
    assert_int_equal(verify(store, &row, text), -EBADMSG);
    assert_int_equal(unlinkat(kit_root(), path, 0), 0);
    assert_int_equal(verify(store, &row, text), -EBADMSG);
    row.entries[0] = 0;
    assert_int_equal(verify(store, &row, text), -ENODATA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_tree_becomes_a_layer_with_a_row),
        kit_test(the_id_is_that_of_the_archive_it_would_be),
        kit_test(what_came_as_a_tar_keeps_its_sums_and_its_skeleton),
        kit_test(a_skeleton_of_another_tar_is_of_no_account),
        kit_test(a_layer_that_is_there_is_used),
        kit_test(a_name_that_is_taken_leaves_nothing_behind),
        kit_test(what_a_crash_left_makes_room),
        kit_test(a_tree_that_cannot_be_sealed_stays_in_the_stage),
        kit_test(whoever_was_faster_has_sealed_the_layer),
        kit_test(the_same_layer_sealed_by_many_is_there_once),
        kit_test(what_was_changed_behind_the_stores_back_is_named),
        kit_test(an_entries_file_that_was_changed_is_not_believed),
    };
    return kit_run("seal", tests, sizeof(tests) / sizeof(tests[0]));
}
