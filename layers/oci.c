/* SPDX-License-Identifier: MIT
 *
 * Duty: the one reader and writer of the documents of images. What a document may say is told by
 * tables of fields; the strings stay where the parser put them. Cost: one pass over the document,
 * and memory in proportion to it.
 */
#include "oci.h"

#include "log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char OCI_LAYOUT[] = "{\"imageLayoutVersion\":\"1.0.0\"}";

/* The first of a kind is what is written. */
static const struct {
    const char *type;
    enum oci_media media;
} MEDIA[] = {
    {"application/vnd.oci.image.index.v1+json", OCI_INDEX},
    {"application/vnd.docker.distribution.manifest.list.v2+json", OCI_INDEX},
    {"application/vnd.oci.image.manifest.v1+json", OCI_MANIFEST},
    {"application/vnd.docker.distribution.manifest.v2+json", OCI_MANIFEST},
    {"application/vnd.oci.image.config.v1+json", OCI_CONFIG},
    {"application/vnd.docker.container.image.v1+json", OCI_CONFIG},
    {"application/vnd.oci.image.layer.v1.tar", OCI_LAYER},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar", OCI_LAYER},
    {"application/vnd.docker.image.rootfs.diff.tar", OCI_LAYER},
    {"application/vnd.oci.image.layer.v1.tar+gzip", OCI_LAYER_GZIP},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", OCI_LAYER_GZIP},
    {"application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_LAYER_GZIP},
    {"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", OCI_LAYER_GZIP},
    {"application/vnd.oci.image.layer.v1.tar+zstd", OCI_LAYER_ZSTD},
    {"application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", OCI_LAYER_ZSTD},
    {"application/vnd.docker.image.rootfs.diff.tar.zstd", OCI_LAYER_ZSTD},
};

enum { MEDIA_COUNT = sizeof(MEDIA) / sizeof(MEDIA[0]) };

/* By which an index calls its images; the first that is there. */
static const char *const NAME_ANNOTATIONS[] = {
    "io.containerd.image.name",
    "org.opencontainers.image.ref.name",
};

static enum oci_media media_of(const char *type)
{
    for (int i = 0; i < MEDIA_COUNT; i++) {
        if (strcmp(MEDIA[i].type, type) == 0)
            return MEDIA[i].media;
    }
    return OCI_UNKNOWN;
}

static const char *type_of(enum oci_media media)
{
    for (int i = 0; i < MEDIA_COUNT; i++) {
        if (MEDIA[i].media == media)
            return MEDIA[i].type;
    }
    return "application/octet-stream";
}

/* Words may quote the document: what a terminal would obey is taken out. */
__attribute__((format(printf, 2, 3))) static int wrong(struct oci_fault *fault, const char *format,
                                                       ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    log_clean(fault->words);
    return -EBADMSG;
}

static int load(const char *text, size_t size, json_t **json, struct oci_fault *fault)
{
    json_error_t error;
    fault->words[0] = 0;
    if (size > OCI_DOCUMENT_MAX)
        return wrong(fault, "it has %zu bytes, more than the %d that are allowed", size,
                     OCI_DOCUMENT_MAX);
    *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (*json)
        return 0;
    if (json_error_code(&error) == json_error_out_of_memory)
        return -ENOMEM;
    return wrong(fault, "it is no JSON: %s, line %d", error.text, error.line);
}

/* ---- fields ---- */

enum field_kind {
    FIELD_TEXT,  /* a string: const char * */
    FIELD_FLAG,  /* true or false: bool */
    FIELD_WORDS, /* an array of strings: struct oci_words */
    FIELD_KEYS,  /* an object that stands for the set of its keys: struct oci_words */
    FIELD_PAIRS, /* an object whose values are strings: struct oci_pairs */
};

struct field {
    const char *key;
    enum field_kind kind;
    size_t at; /* where in the struct it goes */
};

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

static const char *text_or_empty(const json_t *string)
{
    const char *text = json_string_value(string);
    return text ? text : "";
}

/* The member `key` when it is there and not null, which means the same. */
static json_t *member(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static int read_words(const json_t *array, const char *key, struct oci_words *words,
                      struct oci_fault *fault)
{
    if (!json_is_array(array))
        return wrong(fault, "\"%s\" is no array", key);
    words->at = calloc(json_array_size(array) + 1, sizeof(*words->at));
    if (!words->at)
        return -ENOMEM;
    size_t index;
    const json_t *value;
    json_array_foreach(array, index, value)
    {
        if (!json_is_string(value))
            return wrong(fault, "\"%s\" holds something that is no string", key);
        words->at[words->count++] = json_string_value(value);
    }
    return 0;
}

static int read_keys(json_t *object, const char *key, struct oci_words *words,
                     struct oci_fault *fault)
{
    if (!json_is_object(object))
        return wrong(fault, "\"%s\" is no object", key);
    words->at = calloc(json_object_size(object) + 1, sizeof(*words->at));
    if (!words->at)
        return -ENOMEM;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value) words->at[words->count++] = name;
    return 0;
}

static int read_pairs(json_t *object, const char *key, struct oci_pairs *pairs,
                      struct oci_fault *fault)
{
    if (!json_is_object(object))
        return wrong(fault, "\"%s\" is no object", key);
    pairs->at = calloc(json_object_size(object) + 1, sizeof(*pairs->at));
    if (!pairs->at)
        return -ENOMEM;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (!json_is_string(value))
            return wrong(fault, "\"%s\" holds something that is no string", key);
        pairs->at[pairs->count++] = (struct oci_pair){name, json_string_value(value)};
    }
    return 0;
}

