/* SPDX-License-Identifier: MIT */
#include "kit.h"
#include "tarkit.h"

#include "fd.h"
#include "newlayers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* A store in the test's directory, with an import that begins. */
struct scene {
    struct store *store;
    struct stage stage;
    struct newlayers layers;
};

static void scene_begin(struct scene *scene)
{
    cleanup_free char *path = kit_path("store");
    *scene = (struct scene){.stage = STAGE_NONE};
    assert_int_equal(store_open(path, true, &scene->store), 0);
    assert_int_equal(store_stage(scene->store, &scene->stage), 0);
    scene->layers =
        (struct newlayers){.store = scene->store, .stage = &scene->stage, .source = "a test"};
}

static bool never(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    fail_msg("fault %d: %s", fault, id);
    return false;
}

static void scene_end(struct scene *scene)
{
    newlayers_finish(&scene->layers);
    store_unstage(scene->store, &scene->stage);
    assert_int_equal(store_check(scene->store, never, NULL, NULL), 0);
    store_close(scene->store);
}

static unsigned stored(void)
{
    return kit_entries("store/layers");
}

/* The sums of an archive. */
static struct tar_sums sums_of(int fd)
{
    int err;
    struct tar_entry entry;
    struct tar_sums sums;
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(fd, NULL, NULL, &err);
    while (tar_reader_next(reader, &entry) > 0)
        continue;
    assert_int_equal(tar_reader_finish(reader, &sums), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return sums;
}

/* Takes the archive of these words. What is claimed of it is true where it is NULL. */
static int take(struct scene *scene, const char *words, const char *diff_id, const char *digest,
                char found[DIGEST_HEX_SIZE])
{
    char unused[DIGEST_HEX_SIZE];
    cleanup_fd int fd = tarkit_archive(words);
    const struct tar_sums sums = sums_of(fd);
    const struct layer_claim claim = {
        .what = "the layer",
        .diff_id = diff_id ? diff_id : sums.diff_id,
        .digest = digest ? digest : sums.blob,
    };
    return newlayers_take(&scene->layers, fd, &claim, found ? found : unused);
}

/* The two halves of publishing, and what comes between. */
static int publish(struct scene *scene, bool whole)
{
    assert_int_equal(store_publishing(scene->store), 0);
    int err = newlayers_publish(&scene->layers);
    assert_int_equal(catalog_begin(scene->store->catalog), 0);
    if (!err)
        err = newlayers_add_rows(&scene->layers);
    int ended = catalog_end(scene->store->catalog, whole ? err : -ECANCELED);
    if (ended)
        newlayers_withdraw(&scene->layers);
    store_published(scene->store);
    return whole ? ended : err;
}

static void layers_appear_together_with_their_rows(void **state)
{
    (void)state;
    struct scene scene;
    char one[DIGEST_HEX_SIZE], two[DIGEST_HEX_SIZE], path[200];
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", NULL, NULL, one), 0);
    assert_int_equal(take(&scene, "f b two", NULL, NULL, two), 0);
    assert_int_equal(stored(), 0);
    assert_true(newlayers_is_fresh(&scene.layers, one) && newlayers_is_fresh(&scene.layers, two));
    assert_int_equal(publish(&scene, true), 0);
    assert_int_equal(stored(), 2);
    snprintf(path, sizeof(path), "store/layers/%s/tree/a", one);
    kit_assert_text(path, "one");
    struct layer_row row = {0};
    assert_int_equal(catalog_find_layer(scene.store->catalog, two, &row), 0);
    assert_string_equal(row.source, "a test");
    assert_int_equal(row.bytes, 3);
    assert_int_equal(strlen(row.entries), 32);
    layer_row_finish(&row);
    scene_end(&scene);
}

static void what_is_withdrawn_leaves_nothing(void **state)
{
    (void)state;
    struct scene scene;
    char id[DIGEST_HEX_SIZE];
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", NULL, NULL, id), 0);
    assert_int_equal(publish(&scene, false), 0);
    assert_int_equal(stored(), 0);
    scene_end(&scene);
    assert_int_equal(kit_entries("store/stage"), 0);
}

static void what_the_store_has_is_not_unpacked(void **state)
{
    (void)state;
    struct scene scene;
    char id[DIGEST_HEX_SIZE];
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", NULL, NULL, id), 0);
    assert_int_equal(publish(&scene, true), 0);
    scene_end(&scene);
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", NULL, NULL, id), 0);
    assert_false(newlayers_is_fresh(&scene.layers, id));
    assert_int_equal(scene.layers.unpacked, 0);
    assert_int_equal(take(&scene, "f a one", NULL, HEX_A, id), -EBADMSG);
    assert_int_equal(publish(&scene, true), 0);
    assert_int_equal(stored(), 1);
    scene_end(&scene);
}

static void one_layer_may_be_taken_many_times(void **state)
{
    (void)state;
    struct scene scene;
    char id[DIGEST_HEX_SIZE];
    scene_begin(&scene);
    for (int i = 0; i < 3; i++)
        assert_int_equal(take(&scene, "f a one", NULL, NULL, id), 0);
    assert_int_equal(scene.layers.unpacked, 3);
    assert_int_equal(publish(&scene, true), 0);
    assert_int_equal(stored(), 1);
    scene_end(&scene);
}

static void what_is_not_what_was_claimed_is_refused(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", HEX_A, NULL, NULL), -EBADMSG);
    assert_non_null(strstr(scene.layers.words, "the layer: DiffID sha256:" HEX_A " expected"));
    assert_int_equal(publish(&scene, true), 0);
    assert_int_equal(stored(), 0);
    scene_end(&scene);
    scene_begin(&scene);
    assert_int_equal(take(&scene, "f a one", NULL, HEX_A, NULL), -EBADMSG);
    assert_non_null(strstr(scene.layers.words, "the layer: digest sha256:" HEX_A " expected"));
    scene_end(&scene);
}

static void the_limit_is_for_all_layers_together(void **state)
{
    (void)state;
    struct scene scene;
    scene_begin(&scene);
    scene.layers.size_max = 6;
    assert_int_equal(take(&scene, "f a four", NULL, NULL, NULL), 0);
    assert_int_equal(take(&scene, "f b four", NULL, NULL, NULL), -EFBIG);
    scene_end(&scene);
    scene_begin(&scene);
    scene.layers.size_max = 4;
    assert_int_equal(take(&scene, "f a four", NULL, NULL, NULL), 0);
    assert_int_equal(take(&scene, "f b f", NULL, NULL, NULL), -EFBIG);
    assert_non_null(strstr(scene.layers.words, "the layer"));
    scene_end(&scene);
}

static void an_archive_that_nothing_speaks_for_must_have_an_end(void **state)
{
    (void)state;
    struct scene scene;
    char id[DIGEST_HEX_SIZE];
    size_t size;
    const struct layer_claim claim = {.what = "the layer"};
    scene_begin(&scene);
    cleanup_fd int whole = tarkit_archive("f a one, f b two");
    cleanup_free unsigned char *bytes = tarkit_bytes(whole, &size);
    const struct tar_sums sums = sums_of(whole);
    /* A header and a block of content. */
    cleanup_fd int cut = tarkit_file_of(bytes, 1024);
    assert_int_equal(newlayers_take(&scene.layers, cut, &claim, id), -EBADMSG);
    assert_non_null(strstr(scene.layers.words, "cut short"));
    assert_int_equal(newlayers_take(&scene.layers, whole, &claim, id), 0);
    assert_string_equal(id, sums.diff_id);
    scene_end(&scene);
}

/* Who imports the same thing at the same time publishes between our unpacking and our publishing.
 */
static void a_faster_import_of_the_same_layer_is_no_failure(void **state)
{
    (void)state;
    struct scene mine, other;
    char id[DIGEST_HEX_SIZE];
    scene_begin(&mine);
    scene_begin(&other);
    assert_int_equal(take(&mine, "f a one", NULL, NULL, id), 0);
    assert_int_equal(take(&other, "f a one", NULL, NULL, id), 0);
    assert_int_equal(publish(&other, true), 0);
    assert_int_equal(publish(&mine, true), 0);
    assert_int_equal(stored(), 1);
    newlayers_finish(&mine.layers);
    store_unstage(mine.store, &mine.stage);
    store_close(mine.store);
    scene_end(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(layers_appear_together_with_their_rows),
        kit_test(what_is_withdrawn_leaves_nothing),
        kit_test(what_the_store_has_is_not_unpacked),
        kit_test(one_layer_may_be_taken_many_times),
        kit_test(what_is_not_what_was_claimed_is_refused),
        kit_test(the_limit_is_for_all_layers_together),
        kit_test(an_archive_that_nothing_speaks_for_must_have_an_end),
        kit_test(a_faster_import_of_the_same_layer_is_no_failure),
    };
    return kit_run("newlayers", tests, sizeof(tests) / sizeof(tests[0]));
}
