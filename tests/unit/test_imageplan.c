/* SPDX-License-Identifier: MIT
 *
 * Archives are made by hand in the directory "a": their documents with right digests, or with one
 * thing that is wrong.
 */
#include "kit.h"

#include "imageplan.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const struct platform ARM = {"linux", "arm", "v7"}, RISC = {"linux", "riscv64", ""};
static struct imageplans plans;

static int read_plans(const struct platform *platform)
{
    imageplans_finish(&plans);
    cleanup_fd int dir = kit_open("a", O_RDONLY | O_DIRECTORY);
    cleanup_imagefiles struct imagefiles *files = imagefiles_of_directory(dir);
    return imageplans_read(files, platform, &plans);
}

static void assert_refused(int expected, const char *words)
{
    int err = read_plans(NULL);
    if (err != expected || !strstr(plans.words, words))
        fail_msg("%d '%s', not %d '%s'", err, plans.words, expected, words);
    assert_int_equal(plans.count, 0);
}

/* A text as printf() makes it, good until as many more were made as there are. */
__attribute__((format(printf, 1, 2))) static const char *text(const char *format, ...)
{
    static char texts[32][4096];
    static int next;
    char *made = texts[next++ % 32];
    va_list args;
    va_start(args, format);
    vsnprintf(made, sizeof(texts[0]), format, args);
    va_end(args);
    return made;
}

/* Writes a blob. Its descriptor: a media type and more members go around what is given back. */
static const char *blob(const char *content)
{
    char hex[DIGEST_HEX_SIZE];
    assert_int_equal(digest_of(content, strlen(content), hex), 0);
    kit_file(text("a/blobs/sha256/%s", hex), content);
    return text("\"digest\":\"sha256:%s\",\"size\":%zu", hex, strlen(content));
}

static const char *config(const char *architecture, const char *diff_ids)
{
    return text("{\"os\":\"linux\",\"architecture\":\"%s\",\"rootfs\":{\"type\":\"layers\","
                "\"diff_ids\":[%s]}}",
                architecture, diff_ids);
}

#define OCI "\"mediaType\":\"application/vnd.oci.image."
#define CONFIG_TYPE OCI "config.v1+json\","
#define LAYER_TYPE OCI "layer.v1.tar\","
#define MANIFEST_TYPE OCI "manifest.v1+json\","
#define INDEX_TYPE OCI "index.v1+json\","

/* An image of one layer; its descriptor. */
static const char *image(const char *architecture, const char *layer)
{
    const char *stated = blob(
        text("{\"author\":\"%s\",%s", layer, config(architecture, "\"sha256:" HEX_A "\"") + 1));
    return blob(text("{\"schemaVersion\":2,\"config\":{" CONFIG_TYPE "%s},\"layers\":[{" LAYER_TYPE
                     "%s}]}",
                     stated, blob(layer)));
}

static const char *entry(const char *type, const char *descriptor, const char *more)
{
    return text("{%s%s%s}", type, descriptor, more);
}

static const char *index_of(const char *entries)
{
    return text("{\"schemaVersion\":2,\"manifests\":[%s]}", entries);
}

static void write_layout(const char *entries)
{
    kit_file("a/oci-layout", OCI_LAYOUT);
    kit_file("a/index.json", index_of(entries));
}

#define FOR(os, arch) ",\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"}"
#define NAMED(name) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

static void a_layout_of_one_image_is_planned(void **state)
{
    (void)state;
    write_layout(entry(MANIFEST_TYPE, image("riscv64", "layer"), NAMED("docker.io/library/x")));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 1);
    assert_int_equal(plans.at[0].platforms, 1);
    assert_int_equal(plans.at[0].name_count, 1);
    assert_string_equal(plans.at[0].names[0], "x:latest");
    assert_string_equal(plans.at[0].layers[0].diff_id, HEX_A);
    assert_int_equal(plans.at[0].layers[0].size, 5);
    assert_non_null(strstr(plans.at[0].layers[0].path, plans.at[0].layers[0].digest));
}

static void each_name_of_a_layout_is_an_image(void **state)
{
    (void)state;
    write_layout(text("%s,%s,%s,%s", entry(MANIFEST_TYPE, image("amd64", "one"), NAMED("one")),
                      entry(MANIFEST_TYPE, image("amd64", "two"), NAMED("two:2")),
                      entry(MANIFEST_TYPE, image("amd64", "three"), ""),
                      entry(MANIFEST_TYPE, image("amd64", "four"), "")));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 4);
    assert_string_equal(plans.at[1].names[0], "two:2");
    assert_int_equal(plans.at[2].name_count + plans.at[3].name_count, 0);
}