static int read_field(json_t *value, const struct field *field, char *into, struct oci_fault *fault)
{
    void *slot = into + field->at;
    switch (field->kind) {
    case FIELD_TEXT:
        if (value && !json_is_string(value))
            return wrong(fault, "\"%s\" is no string", field->key);
        *(const char **)slot = text_or_empty(value);
        return 0;
    case FIELD_FLAG:
        if (value && !json_is_boolean(value))
            return wrong(fault, "\"%s\" is neither true nor false", field->key);
        *(bool *)slot = json_is_true(value);
        return 0;
    case FIELD_WORDS:
        return value ? read_words(value, field->key, slot, fault) : 0;
    case FIELD_KEYS:
        return value ? read_keys(value, field->key, slot, fault) : 0;
    case FIELD_PAIRS:
        return value ? read_pairs(value, field->key, slot, fault) : 0;
    }
    return 0;
}

/* Reads members of `object`; without one (NULL) everything is empty. */
static int read_fields(const json_t *object, const struct field *fields, size_t count, void *into,
                       struct oci_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        int err = read_field(member(object, fields[i].key), &fields[i], into, fault);
        if (err)
            return err;
    }
    return 0;
}

/* The member `key`, which must be of a type, or may be missing. */
static int member_object(const json_t *object, const char *key, json_t **value,
                         struct oci_fault *fault)
{
    *value = member(object, key);
    return *value && !json_is_object(*value) ? wrong(fault, "\"%s\" is no object", key) : 0;
}

static int member_array(const json_t *object, const char *key, json_t **value,
                        struct oci_fault *fault)
{
    *value = member(object, key);
    return *value && !json_is_array(*value) ? wrong(fault, "\"%s\" is no array", key) : 0;
}

/* The hex digits of a digest as documents write it; NULL for any other algorithm. */
static const char *sha256_of(const char *digest)
{
    return strncmp(digest, "sha256:", 7) == 0 ? digest_hex(digest) : NULL;
}

/* ---- image config ---- */

static const struct field CONFIG_FIELDS[] = {
    {"created", FIELD_TEXT, offsetof(struct oci_config, created)},
    {"os", FIELD_TEXT, offsetof(struct oci_config, platform.os)},
    {"architecture", FIELD_TEXT, offsetof(struct oci_config, platform.architecture)},
    {"variant", FIELD_TEXT, offsetof(struct oci_config, platform.variant)},
};

