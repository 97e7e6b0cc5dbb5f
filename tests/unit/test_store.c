/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "store.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define DIGITS_60 "000000000000000000000000000000000000000000000000000000000000"
#define ID(first) first DIGITS_60

/* The words of a test are borrowed by rows that do not change them. */
#define word(text) ((char[]){text})

static struct store *open_here(void)
{
    struct store *store = NULL;
    cleanup_free char *path = kit_path("store");
    assert_int_equal(store_open(path, true, &store), 0);
    assert_non_null(store);
    return store;
}

static void add_layer_row(struct store *store, char *id)
{
    const struct layer_row row = {.id = id, .source = word("a test"), .entries = word("")};
    assert_int_equal(catalog_add_layer(store->catalog, &row), 0);
}

static void add_mount_row(struct store *store, char *id, char *name, bool ephemeral)
{
    const struct mount_row row = {.id = id, .name = name, .ephemeral = ephemeral};
    assert_int_equal(catalog_add_mount(store->catalog, &row), 0);
}

static bool has_layer_row(struct store *store, const char *id)
{
    struct layer_row row;
    int err = catalog_find_layer(store->catalog, id, &row);
    assert_true(err == 0 || err == -ENOENT);
    layer_row_finish(&row);
    return !err;
}

/* A layer as a command makes it: staged, published, and given its row. */
static int publish_layer(struct store *store, char *id, bool with_row)
{
    struct stage stage;
    assert_int_equal(store_stage(store, &stage), 0);
    assert_int_equal(mkdirat(stage.dir, "layer", 0755), 0);
    assert_int_equal(mkdirat(stage.dir, "layer/tree", 0755), 0);
    assert_int_equal(store_publishing(store), 0);
    int err = store_publish(store, &stage, "layer", store->layers, id);
    if (!err && with_row)
        add_layer_row(store, id);
    store_published(store);
    store_unstage(store, &stage);
    return err;
}

/* ---- where it is ---- */

static void assert_default(const char *chosen, const char *expected)
{
    cleanup_free char *path = store_default_path(chosen);
    if (expected)
        assert_string_equal(path, expected);
    else
        assert_null(path);
}

static void the_place_is_chosen_by_option_then_variables_then_user(void **state)
{
    (void)state;
    cleanup_free char *here = getcwd(NULL, 0), *beside = NULL;
    assert_true(asprintf(&beside, "%s/beside", here) > 0);
    setenv("PLYFS_ROOT", "/of/variable", 1);
    setenv("XDG_DATA_HOME", "/of/data", 1);
    setenv("HOME", "/of/home", 1);
    assert_default("/chosen", "/chosen");
    assert_default("beside", beside);
    assert_default(NULL, "/of/variable");
    setenv("PLYFS_ROOT", "", 1);
    assert_default(NULL, "/of/data/plyfs");
    setenv("XDG_DATA_HOME", "relative", 1);
    const bool root = geteuid() == 0;
    assert_default(NULL, root ? "/var/lib/plyfs" : "/of/home/.local/share/plyfs");
    unsetenv("HOME");
    assert_default(NULL, root ? "/var/lib/plyfs" : NULL);
    unsetenv("PLYFS_ROOT");
    unsetenv("XDG_DATA_HOME");
}

static void a_store_is_made_for_its_owner_alone(void **state)
{
    (void)state;
    struct store *store = NULL;
    cleanup_free char *path = kit_path("some/where/store");
    assert_int_equal(store_open(path, false, &store), -ENOENT);
    assert_null(store);
    assert_false(kit_exists("some"));
    assert_int_equal(store_open(path, true, &store), 0);
    assert_string_equal(store->path, path);
    store_close(store);
    assert_int_equal(kit_stat("some/where/store").st_mode & 07777, 0700);
    assert_int_equal(kit_stat("some/where/store/layers").st_mode & 07777, 0700);
    assert_true(kit_exists("some/where/store/mounts"));
    assert_true(kit_exists("some/where/store/stage"));
    assert_true(kit_exists("some/where/store/catalog.db"));
    assert_int_equal(store_open(path, false, &store), 0);
    store_close(store);
}

