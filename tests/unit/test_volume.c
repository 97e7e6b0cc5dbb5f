/* SPDX-License-Identifier: MIT
 *
 * Volumes in a store of the kit's; what is copied into them is the union of "u", "1" and "2".
 */
#include "kit.h"

#include "entries.h"
#include "fd.h"
#include "volume.h"
#include "volumeinplace.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/sysmacros.h>

#define word(text) ((char[]){text})
#define cleanup_row cleanup(volume_row_finish)
#define DATA "store/volumes/data/_data"

static struct store *open_here(void)
{
    struct store *store = NULL;
    cleanup_free char *path = kit_path("store");
    assert_int_equal(store_open(path, true, &store), 0);
    return store;
}

static bool fail_on_fault(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    fail_msg("fault %d at %s", fault, id);
    return false;
}

static void assert_sound(struct store *store)
{
    assert_int_equal(store_check(store, fail_on_fault, NULL, NULL), 0);
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void create(struct store *store, const struct volume_wish *wish, struct volume_row *row)
{
    bool existed = true;
    assert_int_equal(volume_create(store, wish, row, &existed), 0);
    assert_false(existed);
}

/* The volume "data" with what the union of `layers` shows at `content`. */
static void create_from(struct store *store, const char *layers, bool writable, const char *content,
                        struct volume_row *row)
{
    struct kit_union all;
    kit_union_open(&all, layers, writable);
    const struct volume_wish wish = {
        .name = "data", .stack = &all.stack, .content = content, .image = "web"};
    create(store, &wish, row);
    kit_union_close(&all);
}

static int fail_difference(void *context, const struct entry_digest *a,
                           const struct entry_digest *b)
{
    (void)context;
    fail_msg("differs: %s", (a ? a : b)->path);
    return 0;
}

static void take(const char *path, struct entries *entries)
{
    cleanup_fd int tree = kit_open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(entries_take(tree, TREEKIND_PLAIN, entries, NULL, NULL), 0);
}

/* Equal in content, types, owners, modes, times, attributes and links. */
static void assert_same(const char *one, const char *other)
{
    cleanup_entries struct entries a = {0}, b = {0};
    take(one, &a);
    take(other, &b);
    assert_int_equal(entries_compare(&a, &b, fail_difference, NULL), 0);
}

static void set_time(const char *path, time_t seconds)
{
    const struct timespec times[2] = {{seconds, 1}, {seconds, 2}};
    assert_int_equal(utimensat(kit_root(), path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void set_mode(const char *path, mode_t mode)
{
    assert_int_equal(fd_chmod(kit_root(), path, mode), 0);
}

/* ---- copy on first use ---- */

static void the_first_content_is_what_the_image_has(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/d/a/file text, h 1/d/a/again 1/d/a/file, h 1/d/b 1/d/a/file, l 1/d/link a/file,"
             "l 1/d/dangling /none, d 1/d/empty, f 1/d/a/b/c/deep deep, f 1/d/a.b, f 1/d/zero");
    assert_int_equal(mknodat(kit_root(), "1/d/pipe", S_IFIFO | 0640, 0), 0);
    set_mode("1/d/a/file", 04751);
    set_mode("1/d/empty", 01777);
    assert_int_equal(xattr_set(kit_root(), "1/d/a/b", "user.mine", "value", 5, 0), 0);
    set_mode("1/d/a/b", geteuid() == 0 ? 0555 : 0751);
    if (geteuid() == 0)
        assert_int_equal(fchownat(kit_root(), "1/d/a/b/c/deep", 12, 34, 0), 0);
    const char *const paths[] = {"1/d/zero", "1/d/link", "1/d/a/file", "1/d/a/b/c",
                                 "1/d/a/b",  "1/d/a",    "1/d/empty",  "1/d"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        set_time(paths[i], 100 + (time_t)i);
    create_from(store, "1", false, "/d", &row);
    assert_same("1/d", DATA);
    assert_int_equal(kit_stat(DATA "/b").st_nlink, 3);
    assert_sound(store);
}

static void what_several_layers_show_is_copied_as_it_is_shown(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f u/d/up up, w u/d/gone, o u/d/cut, f u/d/cut/new new, f 1/d/gone, f 1/d/mid mid,"
             "f 1/d/cut/old, f 2/d/low low, f 2/d/mid hidden, f 2/d/deep/er x, f 1/d/deep/y y,"
             "d u/d/moved, r u/d/moved /d/was, w u/d/was, f 1/d/was/here here");
    kit_tree("f want/up up, f want/cut/new new, f want/mid mid, f want/low low, f want/deep/er x,"
             "f want/deep/y y, f want/moved/here here");
    const char *const names[] = {"up",       "cut/new", "cut",  "mid",        "low",
                                 "deep/er",  "deep/y",  "deep", "moved/here", "moved",
                                 "was/here", "was",     ""};
    const char *const trees[] = {"u/d", "1/d", "2/d", "want"};
    for (size_t tree = 0; tree < 4; tree++) {
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
            char path[64];
            snprintf(path, sizeof(path), "%s/%s", trees[tree], names[i]);
            if (kit_exists(path))
                set_time(path, 1000);
        }
    }
    create_from(store, "u:1:2", true, "/d", &row);
    assert_same("want", DATA);
    assert_sound(store);
}

/* A user's attribute of the overlay's kind is stored escaped in a layer, and a volume is none. */
static void attributes_come_by_the_names_that_users_see(void **state)
{
    (void)state;
    char value[8];
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("d u/d, d 1/d, f 1/d/file x, o u/d/cut, f u/d/cut/x");
    assert_int_equal(xattr_set(kit_root(), "1/d/file", "user.overlay.overlay.opaque", "y", 1, 0),
                     0);
    create_from(store, "u:1", true, "/d", &row);
    assert_int_equal(
        xattr_get(kit_root(), DATA "/file", "user.overlay.opaque", value, sizeof(value)), 1);
    cleanup_free char *names = NULL;
    assert_int_equal(xattr_list_all(kit_root(), DATA "/cut", &names), 0);
}

static void holes_stay_holes(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_file("1/d/sparse", "");
    cleanup_fd int fd = kit_open("1/d/sparse", O_WRONLY);
    assert_int_equal(ftruncate(fd, 64 << 20), 0);
    assert_int_equal(pwrite(fd, "x", 1, 32 << 20), 1);
    create_from(store, "1", false, "/d", &row);
    struct stat st = kit_stat(DATA "/sparse");
    assert_int_equal(st.st_size, 64 << 20);
    assert_true(st.st_blocks < 4096);
}

static void an_empty_directory_gives_its_look(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_dir("1/d");
    set_mode("1/d", 01770);
    set_time("1/d", 500);
    create_from(store, "1", false, "/d", &row);
    struct stat st = kit_stat(DATA);
    assert_int_equal(st.st_mode & 07777, 01770);
    assert_int_equal(st.st_mtim.tv_sec, 500);
    assert_int_equal(kit_entries(DATA), 0);
    assert_string_equal(row.copied_path, "/d");
}

static void where_the_image_has_no_directory_the_volume_is_empty(void **state)
{
    (void)state;
    static const char *const paths[] = {"/none", "/file", "/file/x", "/link"};
    cleanup_store struct store *store = open_here();
    kit_tree("f 1/file text, l 1/link /nowhere");
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        cleanup_row struct volume_row row = {0};
        create_from(store, "1", false, paths[i], &row);
        assert_null(row.copied);
        assert_int_equal(kit_entries(DATA), 0);
        assert_int_equal(kit_stat(DATA).st_mode & 07777, 0755);
        assert_int_equal(volume_remove(store, &row, false), 0);
    }
}

static void a_symlink_leads_to_the_content_inside_the_image(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/real/file text, l 1/link /real");
    create_from(store, "1", false, "/link", &row);
    kit_assert_text(DATA "/file", "text");
}

static int fail_to_fill(void *context, int tree)
{
    (void)context;
    assert_int_equal(mkdirat(tree, "half", 0755), 0);
    return -ENOSPC;
}

static void what_cannot_be_filled_is_not_there(void **state)
{
    (void)state;
    bool existed;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    const struct volume_wish wish = {.name = "data", .fill = fail_to_fill};
    assert_int_equal(volume_create(store, &wish, &row, &existed), -ENOSPC);
    assert_int_equal(volume_find(store, "data", true, &row), -ENOENT);
    assert_int_equal(kit_entries("store/volumes"), 0);
    assert_sound(store);
}

/* ---- an existing volume ---- */

static int fill(struct store *store, const struct volume_row *row, const char *content)
{
    struct kit_union all;
    kit_union_open(&all, "1", false);
    const struct volume_wish wish = {.stack = &all.stack, .content = content, .image = "web"};
    int result = volume_fill(store, row, &wish);
    kit_union_close(&all);
    return result;
}

static void a_volume_is_filled_while_it_is_empty(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, after = {0};
    const struct volume_wish empty = {.name = "data"};
    kit_tree("f 1/d/file text, d 1/e, f 1/f/other other");
    set_time("1/d", 500);
    create(store, &empty, &row);
    kit_dir(DATA "/lost+found");
    assert_int_equal(fill(store, &row, "/none"), 0);
    assert_int_equal(fill(store, &row, "/d"), 1);
    kit_assert_text(DATA "/file", "text");
    assert_int_equal(fill(store, &row, "/f"), 0);
    assert_int_equal(volume_find(store, "data", false, &after), 0);
    assert_string_equal(after.copied, "copied");
    assert_true(kit_exists("store/volumes/data/copied"));
    assert_sound(store);
}

/* As a store removes a layer: it goes out of its place, and then what is in it. */
static void remove_layer(void *context, uint64_t bytes)
{
    (void)context;
    (void)bytes;
    if (kit_exists("1"))
        assert_int_equal(renameat(kit_root(), "1", kit_root(), "gone"), 0);
    (void)unlinkat(kit_root(), "gone/d/b/other", 0);
}

static void half_of_a_layer_that_is_removed_meanwhile_is_no_content(void **state)
{
    (void)state;
    struct kit_union all;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    const struct volume_wish empty = {.name = "data"};
    kit_tree("f 1/d/a/file text, f 1/d/b/file text, f 1/d/b/other text");
    create(store, &empty, &row);
    kit_union_open(&all, "1", false);
    const struct volume_wish wish = {
        .stack = &all.stack, .content = "/d", .image = "web", .seen = remove_layer};
    assert_int_equal(volume_fill(store, &row, &wish), -ESTALE);
    kit_union_close(&all);
    assert_int_equal(kit_entries(DATA), 0);
    assert_sound(store);
}

static void a_volume_in_use_is_not_filled(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    const struct volume_wish empty = {.name = "data"};
    kit_file("1/d/file", "text");
    create(store, &empty, &row);
    cleanup_fd int user = store_lock_volume(store, "data", LOCK_SH);
    assert_true(user >= 0);
    assert_int_equal(fill(store, &row, "/d"), 0);
    assert_int_equal(kit_entries(DATA), 0);
}

static void an_owner_and_mode_that_somebody_chose_stay(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    const struct volume_root root = {.uid = -1, .gid = -1, .mode = 02770};
    const struct volume_wish wish = {.name = "data", .root = &root};
    kit_file("1/d/file", "text");
    create(store, &wish, &row);
    assert_int_equal(kit_stat(DATA).st_mode & 07777, 02770);
    assert_int_equal(fill(store, &row, "/d"), 1);
    assert_int_equal(kit_stat(DATA).st_mode & 07777, 02770);
}

static void a_name_that_is_there_is_taken_as_it_is(void **state)
{
    (void)state;
    bool existed = false;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, again = {0};
    const struct volume_wish wish = {.name = "data"};
    const struct volume_wish foreign = {.name = "data", .driver = "rclone"};
    create(store, &wish, &row);
    kit_file(DATA "/file", "mine");
    assert_int_equal(volume_create(store, &wish, &again, &existed), 0);
    assert_true(existed);
    assert_int_equal(again.created, row.created);
    kit_assert_text(DATA "/file", "mine");
    volume_row_finish(&again);
    assert_int_equal(volume_create(store, &foreign, &again, &existed), -EEXIST);
    assert_sound(store);
}

static void names_are_checked_and_anonymous_ones_are_made(void **state)
{
    (void)state;
    bool existed;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, anonymous = {0};
    static const char *const bad[] = {"a", "", "../x", "a/b", "ab$", ".ab"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct volume_wish wish = {.name = bad[i]};
        assert_int_equal(volume_create(store, &wish, &row, &existed), -EINVAL);
    }
    create(store, &(struct volume_wish){.mount = "box", .destination = "/d"}, &anonymous);
    assert_int_equal(strlen(anonymous.name), 64);
    assert_non_null(volume_pairs_get(&anonymous.labels, "com.docker.volume.anonymous"));
    assert_string_equal(anonymous.by_mount, "box");
    assert_sound(store);
}

static void a_rollback_leaves_no_volume(void **state)
{
    (void)state;
    struct stage stage;
    struct volume_staged staged;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    const struct volume_wish wish = {.name = "data"};
    assert_int_equal(store_stage(store, &stage), 0);
    assert_int_equal(volume_stage(store, &stage, &wish, &staged), 0);
    assert_int_equal(store_publishing(store), 0);
    assert_int_equal(catalog_begin(store->catalog), 0);
    assert_int_equal(volume_publish(store, &stage, &staged), 0);
    assert_int_equal(catalog_end(store->catalog, -ECANCELED), -ECANCELED);
    store_published(store);
    volume_staged_finish(&staged);
    store_unstage(store, &stage);
    assert_int_equal(volume_find(store, "data", true, &row), -ENOENT);
    /* What it left in its place makes room. */
    create(store, &wish, &row);
    assert_sound(store);
}

/* ---- removing, another name, another one ---- */

static void use_it(struct store *store, const char *volume)
{
    cleanup_free char *name = strdup(volume);
    char id[] = "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
    const struct mount_row mount = {.id = id, .name = word("box")};
    const struct mount_volume_row route = {.spec = {.source = name, .destination = word("/d")}};
    kit_dir("store/mounts/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc");
    assert_int_equal(catalog_add_mount(store->catalog, &mount), 0);
    assert_int_equal(catalog_add_mount_volume(store->catalog, id, &route), 0);
}

static void a_volume_that_a_mount_has_is_not_removed(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    create(store, &(struct volume_wish){.name = "data"}, &row);
    kit_file(DATA "/file", "text");
    use_it(store, "data");
    assert_int_equal(volume_remove(store, &row, false), -EBUSY);
    kit_assert_text(DATA "/file", "text");
    assert_sound(store);
}

static void a_removed_volume_is_gone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    create(store, &(struct volume_wish){.name = "data"}, &row);
    kit_file(DATA "/file", "text");
    cleanup_fd int user = store_lock_volume(store, "data", LOCK_SH);
    assert_int_equal(volume_remove(store, &row, false), -EBUSY);
    close(steal_fd(&user));
    assert_int_equal(volume_remove(store, &row, false), 0);
    assert_int_equal(kit_entries("store/volumes"), 0);
    assert_sound(store);
}