static const struct field RUN_FIELDS[] = {
    {"Entrypoint", FIELD_WORDS, offsetof(struct oci_config, entrypoint)},
    {"Cmd", FIELD_WORDS, offsetof(struct oci_config, cmd)},
    {"Env", FIELD_WORDS, offsetof(struct oci_config, env)},
    {"User", FIELD_TEXT, offsetof(struct oci_config, user)},
    {"WorkingDir", FIELD_TEXT, offsetof(struct oci_config, working_dir)},
    {"StopSignal", FIELD_TEXT, offsetof(struct oci_config, stop_signal)},
    {"Volumes", FIELD_KEYS, offsetof(struct oci_config, volumes)},
    {"ExposedPorts", FIELD_KEYS, offsetof(struct oci_config, ports)},
    {"Labels", FIELD_PAIRS, offsetof(struct oci_config, labels)},
};

static const struct field HISTORY_FIELDS[] = {
    {"created", FIELD_TEXT, offsetof(struct oci_history, created)},
    {"created_by", FIELD_TEXT, offsetof(struct oci_history, created_by)},
    {"comment", FIELD_TEXT, offsetof(struct oci_history, comment)},
    {"empty_layer", FIELD_FLAG, offsetof(struct oci_history, empty)},
};

static int read_rootfs(const json_t *json, struct oci_config *config, struct oci_fault *fault)
{
    json_t *rootfs;
    int err = member_object(json, "rootfs", &rootfs, fault);
    if (err)
        return err;
    if (strcmp(text_or_empty(member(rootfs, "type")), "layers") != 0)
        return wrong(fault, "\"rootfs\" is not of the type \"layers\": it is no image config");
    const json_t *ids = member(rootfs, "diff_ids");
    if (json_array_size(ids) > OCI_LAYERS_MAX)
        return wrong(fault, "it has %zu layers, more than the %d that are allowed",
                     json_array_size(ids), OCI_LAYERS_MAX);
    err = ids ? read_words(ids, "diff_ids", &config->diff_ids, fault) : 0;
    for (size_t i = 0; !err && i < config->diff_ids.count; i++) {
        const char *hex = sha256_of(config->diff_ids.at[i]);
        if (!hex)
            return wrong(fault, "\"diff_ids\" has \"%.80s\", which is no sha256 digest",
                         config->diff_ids.at[i]);
        config->diff_ids.at[i] = hex;
    }
    return err;
}

static int read_history(const json_t *json, struct oci_config *config, struct oci_fault *fault)
{
    json_t *array;
    int err = member_array(json, "history", &array, fault);
    if (err || !array)
        return err;
    config->history = calloc(json_array_size(array) + 1, sizeof(*config->history));
    if (!config->history)
        return -ENOMEM;
    size_t index;
    const json_t *entry;
    json_array_foreach(array, index, entry)
    {
        if (!json_is_object(entry))
            return wrong(fault, "\"history\" holds something that is no object");
        err = read_fields(entry, HISTORY_FIELDS, COUNT_OF(HISTORY_FIELDS),
                          &config->history[config->history_count++], fault);
        if (err)
            return err;
    }
    return 0;
}

static int read_config(const json_t *json, struct oci_config *config, struct oci_fault *fault)
{
    json_t *run;
    if (!json_is_object(json))
        return wrong(fault, "it is no JSON object");
    int err = read_fields(json, CONFIG_FIELDS, COUNT_OF(CONFIG_FIELDS), config, fault);
    if (!err)
        err = member_object(json, "config", &run, fault);
    if (!err)
        err = read_fields(run, RUN_FIELDS, COUNT_OF(RUN_FIELDS), config, fault);
    if (!err)
        err = read_rootfs(json, config, fault);
    return err ? err : read_history(json, config, fault);
}

static int load_config(const char *text, size_t size, struct oci_config *config,
                       struct oci_fault *fault)
{
    int err = load(text, size, &config->json, fault);
    if (!err)
        err = read_config(config->json, config, fault);
    if (!err)
        err = digest_of(text, size, config->id);
    if (err)
        return err;
    config->text = malloc(size + 1);
    if (!config->text)
        return -ENOMEM;
    memcpy(config->text, text, size);
    config->text[size] = 0;
    config->size = size;
    return 0;
}

int oci_config_parse(const char *text, size_t size, struct oci_config *config,
                     struct oci_fault *fault)
{
    *config = (struct oci_config){0};
    int err = load_config(text, size, config, fault);
    if (err)
        oci_config_finish(config);
    return err;
}

