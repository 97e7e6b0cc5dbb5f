/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "moment.h"
#include "store.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

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
    const struct mount_row row = {
        .id = id, .name = name, .ephemeral = ephemeral, .created = moment_now()};
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
    assert_true(kit_exists("some/where/store/volumes"));
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

static void what_has_a_row_again_is_not_discarded(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
    assert_true(kit_exists("store/layers/" ID("1111") "/tree"));
}

static unsigned count_descriptors(void)
{
    unsigned count = 0;
    cleanup_dir DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    return count;
}

static void all_descriptors_are_given_back(void **state)
{
    (void)state;
    const unsigned before = count_descriptors();
    struct store *store = open_here();
    const unsigned opened = count_descriptors();
    struct stage stage;
    assert_int_equal(store_stage(store, &stage), 0);
    store_unstage(store, &stage);
    store_unstage(store, &stage);
    assert_int_equal(publish_layer(store, word(ID("1111")), false), 0);
    assert_int_equal(publish_layer(store, word(ID("1111")), true), 0);
    assert_int_equal(catalog_remove_layer(store->catalog, ID("1111")), 0);
    assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
    assert_int_equal(count_descriptors(), opened);
    store_close(store);
    assert_int_equal(count_descriptors(), before);
}

/* ---- sweeping ---- */

struct faults {
    bool mend;
    unsigned count;
    unsigned of[STORE_FAULT_VOLUME_RENAME + 1];
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
    assert_int_equal(store_check(store, tell, NULL, &faults), 1);
    assert_int_equal(faults.count, 1);
    assert_int_equal(faults.of[fault], 1);
    assert_string_equal(faults.id, id);
    faults = (struct faults){.mend = true};
    assert_int_equal(store_check(store, tell, NULL, &faults), 0);
    assert_int_equal(faults.of[fault], 1);
    faults = (struct faults){0};
    assert_int_equal(store_check(store, tell, NULL, &faults), 0);
    assert_int_equal(faults.count, 0);
}

