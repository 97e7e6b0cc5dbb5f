/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "oci.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define SHA_A "\"sha256:" HEX_A "\""
#define SHA_B "\"sha256:" HEX_B "\""
#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" SHA_A "," SHA_B "]}"
#define OCI "application/vnd.oci.image."

/* A document that has to be refused, and what has to be said of it. */
struct bad {
    const char *text, *words;
};

enum kind { CONFIG, INDEX, MANIFEST, ARCHIVE, LAYOUT };

static int parse(enum kind kind, const char *text, size_t size, struct oci_fault *fault)
{
    struct oci_config config;
    struct oci_index index;
    struct oci_manifest manifest;
    struct oci_archive archive;
    int err = 0;
    switch (kind) {
    case CONFIG:
        err = oci_config_parse(text, size, &config, fault);
        oci_config_finish(&config);
        return err;
    case INDEX:
        err = oci_index_parse(text, size, &index, fault);
        oci_index_finish(&index);
        return err;
    case MANIFEST:
        err = oci_manifest_parse(text, size, &manifest, fault);
        oci_manifest_finish(&manifest);
        return err;
    case ARCHIVE:
        err = oci_archive_parse(text, size, &archive, fault);
        oci_archive_finish(&archive);
        return err;
    case LAYOUT:
        return oci_layout_check(text, size, fault);
    }
    return err;
}

static void assert_refused(enum kind kind, const struct bad *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct oci_fault fault;
        int err = parse(kind, bad[i].text, strlen(bad[i].text), &fault);
        if (err != -EBADMSG || !strstr(fault.words, bad[i].words))
            fail_msg("%s: %d '%s', not '%s'", bad[i].text, err, fault.words, bad[i].words);
    }
}

#define assert_all_refused(kind, bad) assert_refused(kind, bad, sizeof(bad) / sizeof((bad)[0]))

/* ---- config ---- */

static void a_config_is_read_whole(void **state)
{
    (void)state;
    static const char text[] =
        "{\"created\":\"2024-05-01T00:00:00Z\",\"architecture\":\"arm\",\"variant\":\"v7\","
        "\"os\":\"linux\",\"unknown\":[1.5,null],\"config\":{\"User\":\"www:www\","
        "\"ExposedPorts\":{\"80/tcp\":{}},\"Env\":[\"A=1\",\"B=\"],\"Entrypoint\":[\"/e\"],"
        "\"Cmd\":[\"c\",\"d\"],\"Volumes\":{\"/data\":{},\"/log\":{}},\"WorkingDir\":\"/srv\","
        "\"Labels\":{\"k\":\"v\"},\"StopSignal\":\"SIGINT\"}," ROOTFS ","
        "\"history\":[{\"created_by\":\"one\"},{\"created_by\":\"none\",\"empty_layer\":true},"
        "{\"created_by\":\"two\",\"comment\":\"said\"}]}\n";
    struct oci_fault fault;
    cleanup_oci_config struct oci_config config;
    assert_int_equal(oci_config_parse(text, sizeof(text) - 1, &config, &fault), 0);
    assert_int_equal(config.size, sizeof(text) - 1);
    assert_string_equal(config.text, text);
    assert_string_equal(config.created, "2024-05-01T00:00:00Z");
    assert_string_equal(config.platform.os, "linux");
    assert_string_equal(config.platform.architecture, "arm");
    assert_string_equal(config.platform.variant, "v7");
    assert_int_equal(config.diff_ids.count, 2);
    assert_string_equal(config.diff_ids.at[0], HEX_A);
    assert_string_equal(config.diff_ids.at[1], HEX_B);
    assert_null(config.diff_ids.at[2]);
    assert_string_equal(config.entrypoint.at[0], "/e");
    assert_string_equal(config.cmd.at[1], "d");
    assert_null(config.cmd.at[2]);
    assert_string_equal(config.env.at[1], "B=");
    assert_string_equal(config.user, "www:www");
    assert_string_equal(config.working_dir, "/srv");
    assert_string_equal(config.stop_signal, "SIGINT");
    assert_string_equal(config.volumes.at[1], "/log");
    assert_string_equal(config.ports.at[0], "80/tcp");
    assert_string_equal(config.labels.at[0].key, "k");
    assert_string_equal(config.labels.at[0].value, "v");
    assert_int_equal(config.history_count, 3);
    assert_true(config.history[1].empty);
    assert_string_equal(config.history[2].created_by, "two");
    assert_string_equal(config.history[2].comment, "said");
}