void oci_config_finish(struct oci_config *config)
{
    free(config->text);
    free(config->diff_ids.at);
    free(config->history);
    free(config->entrypoint.at);
    free(config->cmd.at);
    free(config->env.at);
    free(config->volumes.at);
    free(config->ports.at);
    free(config->labels.at);
    json_decref(config->json);
    *config = (struct oci_config){0};
}

/* ---- descriptors, manifests and indexes ---- */

static const struct field PLATFORM_FIELDS[] = {
    {"os", FIELD_TEXT, offsetof(struct platform, os)},
    {"architecture", FIELD_TEXT, offsetof(struct platform, architecture)},
    {"variant", FIELD_TEXT, offsetof(struct platform, variant)},
};

static const struct field TYPE_FIELD[] = {
    {"mediaType", FIELD_TEXT, offsetof(struct oci_descriptor, type)},
};

static int read_name(const json_t *json, const char **name, struct oci_fault *fault)
{
    json_t *annotations;
    int err = member_object(json, "annotations", &annotations, fault);
    *name = "";
    for (size_t i = 0; !err && **name == 0 && i < COUNT_OF(NAME_ANNOTATIONS); i++) {
        const struct field field = {NAME_ANNOTATIONS[i], FIELD_TEXT, 0};
        err = read_fields(annotations, &field, 1, name, fault);
    }
    return err;
}

static int read_descriptor(const json_t *json, struct oci_descriptor *out, struct oci_fault *fault)
{
    if (!json_is_object(json))
        return wrong(fault, "a descriptor is no object");
    int err = read_fields(json, TYPE_FIELD, 1, out, fault);
    if (err)
        return err;
    out->media = media_of(out->type);
    const char *digest = text_or_empty(member(json, "digest"));
    out->digest = sha256_of(digest);
    if (!out->digest)
        return wrong(fault, "the digest \"%.80s\" is no sha256 digest", digest);
    const json_t *size = member(json, "size");
    if (!json_is_integer(size) || json_integer_value(size) < 0)
        return wrong(fault, "the descriptor of sha256:%s has no size", out->digest);
    out->size = (uint64_t)json_integer_value(size);
    json_t *platform;
    err = member_object(json, "platform", &platform, fault);
    if (!err)
        err = read_fields(platform, PLATFORM_FIELDS, COUNT_OF(PLATFORM_FIELDS), &out->platform,
                          fault);
    return err ? err : read_name(json, &out->name, fault);
}

static int read_descriptors(const json_t *array, size_t most, struct oci_descriptor **at,
                            size_t *count, struct oci_fault *fault)
{
    size_t size = json_array_size(array), index;
    if (size > most)
        return wrong(fault, "it lists %zu blobs, more than the %zu that are allowed", size, most);
    *at = calloc(size + 1, sizeof(**at));
    if (!*at)
        return -ENOMEM;
    const json_t *entry;
    json_array_foreach(array, index, entry)
    {
        int err = read_descriptor(entry, &(*at)[(*count)++], fault);
        if (err)
            return err;
    }
    return 0;
}

/* Loads a manifest or an index. Two readers that disagree on what a document is could be shown two
 * different images under one digest: so it must not have what the other kind has. */
static int load_document(const char *text, size_t size, enum oci_media media,
                         const char *const *forbidden, json_t **json, struct oci_fault *fault)
{
    int err = load(text, size, json, fault);
    if (err)
        return err;
    if (!json_is_object(*json))
        return wrong(fault, "it is no JSON object");
    json_int_t version = json_integer_value(member(*json, "schemaVersion"));
    if (version != 2)
        return wrong(fault, "its schemaVersion is not 2");
    const json_t *type = member(*json, "mediaType");
    if (type && media_of(text_or_empty(type)) != media)
        return wrong(fault, "it says itself that it is \"%.80s\"", text_or_empty(type));
    for (; *forbidden; forbidden++) {
        if (json_object_get(*json, *forbidden))
            return wrong(fault, "it has \"%s\", which has no place in %s", *forbidden,
                         media == OCI_INDEX ? "an index" : "a manifest");
    }
    return 0;
}