static void assert_sound(struct store *store)
{
    struct faults faults = {.mend = true};
    assert_int_equal(store_check(store, tell, NULL, &faults), 0);
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
    assert_int_equal(store_check(store, tell, NULL, &faults), 1);
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

static void an_ephemeral_mount_that_was_never_mounted_is_forgotten_after_a_while(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    struct mount_row row = {.id = word(ID("cccc")), .name = word("box"), .ephemeral = true};
    kit_file("store/mounts/" ID("cccc") "/lock", "");
    row.created = moment_now() - 30 * MOMENT_SECOND;
    assert_int_equal(catalog_add_mount(store->catalog, &row), 0);
    assert_sound(store);
    assert_int_equal(catalog_remove_mount(store->catalog, ID("cccc")), 0);
    row.created = moment_now() - 90 * MOMENT_SECOND;
    assert_int_equal(catalog_add_mount(store->catalog, &row), 0);
    cleanup_fd int daemon = store_lock_mount(store, ID("cccc"));
    assert_sound(store);
    own_close(&daemon);
    daemon = -1;
    assert_mends(store, STORE_FAULT_EPHEMERAL, ID("cccc"));
    assert_int_equal(kit_entries("store/mounts"), 0);
}

static void add_volume_row(struct store *store, char *name)
{
    const struct volume_row row = {.name = name, .driver = word("local")};
    assert_int_equal(catalog_add_volume(store->catalog, &row), 0);
}

static bool has_volume_row(struct store *store, const char *name)
{
    int taken = catalog_volume_taken(store->catalog, name);
    assert_true(taken == 0 || taken == 1);
    return taken;
}

static void volumes_and_their_directories_are_kept_together(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    add_volume_row(store, word("data"));
    assert_mends(store, STORE_FAULT_VOLUME_ROW, "data");
    assert_false(has_volume_row(store, "data"));
    kit_file("store/volumes/data/_data/file", "text");
    assert_mends(store, STORE_FAULT_VOLUME_DIR, "data");
    assert_int_equal(kit_entries("store/volumes"), 0);
    kit_file("store/volumes/data/_data/file", "text");
    add_volume_row(store, word("data"));
    assert_sound(store);
}

static void a_lost_volume_of_a_mount_is_left(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    const struct mount_volume_row route = {
        .spec = {.source = word("data"), .destination = word("/data")}};
    struct faults faults = {.mend = true};
    kit_dir("store/mounts/" ID("cccc"));
    add_mount_row(store, word(ID("cccc")), word("box"), false);
    add_volume_row(store, word("data"));
    assert_int_equal(catalog_add_mount_volume(store->catalog, ID("cccc"), &route), 0);
    assert_int_equal(store_check(store, tell, NULL, &faults), 1);
    assert_int_equal(faults.of[STORE_FAULT_VOLUME_ROW], 1);
    assert_true(has_volume_row(store, "data"));
}

/* A rename that died before the directory had its new name, or after it. */
static void a_begun_rename_is_what_its_directory_says(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    static const char *const names[] = {"old", "new"};
    for (int done = 0; done < 2; done++) {
        cleanup_free char *file = NULL;
        assert_true(asprintf(&file, "store/volumes/%s/_data/file", names[done]) > 0);
        kit_file(file, "text");
        add_volume_row(store, word("old"));
        assert_int_equal(catalog_begin_rename_volume(store->catalog, "old", "new"), 0);
        assert_mends(store, STORE_FAULT_VOLUME_RENAME, "old");
        kit_assert_text(file, "text");
        assert_true(has_volume_row(store, names[done]));
        assert_false(has_volume_row(store, names[!done]));
        assert_int_equal(catalog_remove_volume(store->catalog, names[done]), 0);
        assert_int_equal(store_discard(store, store->volumes, names[done]), 0);
    }
}

static void whoever_opens_a_store_ends_a_begun_rename(void **state)
{
    (void)state;
    struct store *store = open_here();
    kit_file("store/volumes/new/_data/file", "text");
    add_volume_row(store, word("old"));
    assert_int_equal(catalog_begin_rename_volume(store->catalog, "old", "new"), 0);
    store_close(store);
    store = open_here();
    assert_true(has_volume_row(store, "new"));
    assert_false(has_volume_row(store, "old"));
    assert_sound(store);
    store_close(store);
}

static void what_a_begun_rename_may_mean_is_never_rubbish(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    struct faults faults = {.mend = false};
    kit_file("store/volumes/old/_data/file", "old");
    kit_file("store/volumes/new/_data/file", "new");
    add_volume_row(store, word("old"));
    assert_int_equal(catalog_begin_rename_volume(store->catalog, "old", "new"), 0);
    for (int mend = 0; mend < 2; mend++) {
        faults = (struct faults){.mend = mend};
        assert_int_equal(store_check(store, tell, NULL, &faults), 1);
        assert_int_equal(faults.of[STORE_FAULT_VOLUME_RENAME], 1);
        assert_int_equal(faults.of[STORE_FAULT_VOLUME_DIR], 0);
        assert_int_equal(store_discard(store, store->volumes, "new"), 0);
        kit_assert_text("store/volumes/old/_data/file", "old");
        kit_assert_text("store/volumes/new/_data/file", "new");
    }
}

static void a_volume_is_served_by_many_and_changed_by_one(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_dir("store/volumes/data");
    assert_int_equal(store_lock_volume(store, "none", LOCK_SH), -ENOENT);
    cleanup_fd int one = store_lock_volume(store, "data", LOCK_SH);
    cleanup_fd int two = store_lock_volume(store, "data", LOCK_SH);
    assert_true(one >= 0 && two >= 0);
    assert_int_equal(store_lock_volume(store, "data", LOCK_EX), -EWOULDBLOCK);
    /* Its row is gone, and it is served all the same. */
    assert_sound(store);
    close(steal_fd(&one));
    close(steal_fd(&two));
    cleanup_fd int alone = store_lock_volume(store, "data", LOCK_EX);
    assert_true(alone >= 0);
    assert_int_equal(store_lock_volume(store, "data", LOCK_SH), -EWOULDBLOCK);
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

/* ---- many processes ---- */

enum { WORKERS = 4, ROUNDS = 100, SHARED_IDS = 3 };

/* Forks `WORKERS` processes that do `work`, and sweeps until all have ended: 0 each. */
static void sweep_beside(int (*work)(struct store *store, unsigned worker))
{
    cleanup_free char *path = kit_path("store");
    store_close(open_here());
    for (unsigned worker = 0; worker < WORKERS; worker++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct store *own = NULL;
            _exit(store_open(path, false, &own) ? 100 : work(own, worker));
        }
    }
    cleanup_store struct store *store = open_here();
    for (unsigned ended = 0; ended < WORKERS;) {
        int status;
        struct faults faults = {.mend = true};
        assert_int_equal(store_check(store, tell, NULL, &faults), 0);
        pid_t child = waitpid(-1, &status, WNOHANG);
        if (child == 0)
            continue;
        assert_true(child > 0);
        assert_int_equal(status, 0);
        ended++;
    }
    assert_sound(store);
    assert_int_equal(kit_entries("store/stage"), 0);
}

/* Makes stages and looks whether they stay. */
static int keep_stages(struct store *store, unsigned worker)
{
    (void)worker;
    for (unsigned round = 0; round < 10 * ROUNDS; round++) {
        struct stage stage;
        struct stat st;
        if (store_stage(store, &stage) < 0)
            return 1;
        if (fstatat(store->stage, stage.name, &st, 0) < 0 || mkdirat(stage.dir, "work", 0755) < 0)
            return 2;
        sched_yield();
        if (fstatat(stage.dir, "work", &st, 0) < 0)
            return 3;
        store_unstage(store, &stage);
    }
    return 0;
}

static void a_sweep_takes_no_stage_from_its_maker(void **state)
{
    (void)state;
    sweep_beside(keep_stages);
}

/* One layer from its stage to its row, in a process that must not assert. */
static int make_layer(struct store *store, char *id)
{
    struct stage stage;
    const struct layer_row row = {.id = id, .source = word("a test"), .entries = word("")};
    int err = store_stage(store, &stage);
    if (!err && mkdirat(stage.dir, "layer", 0755) < 0)
        err = -errno;
    if (!err)
        err = store_publishing(store);
    if (!err)
        err = store_publish(store, &stage, "layer", store->layers, id);
    if (!err)
        err = catalog_add_layer(store->catalog, &row);
    store_published(store);
    store_unstage(store, &stage);
    return err;
}

static int remove_layer(struct store *store, const char *id)
{
    int err = catalog_remove_layer(store->catalog, id);
    return err == -ENOENT ? 0 : err ? err : store_discard(store, store->layers, id);
}

/* Layers of the same few ids come and go in all processes. */
static int make_and_remove_layers(struct store *store, unsigned worker)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        char id[STORE_ID_SIZE];
        snprintf(id, sizeof(id), "%064x", (round + worker) % SHARED_IDS);
        int err = make_layer(store, id);
        if (err && err != -EEXIST)
            return 1;
        if (round % 2 == 0 && remove_layer(store, id) < 0)
            return 2;
    }
    return 0;
}