static void an_id_is_the_digest_of_the_bytes(void **state)
{
    (void)state;
    struct oci_fault fault;
    struct oci_config one, other;
    char hex[DIGEST_HEX_SIZE];
    static const char tight[] = "{" ROOTFS "}", wide[] = "{ " ROOTFS " }";
    assert_int_equal(oci_config_parse(tight, strlen(tight), &one, &fault), 0);
    assert_int_equal(oci_config_parse(wide, strlen(wide), &other, &fault), 0);
    assert_int_equal(digest_of(tight, strlen(tight), hex), 0);
    assert_string_equal(one.id, hex);
    assert_string_not_equal(one.id, other.id);
    oci_config_finish(&one);
    oci_config_finish(&other);
}

static void null_means_missing(void **state)
{
    (void)state;
    static const char text[] = "{\"created\":null,\"config\":{\"Cmd\":null,\"Volumes\":null,"
                               "\"Labels\":null,\"User\":null},\"history\":null,\"rootfs\":"
                               "{\"type\":\"layers\",\"diff_ids\":null}}";
    struct oci_fault fault;
    cleanup_oci_config struct oci_config config;
    assert_int_equal(oci_config_parse(text, sizeof(text) - 1, &config, &fault), 0);
    assert_string_equal(config.created, "");
    assert_string_equal(config.user, "");
    assert_int_equal(config.cmd.count + config.volumes.count + config.labels.count, 0);
    assert_int_equal(config.diff_ids.count, 0);
}

static void a_config_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"", "no JSON"},
        {"[]", "no JSON object"},
        {"{} {}", "no JSON"},
        {"{", "no JSON"},
        {"{}", "rootfs"},
        {"{\"rootfs\":[]}", "\"rootfs\" is no object"},
        {"{\"rootfs\":{\"type\":\"flat\"}}", "not of the type"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":{}}}", "\"diff_ids\" is no array"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[7]}}", "no string"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"" HEX_A "\"]}}", "no sha256"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:../x\"]}}", "no sha256"},
        {"{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha512:" HEX_A "\"]}}", "no sha256"},
        {"{" ROOTFS "," ROOTFS "}", "duplicate"},
        {"{\"config\":{\"Cmd\":[],\"Cmd\":[]}," ROOTFS "}", "duplicate"},
        {"{\"config\":[]," ROOTFS "}", "\"config\" is no object"},
        {"{\"config\":{\"Cmd\":\"sh\"}," ROOTFS "}", "\"Cmd\" is no array"},
        {"{\"config\":{\"Env\":[\"A=1\",2]}," ROOTFS "}", "\"Env\" holds"},
        {"{\"config\":{\"User\":0}," ROOTFS "}", "\"User\" is no string"},
        {"{\"config\":{\"Volumes\":[\"/a\"]}," ROOTFS "}", "\"Volumes\" is no object"},
        {"{\"config\":{\"Labels\":{\"a\":1}}," ROOTFS "}", "\"Labels\" holds"},
        {"{\"os\":1," ROOTFS "}", "\"os\" is no string"},
        {"{\"history\":{}," ROOTFS "}", "\"history\" is no array"},
        {"{\"history\":[1]," ROOTFS "}", "\"history\" holds"},
        {"{\"history\":[{\"empty_layer\":1}]," ROOTFS "}", "neither true nor false"},
        {"{\"os\":\"a\\u0000b\"," ROOTFS "}", "no JSON"},
        {"{\"os\":\"\xff\"," ROOTFS "}", "no JSON"},
    };
    assert_all_refused(CONFIG, bad);
}

static void words_hold_nothing_that_a_terminal_obeys(void **state)
{
    (void)state;
    static const char text[] = "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":"
                               "[\"\\u001b[2J\\u0007\\u007f\\n\"]}}";
    struct oci_fault fault;
    assert_int_equal(parse(CONFIG, text, strlen(text), &fault), -EBADMSG);
    for (const char *at = fault.words; *at; at++)
        assert_true(*at >= ' ' && *at != 0x7f);
}

static void size_depth_and_count_are_bounded(void **state)
{
    (void)state;
    struct oci_fault fault;
    const size_t room = OCI_DOCUMENT_MAX + 1;
    cleanup_free char *text = malloc(room + 1);
    for (int kind = CONFIG; kind <= LAYOUT; kind++) {
        memset(text, ' ', room);
        assert_int_equal(parse((enum kind)kind, text, room, &fault), -EBADMSG);
        assert_non_null(strstr(fault.words, "bytes"));
        memset(text, '[', room);
        assert_int_equal(parse((enum kind)kind, text, room - 1, &fault), -EBADMSG);
        assert_non_null(strstr(fault.words, "depth"));
    }
    char *end = stpcpy(text, "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[" SHA_A);
    for (int i = 0; i < OCI_LAYERS_MAX; i++)
        end = stpcpy(end, "," SHA_A);
    end = stpcpy(end, "]}}");
    assert_int_equal(parse(CONFIG, text, (size_t)(end - text), &fault), -EBADMSG);
    assert_non_null(strstr(fault.words, "4001 layers"));
}

