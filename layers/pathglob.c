/* SPDX-License-Identifier: MIT
 *
 * Duty: match name by name, so that no wildcard reaches over a slash. Where a later name does not
 * fit, the last `**` takes one more, which finds a way if there is one, and costs at most the
 * product of both lengths.
 */
#include "pathglob.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <locale.h>
#include <pthread.h>
#include <string.h>

/* A name between slashes. */
struct part {
    const char *at;
    size_t length; /* 0: there are no more */
};

/* The first name of `text`, which moves behind it. */
static struct part take_part(const char **text)
{
    const char *at = *text + strspn(*text, "/");
    const struct part part = {.at = at, .length = strcspn(at, "/")};
    *text = at + part.length;
    return part;
}

static bool part_is(const struct part *part, const char *word)
{
    return part->length == strlen(word) && memcmp(part->at, word, part->length) == 0;
}

static bool ends_here(const char *text)
{
    return text[strspn(text, "/")] == 0;
}

static locale_t characters; /* 0 where the system has no such locale: then bytes count */

static void find_characters(void)
{
    characters = newlocale(LC_CTYPE_MASK, "C.UTF-8", 0);
}

/* As fnmatch(3) and find(1) do it where UTF-8 is spoken, in whatever locale a daemon was started.
 * What is no UTF-8 they compare byte by byte. */
static bool fits(const char *pattern, const char *text)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, find_characters);
    locale_t before = characters ? uselocale(characters) : 0;
    bool does = fnmatch(pattern, text, 0) == 0;
    if (before)
        uselocale(before);
    return does;
}

static bool part_fits(const struct part *glob, const struct part *name)
{
    char pattern[PATH_MAX], text[PATH_MAX];
    if (glob->length >= sizeof(pattern) || name->length >= sizeof(text))
        return false;
    memcpy(pattern, glob->at, glob->length);
    pattern[glob->length] = 0;
    memcpy(text, name->at, name->length);
    text[name->length] = 0;
    return fits(pattern, text);
}

/* Where a `**` began: the glob behind it, and what of the path it has not taken yet. */
struct stars {
    const char *glob, *path; /* glob NULL: there was none */
};

/* Whether the rest of the glob names the rest of the path, or a directory that it lies in. */
static bool names_from(const char *glob, const char *path, bool is_dir)
{
    const bool dirs_only = glob[strlen(glob) - 1] == '/';
    struct stars stars = {0};
    for (;;) {
        struct part want = take_part(&glob);
        if (part_is(&want, "**")) {
            if (ends_here(glob))
                return !ends_here(path);
            stars = (struct stars){.glob = glob, .path = path};
            continue;
        }
        if (want.length == 0)
            return !dirs_only || is_dir || !ends_here(path);
        struct part name = take_part(&path);
        if (name.length > 0 && part_fits(&want, &name))
            continue;
        if (!stars.glob || take_part(&stars.path).length == 0)
            return false;
        glob = stars.glob;
        path = stars.path;
    }
}

/* Whether it is to be looked for in every directory: a name and nothing else. */
static bool is_name(const char *glob)
{
    return strcspn(glob, "/") > 0 && ends_here(glob + strcspn(glob, "/"));
}

bool pathglob_names(const char *glob, const char *path, bool is_dir)
{
    if (*path == 0)
        return false;
    if (!is_name(glob))
        return names_from(glob, path, is_dir);
    const char *at = path;
    while (!ends_here(at)) {
        if (names_from(glob, at, is_dir))
            return true;
        (void)take_part(&at);
    }
    return false;
}

int pathglob_check(const char *glob)
{
    if (*glob == 0 || strlen(glob) >= PATH_MAX)
        return -EINVAL;
    struct part part;
    while ((part = take_part(&glob)).length > 0) {
        if (part_is(&part, ".") || part_is(&part, ".."))
            return -EINVAL;
    }
    return 0;
}