static int has_directory(void *context, const struct layer_row *row)
{
    struct store *store = context;
    struct stat st;
    return fstatat(store->layers, row->id, &st, 0) < 0 ? -errno : 0;
}

static void rows_and_directories_agree_whoever_publishes_and_removes(void **state)
{
    (void)state;
    sweep_beside(make_and_remove_layers);
    cleanup_store struct store *store = open_here();
    assert_int_equal(catalog_each_layer(store->catalog, has_directory, store), 0);
}

/* Whether a process is waiting for a flock(2), as /proc/locks tells. */
static bool waits_for_lock(pid_t process)
{
    char line[256], kind[16];
    int owner;
    bool waits = false;
    FILE *locks = fopen("/proc/locks", "re");
    assert_non_null(locks);
    while (!waits && fgets(line, sizeof(line), locks))
        waits = sscanf(line, "%*d: -> %15s %*s %*s %d", kind, &owner) == 2 && owner == process;
    fclose(locks);
    return waits;
}

/* A process that does `work` waits until the layer has its row, and succeeds then. */
static void assert_waits(struct store *store, int (*work)(struct store *store, unsigned worker))
{
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct store *own = NULL;
        _exit(store_open(store->path, false, &own) ? 100 : work(own, 0));
    }
    while (!waits_for_lock(child))
        assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    add_layer_row(store, word(ID("1111")));
    store_published(store);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static int sweep_nothing(struct store *store, unsigned worker)
{
    (void)worker;
    struct faults faults = {.mend = true};
    return store_check(store, tell, NULL, &faults) || faults.count;
}

static int discard_what_has_a_row(struct store *store, unsigned worker)
{
    (void)worker;
    struct stat st;
    return store_discard(store, store->layers, ID("1111")) ||
           fstatat(store->layers, ID("1111"), &st, 0) < 0;
}

static int find_it_published(struct store *store, unsigned worker)
{
    (void)worker;
    return make_layer(store, word(ID("1111"))) == -EEXIST ? 0 : 1;
}