static void what_is_no_name_is_left_out(void **state)
{
    (void)state;
    write_layout(entry(MANIFEST_TYPE, image("amd64", "one"), NAMED("NOT a name")));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.at[0].name_count, 0);
}

static void of_several_platforms_the_wanted_is_chosen(void **state)
{
    (void)state;
    const char *entries =
        text("%s,%s,%s", entry(MANIFEST_TYPE, image("riscv64", "r"), FOR("linux", "riscv64")),
             entry(MANIFEST_TYPE, image("arm", "a"), FOR("linux", "arm")),
             entry(MANIFEST_TYPE, image("none", "n"), FOR("unknown", "unknown")));
    for (int nested = 0; nested < 2; nested++) {
        write_layout(nested ? entry(INDEX_TYPE, blob(index_of(entries)), NAMED("x")) : entries);
        assert_int_equal(read_plans(&ARM), 0);
        assert_int_equal(plans.count, 1);
        assert_string_equal(plans.at[0].platform, "linux/arm");
        assert_int_equal(plans.at[0].platforms, 2);
        assert_int_equal(plans.at[0].name_count, nested);
        assert_int_equal(read_plans(&RISC), 0);
        assert_string_equal(plans.at[0].platform, "linux/riscv64");
        const struct platform other = {"linux", "vax", ""};
        assert_int_equal(read_plans(&other), -ENOENT);
        assert_non_null(strstr(plans.words, "linux/vax"));
        assert_non_null(strstr(plans.words, "linux/riscv64 linux/arm"));
    }
}

static void an_image_for_another_machine_is_taken_unless_one_was_asked_for(void **state)
{
    (void)state;
    write_layout(entry(MANIFEST_TYPE, image("vax", "v"), FOR("linux", "vax")));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(read_plans(&ARM), -ENOENT);
    write_layout(entry(MANIFEST_TYPE, image("vax", "v"), ""));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(read_plans(&ARM), -ENOENT);
}

/* A manifest of something else, as a signature or the list of an image's contents is kept. */
static const char *artifact(const char *config_type, const char *layer_type)
{
    return blob(
        text("{\"schemaVersion\":2,\"config\":{%s%s},\"layers\":[{\"mediaType\":\"%s\",%s}]}",
             config_type, blob("{}"), layer_type, blob("signed")));
}

static void what_is_no_image_is_left_out_of_an_index(void **state)
{
    (void)state;
    const char *vax = image("vax", "v");
    const char *others =
        text("%s,%s", entry(MANIFEST_TYPE, artifact(OCI "empty.v1+json\",", "text/plain"), ""),
             entry(MANIFEST_TYPE, artifact(CONFIG_TYPE, "application/vnd.of.a.signature"), ""));
    for (int nested = 0; nested < 2; nested++) {
        const char *all = text("%s,%s", others, entry(MANIFEST_TYPE, vax, FOR("linux", "vax")));
        write_layout(nested ? entry(INDEX_TYPE, blob(index_of(all)), NAMED("x")) : all);
        assert_int_equal(read_plans(NULL), 0);
        assert_int_equal(plans.count, 1);
        assert_string_equal(plans.at[0].platform, "linux/vax");
        write_layout(nested ? entry(INDEX_TYPE, blob(index_of(others)), NAMED("x")) : others);
        assert_refused(-EBADMSG, "it holds no image");
    }
    write_layout(entry(MANIFEST_TYPE,
                       artifact(CONFIG_TYPE, "application/vnd.oci.image.layer.v1.tar+new"), ""));
    assert_refused(-EBADMSG, "no layer known here");
}

/* Each further one would keep its own copy of what a config may say, many times its size. */
static void an_image_that_is_there_twice_is_one(void **state)
{
    (void)state;
    const char *one = image("amd64", "one");
    write_layout(text("%s,%s,%s", entry(MANIFEST_TYPE, one, NAMED("one")),
                      entry(MANIFEST_TYPE, one, NAMED("two")), entry(MANIFEST_TYPE, one, "")));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 1);
    assert_int_equal(plans.at[0].name_count, 2);
}

static void an_image_that_is_saved_twice_is_one(void **state)
{
    (void)state;
    kit_file("a/c.json", config("amd64", "\"sha256:" HEX_A "\""));
    kit_file("a/layer.tar", "layer");
    kit_file("a/manifest.json",
             "[{\"Config\":\"c.json\",\"RepoTags\":[\"x:1\"],\"Layers\":[\"layer.tar\"]},"
             "{\"Config\":\"c.json\",\"RepoTags\":[\"x:2\"],\"Layers\":[\"layer.tar\"]}]");
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 1);
    assert_string_equal(plans.at[0].names[1], "x:2");
    kit_file("a/manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"layer.tar\"]},"
                                "{\"Config\":\"c.json\",\"Layers\":[]}]");
    assert_refused(-EBADMSG, "names 1 layers, but there are 0");
}