static int load_index(const char *text, size_t size, struct oci_index *index,
                      struct oci_fault *fault)
{
    static const char *const forbidden[] = {"config", "layers", "fsLayers", NULL};
    enum { most = 2000 };
    int err = load_document(text, size, OCI_INDEX, forbidden, &index->json, fault);
    if (err)
        return err;
    const json_t *manifests = member(index->json, "manifests");
    if (!json_is_array(manifests))
        return wrong(fault, "it has no list \"manifests\"");
    return read_descriptors(manifests, most, &index->at, &index->count, fault);
}

int oci_index_parse(const char *text, size_t size, struct oci_index *index, struct oci_fault *fault)
{
    *index = (struct oci_index){0};
    int err = load_index(text, size, index, fault);
    if (err)
        oci_index_finish(index);
    return err;
}

void oci_index_finish(struct oci_index *index)
{
    free(index->at);
    json_decref(index->json);
    *index = (struct oci_index){0};
}

/* An image has a config of an image and layers in a form of its own kind, known here or not. A
 * signature may have the config of an image, but never such layers. */
static bool is_of_image(const struct oci_manifest *manifest)
{
    static const char *const kinds[] = {"application/vnd.oci.image.layer.",
                                        "application/vnd.docker.image.rootfs."};
    if (manifest->config.media != OCI_CONFIG)
        return false;
    bool any = manifest->count == 0;
    for (size_t i = 0; !any && i < manifest->count; i++) {
        for (size_t k = 0; k < COUNT_OF(kinds); k++)
            any |= strncmp(manifest->layers[i].type, kinds[k], strlen(kinds[k])) == 0;
    }
    return any;
}

static int load_manifest(const char *text, size_t size, struct oci_manifest *manifest,
                         struct oci_fault *fault)
{
    static const char *const forbidden[] = {"manifests", "fsLayers", NULL};
    int err = load_document(text, size, OCI_MANIFEST, forbidden, &manifest->json, fault);
    if (err)
        return err;
    const json_t *layers = member(manifest->json, "layers");
    if (!json_is_array(layers))
        return wrong(fault, "it has no list \"layers\"");
    err = read_descriptor(member(manifest->json, "config"), &manifest->config, fault);
    if (!err)
        err = read_descriptors(layers, OCI_LAYERS_MAX, &manifest->layers, &manifest->count, fault);
    if (err)
        return err;
    if (!is_of_image(manifest)) {
        wrong(fault, "it is no image: its config is \"%.80s\", its first layer \"%.80s\"",
              manifest->config.type, manifest->count ? manifest->layers[0].type : "");
        return -ENOMSG;
    }
    for (size_t i = 0; i < manifest->count; i++) {
        if (manifest->layers[i].media < OCI_LAYER)
            return wrong(fault, "layer sha256:%s is \"%.80s\", which is no layer known here",
                         manifest->layers[i].digest, manifest->layers[i].type);
    }
    return 0;
}

int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *manifest,
                       struct oci_fault *fault)
{
    *manifest = (struct oci_manifest){0};
    int err = load_manifest(text, size, manifest, fault);
    if (err)
        oci_manifest_finish(manifest);
    return err;
}

void oci_manifest_finish(struct oci_manifest *manifest)
{
    free(manifest->layers);
    json_decref(manifest->json);
    *manifest = (struct oci_manifest){0};
}

int oci_layout_check(const char *text, size_t size, struct oci_fault *fault)
{
    json_t *json = NULL;
    int err = load(text, size, &json, fault);
    if (err)
        return err;
    const char *version = text_or_empty(member(json, "imageLayoutVersion"));
    if (strncmp(version, "1.", 2) != 0)
        err = wrong(fault, "its imageLayoutVersion is \"%.40s\", not 1", version);
    json_decref(json);
    return err;
}

/* ---- docker-archive ---- */

static const struct field SAVED_FIELDS[] = {
    {"Config", FIELD_TEXT, offsetof(struct oci_saved, config)},
    {"RepoTags", FIELD_WORDS, offsetof(struct oci_saved, names)},
    {"Layers", FIELD_WORDS, offsetof(struct oci_saved, layers)},
};