/* ---- index and manifest ---- */

static void an_index_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "{\"schemaVersion\":2,\"mediaType\":\"" OCI "index.v1+json\",\"manifests\":["
        "{\"mediaType\":\"" OCI "manifest.v1+json\",\"digest\":" SHA_A ",\"size\":7,\"platform\":"
        "{\"os\":\"linux\",\"architecture\":\"arm64\",\"variant\":\"v8\"},\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"one:1\"}},"
        "{\"mediaType\":\"application/vnd.docker.distribution.manifest.list.v2+json\","
        "\"digest\":" SHA_B ",\"size\":9007199254740993,\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":\"latest\","
        "\"io.containerd.image.name\":\"docker.io/library/two:latest\"}},"
        "{\"mediaType\":\"text/plain\",\"digest\":" SHA_B ",\"size\":0}]}";
    struct oci_fault fault;
    cleanup_oci_index struct oci_index index;
    assert_int_equal(oci_index_parse(text, sizeof(text) - 1, &index, &fault), 0);
    assert_int_equal(index.count, 3);
    assert_int_equal(index.at[0].media, OCI_MANIFEST);
    assert_string_equal(index.at[0].digest, HEX_A);
    assert_int_equal(index.at[0].size, 7);
    assert_string_equal(index.at[0].platform.architecture, "arm64");
    assert_string_equal(index.at[0].platform.variant, "v8");
    assert_string_equal(index.at[0].name, "one:1");
    assert_int_equal(index.at[1].media, OCI_INDEX);
    assert_true(index.at[1].size == 9007199254740993);
    assert_string_equal(index.at[1].platform.os, "");
    assert_string_equal(index.at[1].name, "docker.io/library/two:latest");
    assert_int_equal(index.at[2].media, OCI_UNKNOWN);
    assert_string_equal(index.at[2].type, "text/plain");
}

/* A descriptor: HEAD, its media type, TAIL. */
#define HEAD "{\"mediaType\":\""
#define TAIL "\",\"digest\":" SHA_A ",\"size\":1}"
#define DOCKER "application/vnd.docker."

#define INDEX_OF(list) "{\"schemaVersion\":2,\"manifests\":[" list "]}"

static void an_index_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{}", "schemaVersion"},
        {"{\"schemaVersion\":1,\"manifests\":[]}", "schemaVersion"},
        {"{\"schemaVersion\":\"2\",\"manifests\":[]}", "schemaVersion"},
        {"{\"schemaVersion\":2}", "manifests"},
        {"{\"schemaVersion\":2,\"manifests\":{}}", "manifests"},
        {"{\"schemaVersion\":2,\"manifests\":[],\"layers\":[]}", "\"layers\", which has no place"},
        {"{\"schemaVersion\":2,\"manifests\":[],\"config\":{}}", "\"config\", which has no place"},
        {"{\"schemaVersion\":2,\"mediaType\":\"" OCI "manifest.v1+json\",\"manifests\":[]}",
         "says itself"},
        {"{\"schemaVersion\":2,\"mediaType\":7,\"manifests\":[]}", "says itself"},
        {INDEX_OF("1"), "descriptor is no object"},
        {INDEX_OF("{\"digest\":" SHA_A "}"), "no size"},
        {INDEX_OF("{\"digest\":" SHA_A ",\"size\":-1}"), "no size"},
        {INDEX_OF("{\"digest\":" SHA_A ",\"size\":1.5}"), "no size"},
        {INDEX_OF("{\"digest\":" SHA_A ",\"size\":99999999999999999999}"), "no JSON"},
        {INDEX_OF("{\"size\":1}"), "no sha256"},
        {INDEX_OF("{\"size\":1,\"digest\":\"sha256:" HEX_A "a\"}"), "no sha256"},
        {INDEX_OF("{\"size\":1,\"digest\":\"sha256:../../../etc/passwd\"}"), "no sha256"},
        {INDEX_OF("{\"size\":1,\"digest\":" SHA_A ",\"platform\":1}"), "\"platform\""},
        {INDEX_OF("{\"size\":1,\"digest\":" SHA_A ",\"platform\":{\"os\":1}}"), "\"os\""},
        {INDEX_OF("{\"size\":1,\"digest\":" SHA_A ",\"annotations\":[]}"), "\"annotations\""},
    };
    assert_all_refused(INDEX, bad);
}