static void the_config_is_read_again_and_is_what_it_was(void **state)
{
    (void)state;
    kit_file("a/c.json", config("amd64", ""));
    kit_file("a/manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[]}]");
    assert_int_equal(read_plans(NULL), 0);
    cleanup_fd int dir = kit_open("a", O_RDONLY | O_DIRECTORY);
    cleanup_imagefiles struct imagefiles *files = imagefiles_of_directory(dir);
    cleanup_free char *text = NULL, *other = NULL;
    assert_int_equal(imageplans_config(&plans, files, &plans.at[0], &text), 0);
    assert_string_equal(text, config("amd64", ""));
    kit_file("a/c.json", config("arm64", ""));
    assert_int_equal(imageplans_config(&plans, files, &plans.at[0], &other), -EBADMSG);
    assert_non_null(strstr(plans.words, "changed while it was imported"));
}

static void names_of_an_image_have_a_bound(void **state)
{
    (void)state;
    cleanup_free char *names = malloc(16 * (IMAGEPLAN_NAMES_MAX + 1));
    assert_non_null(names);
    size_t used = 0;
    for (int i = 0; i <= IMAGEPLAN_NAMES_MAX; i++)
        used += (size_t)sprintf(names + used, "%s\"x:%d\"", i ? "," : "", i);
    cleanup_free char *manifest = malloc(used + 100);
    assert_non_null(manifest);
    sprintf(manifest, "[{\"Config\":\"c.json\",\"RepoTags\":[%s],\"Layers\":[]}]", names);
    kit_file("a/c.json", config("amd64", ""));
    kit_file("a/manifest.json", manifest);
    assert_refused(-EBADMSG, "more than 1000 names");
}

static void indexes_nest_only_so_deep(void **state)
{
    (void)state;
    const char *at = entry(MANIFEST_TYPE, image("amd64", "one"), "");
    for (int depth = 1; depth <= 5; depth++) {
        at = entry(INDEX_TYPE, blob(index_of(at)), "");
        write_layout(at);
        if (depth <= 4)
            assert_int_equal(read_plans(NULL), 0);
    }
    assert_refused(-EBADMSG, "more than 4 indexes");
}

static void a_wrong_digest_or_size_is_named(void **state)
{
    (void)state;
    const char *good = image("amd64", "one");
    const char *hex = strstr(good, "sha256:") + 7;
    write_layout(entry(MANIFEST_TYPE, good, ""));
    cleanup_free char *whole = kit_text(text("a/blobs/sha256/%.64s", hex));
    whole[0] = ' ';
    kit_file(text("a/blobs/sha256/%.64s", hex), whole);
    assert_refused(-EBADMSG, "its content has the digest sha256:");
    kit_file(text("a/blobs/sha256/%.64s", hex), "short");
    assert_refused(-EBADMSG, "expected, 5 found");
    write_layout(entry(MANIFEST_TYPE, "\"digest\":\"sha256:" HEX_B "\",\"size\":1", ""));
    assert_refused(-EBADMSG, "blobs/sha256/" HEX_B ": it is missing");
}

static void layers_are_there_and_have_their_size(void **state)
{
    (void)state;
    const char *stated = blob(config("amd64", "\"sha256:" HEX_A "\""));
    const char *missing =
        blob(text("{\"schemaVersion\":2,\"config\":{" CONFIG_TYPE "%s},\"layers\":[{" LAYER_TYPE
                  "\"digest\":\"sha256:" HEX_B "\",\"size\":3}]}",
                  stated));
    write_layout(entry(MANIFEST_TYPE, missing, ""));
    assert_refused(-EBADMSG, HEX_B ": it is missing");
    kit_file("a/blobs/sha256/" HEX_B, "four");
    assert_refused(-EBADMSG, "3 bytes expected, 4 found");
    const char *none =
        blob(text("{\"schemaVersion\":2,\"config\":{" CONFIG_TYPE "%s},\"layers\":[]}", stated));
    write_layout(entry(MANIFEST_TYPE, none, ""));
    assert_refused(-EBADMSG, "names 1 layers, but there are 0");
}

static void an_archive_without_documents_holds_no_images(void **state)
{
    (void)state;
    kit_dir("a");
    assert_refused(-EBADMSG, "neither");
    kit_file("a/index.json", index_of(""));
    assert_refused(-EBADMSG, "oci-layout: it is missing");
    kit_file("a/oci-layout", "{\"imageLayoutVersion\":\"9\"}");
    assert_refused(-EBADMSG, "imageLayoutVersion");
    write_layout("");
    assert_refused(-EBADMSG, "it holds no image");
    write_layout(entry("\"mediaType\":\"text/plain\",", blob("text"), ""));
    assert_refused(-EBADMSG, "it holds no image");
    write_layout(entry(MANIFEST_TYPE, blob("{}"), ""));
    assert_refused(-EBADMSG, "schemaVersion");
}

