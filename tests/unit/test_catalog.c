/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "catalog.h"
#include "catalogevents.h"
#include "catalogpolicy.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Ids of 64 digits, all alike but for what stands in front. */
#define DIGITS_60 "000000000000000000000000000000000000000000000000000000000000"
#define ID(first) first DIGITS_60

static struct catalog *open_here(void)
{
    struct catalog *catalog = NULL;
    cleanup_free char *here = kit_path("");
    assert_int_equal(catalog_open(here, false, &catalog), 0);
    assert_non_null(catalog);
    return catalog;
}

static void own_catalog(struct catalog **catalog)
{
    catalog_close(*catalog);
}
#define cleanup_catalog cleanup(own_catalog)
#define cleanup_layer cleanup(layer_row_finish)
#define cleanup_image cleanup(image_row_finish)
#define cleanup_mount cleanup(mount_row_finish)
#define cleanup_volume cleanup(volume_row_finish)

/* The words of a test are borrowed by rows that do not change them. */
#define word(text) ((char[]){text})

static int add_layer(struct catalog *catalog, const char *id, char *name, int64_t created)
{
    cleanup_free char *copy = strdup(id);
    const struct layer_row row = {
        .id = copy,
        .name = name,
        .source = word("a test"),
        .entries = word("0123456789abcdef0123456789abcdef"),
        .created = created,
        .files = 3,
        .bytes = 100,
        .tar_bytes = 2048,
        .skeleton = true,
    };
    return catalog_add_layer(catalog, &row);
}

static int add_image(struct catalog *catalog, char *id, char **layers, unsigned layer_count,
                     char *name)
{
    const struct image_row row = {
        .id = id,
        .config = word("{}"),
        .layers = layers,
        .layer_count = layer_count,
        .names = &name,
        .name_count = name ? 1 : 0,
        .created = 7,
    };
    return catalog_add_image(catalog, &row);
}

static int add_mount(struct catalog *catalog, const char *id, char *name, char *image)
{
    cleanup_free char *copy = strdup(id);
    const struct mount_row row = {.id = copy, .name = name, .image = image, .created = 5};
    return catalog_add_mount(catalog, &row);
}

/* Two layers, an image of both ("web:latest"), a mount of it ("box"). */
static struct catalog *open_with_rows(void)
{
    struct catalog *catalog = open_here();
    char *layers[] = {word(ID("1111")), word(ID("2222"))};
    assert_int_equal(add_layer(catalog, layers[0], word("base"), 1), 0);
    assert_int_equal(add_layer(catalog, layers[1], NULL, 2), 0);
    assert_int_equal(add_image(catalog, word(ID("aaaa")), layers, 2, word("web")), 0);
    assert_int_equal(add_mount(catalog, ID("cccc"), word("box"), word(ID("aaaa"))), 0);
    return catalog;
}