static void both_kinds_of_manifest_are_read(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"schemaVersion\":2,\"config\":" HEAD OCI "config.v1+json" TAIL ",\"layers\":[" HEAD OCI
        "layer.v1.tar" TAIL "," HEAD OCI "layer.v1.tar+gzip" TAIL "," HEAD OCI
        "layer.v1.tar+zstd" TAIL "]}",
        "{\"schemaVersion\":2,\"mediaType\":\"" DOCKER "distribution.manifest.v2+json\","
        "\"config\":" HEAD DOCKER "container.image.v1+json" TAIL ",\"layers\":[" HEAD DOCKER
        "image.rootfs.diff.tar" TAIL "," HEAD DOCKER "image.rootfs.diff.tar.gzip" TAIL
        "," HEAD DOCKER "image.rootfs.diff.tar.zstd" TAIL "]}",
    };
    for (int i = 0; i < 2; i++) {
        struct oci_fault fault;
        cleanup_oci_manifest struct oci_manifest manifest;
        assert_int_equal(oci_manifest_parse(texts[i], strlen(texts[i]), &manifest, &fault), 0);
        assert_string_equal(manifest.config.digest, HEX_A);
        assert_int_equal(manifest.count, 3);
        assert_int_equal(manifest.layers[0].media, OCI_LAYER);
        assert_int_equal(manifest.layers[1].media, OCI_LAYER_GZIP);
        assert_int_equal(manifest.layers[2].media, OCI_LAYER_ZSTD);
    }
}

#define GOOD_CONFIG "{\"schemaVersion\":2,\"config\":" HEAD OCI "config.v1+json" TAIL

static void a_manifest_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{\"schemaVersion\":2,\"layers\":[]}", "descriptor is no object"},
        {GOOD_CONFIG "}", "layers"},
        {GOOD_CONFIG ",\"layers\":[],\"manifests\":[]}", "no place"},
        {"{\"schemaVersion\":1,\"fsLayers\":[]}", "schemaVersion"},
        {GOOD_CONFIG ",\"layers\":[" HEAD OCI "layer.v1.tar+gzip+encrypted" TAIL "]}",
         "no layer known here"},
    };
    assert_all_refused(MANIFEST, bad);
}

static void a_manifest_of_something_else_is_told_from_a_broken_one(void **state)
{
    (void)state;
    static const char *const others[] = {
        "{\"schemaVersion\":2,\"config\":" HEAD "application/vnd.oci.empty.v1+json" TAIL
        ",\"layers\":[]}",
        GOOD_CONFIG ",\"layers\":[" HEAD OCI "config.v1+json" TAIL "]}",
    };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct oci_fault fault;
        assert_int_equal(parse(MANIFEST, others[i], strlen(others[i]), &fault), -ENOMSG);
        assert_non_null(strstr(fault.words, "it is no image"));
    }
}

static void a_layout_is_of_version_one(void **state)
{
    (void)state;
    struct oci_fault fault;
    assert_int_equal(oci_layout_check(OCI_LAYOUT, strlen(OCI_LAYOUT), &fault), 0);
    static const struct bad bad[] = {
        {"{}", "imageLayoutVersion"},
        {"[]", "imageLayoutVersion"},
        {"{\"imageLayoutVersion\":\"2.0.0\"}", "2.0.0"},
        {"{\"imageLayoutVersion\":1}", "imageLayoutVersion"},
        {"nothing", "no JSON"},
    };
    assert_all_refused(LAYOUT, bad);
}

/* ---- docker-archive ---- */

static void a_docker_archive_is_read(void **state)
{
    (void)state;
    static const char text[] =
        "[{\"Config\":\"c.json\",\"RepoTags\":[\"a:1\",\"a:2\"],\"Layers\":[\"x/layer.tar\"]},"
        "{\"Config\":\"d.json\",\"RepoTags\":null,\"Layers\":[],\"LayerSources\":{}}]";
    struct oci_fault fault;
    cleanup_oci_archive struct oci_archive archive;
    assert_int_equal(oci_archive_parse(text, sizeof(text) - 1, &archive, &fault), 0);
    assert_int_equal(archive.count, 2);
    assert_string_equal(archive.at[0].config, "c.json");
    assert_int_equal(archive.at[0].names.count, 2);
    assert_string_equal(archive.at[0].names.at[1], "a:2");
    assert_string_equal(archive.at[0].layers.at[0], "x/layer.tar");
    assert_int_equal(archive.at[1].names.count, 0);
}

