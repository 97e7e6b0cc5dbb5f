/* SPDX-License-Identifier: MIT
 *
 * Duty: the values that a specification of a volume is made of.
 */
#include "volumespec.h"

#include <stdio.h>
#include <string.h>

const char *volume_kind_word(enum volume_kind kind)
{
    static const char *const words[] = {
        [VOLUME_KIND_VOLUME] = "volume",
        [VOLUME_KIND_BIND] = "bind",
        [VOLUME_KIND_TMPFS] = "tmpfs",
        [VOLUME_KIND_IMAGE] = "image",
    };
    return words[kind];
}

/* ---- pairs ---- */

void volume_pairs_finish(struct volume_pairs *pairs)
{
    for (unsigned i = 0; i < pairs->count; i++) {
        free(pairs->at[i].key);
        free(pairs->at[i].value);
    }
    free(pairs->at);
    *pairs = (struct volume_pairs){0};
}

/* Makes room at `index`. */
static int insert_pair(struct volume_pairs *pairs, unsigned index, const char *key, char *value)
{
    cleanup_free char *copy = strdup(key);
    struct volume_pair *larger =
        copy ? reallocarray(pairs->at, pairs->count + 1, sizeof(*larger)) : NULL;
    if (!larger)
        return -ENOMEM;
    pairs->at = larger;
    memmove(&larger[index + 1], &larger[index], (pairs->count - index) * sizeof(*larger));
    larger[index] = (struct volume_pair){.key = steal_ptr(&copy), .value = value};
    pairs->count++;
    return 0;
}

int volume_pairs_set(struct volume_pairs *pairs, const char *key, const char *value)
{
    unsigned index = 0;
    int order = -1;
    cleanup_free char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    while (index < pairs->count && (order = strcmp(pairs->at[index].key, key)) < 0)
        index++;
    if (index < pairs->count && order == 0) {
        free(pairs->at[index].value);
        pairs->at[index].value = steal_ptr(&copy);
        return 0;
    }
    int err = insert_pair(pairs, index, key, copy);
    if (!err)
        copy = NULL;
    return err;
}

const char *volume_pairs_get(const struct volume_pairs *pairs, const char *key)
{
    for (unsigned i = 0; i < pairs->count; i++) {
        if (strcmp(pairs->at[i].key, key) == 0)
            return pairs->at[i].value;
    }
    return NULL;
}

int volume_pairs_copy(const struct volume_pairs *from, struct volume_pairs *to)
{
    int err = 0;
    *to = (struct volume_pairs){0};
    for (unsigned i = 0; i < from->count && !err; i++)
        err = volume_pairs_set(to, from->at[i].key, from->at[i].value);
    if (err)
        volume_pairs_finish(to);
    return err;
}

/* ---- specifications ---- */

void volume_spec_finish(struct volume_spec *spec)
{
    free(spec->source);
    free(spec->destination);
    free(spec->said);
    free(spec->mode);
    free(spec->propagation);
    free(spec->subpath);
    free(spec->driver);
    volume_pairs_finish(&spec->options);
    volume_pairs_finish(&spec->labels);
    *spec = (struct volume_spec){0};
}

/* Whether both were said in the same words of the same language. */
static bool said_alike(const struct volume_spec *one, const struct volume_spec *other)
{
    return one->kind == other->kind && one->said && other->said &&
           strcmp(one->said, other->said) == 0;
}

void volume_specs_finish(struct volume_specs *specs)
{
    for (unsigned i = 0; i < specs->count; i++)
        volume_spec_finish(&specs->at[i]);
    free(specs->at);
    *specs = (struct volume_specs){0};
}

int volume_specs_add(struct volume_specs *specs, struct volume_spec *spec,
                     struct volume_fault *fault)
{
    for (unsigned i = 0; i < specs->count; i++) {
        if (said_alike(&specs->at[i], spec)) {
            volume_spec_finish(spec);
            return 0;
        }
        if (strcmp(specs->at[i].destination, spec->destination) == 0) {
            snprintf(fault->words, sizeof(fault->words), "Duplicate mount point: %s",
                     spec->destination);
            return -EINVAL;
        }
    }
    struct volume_spec *larger = reallocarray(specs->at, specs->count + 1, sizeof(*larger));
    if (!larger) {
        snprintf(fault->words, sizeof(fault->words), "out of memory");
        return -ENOMEM;
    }
    specs->at = larger;
    larger[specs->count++] = *spec;
    *spec = (struct volume_spec){0};
    return 0;
}

/* ---- paths ---- */

/* Adds one component to the path that is `used` bytes long, or takes one away. */
static size_t step_path(char *path, size_t used, const char *word, size_t length)
{
    if (length == 0 || (length == 1 && word[0] == '.'))
        return used;
    if (length == 2 && word[0] == '.' && word[1] == '.') {
        while (used > 0 && path[--used] != '/')
            ;
        return used;
    }
    path[used++] = '/';
    memcpy(path + used, word, length);
    return used + length;
}

char *volume_path_clean(const char *path)
{
    size_t used = 0, length;
    char *clean = *path == '/' ? malloc(strlen(path) + 1) : NULL;
    if (!clean)
        return NULL;
    for (const char *at = path; *at; at += length + (at[length] == '/')) {
        length = strcspn(at, "/");
        used = step_path(clean, used, at, length);
    }
    if (used == 0)
        clean[used++] = '/';
    clean[used] = 0;
    return clean;
}

bool volume_path_as_dir(const char *path)
{
    size_t length = strlen(path);
    const char *end = path + length;
    return (length > 0 && end[-1] == '/') || (length > 1 && strcmp(end - 2, "/.") == 0);
}

/* ---- order ---- */

static unsigned depth_of(const char *path)
{
    unsigned depth = 0;
    for (; *path; path++)
        depth += *path == '/';
    return depth;
}

int volume_destination_order(const void *left, const void *right)
{
    const char *a = *(const char *const *)left, *b = *(const char *const *)right;
    unsigned a_depth = depth_of(a), b_depth = depth_of(b);
    return a_depth != b_depth ? (a_depth < b_depth ? -1 : 1) : strcmp(a, b);
}

/* One of the words of a mode like "ro,cached". */
static bool has_word(const char *mode, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = mode; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == 0 || at[length] == ','))
            return true;
    }
    return false;
}

bool volume_spec_lags(const struct volume_spec *spec)
{
    return has_word(spec->mode, "cached") || has_word(spec->mode, "delegated");
}