static void no_other_directory_becomes_a_store(void **state)
{
    (void)state;
    struct store *store = NULL;
    kit_tree("f full/letter text, d empty, d disk/lost+found, f file text");
    cleanup_free char *full = kit_path("full"), *empty = kit_path("empty");
    cleanup_free char *disk = kit_path("disk"), *file = kit_path("file");
    assert_int_equal(store_open(full, true, &store), -ENOTEMPTY);
    assert_int_equal(store_open(full, false, &store), -ENOENT);
    assert_int_equal(kit_entries("full"), 1);
    assert_int_equal(store_open(empty, false, &store), -ENOENT);
    assert_int_equal(kit_entries("empty"), 0);
    assert_int_equal(store_open(file, true, &store), -ENOTDIR);
    assert_int_equal(store_open(empty, true, &store), 0);
    store_close(store);
    assert_int_equal(store_open(disk, true, &store), 0);
    store_close(store);
}

static void a_store_half_made_is_completed(void **state)
{
    (void)state;
    kit_tree("f store/lock, d store/layers");
    struct store *store = open_here();
    assert_true(kit_exists("store/stage"));
    store_close(store);
}

static void ids_are_new(void **state)
{
    (void)state;
    char one[STORE_ID_SIZE], other[STORE_ID_SIZE];
    assert_int_equal(store_new_id(one), 0);
    assert_int_equal(store_new_id(other), 0);
    assert_int_equal(strspn(one, "0123456789abcdef"), 64);
    assert_int_equal(strlen(one), 64);
    assert_string_not_equal(one, other);
}

/* ---- stage and publishing ---- */

static void a_published_layer_is_whole_and_its_stage_gone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    assert_true(kit_exists("store/layers/" ID("1111") "/tree"));
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void a_place_with_a_row_is_taken(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    kit_file("store/layers/" ID("1111") "/mark", "first");
    assert_int_equal(publish_layer(store, word(ID("1111")), true), -EEXIST);
    kit_assert_text("store/layers/" ID("1111") "/mark", "first");
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void what_a_crash_left_in_a_place_makes_room(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), false), 0);
    kit_file("store/layers/" ID("1111") "/mark", "left by a crash");
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    assert_true(kit_exists("store/layers/" ID("1111") "/tree"));
    assert_false(kit_exists("store/layers/" ID("1111") "/mark"));
    assert_int_equal(kit_entries("store/stage"), 0);
    assert_true(has_layer_row(store, ID("1111")));
}

static void what_is_discarded_is_gone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), false), 0);
    assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
    assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
    assert_int_equal(kit_entries("store/layers"), 0);
    assert_int_equal(kit_entries("store/stage"), 0);
}

/* ---- removing trees ---- */

static void removing_follows_no_symlink(void **state)
{
    (void)state;
    kit_tree(
        "f outside/keep text, d tree/sub, l tree/link ../outside, l tree/sub/link ../../outside,"
        "l tree/file ../outside/keep, l alone outside");
    assert_int_equal(store_remove_tree(kit_root(), "tree"), 0);
    assert_int_equal(store_remove_tree(kit_root(), "alone"), 0);
    assert_false(kit_exists("tree"));
    assert_false(kit_exists("alone"));
    kit_assert_text("outside/keep", "text");
    assert_int_equal(store_remove_tree(kit_root(), "none"), 0);
}

static void make_named(int dir, const char *name, bool directory)
{
    if (directory)
        assert_int_equal(mkdirat(dir, name, 0755), 0);
    else
        assert_int_equal(mknodat(dir, name, S_IFREG | 0644, 0), 0);
}