static int load_archive(const char *text, size_t size, struct oci_archive *archive,
                        struct oci_fault *fault)
{
    int err = load(text, size, &archive->json, fault);
    if (err)
        return err;
    if (!json_is_array(archive->json))
        return wrong(fault, "it is no JSON array");
    archive->at = calloc(json_array_size(archive->json) + 1, sizeof(*archive->at));
    if (!archive->at)
        return -ENOMEM;
    size_t index;
    const json_t *entry;
    json_array_foreach(archive->json, index, entry)
    {
        struct oci_saved *saved = &archive->at[archive->count++];
        if (!json_is_object(entry))
            return wrong(fault, "it holds something that is no object");
        err = read_fields(entry, SAVED_FIELDS, COUNT_OF(SAVED_FIELDS), saved, fault);
        if (!err && *saved->config == 0)
            return wrong(fault, "an image of it has no \"Config\"");
        if (!err && saved->layers.count > OCI_LAYERS_MAX)
            return wrong(fault, "an image of it has %zu layers, more than the %d that are allowed",
                         saved->layers.count, OCI_LAYERS_MAX);
        if (err)
            return err;
    }
    return 0;
}

int oci_archive_parse(const char *text, size_t size, struct oci_archive *archive,
                      struct oci_fault *fault)
{
    *archive = (struct oci_archive){0};
    int err = load_archive(text, size, archive, fault);
    if (err)
        oci_archive_finish(archive);
    return err;
}

void oci_archive_finish(struct oci_archive *archive)
{
    for (size_t i = 0; i < archive->count; i++) {
        free(archive->at[i].names.at);
        free(archive->at[i].layers.at);
    }
    free(archive->at);
    json_decref(archive->json);
    *archive = (struct oci_archive){0};
}

/* ---- writing ---- */

/* The text of a new document, which is given away; NULL stays NULL. */
static char *text_of(json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    return text;
}

static json_t *platform_json(const struct platform *platform)
{
    if (!platform->os || !*platform->os)
        return NULL;
    json_t *json =
        json_pack("{s:s, s:s}", "architecture", platform->architecture, "os", platform->os);
    if (platform->variant && *platform->variant)
        json_object_set_new(json, "variant", json_string(platform->variant));
    return json;
}

static json_t *descriptor_json(const struct oci_descriptor *descriptor)
{
    char digest[sizeof("sha256:") + DIGEST_HEX_SIZE];
    snprintf(digest, sizeof(digest), "sha256:%s", descriptor->digest);
    json_t *name = NULL;
    if (descriptor->name && *descriptor->name) {
        name = json_pack("{s:s}", NAME_ANNOTATIONS[1], descriptor->name);
        if (!name)
            return NULL;
    }
    /* "o*": left out where it is NULL. */
    return json_pack("{s:s, s:s, s:I, s:o*, s:o*}", "mediaType", type_of(descriptor->media),
                     "digest", digest, "size", (json_int_t)descriptor->size, "annotations", name,
                     "platform", platform_json(&descriptor->platform));
}

static json_t *descriptors_json(const struct oci_descriptor *at, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, descriptor_json(&at[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

char *oci_manifest_write(const struct oci_descriptor *config, const struct oci_descriptor *layers,
                         size_t count)
{
    return text_of(json_pack("{s:i, s:s, s:o, s:o}", "schemaVersion", 2, "mediaType",
                             type_of(OCI_MANIFEST), "config", descriptor_json(config), "layers",
                             descriptors_json(layers, count)));
}

char *oci_index_write(const struct oci_descriptor *at, size_t count)
{
    return text_of(json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType", type_of(OCI_INDEX),
                             "manifests", descriptors_json(at, count)));
}

static json_t *words_json(const struct oci_words *words)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < words->count; i++) {
        if (json_array_append_new(array, json_string(words->at[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

char *oci_archive_write(const struct oci_saved *at, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        json_t *saved = json_pack("{s:s, s:o, s:o}", "Config", at[i].config, "RepoTags",
                                  words_json(&at[i].names), "Layers", words_json(&at[i].layers));
        if (json_array_append_new(array, saved) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return text_of(array);
}
