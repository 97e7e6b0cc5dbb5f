/* SPDX-License-Identifier: MIT
 *
 * Duty: the link counts of indexed inodes, right at every instant. To link a name that was shown
 * before, the count is first written relative to the lower inode, then the link is made, then the
 * count is written relative to the upper one again.
 */
#include "linkindex.h"

#include "copymeta.h"
#include "fd.h"
#include "ovlattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 16 };

static int write_count(const struct stack *stack, const char *index_name, char kind, nlink_t shown,
                       nlink_t real)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%c%+d", kind, (int)((long)shown - (long)real));
    return ovlattr_set(stack->able.space, stack->index, index_name, OVLATTR_NLINK, text,
                       strlen(text));
}

/* The attribute's kind, 'U' or 'L', and its number; 0 where there is none. */
static char read_count(const struct stack *stack, int dir, const char *name, long *number)
{
    char text[TEXT_MAX];
    ssize_t length = ovlattr_get_owned(stack_upper_where(stack), dir, name, OVLATTR_NLINK, text,
                                       sizeof(text) - 1);
    if (length < 2 || (text[0] != 'U' && text[0] != 'L'))
        return 0;
    text[length] = 0;
    *number = strtol(text + 1, NULL, 10);
    return text[0];
}

/* The count of the lower inode that (dir, name) was copied from; 0 where it cannot be told. */
static int lower_links(const struct stack *stack, int dir, const char *name, nlink_t *count)
{
    struct stat st;
    int err = stack_origin_stat(stack, dir, name, &st);
    *count = err ? 0 : st.st_nlink;
    return err == -ESTALE ? 0 : err;
}

nlink_t linkindex_shown(const struct stack *stack, int dir, const char *name, nlink_t upper,
                        nlink_t lower, nlink_t fallback)
{
    long number = 0;
    char kind = read_count(stack, dir, name, &number);
    if (kind == 'L' && lower == 0)
        (void)!lower_links(stack, dir, name, &lower);
    long count = number + (kind == 'U' ? (long)upper : (long)lower);
    bool known = kind == 'U' || (kind == 'L' && lower > 0);
    return known && count > 0 ? (nlink_t)count : fallback;
}

int linkindex_write(const struct stack *stack, const char *index_name, nlink_t shown)
{
    struct stat st;
    int err = fd_stat(stack->index, index_name, &st);
    return err ? err : write_count(stack, index_name, 'U', shown, st.st_nlink);
}

/* Whatever fails after the link leaves a count that is true, and is settled later. */
int linkindex_link_first(const struct stack *stack, const char *index_name, int dst_dir,
                         const char *dst_name, nlink_t shown)
{
    struct stat before;
    if (fstat(dst_dir, &before) < 0)
        return -errno;
    if (linkat(stack->index, index_name, dst_dir, dst_name, 0) < 0)
        return -errno;
    (void)!linkindex_write(stack, index_name, shown);
    (void)!copymeta_times(dst_dir, "", &before);
    return 0;
}

int linkindex_link(const struct stack *stack, const char *index_name, int dst_dir,
                   const char *dst_name, nlink_t shown)
{
    nlink_t lower;
    int err = lower_links(stack, stack->index, index_name, &lower);
    if (!err && lower > 0)
        err = write_count(stack, index_name, 'L', shown, lower);
    return err ? err : linkindex_link_first(stack, index_name, dst_dir, dst_name, shown);
}

int linkindex_settle(const struct stack *stack, const char *index_name)
{
    struct stat st;
    char text[TEXT_MAX];
    ssize_t length = ovlattr_get_owned(stack_upper_where(stack), stack->index, index_name,
                                       OVLATTR_NLINK, text, sizeof(text));
    if (length < 1 || text[0] != 'L')
        return length < 0 && length != -ENODATA ? (int)length : 0;
    int err = fd_stat(stack->index, index_name, &st);
    if (err)
        return err;
    nlink_t shown =
        linkindex_shown(stack, stack->index, index_name, st.st_nlink, 0, st.st_nlink - 1);
    return write_count(stack, index_name, 'U', shown, st.st_nlink);
}

/* As the kernel judges it (fs/overlayfs/namei.c, ovl_verify_index): the index has the only link,
 * and nothing of it is shown. */
static bool is_orphan(const struct stack *stack, const char *index_name)
{
    struct stat st;
    long number;
    if (fd_stat(stack->index, index_name, &st) < 0 || S_ISDIR(st.st_mode) || st.st_nlink != 1)
        return false;
    return read_count(stack, stack->index, index_name, &number) == 'U' && 1 + number <= 0;
}

void linkindex_sweep(const struct stack *stack)
{
    int fd = fd_open_name(stack->index, ".", O_RDONLY | O_DIRECTORY, 0);
    cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        own_close(&fd);
        return;
    }
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (!fd_is_dot(entry->d_name) && is_orphan(stack, entry->d_name))
            (void)unlinkat(stack->index, entry->d_name, 0);
    }
}