/* Names that look like those which the removal gives, and names that hurt a terminal or a shell. */
static void removing_knows_no_bad_names(void **state)
{
    (void)state;
    char longest[256];
    memset(longest, 0xfe, 255);
    longest[255] = 0;
    const char *const names[] = {"#0",   "#1",      "#2", "#3", "-rf", "...",  " ",
                                 "a\nb", "\033[2J", "\\", "*",  "%s",  longest};
    kit_dir("tree/in/deep");
    const char *const places[] = {"tree", "tree/in", "tree/in/deep"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t k = 0; k < 3; k++) {
            cleanup_fd int dir = kit_open(places[k], O_RDONLY | O_DIRECTORY);
            make_named(dir, names[i], (i + k) % 2 == 0);
            if ((i + k) % 2 == 0) {
                cleanup_fd int inner = openat(dir, names[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                make_named(inner, names[i], true);
                make_named(inner, "file", false);
            }
        }
    }
    assert_int_equal(store_remove_tree(kit_root(), "tree"), 0);
    assert_false(kit_exists("tree"));
}

/* ---- sweeping ---- */

struct faults {
    bool mend;
    unsigned count;
    unsigned of[STORE_FAULT_EPHEMERAL + 1];
    char id[STORE_ID_SIZE]; /* the last */
};

static bool tell(void *context, enum store_fault fault, const char *id)
{
    struct faults *faults = context;
    faults->count++;
    faults->of[fault]++;
    snprintf(faults->id, sizeof(faults->id), "%s", id);
    return faults->mend;
}

/* Expects one fault, which is told, then mended, then gone. */
static void assert_mends(struct store *store, enum store_fault fault, const char *id)
{
    struct faults faults = {0};
    assert_int_equal(store_check(store, tell, &faults), 1);
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.of[fault], 1);
    assert_string_equal(faults.id, id);
    faults = (struct faults){.mend = true};
    assert_int_equal(store_check(store, tell, &faults), 0);
    assert_int_equal(faults.of[fault], 1);
    faults = (struct faults){0};
    assert_int_equal(store_check(store, tell, &faults), 0);
    assert_int_equal(faults.count, 0);
}

static void assert_sound(struct store *store)
{
    struct faults faults = {.mend = true};
    assert_int_equal(store_check(store, tell, &faults), 0);
    assert_int_equal(faults.count, 0);
}

static void a_sound_store_has_no_faults(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    add_mount_row(store, word(ID("cccc")), word("box"), false);
    add_mount_row(store, word(ID("dddd")), word("new"), true);
    kit_dir("store/mounts/" ID("cccc") "/upper");
    kit_dir("store/mounts/" ID("dddd") "/upper");
    assert_sound(store);
}