/* Runs SQL on the database, past the catalog. */
static void run_sql(const char *sql)
{
    sqlite3 *db = NULL;
    cleanup_free char *file = kit_path("catalog.db");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* The one number that a query gives. */
static int64_t ask_number(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    cleanup_free char *file = kit_path("catalog.db");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 30000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* ---- rows ---- */

static void a_layer_comes_back_as_it_was_added(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_layer struct layer_row row = {0};
    assert_int_equal(catalog_find_layer(catalog, "base", &row), 0);
    assert_string_equal(row.id, ID("1111"));
    assert_string_equal(row.name, "base");
    assert_string_equal(row.source, "a test");
    assert_string_equal(row.entries, "0123456789abcdef0123456789abcdef");
    assert_int_equal(row.created, 1);
    assert_int_equal(row.files, 3);
    assert_int_equal(row.bytes, 100);
    assert_int_equal(row.tar_bytes, 2048);
    assert_true(row.skeleton);
}

static void an_image_comes_back_with_its_layers_in_order(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_image struct image_row row = {0};
    char *layers[] = {word(ID("2222")), word(ID("1111")), word(ID("2222"))};
    assert_int_equal(add_image(catalog, word(ID("bbbb")), layers, 3, word("twice:1")), 0);
    assert_int_equal(catalog_find_image(catalog, "twice:1", &row), 0);
    assert_string_equal(row.config, "{}");
    assert_int_equal(row.created, 7);
    assert_int_equal(row.layer_count, 3);
    assert_string_equal(row.layers[0], ID("2222"));
    assert_string_equal(row.layers[1], ID("1111"));
    assert_string_equal(row.layers[2], ID("2222"));
    assert_int_equal(row.name_count, 1);
    assert_string_equal(row.names[0], "twice:1");
    /* A layer that is there twice lies on disk once. */
    assert_int_equal(row.bytes, 200);
}

static void a_mount_on_directories_keeps_their_order(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_mount struct mount_row row = {0};
    char *lowers[] = {word("/z"), word("/a"), word("/m")};
    const struct mount_row added = {
        .id = word(ID("cccc")),
        .name = word("box"),
        .lowers = lowers,
        .lower_count = 3,
        .options = word("ro"),
        .ephemeral = true,
        .created = 5,
    };
    assert_int_equal(catalog_add_mount(catalog, &added), 0);
    assert_int_equal(catalog_find_mount(catalog, "box", &row), 0);
    assert_null(row.image);
    assert_int_equal(row.lower_count, 3);
    assert_string_equal(row.lowers[0], "/z");
    assert_string_equal(row.lowers[1], "/a");
    assert_string_equal(row.lowers[2], "/m");
    assert_string_equal(row.options, "ro");
    assert_true(row.ephemeral);
    assert_null(row.mountpoint);
    assert_int_equal(row.mounted, 0);
}

static void an_image_that_is_there_stays_and_takes_the_names(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_image struct image_row row = {0};
    char *other[] = {word(ID("2222"))};
    assert_int_equal(add_image(catalog, word(ID("bbbb")), other, 1, word("web:latest")), 0);
    assert_int_equal(catalog_find_image(catalog, "web", &row), 0);
    assert_string_equal(row.id, ID("bbbb"));
    image_row_finish(&row);
    assert_int_equal(add_image(catalog, word(ID("aaaa")), other, 1, word("again")), 0);
    assert_int_equal(catalog_find_image(catalog, "again", &row), 0);
    assert_string_equal(row.id, ID("aaaa"));
    assert_int_equal(row.layer_count, 2);
    assert_int_equal(row.name_count, 1);
}

static void an_image_without_its_layers_is_refused_whole(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_image struct image_row row = {0};
    char *layers[] = {word(ID("1111")), word(ID("9999"))};
    assert_int_equal(add_image(catalog, word(ID("bbbb")), layers, 2, word("half")), -ENOENT);
    assert_int_equal(catalog_find_image(catalog, ID("bbbb"), &row), -ENOENT);
    /* In a transaction it takes nothing but its own part back. */
    assert_int_equal(catalog_begin(catalog), 0);
    assert_int_equal(add_layer(catalog, ID("3333"), NULL, 3), 0);
    assert_int_equal(add_image(catalog, word(ID("bbbb")), layers, 2, word("half")), -ENOENT);
    assert_int_equal(catalog_end(catalog, 0), 0);
    assert_int_equal(catalog_find_image(catalog, ID("bbbb"), &row), -ENOENT);
    assert_int_equal(ask_number("SELECT count(*) FROM layer"), 3);
    assert_int_equal(ask_number("SELECT count(*) FROM image_layer"), 2);
}

static void names_are_taken_once(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    assert_int_equal(add_layer(catalog, ID("1111"), NULL, 1), -EEXIST);
    assert_int_equal(add_layer(catalog, ID("3333"), word("base"), 1), -EEXIST);
    assert_int_equal(catalog_name_layer(catalog, ID("2222"), "base"), -EEXIST);
    assert_int_equal(add_mount(catalog, ID("dddd"), word("box"), NULL), -EEXIST);
    assert_int_equal(add_mount(catalog, ID("dddd"), word("other"), NULL), 0);
    assert_int_equal(catalog_rename_mount(catalog, ID("dddd"), "box"), -EEXIST);
    assert_int_equal(catalog_rename_mount(catalog, ID("dddd"), "third"), 0);
    assert_int_equal(catalog_rename_mount(catalog, ID("eeee"), "fourth"), -ENOENT);
    assert_int_equal(catalog_name_layer(catalog, ID("2222"), "top"), 0);
    assert_int_equal(catalog_name_layer(catalog, ID("1111"), NULL), 0);
    assert_int_equal(catalog_name_layer(catalog, ID("2222"), "base"), 0);
    assert_int_equal(catalog_name_layer(catalog, ID("9999"), "none"), -ENOENT);
}

static void values_that_no_row_can_have_are_refused(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    assert_int_equal(add_layer(catalog, "123", NULL, 1), -EINVAL);
    assert_int_equal(add_layer(catalog, ID("AAAA"), NULL, 1), -EINVAL);
    assert_int_equal(add_layer(catalog, ID("3333"), word(""), 1), -EINVAL);
    assert_int_equal(add_mount(catalog, ID("dddd"), word("/abs"), NULL), -EINVAL);
    assert_int_equal(add_mount(catalog, ID("dddd"), NULL, NULL), -EINVAL);
    assert_int_equal(add_mount(catalog, ID("dddd"), word("box2"), word(ID("9999"))), -ENOENT);
    assert_int_equal(catalog_tag_image(catalog, ID("aaaa"), ":tag"), -EINVAL);
    assert_int_equal(catalog_set_mounted(catalog, ID("cccc"), "relative", 1, "boot"), -EINVAL);
}

static void what_is_referred_to_stays(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    assert_int_equal(catalog_remove_layer(catalog, ID("1111")), -EBUSY);
    assert_int_equal(catalog_remove_image(catalog, ID("aaaa")), -EBUSY);
    assert_int_equal(catalog_remove_mount(catalog, ID("cccc")), 0);
    assert_int_equal(catalog_remove_mount(catalog, ID("cccc")), -ENOENT);
    assert_int_equal(catalog_remove_image(catalog, ID("aaaa")), 0);
    assert_int_equal(catalog_remove_layer(catalog, ID("1111")), 0);
    assert_int_equal(catalog_remove_layer(catalog, ID("1111")), -ENOENT);
    assert_int_equal(ask_number("SELECT count(*) FROM tag"), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM image_layer"), 0);
}

static void a_mount_is_mounted_and_unmounted(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_mount struct mount_row row = {0};
    assert_int_equal(catalog_find_mount(catalog, "/srv/a%_b", &row), -ENOENT);
    assert_int_equal(catalog_set_mounted(catalog, ID("cccc"), "/srv/a%_b", 17, "boot"), 0);
    assert_int_equal(catalog_find_mount(catalog, "/srv/a%_b", &row), 0);
    assert_string_equal(row.name, "box");
    assert_int_equal(row.pid, 17);
    assert_string_equal(row.boot, "boot");
    assert_true(row.mounted > 1700000000000000000);
    mount_row_finish(&row);
    assert_int_equal(catalog_set_unmounted(catalog, ID("cccc")), 0);
    assert_int_equal(catalog_find_mount(catalog, "/srv/a%_b", &row), -ENOENT);
    assert_int_equal(catalog_find_mount(catalog, "box", &row), 0);
    assert_null(row.mountpoint);
    assert_true(row.mounted > 0);
    assert_int_equal(catalog_set_unmounted(catalog, ID("dddd")), -ENOENT);
}

/* ---- words ---- */

static int find_layer_id(struct catalog *catalog, const char *text, const char *expected)
{
    cleanup_layer struct layer_row row = {0};
    int err = catalog_find_layer(catalog, text, &row);
    if (!err)
        assert_string_equal(row.id, expected);
    else
        assert_null(row.id);
    return err;
}

static void an_id_may_be_shortened_while_it_fits_no_other(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    assert_int_equal(add_layer(catalog, ID("12ab"), NULL, 1), 0);
    assert_int_equal(add_layer(catalog, ID("12ff"), NULL, 2), 0);
    assert_int_equal(add_layer(catalog, ID("ffff"), NULL, 3), 0);
    assert_int_equal(find_layer_id(catalog, "12a", ID("12ab")), 0);
    assert_int_equal(find_layer_id(catalog, "12f", ID("12ff")), 0);
    assert_int_equal(find_layer_id(catalog, "f", ID("ffff")), 0);
    assert_int_equal(find_layer_id(catalog, "12", NULL), -ENOTUNIQ);
    assert_int_equal(find_layer_id(catalog, "13", NULL), -ENOENT);
    assert_int_equal(find_layer_id(catalog, "sha256:12a", ID("12ab")), 0);
    assert_int_equal(find_layer_id(catalog, "sha256:" ID("12ff"), ID("12ff")), 0);
    assert_int_equal(find_layer_id(catalog, ID("12ff") "0", NULL), -ENOENT);
}

static void a_word_is_no_pattern(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    assert_int_equal(add_layer(catalog, ID("1234"), word("plain"), 1), 0);
    const char *const words[] = {
        "",        "%",     "_",      "12%", "12_4",          "pla%",      "p_ain",
        "*",       "?",     "[0-9]",  "12*", "12' OR '1'='1", "PLAIN",     "plai",
        "sha256:", "1234g", "12\xff", "12 ", "x'12'",         "sha256:12%"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(find_layer_id(catalog, words[i], NULL), -ENOENT);
    assert_int_equal(add_layer(catalog, ID("4321"), word("100%_\xff"), 2), 0);
    assert_int_equal(find_layer_id(catalog, "100%_\xff", ID("4321")), 0);
}

static void a_name_hides_a_shortened_id_but_no_whole_one(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    assert_int_equal(add_layer(catalog, ID("1234"), NULL, 1), 0);
    assert_int_equal(add_layer(catalog, ID("5678"), word("12"), 2), 0);
    assert_int_equal(add_layer(catalog, ID("9abc"), word(ID("1234")), 3), 0);
    assert_int_equal(find_layer_id(catalog, "12", ID("5678")), 0);
    assert_int_equal(find_layer_id(catalog, ID("1234"), ID("1234")), 0);
    assert_int_equal(find_layer_id(catalog, "sha256:12", ID("1234")), 0);
}

static void an_image_name_without_a_tag_means_latest(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    static const struct {
        const char *given, *whole;
    } cases[] = {
        {"app", "app:latest"},
        {"app:1", "app:1"},
        {"host:5000/app", "host:5000/app:latest"},
        {"host:5000/app:2", "host:5000/app:2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cleanup_image struct image_row row = {0};
        assert_int_equal(catalog_tag_image(catalog, ID("aaaa"), cases[i].given), 0);
        assert_int_equal(catalog_find_image(catalog, cases[i].whole, &row), 0);
        assert_string_equal(row.names[0], cases[i].whole);
        image_row_finish(&row);
        assert_int_equal(catalog_find_image(catalog, cases[i].given, &row), 0);
        assert_int_equal(catalog_untag_image(catalog, cases[i].given), 0);
        assert_int_equal(catalog_untag_image(catalog, cases[i].given), -ENOENT);
    }
    assert_int_equal(catalog_tag_image(catalog, ID("9999"), "app"), -ENOENT);
}

/* ---- listings ---- */

struct seen {
    struct catalog *catalog;
    unsigned count;
    char ids[8][65];
    int stop_at;
};

static int see_layer(void *context, const struct layer_row *row)
{
    struct seen *seen = context;
    strcpy(seen->ids[seen->count++], row->id);
    return seen->stop_at == (int)seen->count ? 42 : 0;
}

static void layers_are_listed_oldest_first(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    struct seen seen = {0};
    assert_int_equal(add_layer(catalog, ID("1111"), NULL, 30), 0);
    assert_int_equal(add_layer(catalog, ID("2222"), NULL, 10), 0);
    assert_int_equal(add_layer(catalog, ID("3333"), NULL, 20), 0);
    assert_int_equal(catalog_each_layer(catalog, see_layer, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.ids[0], ID("2222"));
    assert_string_equal(seen.ids[1], ID("3333"));
    assert_string_equal(seen.ids[2], ID("1111"));
    seen = (struct seen){.stop_at = 2};
    assert_int_equal(catalog_each_layer(catalog, see_layer, &seen), 42);
    assert_int_equal(seen.count, 2);
}

static int remove_both(void *context, const struct layer_row *row)
{
    struct seen *seen = context;
    seen->count++;
    assert_int_equal(catalog_remove_layer(seen->catalog, row->id), 0);
    assert_int_equal(catalog_remove_layer(seen->catalog, ID("2222")), 0);
    return 0;
}

static void a_listing_may_remove_what_it_lists(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    struct seen seen = {.catalog = catalog};
    assert_int_equal(add_layer(catalog, ID("1111"), NULL, 1), 0);
    assert_int_equal(add_layer(catalog, ID("2222"), NULL, 2), 0);
    assert_int_equal(catalog_each_layer(catalog, remove_both, &seen), 0);
    assert_int_equal(seen.count, 1);
}

static int count_image(void *context, const struct image_row *row)
{
    assert_int_equal(row->layer_count, 2);
    (*(int *)context)++;
    return 0;
}

static int count_mount(void *context, const struct mount_row *row)
{
    assert_string_equal(row->name, "box");
    (*(int *)context)++;
    return 0;
}

static void images_and_mounts_are_listed(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    int images = 0, mounts = 0;
    assert_int_equal(catalog_each_image(catalog, count_image, &images), 0);
    assert_int_equal(catalog_each_mount(catalog, count_mount, &mounts), 0);
    assert_int_equal(images, 1);
    assert_int_equal(mounts, 1);
}

/* ---- volumes ---- */

static int add_volume(struct catalog *catalog, char *name)
{
    const struct volume_row row = {.name = name, .driver = word("local"), .created = 9};
    return catalog_add_volume(catalog, &row);
}

static int add_route(struct catalog *catalog, const char *mount, char *destination, char *volume)
{
    const struct mount_volume_row row = {
        .spec = {.kind = volume ? VOLUME_KIND_VOLUME : VOLUME_KIND_TMPFS,
                 .source = volume,
                 .destination = destination},
    };
    return catalog_add_mount_volume(catalog, mount, &row);
}

static void a_volume_comes_back_as_it_was_added(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_volume struct volume_row row = {0};
    struct volume_row added = {
        .name = word("data"),
        .driver = word("rclone"),
        .created = 9,
        .by_mount = word("box"),
        .by_image = word("web:latest"),
        .by_destination = word("/srv"),
        .copied_image = word(ID("aaaa")),
        .copied_path = word("srv"),
        .copied = word("copied"),
    };
    assert_int_equal(volume_pairs_set(&added.options, "size", "20m"), 0);
    assert_int_equal(volume_pairs_set(&added.options, "o", "a=b,c"), 0);
    assert_int_equal(volume_pairs_set(&added.labels, "size", ""), 0);
    assert_int_equal(catalog_add_volume(catalog, &added), 0);
    assert_int_equal(catalog_find_volume(catalog, "data", &row), 0);
    assert_string_equal(row.name, "data");
    assert_string_equal(row.driver, "rclone");
    assert_int_equal(row.created, 9);
    assert_string_equal(row.by_mount, "box");
    assert_string_equal(row.by_image, "web:latest");
    assert_string_equal(row.by_destination, "/srv");
    assert_int_equal(row.used, 0);
    assert_string_equal(row.copied_image, ID("aaaa"));
    assert_string_equal(row.copied_path, "srv");
    assert_string_equal(row.copied, "copied");
    assert_null(row.renaming);
    assert_int_equal(row.options.count, 2);
    assert_string_equal(volume_pairs_get(&row.options, "o"), "a=b,c");
    assert_string_equal(volume_pairs_get(&row.options, "size"), "20m");
    assert_int_equal(row.labels.count, 1);
    assert_string_equal(volume_pairs_get(&row.labels, "size"), "");
    volume_pairs_finish(&added.options);
    volume_pairs_finish(&added.labels);
}

static void what_is_told_of_a_volume_later_is_kept(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_volume struct volume_row row = {0};
    const struct volume_row copied = {
        .name = word("data"), .copied_image = NULL, .copied_path = word(""), .copied = word("c")};
    assert_int_equal(add_volume(catalog, word("data")), 0);
    assert_int_equal(catalog_set_volume_used(catalog, "data", 77), 0);
    assert_int_equal(catalog_set_volume_copied(catalog, &copied), 0);
    assert_int_equal(catalog_find_volume(catalog, "data", &row), 0);
    assert_int_equal(row.used, 77);
    assert_null(row.copied_image);
    assert_string_equal(row.copied_path, "");
    assert_string_equal(row.copied, "c");
    assert_int_equal(catalog_set_volume_used(catalog, "none", 1), -ENOENT);
}

static void a_name_that_no_volume_can_have_is_refused(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    static const char *const bad[] = {"",    "a",  "..",  ".hidden",  "a/b",
                                      "a b", "-x", "a\n", "\xc3\xa4x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cleanup_free char *name = strdup(bad[i]);
        assert_int_equal(add_volume(catalog, name), -EINVAL);
    }
    assert_int_equal(add_volume(catalog, NULL), -EINVAL);
    assert_int_equal(add_volume(catalog, word("A0_.-")), 0);
    assert_int_equal(add_volume(catalog, word("A0_.-")), -EEXIST);
}

static int note_user(void *context, const char *mount)
{
    strcat(strcat(context, mount), " ");
    return 0;
}

static void a_volume_stays_while_a_mount_refers_to_it(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    char users[64] = "";
    assert_int_equal(add_volume(catalog, word("data")), 0);
    assert_int_equal(add_mount(catalog, ID("dddd"), word("ark"), NULL), 0);
    assert_int_equal(add_route(catalog, ID("cccc"), word("/a"), word("data")), 0);
    assert_int_equal(add_route(catalog, ID("cccc"), word("/b"), word("data")), 0);
    assert_int_equal(add_route(catalog, ID("dddd"), word("/a"), word("data")), 0);
    assert_int_equal(add_route(catalog, ID("dddd"), word("/a"), NULL), -EEXIST);
    assert_int_equal(add_route(catalog, ID("dddd"), word("/x"), word("none")), -ENOENT);
    assert_int_equal(add_route(catalog, ID("eeee"), word("/x"), NULL), -ENOENT);
    assert_int_equal(catalog_each_volume_user(catalog, "data", note_user, users), 0);
    assert_string_equal(users, "ark box ");
    assert_int_equal(catalog_remove_volume(catalog, "data"), -EBUSY);
    assert_int_equal(catalog_remove_mount_volume(catalog, ID("cccc"), "/a"), 0);
    assert_int_equal(catalog_remove_mount_volume(catalog, ID("cccc"), "/a"), -ENOENT);
    assert_int_equal(catalog_remove_mount(catalog, ID("cccc")), 0);
    assert_int_equal(catalog_remove_volume(catalog, "data"), -EBUSY);
    assert_int_equal(catalog_remove_mount(catalog, ID("dddd")), 0);
    assert_int_equal(catalog_remove_volume(catalog, "data"), 0);
    assert_int_equal(catalog_remove_volume(catalog, "data"), -ENOENT);
}

static void an_image_stays_while_a_mount_shows_it(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    struct mount_volume_row row = {.spec = {.kind = VOLUME_KIND_IMAGE,
                                            .source = word(ID("aaaa")),
                                            .destination = word("/image")}};
    assert_int_equal(add_mount(catalog, ID("dddd"), word("ark"), NULL), 0);
    assert_int_equal(catalog_add_mount_volume(catalog, ID("dddd"), &row), 0);
    assert_int_equal(catalog_remove_mount(catalog, ID("cccc")), 0);
    assert_int_equal(catalog_remove_image(catalog, ID("aaaa")), -EBUSY);
    assert_int_equal(catalog_remove_mount_volume(catalog, ID("dddd"), "/image"), 0);
    assert_int_equal(catalog_remove_image(catalog, ID("aaaa")), 0);
    assert_int_equal(catalog_add_mount_volume(catalog, ID("dddd"), &row), -ENOENT);
}

static int note_route(void *context, const struct mount_volume_row *row)
{
    strcat(strcat(strcat(context, row->spec.destination), "="), row->spec.source);
    return 0;
}

static void a_rename_reaches_whoever_refers_to_the_volume(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    cleanup_volume struct volume_row row = {0};
    char routes[64] = "";
    assert_int_equal(add_volume(catalog, word("old")), 0);
    assert_int_equal(add_volume(catalog, word("other")), 0);
    assert_int_equal(add_route(catalog, ID("cccc"), word("/a"), word("old")), 0);
    assert_int_equal(catalog_begin_rename_volume(catalog, "old", "other"), -EEXIST);
    assert_int_equal(catalog_begin_rename_volume(catalog, "none", "new"), -ENOENT);
    assert_int_equal(catalog_begin_rename_volume(catalog, "old", "a/b"), -EINVAL);
    assert_int_equal(catalog_end_rename_volume(catalog, "old", true), -ENOENT);
    assert_int_equal(catalog_begin_rename_volume(catalog, "old", "new"), 0);
    assert_int_equal(catalog_begin_rename_volume(catalog, "old", "newer"), -EBUSY);
    assert_int_equal(catalog_begin_rename_volume(catalog, "other", "new"), -EEXIST);
    assert_int_equal(add_volume(catalog, word("new")), -EEXIST);
    assert_int_equal(catalog_find_volume(catalog, "old", &row), 0);
    assert_string_equal(row.renaming, "new");
    assert_int_equal(catalog_end_rename_volume(catalog, "old", false), 0);
    assert_int_equal(catalog_begin_rename_volume(catalog, "old", "newer"), 0);
    assert_int_equal(catalog_end_rename_volume(catalog, "old", true), 0);
    volume_row_finish(&row);
    assert_int_equal(catalog_find_volume(catalog, "old", &row), -ENOENT);
    assert_int_equal(catalog_find_volume(catalog, "newer", &row), 0);
    assert_null(row.renaming);
    assert_int_equal(catalog_each_mount_volume(catalog, ID("cccc"), note_route, routes), 0);
    assert_string_equal(routes, "/a=newer");
}

static int take_route(void *context, const struct mount_volume_row *row)
{
    const struct volume_spec *spec = &row->spec;
    assert_string_equal(spec->source, "data");
    assert_string_equal(spec->destination, "/srv/data");
    assert_string_equal(spec->mode, "ro,z");
    assert_string_equal(spec->propagation, "rprivate");
    assert_string_equal(spec->subpath, "sub/path");
    assert_string_equal(spec->driver, "local");
    assert_int_equal(spec->kind, VOLUME_KIND_VOLUME);
    assert_int_equal(spec->size, 1ULL << 40);
    assert_int_equal(spec->perm, 01777);
    assert_true(spec->read_only && spec->nocopy && spec->make_source && spec->one_filesystem);
    assert_string_equal(volume_pairs_get(&spec->options, "o"), "x");
    assert_string_equal(volume_pairs_get(&spec->labels, "l"), "y");
    assert_int_equal(row->origin, VOLUME_ORIGIN_FROM);
    assert_true(row->anonymous);
    ++*(int *)context;
    return 0;
}

static void a_route_comes_back_as_it_was_added(void **state)
{
    (void)state;
    int seen = 0;
    cleanup_catalog struct catalog *catalog = open_with_rows();
    struct mount_volume_row row = {
        .spec = {.kind = VOLUME_KIND_VOLUME,
                 .source = word("data"),
                 .destination = word("/srv/data"),
                 .mode = word("ro,z"),
                 .propagation = word("rprivate"),
                 .subpath = word("sub/path"),
                 .driver = word("local"),
                 .size = 1ULL << 40,
                 .perm = 01777,
                 .read_only = true,
                 .nocopy = true,
                 .make_source = true,
                 .one_filesystem = true},
        .origin = VOLUME_ORIGIN_FROM,
        .anonymous = true,
    };
    assert_int_equal(volume_pairs_set(&row.spec.options, "o", "x"), 0);
    assert_int_equal(volume_pairs_set(&row.spec.labels, "l", "y"), 0);
    assert_int_equal(add_volume(catalog, word("data")), 0);
    assert_int_equal(catalog_add_mount_volume(catalog, ID("cccc"), &row), 0);
    assert_int_equal(catalog_each_mount_volume(catalog, ID("cccc"), take_route, &seen), 0);
    assert_int_equal(seen, 1);
    volume_pairs_finish(&row.spec.options);
    volume_pairs_finish(&row.spec.labels);
    assert_int_equal(catalog_remove_mount(catalog, ID("cccc")), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM mount_volume_pair"), 0);
}

static int note_destination(void *context, const struct mount_volume_row *row)
{
    strcat(strcat(context, row->spec.destination), " ");
    return 0;
}

static void the_routes_of_a_mount_come_by_depth(void **state)
{
    (void)state;
    char routes[64] = "";
    cleanup_catalog struct catalog *catalog = open_with_rows();
    static const char *const at[] = {"/z/z/z", "/b", "/a/z", "/z", "/a/b"};
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        cleanup_free char *destination = strdup(at[i]);
        assert_int_equal(add_route(catalog, ID("cccc"), destination, NULL), 0);
    }
    assert_int_equal(catalog_each_mount_volume(catalog, ID("cccc"), note_destination, routes), 0);
    assert_string_equal(routes, "/b /z /a/b /a/z /z/z/z ");
}

static int remove_volume(void *context, const struct volume_row *row)
{
    cleanup_free char *other = strdup(strcmp(row->name, "aa") == 0 ? "bb" : "aa");
    assert_int_equal(catalog_remove_volume(context, other), 0);
    return 0;
}

static void a_listing_of_volumes_may_remove_what_it_lists(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    assert_int_equal(add_volume(catalog, word("bb")), 0);
    assert_int_equal(add_volume(catalog, word("aa")), 0);
    assert_int_equal(catalog_each_volume(catalog, remove_volume, catalog), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM volume"), 1);
}

/* ---- transactions ---- */

static void what_is_rolled_back_was_never_there(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    assert_int_equal(catalog_begin(catalog), 0);
    assert_int_equal(add_layer(catalog, ID("1111"), NULL, 1), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM layer"), 0);
    assert_int_equal(catalog_end(catalog, -ECANCELED), -ECANCELED);
    assert_int_equal(find_layer_id(catalog, "1111", NULL), -ENOENT);
    assert_int_equal(catalog_begin(catalog), 0);
    assert_int_equal(add_layer(catalog, ID("1111"), NULL, 1), 0);
    assert_int_equal(catalog_end(catalog, 0), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM layer"), 1);
}

static void a_transaction_is_a_writers_from_its_beginning(void **state)
{
    (void)state;
    cleanup_catalog struct catalog *catalog = open_here();
    sqlite3 *db = NULL;
    cleanup_free char *file = kit_path("catalog.db");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(catalog_begin(catalog), 0);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
    assert_int_equal(catalog_end(catalog, 0), 0);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void changes_are_written_ahead_and_tables_are_strict(void **state)
{
    (void)state;
    catalog_close(open_with_rows());
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    cleanup_free char *file = kit_path("catalog.db");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &statement, NULL), 0);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(statement, 0), "wal");
    sqlite3_finalize(statement);
    sqlite3_close(db);
    assert_int_equal(ask_number("SELECT count(*) FROM pragma_table_list"
                                " WHERE schema = 'main' AND name NOT LIKE 'sqlite%'"
                                " AND NOT strict"),
                     0);
}

/* ---- many processes ---- */

enum { PROCESSES = 10, ROWS_EACH = 8 };

/* Opens the catalog with all the others and adds rows of its own; the result is its exit status. */
static int work_as(const char *path, unsigned number, int start)
{
    char go, id[65], name[32];
    cleanup_catalog struct catalog *catalog = NULL;
    if (read(start, &go, 1) != 0)
        return 2;
    int err = catalog_open(path, false, &catalog);
    for (unsigned i = 0; i < ROWS_EACH && !err; i++) {
        snprintf(id, sizeof(id), "%04x%04x%056x", number, i, 0);
        snprintf(name, sizeof(name), "box-%u-%u", number, i);
        err = add_layer(catalog, id, name, i);
        if (!err)
            err = add_mount(catalog, id, name, NULL);
        if (!err && i % 2 == 0)
            err = catalog_remove_mount(catalog, id);
    }
    return err ? 1 : 0;
}

/* All of `PROCESSES` at once: the end of a pipe lets them go. */
static void work_together(const char *path)
{
    int start[2], status;
    assert_int_equal(pipe(start), 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(start[1]);
            _exit(work_as(path, i, start[0]));
        }
    }
    close(start[0]);
    close(start[1]);
    for (unsigned i = 0; i < PROCESSES; i++) {
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
}

static void ten_processes_make_one_catalog(void **state)
{
    (void)state;
    cleanup_free char *path = kit_path("");
    for (unsigned time = 0; time < 10; time++) {
        work_together(path);
        assert_int_equal(ask_number("SELECT count(*) FROM layer"), PROCESSES * ROWS_EACH);
        assert_int_equal(ask_number("SELECT count(*) FROM mount"), PROCESSES * ROWS_EACH / 2);
        assert_int_equal(unlinkat(kit_root(), "catalog.db", 0), 0);
    }
}

/* ---- versions ---- */

static void load_version(const char *data)
{
    char sql[16384];
    FILE *file = fopen(data, "re");
    assert_non_null(file);
    size_t length = fread(sql, 1, sizeof(sql) - 1, file);
    assert_true(feof(file));
    fclose(file);
    sql[length] = 0;
    run_sql(sql);
}

static void load_version_1(void)
{
    load_version(PLYFS_TEST_DATA "/catalog-1.sql");
}

static void load_version_2(void)
{
    load_version(PLYFS_TEST_DATA "/catalog-2.sql");
}

static void load_version_3(void)
{
    load_version(PLYFS_TEST_DATA "/catalog-3.sql");
}

static void load_version_4(void)
{
    load_version(PLYFS_TEST_DATA "/catalog-4.sql");
}

static void rows_of_version_1_survive(void **state)
{
    (void)state;
    load_version_1();
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_layer struct layer_row layer = {0};
    cleanup_image struct image_row image = {0};
    cleanup_mount struct mount_row web = {0}, plain = {0};
    assert_int_equal(catalog_find_layer(catalog, "base", &layer), 0);
    assert_int_equal(layer.created, 1700000000000000001);
    assert_int_equal(layer.tar_bytes, 130000000);
    assert_true(layer.skeleton);
    assert_string_equal(layer.entries, "");
    assert_int_equal(catalog_find_image(catalog, "debian:12", &image), 0);
    assert_int_equal(image.layer_count, 2);
    assert_int_equal(image.layers[1][0], '2');
    assert_int_equal(image.name_count, 2);
    assert_string_equal(image.config, "{\"os\":\"linux\"}");
    assert_int_equal(catalog_find_mount(catalog, "/srv/web", &web), 0);
    assert_string_equal(web.image, image.id);
    assert_string_equal(web.options, "");
    assert_false(web.ephemeral);
    assert_int_equal(web.pid, 4711);
    assert_int_equal(catalog_find_mount(catalog, "plain", &plain), 0);
    assert_int_equal(plain.lower_count, 2);
    assert_string_equal(plain.lowers[0], "/srv/top");
}

static void rows_of_version_2_survive(void **state)
{
    (void)state;
    load_version_2();
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_layer struct layer_row layer = {0};
    cleanup_mount struct mount_row web = {0}, plain = {0};
    assert_int_equal(catalog_find_layer(catalog, "base", &layer), 0);
    assert_string_equal(layer.entries, "0123456789abcdef0123456789abcdef");
    assert_int_equal(catalog_find_mount(catalog, "plain", &plain), 0);
    assert_string_equal(plain.options, "ro");
    assert_true(plain.ephemeral);
    assert_int_equal(catalog_find_mount(catalog, "web", &web), 0);
    assert_int_equal(add_volume(catalog, word("data")), 0);
    assert_int_equal(add_route(catalog, web.id, word("/data"), word("data")), 0);
}

static void rows_of_version_3_survive(void **state)
{
    (void)state;
    int64_t ledger;
    load_version_3();
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_volume struct volume_row volume = {0};
    cleanup_mount struct mount_row web = {0};
    assert_int_equal(catalog_find_volume(catalog, "data", &volume), 0);
    assert_string_equal(volume.labels.at[0].value, "test");
    assert_int_equal(catalog_find_mount(catalog, "web", &web), 0);
    assert_int_equal(catalog_remove_volume(catalog, "data"), -EBUSY);
    assert_int_equal(catalog_open_ledger(catalog, web.id, &ledger), 0);
}

static int count_event(void *context, const struct event *event)
{
    assert_true(event->kind == EVENT_COPYUP || event->kind == EVENT_WHITEOUT);
    return ++*(int *)context, 0;
}

static void rows_of_version_4_survive(void **state)
{
    (void)state;
    int events = 0;
    uint64_t moved;
    const struct event_wish all = {0};
    load_version_4();
    cleanup_catalog struct catalog *catalog = open_here();
    cleanup_mount struct mount_row web = {0};
    cleanup_policy struct policy policy = POLICY_NONE;
    assert_int_equal(catalog_find_mount(catalog, "web", &web), 0);
    assert_int_equal(catalog_each_event(catalog, web.id, &all, count_event, &events), 0);
    assert_int_equal(events, 2);
    assert_int_equal(catalog_moved_bytes(catalog, web.id, &moved), 0);
    assert_int_equal(moved, 1200);
    assert_int_equal(catalog_read_policy(catalog, web.id, &policy), 0);
    assert_int_equal(policy.count, 0);
    assert_int_equal(policy.budget, POLICY_UNLIMITED);
}

static void ten_processes_bring_one_catalog_up_to_date(void **state)
{
    (void)state;
    cleanup_free char *path = kit_path("");
    for (unsigned time = 0; time < 10; time++) {
        load_version_1();
        work_together(path);
        assert_int_equal(ask_number("SELECT count(*) FROM layer"), 2 + PROCESSES * ROWS_EACH);
        assert_int_equal(unlinkat(kit_root(), "catalog.db", 0), 0);
    }
}

/* The second table of the step is not as it should be, when the first is changed already. */
static void a_step_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct catalog *catalog = NULL;
    cleanup_free char *here = kit_path("");
    load_version_1();
    run_sql("ALTER TABLE mount ADD COLUMN options TEXT");
    assert_int_equal(catalog_open(here, false, &catalog), -EIO);
    assert_null(catalog);
    assert_int_equal(ask_number("PRAGMA user_version"), 1);
    assert_int_equal(
        ask_number("SELECT count(*) FROM pragma_table_info('layer') WHERE name = 'entries'"), 0);
    assert_int_equal(ask_number("SELECT count(*) FROM layer"), 2);
}

/* The texts of all tables and indices, in order. */
static char *schema_text(void)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    cleanup_free char *file = kit_path("catalog.db");
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT group_concat(sql, ';') FROM"
                                        " (SELECT sql FROM sqlite_schema ORDER BY name)",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return text;
}

static void a_migrated_catalog_is_as_a_new_one(void **state)
{
    (void)state;
    catalog_close(open_here());
    cleanup_free char *made = schema_text();
    const int64_t version = ask_number("PRAGMA user_version");
    void (*const loads[])(void) = {load_version_1, load_version_2, load_version_3, load_version_4};
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        assert_int_equal(unlinkat(kit_root(), "catalog.db", 0), 0);
        loads[i]();
        catalog_close(open_here());
        cleanup_free char *migrated = schema_text();
        assert_string_equal(migrated, made);
        assert_int_equal(version, ask_number("PRAGMA user_version"));
    }
}

static void a_newer_catalog_is_left_alone(void **state)
{
    (void)state;
    struct catalog *catalog = NULL;
    cleanup_free char *here = kit_path("");
    catalog_close(open_with_rows());
    run_sql("PRAGMA user_version = 1000");
    assert_int_equal(catalog_open(here, false, &catalog), -EPROTO);
    assert_null(catalog);
    run_sql("PRAGMA user_version = -1");
    assert_int_equal(catalog_open(here, false, &catalog), -EPROTO);
    assert_int_equal(ask_number("SELECT count(*) FROM layer"), 2);
}

static void what_is_no_database_is_refused(void **state)
{
    (void)state;
    struct catalog *catalog = NULL;
    cleanup_free char *here = kit_path("");
    kit_file("catalog.db", "this is a text of more than sixteen bytes, and no database at all\n");
    assert_int_equal(catalog_open(here, false, &catalog), -EIO);
    assert_null(catalog);
    cleanup_free char *none = kit_path("none");
    assert_int_equal(catalog_open(none, false, &catalog), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_layer_comes_back_as_it_was_added),
        kit_test(an_image_comes_back_with_its_layers_in_order),
        kit_test(a_mount_on_directories_keeps_their_order),
        kit_test(an_image_that_is_there_stays_and_takes_the_names),
        kit_test(an_image_without_its_layers_is_refused_whole),
        kit_test(names_are_taken_once),
        kit_test(values_that_no_row_can_have_are_refused),
        kit_test(what_is_referred_to_stays),
        kit_test(a_mount_is_mounted_and_unmounted),
        kit_test(an_id_may_be_shortened_while_it_fits_no_other),
        kit_test(a_word_is_no_pattern),
        kit_test(a_name_hides_a_shortened_id_but_no_whole_one),
        kit_test(an_image_name_without_a_tag_means_latest),
        kit_test(layers_are_listed_oldest_first),
        kit_test(a_listing_may_remove_what_it_lists),
        kit_test(images_and_mounts_are_listed),
        kit_test(a_volume_comes_back_as_it_was_added),
        kit_test(what_is_told_of_a_volume_later_is_kept),
        kit_test(a_name_that_no_volume_can_have_is_refused),
        kit_test(a_volume_stays_while_a_mount_refers_to_it),
        kit_test(an_image_stays_while_a_mount_shows_it),
        kit_test(a_rename_reaches_whoever_refers_to_the_volume),
        kit_test(a_route_comes_back_as_it_was_added),
        kit_test(the_routes_of_a_mount_come_by_depth),
        kit_test(a_listing_of_volumes_may_remove_what_it_lists),
        kit_test(what_is_rolled_back_was_never_there),
        kit_test(a_transaction_is_a_writers_from_its_beginning),
        kit_test(changes_are_written_ahead_and_tables_are_strict),
        kit_test(ten_processes_make_one_catalog),
        kit_test(rows_of_version_1_survive),
        kit_test(rows_of_version_2_survive),
        kit_test(rows_of_version_3_survive),
        kit_test(rows_of_version_4_survive),
        kit_test(ten_processes_bring_one_catalog_up_to_date),
        kit_test(a_step_that_fails_changes_nothing),
        kit_test(a_migrated_catalog_is_as_a_new_one),
        kit_test(a_newer_catalog_is_left_alone),
        kit_test(what_is_no_database_is_refused),
    };
    return kit_run("catalog", tests, sizeof(tests) / sizeof(tests[0]));
}