static void a_renamed_volume_keeps_all_that_it_has(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, other = {0}, renamed = {0};
    create(store, &(struct volume_wish){.name = "data"}, &row);
    create(store, &(struct volume_wish){.name = "other"}, &other);
    kit_file(DATA "/file", "text");
    use_it(store, "data");
    assert_int_equal(volume_rename(store, &row, "other"), -EEXIST);
    assert_int_equal(volume_rename(store, &row, "a"), -EINVAL);
    cleanup_fd int user = store_lock_volume(store, "data", LOCK_SH);
    assert_int_equal(volume_rename(store, &row, "new"), -EBUSY);
    close(steal_fd(&user));
    kit_file("store/volumes/new/rubbish", "of a crash");
    assert_int_equal(volume_rename(store, &row, "new"), 0);
    kit_assert_text("store/volumes/new/_data/file", "text");
    assert_int_equal(volume_find(store, "data", true, &renamed), -ENOENT);
    assert_int_equal(volume_find(store, "new", true, &renamed), 0);
    assert_int_equal(volume_remove(store, &renamed, false), -EBUSY);
    assert_sound(store);
}

/* In a volume everything is what it is: nothing in it is an overlay's. */
static void a_clone_is_the_same_and_apart(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, clone = {0};
    struct volume_pairs options = {0}, labels = {0};
    assert_int_equal(volume_pairs_set(&options, "size", "20m"), 0);
    assert_int_equal(volume_pairs_set(&labels, "colour", "red"), 0);
    create(store, &(struct volume_wish){.name = "data", .options = &options, .labels = &labels},
           &row);
    kit_tree("f " DATA "/file text, h " DATA "/again " DATA "/file, r " DATA "/file /x,"
             "f " DATA "/.wh.name, o " DATA "/dir, l " DATA "/link file");
    set_time(DATA, 700);
    assert_int_equal(volume_clone(store, &row, "copy", NULL, NULL), 0);
    assert_same(DATA, "store/volumes/copy/_data");
    assert_int_equal(volume_find(store, "copy", false, &clone), 0);
    assert_string_equal(volume_pairs_get(&clone.options, "size"), "20m");
    assert_string_equal(volume_pairs_get(&clone.labels, "colour"), "red");
    kit_file("store/volumes/copy/_data/file", "other");
    kit_assert_text(DATA "/file", "text");
    assert_int_equal(volume_clone(store, &row, "copy", NULL, NULL), -EEXIST);
    volume_pairs_finish(&options);
    volume_pairs_finish(&labels);
    assert_sound(store);
}