static void a_docker_archive_is_planned(void **state)
{
    (void)state;
    char hex[DIGEST_HEX_SIZE];
    const char *json = config("amd64", "\"sha256:" HEX_A "\",\"sha256:" HEX_A "\"");
    assert_int_equal(digest_of(json, strlen(json), hex), 0);
    kit_file(text("a/%s.json", hex), json);
    kit_file("a/x/layer.tar", "layer");
    kit_file("a/manifest.json",
             text("[{\"Config\":\"%s.json\",\"RepoTags\":[\"x:1\",\"docker.io/library/x:1\","
                  "\"y\"],\"Layers\":[\"x/layer.tar\",\"x/layer.tar\"]}]",
                  hex));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 1);
    assert_string_equal(plans.at[0].id, hex);
    assert_int_equal(plans.at[0].name_count, 2);
    assert_string_equal(plans.at[0].names[0], "x:1");
    assert_string_equal(plans.at[0].names[1], "y:latest");
    assert_string_equal(plans.at[0].layers[1].path, "x/layer.tar");
    assert_string_equal(plans.at[0].layers[1].digest, "");
}

static void a_docker_archive_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    const char *json = config("amd64", "\"sha256:" HEX_A "\"");
    kit_file("a/c.json", json);
    kit_file("a/" HEX_B ".json", json);
    kit_file("a/layer.tar", "layer");
    kit_file("a/manifest.json", "[]");
    assert_refused(-EBADMSG, "no image");
    kit_file("a/manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[]}]");
    assert_refused(-EBADMSG, "names 1 layers, but there are 0");
    kit_file("a/manifest.json", "[{\"Config\":\"d.json\",\"Layers\":[\"layer.tar\"]}]");
    assert_refused(-EBADMSG, "d.json: it is missing");
    kit_file("a/manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"none.tar\"]}]");
    assert_refused(-EBADMSG, "none.tar: it is missing");
    kit_file("a/manifest.json", "[{\"Config\":\"" HEX_B ".json\",\"Layers\":[\"layer.tar\"]}]");
    assert_refused(-EBADMSG, "its content has the digest");
    kit_file("a/manifest.json", "[{\"Config\":\"c.json\",\"Layers\":[\"layer.tar\"]}]");
    assert_int_equal(read_plans(NULL), 0);
    kit_file("b.json", json);
    kit_file("a/manifest.json", "[{\"Config\":\"../b.json\",\"Layers\":[\"layer.tar\"]}]");
    assert_true(read_plans(NULL) < 0);
}

static void an_archive_that_is_both_has_the_names_of_both(void **state)
{
    (void)state;
    write_layout(entry(MANIFEST_TYPE, image("amd64", "one"), NAMED("one")));
    assert_int_equal(read_plans(NULL), 0);
    kit_file("a/manifest.json",
             text("[{\"Config\":\"blobs/sha256/%s\",\"RepoTags\":[\"one:latest\","
                  "\"more:1\"],\"Layers\":[]}]",
                  plans.at[0].id));
    assert_int_equal(read_plans(NULL), 0);
    assert_int_equal(plans.count, 1);
    assert_int_equal(plans.at[0].name_count, 2);
    assert_string_equal(plans.at[0].names[0], "one:latest");
    assert_string_equal(plans.at[0].names[1], "more:1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_layout_of_one_image_is_planned),
        kit_test(each_name_of_a_layout_is_an_image),
        kit_test(what_is_no_name_is_left_out),
        kit_test(of_several_platforms_the_wanted_is_chosen),
        kit_test(an_image_for_another_machine_is_taken_unless_one_was_asked_for),
        kit_test(what_is_no_image_is_left_out_of_an_index),
        kit_test(an_image_that_is_there_twice_is_one),
        kit_test(an_image_that_is_saved_twice_is_one),
        kit_test(the_config_is_read_again_and_is_what_it_was),
        kit_test(names_of_an_image_have_a_bound),
        kit_test(indexes_nest_only_so_deep),
        kit_test(a_wrong_digest_or_size_is_named),
        kit_test(layers_are_there_and_have_their_size),
        kit_test(an_archive_without_documents_holds_no_images),
        kit_test(a_docker_archive_is_planned),
        kit_test(a_docker_archive_that_contradicts_itself_is_refused),
        kit_test(an_archive_that_is_both_has_the_names_of_both),
    };
    int failed = kit_run("imageplan", tests, sizeof(tests) / sizeof(tests[0]));
    imageplans_finish(&plans);
    return failed;
}
