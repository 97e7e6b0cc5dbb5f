/* SPDX-License-Identifier: MIT
 *
 * Duty: match name by name. Only the last ** is ever tried again with one name more: what an
 * earlier one could take up, the later one can as well. So the cost is bounded by pattern times
 * path.
 */
#include "pathglob.h"

#include <fnmatch.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The length of the name at `at`. */
static size_t name_length(const char *at)
{
    return strcspn(at, "/");
}

/* The next name, or the end of the text. */
static const char *next_name(const char *at)
{
    at += name_length(at);
    return at + strspn(at, "/");
}

static bool is_any_names(const char *pattern)
{
    return name_length(pattern) == 2 && pattern[0] == '*' && pattern[1] == '*';
}

/* A name longer than any there can be is matched by nothing. */
static bool name_matches(const char *pattern, const char *name)
{
    char one[NAME_MAX + 1], other[NAME_MAX + 1];
    size_t length = name_length(pattern), other_length = name_length(name);
    if (length > NAME_MAX || other_length > NAME_MAX)
        return false;
    snprintf(one, sizeof(one), "%.*s", (int)length, pattern);
    snprintf(other, sizeof(other), "%.*s", (int)other_length, name);
    return fnmatch(one, other, 0) == 0;
}

bool pathglob_matches(const char *pattern, const char *path)
{
    /* Where to go on behind the last **, and how many names that has taken up so far. */
    const char *again = *pattern == '/' ? NULL : pattern, *taken = path + strspn(path, "/");
    pattern += strspn(pattern, "/");
    path = taken;
    while (*path) {
        if (*pattern && is_any_names(pattern)) {
            again = pattern = next_name(pattern);
            taken = path;
        } else if (*pattern && name_matches(pattern, path)) {
            pattern = next_name(pattern);
            path = next_name(path);
        } else if (again) {
            taken = path = next_name(taken);
            pattern = again;
        } else {
            return false;
        }
    }
    while (*pattern && is_any_names(pattern))
        pattern = next_name(pattern);
    return *pattern == 0;
}