static int fill_with_file(void *context, int tree)
{
    cleanup_fd int fd = openat(tree, context, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return fd < 0 ? -errno : 0;
}

static void new_content_takes_the_place_of_the_old_whole(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, after = {0};
    kit_file("1/d/old", "text");
    create_from(store, "1", false, "/d", &row);
    assert_int_equal(volume_replace(store, &row, fail_to_fill, NULL), -ENOSPC);
    kit_assert_text(DATA "/old", "text");
    cleanup_fd int user = store_lock_volume(store, "data", LOCK_SH);
    assert_int_equal(volume_replace(store, &row, fill_with_file, word("new")), -EBUSY);
    close(steal_fd(&user));
    assert_int_equal(volume_replace(store, &row, fill_with_file, word("new")), 0);
    assert_false(kit_exists(DATA "/old"));
    assert_true(kit_exists(DATA "/new"));
    assert_int_equal(volume_find(store, "data", false, &after), 0);
    assert_null(after.copied);
    assert_sound(store);
}

/* ---- what became of its image ---- */

/* A layer "1111..." or "2222..." and an image "web" of it, both with the digit that is given. */
static void tag_image(struct store *store, char digit)
{
    char id[65] = "", image_id[65] = "", tree[128];
    memset(id, digit, 64);
    memset(image_id, digit + 1, 64);
    const struct layer_row layer = {.id = id, .source = word("a test"), .entries = word("")};
    char *layers[] = {id}, *names[] = {word("web")};
    const struct image_row image = {.id = image_id,
                                    .config = word("{}"),
                                    .layers = layers,
                                    .layer_count = 1,
                                    .names = names,
                                    .name_count = 1};
    snprintf(tree, sizeof(tree), "store/layers/%s", id);
    kit_dir(tree);
    snprintf(tree, sizeof(tree), "%c", digit);
    cleanup_free char *target = NULL;
    assert_true(asprintf(&target, "store/layers/%s/tree", id) > 0);
    assert_int_equal(renameat(kit_root(), tree, kit_root(), target), 0);
    assert_int_equal(catalog_add_layer(store->catalog, &layer), 0);
    assert_int_equal(catalog_add_image(store->catalog, &image), 0);
}

static void create_from_image(struct store *store, char digit, struct volume_row *row)
{
    char layer[128] = "store/layers/";
    size_t front = strlen(layer);
    memset(layer + front, digit, 64);
    strcpy(layer + front + 64, "/tree");
    create_from(store, layer, false, "/d", row);
}

static int write_down(void *context, const char *path, char kind, unsigned who)
{
    FILE *to = context;
    fprintf(to, "%s%c%s%s %s", ftell(to) > 0 ? ", " : "", kind,
            who & VOLUME_CHANGE_VOLUME ? "v" : "", who & VOLUME_CHANGE_IMAGE ? "i" : "", path);
    return 0;
}

static void level_times(const char *words)
{
    cleanup_free char *copy = strdup(words);
    char *rest = NULL;
    for (char *path = strtok_r(copy, " ", &rest); path; path = strtok_r(NULL, " ", &rest))
        set_time(path, 1000);
}

static void what_the_volume_and_what_the_image_changed_are_told_apart(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/d/both x, f 1/d/image x, f 1/d/same x, f 1/d/volume x,"
             "f 3/d/both y, f 3/d/image yy, f 3/d/same x, f 3/d/volume x, f 3/d/new y");
    level_times("1/d/both 1/d/image 1/d/same 1/d/volume 1/d 3/d/both 3/d/image 3/d/same 3/d/volume"
                " 3/d/new 3/d");
    tag_image(store, '1');
    create_from_image(store, '1', &row);
    kit_file(DATA "/volume", "z");
    kit_file(DATA "/both", "z");
    kit_file(DATA "/added", "z");
    level_times(DATA);
    tag_image(store, '3');
    FILE *to = open_memstream(&text, &size);
    assert_int_equal(volume_diff(store, &row, write_down, to), 0);
    fclose(to);
    assert_string_equal(text, "Av added, Cvi both, Ci image, Ai new, Cv volume");
    free(text);
    assert_sound(store);
}

