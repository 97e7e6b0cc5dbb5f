/* SPDX-License-Identifier: MIT
 *
 * The JSON of images: image config, manifest and index of the OCI image-spec 1.x, Docker's schema 2
 * under its own media types, and the manifest.json of a docker-archive. Documents become plain
 * values and values become documents; nothing here knows files.
 *
 * Every document is hostile until shown otherwise: its size, its nesting and its lists are bounded,
 * a key that is there twice is refused, what should be a string and is a number is refused. Such
 * things are -EBADMSG and `fault` says them in words. Strings and lists of what was read belong to
 * it and last until it is finished; a text that a document does not have is "".
 */
#ifndef PLYFS_OCI_H
#define PLYFS_OCI_H

#include "digest.h"
#include "own.h"
#include "platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    OCI_DOCUMENT_MAX = 4 << 20, /* bytes; a registry takes no larger manifest either */
    OCI_LAYERS_MAX = 4000,      /* of one image: a stack holds little more */
};

struct json_t;

struct oci_fault {
    char words[256];
};

/* `at[count]` is NULL. */
struct oci_words {
    const char **at;
    size_t count;
};

struct oci_pairs {
    struct oci_pair {
        const char *key, *value;
    } * at;
    size_t count;
};

/* ---- image config ---- */

struct oci_history {
    const char *created, *created_by, *comment;
    bool empty; /* it made no layer */
};

struct oci_config {
    char *text;               /* the document, byte for byte, with a NUL behind it */
    size_t size;              /* of it, without that NUL */
    char id[DIGEST_HEX_SIZE]; /* sha256 of it: the image's id */
    struct platform platform;
    const char *created;       /* RFC 3339 */
    struct oci_words diff_ids; /* 64 hex digits each, the lowest layer first */
    struct oci_history *history;
    size_t history_count;
    /* How a process in it is started. */
    struct oci_words entrypoint, cmd, env; /* env: "NAME=VALUE" */
    const char *user, *working_dir, *stop_signal;
    struct oci_words volumes, ports; /* "/data", "80/tcp" */
    struct oci_pairs labels;
    struct json_t *json;
};

must_check int oci_config_parse(const char *text, size_t size, struct oci_config *config,
                                struct oci_fault *fault);
void oci_config_finish(struct oci_config *config);
#define cleanup_oci_config cleanup(oci_config_finish)

/* ---- descriptors, manifests and indexes ---- */

enum oci_media {
    OCI_UNKNOWN,
    OCI_INDEX,
    OCI_MANIFEST,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
};

struct oci_descriptor {
    enum oci_media media;
    const char *type;   /* the media type as it is written */
    const char *digest; /* sha256, 64 hex digits */
    uint64_t size;
    struct platform platform;
    const char *name; /* what the index calls it (annotations), or "" */
};

struct oci_index {
    struct oci_descriptor *at;
    size_t count;
    struct json_t *json;
};

struct oci_manifest {
    struct oci_descriptor config;
    struct oci_descriptor *layers; /* the lowest first */
    size_t count;
    struct json_t *json;
};

/* A document that could be read as the other kind is refused as both. */
must_check int oci_index_parse(const char *text, size_t size, struct oci_index *index,
                               struct oci_fault *fault);
void oci_index_finish(struct oci_index *index);
#define cleanup_oci_index cleanup(oci_index_finish)

/* -ENOMSG: it is the manifest of something else than an image, such as a signature or a list of
 * contents (image-spec, manifest, "Guidelines for Artifact Usage"); `fault` says of what. */
must_check int oci_manifest_parse(const char *text, size_t size, struct oci_manifest *manifest,
                                  struct oci_fault *fault);
void oci_manifest_finish(struct oci_manifest *manifest);
#define cleanup_oci_manifest cleanup(oci_manifest_finish)

/* ---- docker-archive ---- */

/* One image of a manifest.json; the paths are those of the archive, and as hostile. */
struct oci_saved {
    const char *config;
    struct oci_words names, layers; /* the lowest layer first */
};

struct oci_archive {
    struct oci_saved *at;
    size_t count;
    struct json_t *json;
};

must_check int oci_archive_parse(const char *text, size_t size, struct oci_archive *archive,
                                 struct oci_fault *fault);
void oci_archive_finish(struct oci_archive *archive);
#define cleanup_oci_archive cleanup(oci_archive_finish)

/* ---- writing ---- */

/* The file "oci-layout" of a layout: its only sentence, and what it must say when it is read. */
extern const char OCI_LAYOUT[];
must_check int oci_layout_check(const char *text, size_t size, struct oci_fault *fault);

/* Documents for the caller to free; NULL when out of memory, or when a string is not UTF-8. Of a
 * descriptor media, digest, size, platform and name are written. */
char *oci_manifest_write(const struct oci_descriptor *config, const struct oci_descriptor *layers,
                         size_t count);
char *oci_index_write(const struct oci_descriptor *at, size_t count);
char *oci_archive_write(const struct oci_saved *at, size_t count);

#endif