static void between_a_directory_and_its_row_all_others_wait(void **state)
{
    (void)state;
    int (*const works[])(struct store * store, unsigned worker) = {
        sweep_nothing, discard_what_has_a_row, find_it_published};
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        cleanup_store struct store *store = open_here();
        struct stage stage;
        assert_int_equal(store_stage(store, &stage), 0);
        assert_int_equal(mkdirat(stage.dir, "layer", 0755), 0);
        assert_int_equal(store_publishing(store), 0);
        assert_int_equal(store_publish(store, &stage, "layer", store->layers, ID("1111")), 0);
        assert_waits(store, works[i]);
        store_unstage(store, &stage);
        assert_int_equal(catalog_remove_layer(store->catalog, ID("1111")), 0);
        assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
    }
}

/* ---- a process that is killed ---- */

/* Makes a layer and a mount and removes them again, stopping dead after the call `last`. */
static void live_until(const char *path, unsigned last)
{
    struct store *store = NULL;
    struct stage stage;
    unsigned calls = 0;
    const struct layer_row layer = {
        .id = word(ID("1111")), .source = word("a test"), .entries = word("")};
#define then(call)                                                                                 \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            _exit(1);                                                                              \
        if (++calls == last)                                                                       \
            kill(getpid(), SIGKILL);                                                               \
    } while (0)
    then(store_open(path, true, &store));
    then(store_stage(store, &stage));
    then(mkdirat(stage.dir, "layer", 0755));
    then(store_publishing(store));
    then(store_publish(store, &stage, "layer", store->layers, ID("1111")));
    then(catalog_begin(store->catalog));
    then(catalog_add_layer(store->catalog, &layer));
    then(catalog_end(store->catalog, 0));
    store_published(store);
    store_unstage(store, &stage);
    then(catalog_remove_layer(store->catalog, ID("1111")));
    then(store_discard(store, store->layers, ID("1111")));
#undef then
    _exit(0);
}

static void whoever_is_killed_leaves_nothing_that_is_not_swept(void **state)
{
    (void)state;
    cleanup_free char *path = kit_path("store");
    for (unsigned last = 1;; last++) {
        int status;
        struct faults faults = {.mend = true};
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            live_until(path, last);
        assert_int_equal(waitpid(child, &status, 0), child);
        cleanup_store struct store *store = open_here();
        assert_int_equal(store_check(store, tell, NULL, &faults), 0);
        assert_int_equal(faults.of[STORE_FAULT_LAYER_ROW], 0);
        assert_int_equal(kit_entries("store/stage"), 0);
        assert_int_equal(kit_exists("store/layers/" ID("1111")), has_layer_row(store, ID("1111")));
        assert_int_equal(publish_layer(store, word(ID("1111")), true), last == 8 ? -EEXIST : 0);
        assert_int_equal(catalog_remove_layer(store->catalog, ID("1111")), 0);
        assert_int_equal(store_discard(store, store->layers, ID("1111")), 0);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            assert_true(last == 11);
            return;
        }
    }
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
        kit_test(what_has_a_row_again_is_not_discarded),
        kit_test(all_descriptors_are_given_back),
        kit_test(a_sound_store_has_no_faults),
        kit_test(a_stage_left_behind_is_swept_and_one_in_use_is_not),
        kit_test(what_is_no_stage_is_swept_from_it),
        kit_test(a_layer_directory_without_a_row_is_swept),
        kit_test(a_layer_row_without_a_directory_is_removed),
        kit_test(a_lost_layer_of_an_image_is_left),
        kit_test(mounts_and_their_directories_are_kept_together),
        kit_test(a_dead_daemons_mount_is_unmounted_and_keeps_its_files),
        kit_test(an_ephemeral_mount_is_forgotten_when_its_daemon_is_gone),
        kit_test(an_ephemeral_mount_that_was_never_mounted_is_forgotten_after_a_while),
        kit_test(volumes_and_their_directories_are_kept_together),
        kit_test(a_lost_volume_of_a_mount_is_left),
        kit_test(a_begun_rename_is_what_its_directory_says),
        kit_test(whoever_opens_a_store_ends_a_begun_rename),
        kit_test(what_a_begun_rename_may_mean_is_never_rubbish),
        kit_test(a_volume_is_served_by_many_and_changed_by_one),
        kit_test(a_directory_whose_daemon_outlived_its_row_is_left),
        kit_test(a_sweep_takes_no_stage_from_its_maker),
        kit_test(rows_and_directories_agree_whoever_publishes_and_removes),
        kit_test(between_a_directory_and_its_row_all_others_wait),
        kit_test(whoever_is_killed_leaves_nothing_that_is_not_swept),
    };
    return kit_run("store", tests, sizeof(tests) / sizeof(tests[0]));
}