static void a_volume_is_filled_anew_from_its_image_as_it_is_now(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0}, after = {0};
    kit_tree("f 1/d/old old, f 3/d/new new");
    tag_image(store, '1');
    create_from_image(store, '1', &row);
    assert_int_equal(row.copied_image[0], '2');
    kit_file(DATA "/mine", "mine");
    tag_image(store, '3');
    cleanup_fd int user = store_lock_volume(store, "data", LOCK_SH);
    assert_int_equal(volume_reseed(store, &row, NULL, NULL, NULL), -EBUSY);
    close(steal_fd(&user));
    assert_int_equal(volume_reseed(store, &row, "none", NULL, NULL), -ENOENT);
    assert_int_equal(volume_reseed(store, &row, NULL, NULL, NULL), 0);
    assert_int_equal(kit_entries(DATA), 1);
    kit_assert_text(DATA "/new", "new");
    assert_int_equal(volume_find(store, "data", false, &after), 0);
    assert_int_equal(after.copied_image[0], '4');
    assert_int_equal(volume_reseed(store, &after, row.copied_image, NULL, NULL), 0);
    kit_assert_text(DATA "/old", "old");
    assert_sound(store);
}

static void nothing_is_told_of_a_volume_that_came_from_no_image(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    create(store, &(struct volume_wish){.name = "data"}, &row);
    assert_int_equal(volume_diff(store, &row, write_down, NULL), -ENODATA);
    assert_int_equal(volume_reseed(store, &row, NULL, NULL, NULL), -ENODATA);
}

