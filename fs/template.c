/* SPDX-License-Identifier: MIT
 *
 * Duty: take a template apart, once, into pieces that are printed for each row. The grammar of an
 * action is "{{" ["json" blanks] PATH "}}", blanks inside are free, and a PATH is "." or
 * ".Name.Name".
 */
#include "template.h"

#include "log.h"

#include <ctype.h>
#include <string.h>

void template_finish(struct template *template)
{
    for (unsigned i = 0; i < template->count; i++)
        free(template->pieces[i].text);
    free(template->pieces);
    *template = (struct template){0};
}

/* Takes ownership of the piece's text on success. */
static int add_piece(struct template *template, struct template_piece piece)
{
    struct template_piece *pieces =
        reallocarray(template->pieces, template->count + 1, sizeof(*pieces));
    if (!pieces)
        return -ENOMEM;
    template->pieces = pieces;
    pieces[template->count++] = piece;
    return 0;
}

static int add_text(struct template *template, const char *text, size_t size)
{
    if (size == 0)
        return 0;
    cleanup_free char *copy = malloc(size + 1);
    if (!copy)
        return -ENOMEM;
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        char next = i + 1 < size ? text[i + 1] : 0;
        if (text[i] == '\\' && (next == 't' || next == 'n' || next == '\\')) {
            copy[used++] = next == 't' ? '\t' : next == 'n' ? '\n' : '\\';
            i++;
        } else {
            copy[used++] = text[i];
        }
    }
    copy[used] = 0;
    int err = add_piece(template, (struct template_piece){.text = copy});
    if (!err)
        (void)steal_ptr(&copy);
    return err;
}

static void trim(const char **text, size_t *size)
{
    while (*size > 0 && isspace((unsigned char)**text)) {
        (*text)++;
        (*size)--;
    }
    while (*size > 0 && isspace((unsigned char)(*text)[*size - 1]))
        (*size)--;
}

static bool take_json(const char **text, size_t *size)
{
    if (*size < 5 || memcmp(*text, "json", 4) != 0 || !isspace((unsigned char)(*text)[4]))
        return false;
    *text += 4;
    *size -= 4;
    trim(text, size);
    return true;
}

static bool is_path(const char *text, size_t size)
{
    if (size == 0 || text[0] != '.')
        return false;
    for (size_t i = 1; i < size; i++) {
        if (text[i] == '.' ? text[i - 1] == '.' || i + 1 == size
                           : !isalnum((unsigned char)text[i]) && !strchr("_-/", text[i]))
            return false;
    }
    return true;
}

/* `text` is what stands between the braces. */
static int add_field(struct template *template, const char *text, size_t size)
{
    const char *said = text;
    size_t said_size = size;
    trim(&text, &size);
    bool json = take_json(&text, &size);
    if (!is_path(text, size)) {
        log_error("--format: '{{%.*s}}' is not understood; there are {{.Field}}, "
                  "{{.Field.Part}}, {{json .}} and {{json .Field}}",
                  (int)said_size, said);
        return -EINVAL;
    }
    char *path = strndup(text + 1, size - 1);
    if (!path)
        return -ENOMEM;
    int err = add_piece(template, (struct template_piece){path, true, json || size == 1});
    if (err)
        free(path);
    return err;
}

static int parse(const char *text, struct template *template)
{
    for (;;) {
        const char *open = strstr(text, "{{");
        int err = add_text(template, text, open ? (size_t)(open - text) : strlen(text));
        if (err || !open)
            return err;
        const char *close = strstr(open, "}}");
        if (!close) {
            log_error("--format: '%s' has no '}}' at its end", open);
            return -EINVAL;
        }
        err = add_field(template, open + 2, (size_t)(close - open) - 2);
        if (err)
            return err;
        text = close + 2;
    }
}

int template_parse(const char *text, struct template *template)
{
    *template = (struct template){0};
    int err = parse(text, template);
    if (err)
        template_finish(template);
    return err;
}

const json_t *template_find(const json_t *object, const char *path)
{
    while (object && *path) {
        size_t length = strcspn(path, ".");
        object = json_object_getn(object, path, length);
        path += length;
        if (*path == '.')
            path++;
    }
    return object;
}

bool template_begins(const char *path, const char *name)
{
    size_t length = strlen(name);
    return strncmp(path, name, length) == 0 && (path[length] == 0 || path[length] == '.');
}