static void a_stage_left_behind_is_swept_and_one_in_use_is_not(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    struct stage stage;
    assert_int_equal(store_stage(store, &stage), 0);
    assert_int_equal(mkdirat(stage.dir, "half", 0755), 0);
    assert_sound(store);
    kit_file("store/stage/" ID("dead") "/layer/tree/file", "half a file");
    assert_mends(store, STORE_FAULT_STAGE, ID("dead"));
    assert_int_equal(kit_entries("store/stage"), 1);
    store_unstage(store, &stage);
    store_unstage(store, &stage);
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void what_is_no_stage_is_swept_from_it(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_file("keep", "text");
    kit_symlink("store/stage/link", "../../keep");
    assert_mends(store, STORE_FAULT_STAGE, "link");
    kit_file("store/stage/file", "text");
    assert_mends(store, STORE_FAULT_STAGE, "file");
    kit_assert_text("keep", "text");
}

static void a_layer_directory_without_a_row_is_swept(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    assert_int_equal(publish_layer(store, word(ID("2222")), false), 0);
    assert_mends(store, STORE_FAULT_LAYER_DIR, ID("2222"));
    assert_false(kit_exists("store/layers/" ID("2222")));
    /* A directory that is called as a layer is named, or as its id begins, is none either. */
    assert_int_equal(catalog_name_layer(store->catalog, ID("1111"), "base"), 0);
    kit_dir("store/layers/base/tree");
    assert_mends(store, STORE_FAULT_LAYER_DIR, "base");
    kit_dir("store/layers/11/tree");
    assert_mends(store, STORE_FAULT_LAYER_DIR, "11");
    assert_true(kit_exists("store/layers/" ID("1111") "/tree"));
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void a_layer_row_without_a_directory_is_removed(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    add_layer_row(store, word(ID("1111")));
    assert_mends(store, STORE_FAULT_LAYER_ROW, ID("1111"));
    assert_false(has_layer_row(store, ID("1111")));
}

static void a_lost_layer_of_an_image_is_left(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    char *layers[] = {word(ID("1111"))};
    const struct image_row image = {
        .id = word(ID("aaaa")), .config = word("{}"), .layers = layers, .layer_count = 1};
    struct faults faults = {.mend = true};
    add_layer_row(store, layers[0]);
    assert_int_equal(catalog_add_image(store->catalog, &image), 0);
    assert_int_equal(store_check(store, tell, &faults), 1);
    assert_int_equal(faults.of[STORE_FAULT_LAYER_ROW], 1);
    assert_true(has_layer_row(store, ID("1111")));
}

static void mounts_and_their_directories_are_kept_together(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    add_mount_row(store, word(ID("cccc")), word("box"), false);
    assert_mends(store, STORE_FAULT_MOUNT_ROW, ID("cccc"));
    kit_file("store/mounts/" ID("cccc") "/upper/file", "text");
    assert_mends(store, STORE_FAULT_MOUNT_DIR, ID("cccc"));
    assert_int_equal(kit_entries("store/mounts"), 0);
}

/* A mount whose row says that it is mounted, with its directory. */
static void add_mounted(struct store *store, bool ephemeral)
{
    kit_file("store/mounts/" ID("cccc") "/upper/file", "text");
    kit_file("store/mounts/" ID("cccc") "/lock", "");
    add_mount_row(store, word(ID("cccc")), word("box"), ephemeral);
    assert_int_equal(catalog_set_mounted(store->catalog, ID("cccc"), "/mnt", 1, "boot"), 0);
}

static void a_dead_daemons_mount_is_unmounted_and_keeps_its_files(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    add_mounted(store, false);
    cleanup_fd int daemon = store_lock_mount(store, ID("cccc"));
    assert_true(daemon >= 0);
    assert_int_equal(store_lock_mount(store, ID("cccc")), -EWOULDBLOCK);
    assert_sound(store);
    own_close(&daemon);
    daemon = -1;
    assert_mends(store, STORE_FAULT_DAEMON, ID("cccc"));
    kit_assert_text("store/mounts/" ID("cccc") "/upper/file", "text");
    struct mount_row row;
    assert_int_equal(catalog_find_mount(store->catalog, "box", &row), 0);
    assert_null(row.mountpoint);
    mount_row_finish(&row);
    assert_int_equal(store_lock_mount(store, ID("9999")), -ENOENT);
}

static void an_ephemeral_mount_is_forgotten_when_its_daemon_is_gone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    add_mounted(store, true);
    cleanup_fd int daemon = store_lock_mount(store, ID("cccc"));
    assert_sound(store);
    assert_int_equal(catalog_set_unmounted(store->catalog, ID("cccc")), 0);
    assert_sound(store);
    own_close(&daemon);
    daemon = -1;
    assert_mends(store, STORE_FAULT_EPHEMERAL, ID("cccc"));
    struct mount_row row;
    assert_int_equal(catalog_find_mount(store->catalog, "box", &row), -ENOENT);
    assert_int_equal(kit_entries("store/mounts"), 0);
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void a_directory_whose_daemon_outlived_its_row_is_left(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_dir("store/mounts/" ID("cccc") "/upper");
    cleanup_fd int daemon = store_lock_mount(store, ID("cccc"));
    assert_true(daemon >= 0);
    assert_sound(store);
    own_close(&daemon);
    daemon = -1;
    assert_mends(store, STORE_FAULT_MOUNT_DIR, ID("cccc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_place_is_chosen_by_option_then_variables_then_user),
        kit_test(a_store_is_made_for_its_owner_alone),
        kit_test(no_other_directory_becomes_a_store),
        kit_test(a_store_half_made_is_completed),
        kit_test(ids_are_new),
        kit_test(a_published_layer_is_whole_and_its_stage_gone),
        kit_test(a_place_with_a_row_is_taken),
        kit_test(what_a_crash_left_in_a_place_makes_room),
        kit_test(what_is_discarded_is_gone),
        kit_test(removing_follows_no_symlink),
        kit_test(removing_knows_no_bad_names),
        kit_test(a_sound_store_has_no_faults),
        kit_test(a_stage_left_behind_is_swept_and_one_in_use_is_not),
        kit_test(what_is_no_stage_is_swept_from_it),
        kit_test(a_layer_directory_without_a_row_is_swept),
        kit_test(a_layer_row_without_a_directory_is_removed),
        kit_test(a_lost_layer_of_an_image_is_left),
        kit_test(mounts_and_their_directories_are_kept_together),
        kit_test(a_dead_daemons_mount_is_unmounted_and_keeps_its_files),
        kit_test(an_ephemeral_mount_is_forgotten_when_its_daemon_is_gone),
        kit_test(a_directory_whose_daemon_outlived_its_row_is_left),
    };
    return kit_run("store", tests, sizeof(tests) / sizeof(tests[0]));
}