/* ---- on a directory of the host ---- */

static void create_on_host(struct store *store, const char *layers, struct volume_row *row)
{
    struct kit_union all;
    struct volume_pairs options = {0};
    cleanup_free char *device = kit_path("host");
    assert_int_equal(volume_pairs_set(&options, "type", "none"), 0);
    assert_int_equal(volume_pairs_set(&options, "o", "rw,bind"), 0);
    assert_int_equal(volume_pairs_set(&options, "device", device), 0);
    kit_union_open(&all, layers, false);
    const struct volume_wish wish = {
        .name = "data", .options = &options, .stack = &all.stack, .content = "/d"};
    create(store, &wish, row);
    kit_union_close(&all);
    volume_pairs_finish(&options);
}

static void an_empty_directory_of_the_host_is_filled(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/d/file text, f 1/d/sub/x x, d host/lost+found");
    set_time("1/d", 500);
    create_on_host(store, "1", &row);
    kit_assert_text("host/file", "text");
    kit_assert_text("host/sub/x", "x");
    assert_int_equal(kit_stat("host").st_mtim.tv_sec, 500);
    assert_int_equal(kit_entries("host"), 3);
    assert_string_equal(row.copied, "copied");
    assert_int_equal(volume_remove(store, &row, false), 0);
    kit_assert_text("host/file", "text");
}