static void a_docker_archive_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"{}", "no JSON array"},
        {"[1]", "no object"},
        {"[{}]", "no \"Config\""},
        {"[{\"Config\":1}]", "\"Config\" is no string"},
        {"[{\"Config\":\"a\",\"Layers\":\"x\"}]", "\"Layers\" is no array"},
        {"[{\"Config\":\"a\",\"Layers\":[],\"Layers\":[]}]", "duplicate"},
        {"[{\"Config\":\"a\",\"RepoTags\":[null]}]", "\"RepoTags\" holds"},
    };
    assert_all_refused(ARCHIVE, bad);
}

/* ---- writing ---- */

static void what_is_written_is_read_as_it_was(void **state)
{
    (void)state;
    const struct oci_descriptor config = {.media = OCI_CONFIG, .digest = HEX_A, .size = 1};
    const struct oci_descriptor layers[] = {
        {.media = OCI_LAYER_GZIP, .digest = HEX_B, .size = 1ULL << 40},
        {.media = OCI_LAYER, .digest = HEX_A, .size = 3},
    };
    struct oci_fault fault;
    cleanup_oci_manifest struct oci_manifest manifest;
    cleanup_free char *text = oci_manifest_write(&config, layers, 2);
    assert_int_equal(oci_manifest_parse(text, strlen(text), &manifest, &fault), 0);
    assert_string_equal(manifest.config.digest, HEX_A);
    assert_int_equal(manifest.count, 2);
    assert_int_equal(manifest.layers[0].media, OCI_LAYER_GZIP);
    assert_true(manifest.layers[0].size == 1ULL << 40);
    assert_string_equal(manifest.layers[1].digest, HEX_A);

    const struct oci_descriptor images[] = {
        {.media = OCI_MANIFEST,
         .digest = HEX_B,
         .size = 5,
         .platform = {"linux", "arm", "v7"},
         .name = "a:1"},
        {.media = OCI_MANIFEST, .digest = HEX_A, .size = 6},
    };
    cleanup_oci_index struct oci_index index;
    cleanup_free char *listed = oci_index_write(images, 2);
    assert_int_equal(oci_index_parse(listed, strlen(listed), &index, &fault), 0);
    assert_string_equal(index.at[0].name, "a:1");
    assert_string_equal(index.at[0].platform.variant, "v7");
    assert_string_equal(index.at[1].name, "");
    assert_string_equal(index.at[1].platform.os, "");

    const char *names[] = {"a:1", NULL}, *paths[] = {"x.tar", "y.tar", NULL};
    const struct oci_saved saved = {"c.json", {names, 1}, {paths, 2}};
    cleanup_oci_archive struct oci_archive archive;
    cleanup_free char *written = oci_archive_write(&saved, 1);
    assert_int_equal(oci_archive_parse(written, strlen(written), &archive, &fault), 0);
    assert_string_equal(archive.at[0].config, "c.json");
    assert_string_equal(archive.at[0].names.at[0], "a:1");
    assert_string_equal(archive.at[0].layers.at[1], "y.tar");
}

static void what_is_not_utf8_is_not_written(void **state)
{
    (void)state;
    const struct oci_descriptor image = {.digest = HEX_A, .name = "\xff"};
    assert_null(oci_index_write(&image, 1));
    const char *names[] = {"\xff", NULL};
    const struct oci_saved saved = {"c.json", {names, 1}, {NULL, 0}};
    assert_null(oci_archive_write(&saved, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_is_read_whole),
        cmocka_unit_test(an_id_is_the_digest_of_the_bytes),
        cmocka_unit_test(null_means_missing),
        cmocka_unit_test(a_config_that_makes_no_sense_is_refused),
        cmocka_unit_test(words_hold_nothing_that_a_terminal_obeys),
        cmocka_unit_test(size_depth_and_count_are_bounded),
        cmocka_unit_test(an_index_is_read),
        cmocka_unit_test(an_index_that_makes_no_sense_is_refused),
        cmocka_unit_test(both_kinds_of_manifest_are_read),
        cmocka_unit_test(a_manifest_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_manifest_of_something_else_is_told_from_a_broken_one),
        cmocka_unit_test(a_layout_is_of_version_one),
        cmocka_unit_test(a_docker_archive_is_read),
        cmocka_unit_test(a_docker_archive_that_makes_no_sense_is_refused),
        cmocka_unit_test(what_is_written_is_read_as_it_was),
        cmocka_unit_test(what_is_not_utf8_is_not_written),
    };
    return cmocka_run_group_tests_name("oci", tests, NULL, NULL);
}
