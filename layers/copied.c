/* SPDX-License-Identifier: MIT
 *
 * Duty: compare the number that a copy keeps with that of what lies beneath. Cost: one resolution.
 */
#include "copied.h"

#include "ovlattr.h"
#include "resolve.h"

/* Whether a copy-up leaves on `beneath` something by which the copy is known (copyup.c). */
static bool leaves_a_trace(const struct stack *stack, const struct entry *beneath)
{
    const mode_t type = beneath->st.st_mode & S_IFMT;
    const bool parts = type != S_IFDIR && beneath->st.st_nlink > 1 && stack->index < 0;
    return !parts && (stack->able.space == OVLSPACE_TRUSTED ||
                      (stack->able.space == OVLSPACE_USER && (type == S_IFREG || type == S_IFDIR)));
}

/* Of one that has the number of its own inode. The layers may have been moved to where what it kept
 * of them leads to nothing. */
static enum copied judge_own_number(const struct stack *stack, const struct change *change,
                                    const struct entry *beneath)
{
    ovlset attrs = 0;
    if (!leaves_a_trace(stack, beneath) ||
        ovlattr_list(stack_upper_where(stack), change->upper, change->name, &attrs) != 0)
        return COPIED_UNKNOWN;
    return ovlset_has(attrs, OVLATTR_ORIGIN) || ovlset_has(attrs, OVLATTR_INO) ? COPIED_UNKNOWN
                                                                               : COPIED_NOT_HERE;
}

int copied_find(const struct stack *stack, const struct change *change, enum copied *copied)
{
    cleanup_entry struct entry beneath = {0};
    const struct entry *entry = change->entry;
    *copied = COPIED_NOT_HERE;
    if (!entry->linked)
        return 0; /* it came up by another name */
    int err = resolve_beneath_index(stack, change->sources, change->name, &beneath);
    if (err) {
        *copied = COPIED_UNKNOWN;
        return err == -ENOMEM ? err : 0;
    }
    if (!beneath.present || (beneath.st.st_mode & S_IFMT) != (entry->st.st_mode & S_IFMT))
        return 0;
    if (entry->ino == beneath.ino)
        *copied = COPIED_HERE;
    else if (entry->ino == stack_ino(stack, 0, entry->st.st_ino))
        *copied = judge_own_number(stack, change, &beneath);
    return 0;
}