static void a_directory_of_the_host_that_holds_something_is_left_alone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/d/file text, f host/mine mine");
    set_mode("host", 0700);
    create_on_host(store, "1", &row);
    assert_int_equal(kit_entries("host"), 1);
    assert_int_equal(kit_stat("host").st_mode & 07777, 0700);
    assert_null(row.copied);
}

static void where_the_image_has_nothing_a_directory_of_the_host_keeps_its_look(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("f 1/other text, d host");
    set_time("host", 900);
    create_on_host(store, "1", &row);
    assert_int_equal(kit_stat("host").st_mtim.tv_sec, 900);
    assert_int_equal(kit_entries("host"), 0);
}

static void mend(const struct store *store)
{
    cleanup_fd int host = kit_open("host", O_RDONLY | O_DIRECTORY);
    assert_int_equal(volumeinplace_mend(store->root, host), 0);
}

enum { FILLING, REPLACING, FILLED };

/* Writes down, as a crash leaves it, that "host/TRAY" is in this state; `of` is the directory that
 * was made as that. */
static void leave_record(const struct store *store, int state, const char *tray, const char *of)
{
    struct statx host, made;
    char path[128], line[256];
    unsigned mask = STATX_INO | STATX_BTIME;
    assert_int_equal(statx(kit_root(), "host", 0, mask, &host), 0);
    assert_int_equal(statx(kit_root(), of, 0, mask, &made), 0);
    snprintf(path, sizeof(path), "filling/%llx-%llx-%x", (unsigned long long)host.stx_ino,
             (unsigned long long)host.stx_btime.tv_sec, host.stx_btime.tv_nsec);
    int length = snprintf(line, sizeof(line), "%d %s %llu %lld %u\n", state, tray,
                          (unsigned long long)made.stx_ino, (long long)made.stx_btime.tv_sec,
                          made.stx_btime.tv_nsec);
    (void)!mkdirat(store->root, "filling", 0700);
    cleanup_fd int file = openat(store->root, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(file, line, (size_t)length), length);
}

