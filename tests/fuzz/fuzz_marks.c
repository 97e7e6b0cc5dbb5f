/* SPDX-License-Identifier: MIT
 *
 * Any bytes in the attributes by which layers keep their books (redirect, metacopy, opaque, origin,
 * whiteout, link counts, owners): every name is resolved or refused, the account of each path says
 * what the resolver says, and nothing is shown that is not in a layer.
 *
 * The input is lines: a letter for the object that is marked ('a' and on, of OBJECTS), a letter for
 * the attribute ('a' and on, of enum ovlattr; the one behind them is of owners), and the value. A
 * value in which a line ends has it as "\n".
 */
#include "fuzzkit.h"

#include "changes.h"
#include "contents.h"
#include "explain.h"
#include "fd.h"
#include "override.h"
#include "rootpath.h"
#include "stack.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

/* Layers, the topmost first: each has the same names, of which some are of another kind. */
static const struct object {
    char kind;
    const char *path, *content;
} OBJECTS[] = {
    {'d', "u", ""},       {'d', "u/d", ""},     {'f', "u/d/f", ""},     {'f', "u/f", ""},
    {'d', "u/d/e", ""},   {'f', "u/.wh.g", ""}, {'d', "1", ""},         {'d', "1/d", ""},
    {'f', "1/d/f", ""},   {'f', "1/f", ""},     {'l', "1/l", "../out"}, {'d', "1/l2", ""},
    {'d', "2", ""},       {'d', "2/d", ""},     {'f', "2/d/f", "2df"},  {'f', "2/f", "2f"},
    {'d', "2/d/e", ""},   {'f', "2/g", "2g"},   {'l', "2/l2", "/out"},  {'d', "2/l", ""},
    {'f', "2/d/e/h", ""}, {'d', "out", ""},     {'f', "out/f", "evil"}, {'f', "evil", "evil"},
};
enum { OBJECT_COUNT = sizeof(OBJECTS) / sizeof(OBJECTS[0]), MARKABLE = OBJECT_COUNT - 3, DEEP = 6 };

static void make_objects(int place)
{
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        const struct object *object = &OBJECTS[i];
        int err = 0;
        if (object->kind == 'd')
            err = mkdirat(place, object->path, 0755);
        else if (object->kind == 'l')
            err = symlinkat(object->content, place, object->path);
        else
            fuzz_file(place, object->path, object->content, strlen(object->content));
        must(err == 0, "an object cannot be made");
    }
}

/* A line's value is at most what fits; where the filesystem refuses a mark there is none. */
static void set_mark(int place, const char *line, size_t size)
{
    char disk[64];
    unsigned which = (unsigned)(line[0] - 'a'), attr = (unsigned)(line[1] - 'a');
    if (which >= MARKABLE || attr > OVLATTR_COUNT || OBJECTS[which].kind == 'l')
        return;
    const char *path = OBJECTS[which].path;
    cleanup_fd int fd = fd_open_beneath(place, path, O_RDONLY);
    must(fd >= 0, "an object is there");
    if (attr == OVLATTR_COUNT)
        (void)!fsetxattr(fd, OVERRIDE_ATTR, line + 2, size - 2, 0);
    else if (ovlattr_set(OVLSPACE_USER, fd, "", (enum ovlattr)attr, line + 2, size - 2) == 0)
        ovlattr_disk_name(OVLWHERE_SEALED, fd, "", (enum ovlattr)attr, disk);
}

static void set_marks(int place, const uint8_t *data, size_t size)
{
    cleanup_free char *text = fuzz_text(data, size);
    for (size_t at = 0, end; at < size; at = end + 1) {
        const char *stop = memchr(text + at, '\n', size - at);
        end = stop ? (size_t)(stop - text) : size;
        if (end - at >= 2)
            set_mark(place, text + at, end - at);
    }
}

/* ---- what is shown ---- */

static void check_inside(const struct stack *stack, unsigned layer, const char *path)
{
    must(layer < stack->count && *path != '/' && strcmp(path, "..") != 0 &&
             strncmp(path, "../", 3) != 0 && !strstr(path, "/../"),
         "data is in a layer");
}

static void check_path(const struct stack *stack, const char *path)
{
    cleanup_rootpath struct rootpath found = ROOTPATH_NONE;
    cleanup_explain struct explain explain = {0};
    int err = rootpath_find(stack, path, false, &found);
    if (found.entry.present && found.entry.metacopy && found.entry.data.path)
        check_inside(stack, found.entry.data.layer, found.entry.data.path);
    if (err == -ENOTDIR || err == -ELOOP)
        return;
    const char *resolved = err ? path : found.path;
    must(explain_path(stack, resolved, err ? NULL : &found.entry, &explain) == 0,
         "there is an account of every path");
    must(explain_agrees(&explain, &found.entry, err), "the account says what the resolver says");
}

struct walk {
    const struct stack *stack;
    unsigned count;
};

static int see_change(void *context, const struct change *change)
{
    struct walk *walk = context;
    unsigned depth = 0;
    for (const char *at = change->path; *at; at++)
        depth += *at == '/';
    check_path(walk->stack, change->path);
    return depth > DEEP || ++walk->count > 200;
}

static void look_at(int place, bool writable)
{
    static const char *const paths[] = {"", "d", "d/f", "f", "g", "l", "l2", "d/e", "d/e/h", "x/f"};
    static const char *const names[] = {"u", "1", "2"};
    struct fdcache *fds = fdcache_create(64);
    struct stack stack;
    char *layers[3];
    unsigned culprit;
    must(fds != NULL, "no memory");
    for (unsigned i = 0; i < 3; i++)
        must(asprintf(&layers[i], "/proc/self/fd/%d/%s", place, names[i]) > 0, "no memory");
    must(stack_open(&stack, (const char *const *)layers, 3, writable, fds, &culprit) == 0,
         "the layers are opened");
    stack.able.space = OVLSPACE_USER;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        check_path(&stack, paths[i]);
    struct walk walk = {.stack = &stack};
    (void)!changes_walk_all(&stack, see_change, &walk);
    if (writable)
        (void)!changes_walk(&stack, see_change, &walk);
    stack_close(&stack);
    fdcache_destroy(fds);
    for (unsigned i = 0; i < 3; i++)
        free(layers[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    {
        cleanup_fd int place = fuzz_enter(path);
        make_objects(place);
        set_marks(place, data, size);
        look_at(place, false);
        look_at(place, true);
    }
    fuzz_leave(path);
    return 0;
}
