/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a name in a tar, and as a name in a directory of a layer: refused, or a path that
 * stays beneath the layer, in one form only.
 */
#include "fuzzkit.h"

#include "tarname.h"
#include "whiteout.h"

#include <string.h>

static void check_path(const char *path)
{
    unsigned depth = 0;
    cleanup_free char *copy = strdup(path);
    must(copy && *path != '/', "a path is relative");
    for (char *part = copy, *end; *path && part; part = end, depth++) {
        end = strchr(part, '/');
        if (end)
            *end++ = 0;
        must(*part && strcmp(part, ".") != 0 && strcmp(part, "..") != 0,
             "a path has names that lead downward alone");
    }
    must(depth <= TARNAME_DEPTH_MAX, "a path is not too deep");
}

static void read_as(enum treekind kind, const char *text)
{
    struct tarname name, again;
    char parent[TARNAME_MAX];
    if (tarname_read(text, kind, &name) || name.kind == TARNAME_BOOKS)
        return;
    must(kind != TREEKIND_PLAIN || name.kind <= TARNAME_PLAIN, "a plain tree has no whiteouts");
    check_path(name.path);
    must((name.kind == TARNAME_ROOT) <= (*name.path == 0), "the root has no path");
    if (name.kind != TARNAME_PLAIN)
        return;
    must(name.name < strlen(name.path) && !strchr(name.path + name.name, '/'),
         "the last name is the last");
    tarname_parent(&name, parent);
    check_path(parent);
    must(tarname_read(name.path, kind, &again) == NULL && strcmp(again.path, name.path) == 0,
         "a path that was read is read as itself");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = fuzz_text(data, size);
    read_as(TREEKIND_LAYER, text);
    read_as(TREEKIND_PLAIN, text);
    const char *hidden = whiteout_hidden_name(text);
    must(!hidden || (*hidden && strcmp(hidden, ".") != 0 && strcmp(hidden, "..") != 0),
         "a whiteout hides a name");
    return 0;
}