static void what_a_crash_left_on_the_host_is_finished_or_undone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_tree("f host/.plyfs-1/half half, d host/lost+found");
    leave_record(store, FILLING, ".plyfs-1", "host/.plyfs-1");
    mend(store);
    assert_int_equal(kit_entries("host"), 1);
    /* Half of it has moved up already. */
    kit_tree("f host/.plyfs-2/b b, f host/.plyfs-2/c/d d, f host/a a");
    set_mode("host/.plyfs-2", 01777);
    leave_record(store, FILLED, ".plyfs-2", "host/.plyfs-2");
    mend(store);
    kit_assert_text("host/a", "a");
    kit_assert_text("host/b", "b");
    kit_assert_text("host/c/d", "d");
    assert_int_equal(kit_stat("host").st_mode & 07777, 01777);
    assert_int_equal(kit_entries("host"), 4);
    /* The old content is half gone. */
    kit_tree("f host/.plyfs-3/new new");
    leave_record(store, REPLACING, ".plyfs-3", "host/.plyfs-3");
    mend(store);
    kit_assert_text("host/new", "new");
    assert_int_equal(kit_entries("host"), 2);
    assert_int_equal(kit_entries("store/filling"), 0);
}

static void no_name_in_a_directory_of_the_host_is_believed(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_tree("f host/.plyfs-filling/a a, f host/.plyfs-replacing/b b, f host/.plyfs-filled/c c,"
             "f host/mine mine");
    mend(store);
    assert_int_equal(kit_entries("host"), 4);
    kit_assert_text("host/.plyfs-filling/a", "a");
    kit_assert_text("host/.plyfs-filled/c", "c");
    kit_assert_text("host/mine", "mine");
}

