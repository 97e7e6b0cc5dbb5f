/* SPDX-License-Identifier: MIT
 *
 * Duty: the grammar of image names, as registries and the tools of the field have it.
 */
#include "imagename.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

enum { REPOSITORY_MAX = 255, TAG_MAX = 128 };

/* [a-z0-9]+ with single ".", "_", "__" or any number of "-" between. */
static bool is_component(const char *text, size_t length)
{
    size_t at = 0;
    for (;;) {
        size_t word = strspn(text + at, LOWER DIGITS);
        if (word == 0 || at + word > length)
            return false;
        at += word;
        if (at == length)
            return true;
        size_t dashes = strspn(text + at, "-");
        if (dashes > 0)
            at += dashes;
        else if (text[at] == '_')
            at += text[at + 1] == '_' ? 2 : 1;
        else if (text[at] == '.')
            at++;
        else
            return false;
    }
}

/* A first component that a component of a path could not be, or "localhost". */
static bool is_host(const char *text, size_t length)
{
    size_t name = strspn(text, LOWER UPPER DIGITS "-.");
    if (name == 0 || name > length || strchr(".-", *text) || strchr(".-", text[name - 1]))
        return false;
    bool local = name == 9 && strncmp(text, "localhost", 9) == 0;
    bool dotted = memchr(text, '.', name) != NULL;
    if (name == length)
        return local || dotted;
    return text[name] == ':' && length > name + 1 &&
           strspn(text + name + 1, DIGITS) == length - name - 1;
}

static bool is_repository(const char *text)
{
    size_t length = strlen(text), first = strcspn(text, "/");
    if (length > REPOSITORY_MAX || (length == 64 && strspn(text, "abcdef" DIGITS) == 64))
        return false;
    if (text[first] == '/' && is_host(text, first))
        text += first + 1;
    for (;; text++) {
        size_t part = strcspn(text, "/");
        if (!is_component(text, part))
            return false;
        text += part;
        if (*text == 0)
            return true;
    }
}

static bool is_tag(const char *text)
{
    size_t length = strlen(text);
    return length >= 1 && length <= TAG_MAX && !strchr(".-", *text) &&
           strspn(text, LOWER UPPER DIGITS "_.-") == length;
}

/* What stands for the registry that the field takes as a matter of course. */
static const char *without_usual_host(const char *word)
{
    static const char *const USUAL[] = {"docker.io/", "index.docker.io/"};
    for (size_t i = 0; i < sizeof(USUAL) / sizeof(USUAL[0]); i++) {
        size_t length = strlen(USUAL[i]);
        if (strncmp(word, USUAL[i], length) != 0)
            continue;
        word += length;
        return strncmp(word, "library/", 8) == 0 && !strchr(word + 8, '/') ? word + 8 : word;
    }
    return word;
}

int imagename_normal(const char *word, char name[IMAGENAME_SIZE])
{
    word = without_usual_host(word);
    /* A repository that is called like that registry would have two spellings. */
    if (without_usual_host(word) != word)
        return -EINVAL;
    const char *last = strrchr(word, '/');
    const char *colon = strchr(last ? last : word, ':');
    size_t length = colon ? (size_t)(colon - word) : strlen(word);
    if (length > REPOSITORY_MAX)
        return -EINVAL;
    memcpy(name, word, length);
    name[length] = 0;
    const char *tag = colon ? colon + 1 : "latest";
    if (!is_repository(name) || !is_tag(tag))
        return -EINVAL;
    snprintf(name + length, IMAGENAME_SIZE - length, ":%s", tag);
    return 0;
}
