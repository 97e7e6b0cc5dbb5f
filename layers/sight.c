/* SPDX-License-Identifier: MIT
 *
 * Duty: read one object of one layer. The upper is read by its own rules: one namespace of
 * attributes, and `.wh.` files only where it writes them. No descriptor is kept, because the upper
 * may be in use. Cost: an open, a stat, a list of attributes, and one more call for each that is
 * there.
 */
#include "sight.h"

#include "fd.h"
#include "record.h"
#include "whiteout.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

void sight_finish(struct sight *sight)
{
    free(sight->redirect);
    *sight = (struct sight){0};
}

static bool is_upper(const struct stack *stack, unsigned slot)
{
    return stack->writable && slot == 0;
}

static enum ovlwhere where_of(const struct stack *stack, unsigned slot)
{
    return is_upper(stack, slot) ? stack_upper_where(stack) : OVLWHERE_SEALED;
}

/* Whether `.wh.` files hide names in this layer. */
static bool has_white_files(const struct stack *stack, unsigned slot)
{
    return !is_upper(stack, slot) || stack->able.whiteform == WHITEFORM_FILE;
}

/* Whether a name is one of the books, which are never shown: 1, 0 or -errno. */
static int is_book(const struct stack *stack, unsigned slot, int dir, const char *name)
{
    if (has_white_files(stack, slot) && whiteout_is_name(name))
        return 1;
    return is_upper(stack, slot) ? whiteout_is_opaque_file(stack_upper_where(stack), dir, name) : 0;
}

/* ---- books ---- */

/* Whether the attribute says `y` (opaque) or `x` (attribute whiteouts); one that may not be read,
 * of an upper directory of mode 0, was set by us. */
static void read_opaque(enum ovlwhere where, int dir, const char *name, struct sight *sight)
{
    char value = 0;
    ssize_t size = ovlattr_get(where, dir, name, OVLATTR_OPAQUE, &value, 1);
    if (size < 0 && size != -EACCES && size != -ENODATA && size != -ERANGE)
        sight->fault = (int)size;
    sight->opaque = (size == 1 && value == 'y') || (size == -EACCES && where != OVLWHERE_SEALED);
    sight->xwhiteouts = size == 1 && value == 'x';
    if (sight->opaque)
        ovlattr_disk_name(where, dir, name, OVLATTR_OPAQUE, sight->mark);
}

/* The file that says the same. An upper says so only where it can write nothing else. */
static void look_for_opaque_file(const struct stack *stack, unsigned slot, int dir,
                                 const char *name, struct sight *sight)
{
    struct stat st;
    if (is_upper(stack, slot) && stack->able.space != OVLSPACE_NONE &&
        stack->able.whiteform == WHITEFORM_DEVICE)
        return;
    cleanup_fd int fd = *name ? fd_open_name(dir, name, O_PATH | O_DIRECTORY, 0) : dup(dir);
    if (fd < 0 || fd_stat(fd, WHITEOUT_OPAQUE, &st) != 0)
        return;
    sight->opaque = true;
    strcpy(sight->mark, WHITEOUT_OPAQUE " file");
}

static void read_redirect(enum ovlwhere where, int dir, const char *name, struct sight *sight)
{
    char value[PATH_MAX + 1];
    ssize_t length = ovlattr_get(where, dir, name, OVLATTR_REDIRECT, value, PATH_MAX);
    if (length < 0) {
        sight->fault = length == -ENODATA ? 0 : (int)length;
        return;
    }
    value[length] = 0;
    sight->fault = strlen(value) == (size_t)length ? 0 : -EIO;
    sight->redirect = strdup(value);
    if (!sight->redirect)
        sight->fault = -ENOMEM;
}

static void read_books(const struct stack *stack, unsigned slot, int dir, const char *name,
                       struct sight *sight)
{
    const enum ovlwhere where = where_of(stack, slot);
    ovlset attrs;
    sight->fault = ovlattr_list(where, dir, name, &attrs);
    if (ovlset_has(attrs, OVLATTR_REDIRECT))
        read_redirect(where, dir, name, sight);
    sight->metacopy = S_ISREG(sight->st.st_mode) && ovlset_has(attrs, OVLATTR_METACOPY);
    if (!S_ISDIR(sight->st.st_mode))
        return;
    if (ovlset_has(attrs, OVLATTR_OPAQUE))
        read_opaque(where, dir, name, sight);
    if (!sight->opaque)
        look_for_opaque_file(stack, slot, dir, name, sight);
}

/* ---- one name ---- */

static void become_whiteout(struct sight *sight, const char *form)
{
    sight->kind = SIGHT_WHITEOUT;
    sight->form = form;
}

static int look(const struct stack *stack, unsigned slot, int dir, const char *name,
                bool attributes, struct sight *sight)
{
    int book = *name ? is_book(stack, slot, dir, name) : 0;
    if (book)
        return book < 0 ? book : 0;
    int err = fd_stat(dir, name, &sight->st);
    bool absent = err == -ENOENT || err == -ENAMETOOLONG || err == -ENOTDIR;
    bool files = *name && has_white_files(stack, slot) && (absent || !is_upper(stack, slot));
    int white = files && (absent || !err) ? whiteout_file_exists(dir, name) : 0;
    int marked = attributes && !err ? whiteout_is_marked(dir, name, &sight->st) : 0;
    if (absent && white > 0)
        become_whiteout(sight, ".wh. file");
    if (absent || err || white < 0 || marked < 0)
        return absent && white >= 0 ? 0 : white < 0 ? white : marked < 0 ? marked : err;
    if (whiteout_is_device(&sight->st)) {
        become_whiteout(sight, "device 0:0");
    } else if (marked) {
        become_whiteout(sight, "overlay.whiteout attribute");
    } else {
        sight->kind = SIGHT_OBJECT;
        sight->cut = white;
        err = record_read(stack->layers[slot].record, dir, name, &sight->st);
        read_books(stack, slot, dir, name, sight);
    }
    return err;
}

int sight_take(const struct stack *stack, unsigned slot, const char *path, bool attributes,
               struct sight *sight)
{
    *sight = (struct sight){0};
    const char *slash = strrchr(path, '/');
    cleanup_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
    if (!parent)
        return -ENOMEM;
    cleanup_fd int dir = fd_open_beneath(stack->layers[slot].root, parent, O_PATH | O_DIRECTORY);
    if (dir == -ENOENT || dir == -ENOTDIR || dir == -ELOOP || dir == -ENAMETOOLONG)
        return 0;
    return dir < 0 ? dir : look(stack, slot, dir, slash ? slash + 1 : path, attributes, sight);
}
