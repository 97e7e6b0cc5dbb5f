/* SPDX-License-Identifier: MIT
 *
 * Any bytes as each document of an image: refused with words, or what comes of it is as the header
 * promises. Lines of the same bytes are the instructions of a commit on what was read.
 */
#include "fuzzkit.h"

#include "ocicommit.h"

#include <ctype.h>
#include <string.h>

enum { CHANGES = 8 };

static const char DIFF_ID[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static void check_verdict(int err, const struct oci_fault *fault)
{
    must(err == 0 || err == -EBADMSG || err == -ENOMSG, "a document is taken or refused");
    must(!err || fault->words[0], "a refusal has words");
}

static void check_digest(const char *digest)
{
    must(digest && strlen(digest) == 64 && strspn(digest, "0123456789abcdef") == 64,
         "a digest is 64 hex digits");
}

static void check_words(const struct oci_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        must(words->at[i] != NULL, "a word is there");
    must(!words->at || !words->at[words->count], "a list ends");
}

static void check_config(const struct oci_config *config)
{
    check_digest(config->id);
    must(config->diff_ids.count <= OCI_LAYERS_MAX, "the layers are bounded");
    for (size_t i = 0; i < config->diff_ids.count; i++)
        check_digest(config->diff_ids.at[i]);
    check_words(&config->entrypoint);
    check_words(&config->cmd);
    check_words(&config->env);
    check_words(&config->volumes);
    check_words(&config->ports);
    must(config->user && config->working_dir && config->stop_signal && config->created,
         "a text that is not there is empty");
}

static void commit_on(const struct oci_config *base, const char *const *changes, unsigned count)
{
    struct oci_fault fault = {.words = ""};
    struct oci_config config;
    const struct oci_commit commit = {.base = base,
                                      .diff_id = DIFF_ID,
                                      .created = 1000000000,
                                      .created_by = "fuzz",
                                      .changes = changes,
                                      .change_count = count};
    int err = oci_config_commit(&commit, &config, &fault);
    must(!err || fault.words[0], "a refusal of an instruction has words");
    if (err)
        return;
    check_config(&config);
    must(config.diff_ids.count == (base ? base->diff_ids.count : 0) + 1, "a commit is one layer");
    oci_config_finish(&config);
}

static void read_config(const char *text, size_t size)
{
    struct oci_config config;
    struct oci_fault fault = {.words = ""};
    int err = oci_config_parse(text, size, &config, &fault);
    check_verdict(err, &fault);
    if (err)
        return;
    check_config(&config);
    must(config.size == size && memcmp(config.text, text, size) == 0, "the document is kept");
    if (config.diff_ids.count < OCI_LAYERS_MAX)
        commit_on(&config, NULL, 0);
    oci_config_finish(&config);
}

static void read_manifest(const char *text, size_t size)
{
    struct oci_manifest manifest;
    struct oci_fault fault = {.words = ""};
    int err = oci_manifest_parse(text, size, &manifest, &fault);
    check_verdict(err, &fault);
    if (err)
        return;
    check_digest(manifest.config.digest);
    for (size_t i = 0; i < manifest.count; i++)
        check_digest(manifest.layers[i].digest);
    cleanup_free char *again =
        oci_manifest_write(&manifest.config, manifest.layers, manifest.count);
    must(again != NULL, "a manifest can be written");
    oci_manifest_finish(&manifest);
}

static void read_index(const char *text, size_t size)
{
    struct oci_index index;
    struct oci_fault fault = {.words = ""};
    int err = oci_index_parse(text, size, &index, &fault);
    check_verdict(err, &fault);
    if (err)
        return;
    for (size_t i = 0; i < index.count; i++)
        check_digest(index.at[i].digest);
    cleanup_free char *again = oci_index_write(index.at, index.count);
    must(again != NULL, "an index can be written");
    oci_index_finish(&index);
}

static void read_archive(const char *text, size_t size)
{
    struct oci_archive archive;
    struct oci_fault fault = {.words = ""};
    int err = oci_archive_parse(text, size, &archive, &fault);
    check_verdict(err, &fault);
    if (err)
        return;
    for (size_t i = 0; i < archive.count; i++) {
        check_words(&archive.at[i].names);
        check_words(&archive.at[i].layers);
    }
    cleanup_free char *again = oci_archive_write(archive.at, archive.count);
    must(again != NULL, "an archive's list can be written");
    oci_archive_finish(&archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct oci_fault fault = {.words = ""};
    const char *changes[CHANGES];
    cleanup_free char *text = fuzz_text(data, size);
    read_config(text, size);
    read_manifest(text, size);
    read_index(text, size);
    read_archive(text, size);
    check_verdict(oci_layout_check(text, size, &fault), &fault);
    unsigned count = fuzz_words(text, '\n', changes, CHANGES);
    commit_on(NULL, changes, count);
    return 0;
}