/* Whoever may write there can put another directory in the place of the tray. */
static void what_came_into_the_place_of_a_tray_is_left_alone(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    kit_tree("f host/.plyfs-1/theirs theirs, f host/mine mine, d made");
    for (int at = FILLING; at <= FILLED; at++) {
        leave_record(store, at, ".plyfs-1", "made");
        mend(store);
        kit_assert_text("host/.plyfs-1/theirs", "theirs");
        kit_assert_text("host/mine", "mine");
        assert_int_equal(kit_entries("host"), 2);
    }
}

static void new_content_on_the_host_takes_the_place_of_the_old(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_here();
    cleanup_row struct volume_row row = {0};
    kit_tree("d 1/d, f host/old old");
    create_on_host(store, "1", &row);
    assert_int_equal(volume_replace(store, &row, fail_to_fill, NULL), -ENOSPC);
    kit_assert_text("host/old", "old");
    assert_int_equal(volume_replace(store, &row, fill_with_file, word("new")), 0);
    assert_int_equal(kit_entries("host"), 1);
    assert_true(kit_exists("host/new"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_first_content_is_what_the_image_has),
        kit_test(what_several_layers_show_is_copied_as_it_is_shown),
        kit_test(attributes_come_by_the_names_that_users_see),
        kit_test(holes_stay_holes),
        kit_test(an_empty_directory_gives_its_look),
        kit_test(where_the_image_has_no_directory_the_volume_is_empty),
        kit_test(a_symlink_leads_to_the_content_inside_the_image),
        kit_test(what_cannot_be_filled_is_not_there),
        kit_test(a_volume_is_filled_while_it_is_empty),
        kit_test(half_of_a_layer_that_is_removed_meanwhile_is_no_content),
        kit_test(a_volume_in_use_is_not_filled),
        kit_test(an_owner_and_mode_that_somebody_chose_stay),
        kit_test(a_name_that_is_there_is_taken_as_it_is),
        kit_test(names_are_checked_and_anonymous_ones_are_made),
        kit_test(a_rollback_leaves_no_volume),
        kit_test(a_volume_that_a_mount_has_is_not_removed),
        kit_test(a_removed_volume_is_gone),
        kit_test(a_renamed_volume_keeps_all_that_it_has),
        kit_test(a_clone_is_the_same_and_apart),
        kit_test(new_content_takes_the_place_of_the_old_whole),
        kit_test(what_the_volume_and_what_the_image_changed_are_told_apart),
        kit_test(a_volume_is_filled_anew_from_its_image_as_it_is_now),
        kit_test(nothing_is_told_of_a_volume_that_came_from_no_image),
        kit_test(an_empty_directory_of_the_host_is_filled),
        kit_test(a_directory_of_the_host_that_holds_something_is_left_alone),
        kit_test(where_the_image_has_nothing_a_directory_of_the_host_keeps_its_look),
        kit_test(what_a_crash_left_on_the_host_is_finished_or_undone),
        kit_test(no_name_in_a_directory_of_the_host_is_believed),
        kit_test(what_came_into_the_place_of_a_tray_is_left_alone),
        kit_test(new_content_on_the_host_takes_the_place_of_the_old),
    };
    return kit_run("volume", tests, sizeof(tests) / sizeof(tests[0]));
}
