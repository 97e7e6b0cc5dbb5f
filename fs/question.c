/* SPDX-License-Identifier: MIT
 *
 * Duty: ask before anything is done, and refuse only what has to be refused: what others copy up
 * meanwhile, and what would cost nothing after all, is looked at first.
 */
#include "question.h"

#include "copyup.h"
#include "event.h"
#include "find.h"
#include "policing.h"
#include "stack.h"

#include <string.h>

unsigned question_layer(const struct stack *stack, unsigned slot)
{
    return slot > 0 ? stack->count - slot : 0;
}

bool question_spares_data(const struct stack *stack, const struct node_view *view)
{
    return S_ISREG(view->type) && stack->features.metacopy && stack->able.space != OVLSPACE_NONE;
}

bool question_is_settled(const struct node_view *view, bool data)
{
    return node_is(view, NODE_UPPER) && !(data && node_is(view, NODE_METACOPY));
}

/* A copy-up that is to be asked about: what of it, under which name. */
struct question {
    uint32_t parent;
    const char *name;
    struct event event;
    uint64_t bytes; /* that it will move at most */
};

/* A file without a name has none to be judged by, but moves its bytes, and always all of them. */
static int pose(struct mount *mount, const struct node_view *view, bool data, off_t limit,
                const char *cause, struct question *question)
{
    struct stat st;
    struct stack *stack = mount_stack(mount, view);
    bool orphan = node_is(view, NODE_ORPHAN), up = node_is(view, NODE_UPPER);
    int err = find_attr(mount, view, &st);
    if (err)
        return err;
    *question = (struct question){
        .parent = orphan ? NODE_NONE : view->parent,
        .name = orphan ? "" : view->name,
        .event = {.cause = cause,
                  .layer = question_layer(stack,
                                          up && view->more ? view->more->data_layer : view->layer),
                  .type = view->type,
                  .size = S_ISREG(view->type) ? (uint64_t)st.st_size : 0},
    };
    bool moves =
        data || orphan || !question_spares_data(stack, view) || node_is(view, NODE_METACOPY);
    bool cut = limit >= 0 && limit < st.st_size && !orphan && !up;
    question->bytes = !moves ? 0 : cut ? (uint64_t)limit : question->event.size;
    return 0;
}

/* Where the upper can share extents with the layer, all of a file comes up without a byte. Looked
 * at only where the budget does not reach for its size. */
static void spare_extents(struct mount *mount, const struct node_view *view,
                          struct question *question)
{
    int err = 0;
    if (question->bytes < question->event.size)
        return;
    struct fdref *ref = find_data(mount, view, false, &err);
    if (ref && copyup_moves_nothing(mount_stack(mount, view), ref->fd))
        question->bytes = 0;
    fdref_release(mount->fds, ref);
}

static int put(struct mount *mount, const struct question *question, uint64_t bytes)
{
    return policing_ask(mount, question->parent, question->name, &question->event, bytes);
}

/* Where the budget does not reach: somebody may be copying up this very file, or it may cost
 * nothing. */
static int ask_again(struct mount *mount, const struct node_view *view, bool data,
                     struct question *question, uint64_t before)
{
    cleanup_view struct node_view now = {0};
    node_lock(mount->nodes, view->index);
    int err = node_view_index(mount->nodes, view->index, &now);
    if (!err && question_is_settled(&now, data)) {
        question->bytes = 0;
    } else if (!err) {
        spare_extents(mount, &now, question);
        err = put(mount, question, question->bytes ? before + question->bytes : 0);
    }
    node_unlock(mount->nodes, view->index);
    return err;
}

/* The answer to a question that nothing has been done for yet; a refusal is noted. */
static int ask(struct mount *mount, const struct node_view *view, bool data,
               struct question *question, struct promotion *promotion)
{
    uint64_t before = promotion->bytes;
    int err = put(mount, question, question->bytes ? before + question->bytes : 0);
    if (err == -EDQUOT)
        err = ask_again(mount, view, data, question, before);
    if (err == -EROFS || err == -EDQUOT)
        policing_note_denied(mount, question->parent, question->name, &question->event);
    promotion->bytes += question->bytes;
    return err;
}

int question_ask(struct mount *mount, const struct node_view *view, bool data, off_t limit,
                 struct promotion *promotion)
{
    struct question question;
    if (!policing_is_on(mount->policing) || mount_tree(mount, view)->read_only ||
        question_is_settled(view, data))
        return 0;
    int err = pose(mount, view, data, limit, promotion->cause, &question);
    return err ? err : ask(mount, view, data, &question, promotion);
}

int question_ask_node(struct mount *mount, struct promotion *promotion, uint32_t index)
{
    cleanup_view struct node_view view = {0};
    if (!policing_is_on(mount->policing))
        return 0;
    int err = node_view_index(mount->nodes, index, &view);
    return err ? err : question_ask(mount, &view, false, -1, promotion);
}

int question_ask_name(struct mount *mount, struct promotion *promotion, uint32_t parent,
                      const char *name)
{
    cleanup_view struct node_view view = {0};
    struct question question;
    uint32_t index = node_find(mount->nodes, parent, name);
    if (index == NODE_NONE || !policing_is_on(mount->policing))
        return 0;
    int err = node_view_index(mount->nodes, index, &view);
    if (!err)
        err = question_ask(mount, &view, false, -1, promotion);
    bool own = view.parent == parent && strcmp(view.name, name) == 0;
    if (err || S_ISDIR(view.type) || node_name_is_linked(mount->nodes, parent, name) ||
        (own && !question_is_settled(&view, false)))
        return err;
    /* One of several names of an inode, which may be up already: it is judged by this one as well.
     */
    err = pose(mount, &view, false, -1, promotion->cause, &question);
    question.parent = parent;
    question.name = name;
    question.bytes = 0;
    return err ? err : ask(mount, &view, false, &question, promotion);
}

static int take(struct mount *mount, const struct question *question)
{
    return policing_take(mount, question->parent, question->name, &question->event,
                         question->bytes);
}

int question_take(struct mount *mount, const struct node_view *view, bool data, off_t limit,
                  const char *cause, uint64_t *taken)
{
    struct question question;
    *taken = 0;
    if (!policing_is_on(mount->policing))
        return 0;
    int err = pose(mount, view, data, limit, cause, &question);
    if (!err)
        err = take(mount, &question);
    if (err == -EDQUOT) {
        spare_extents(mount, view, &question);
        err = take(mount, &question);
    }
    if (err == -EROFS || err == -EDQUOT)
        policing_note_denied(mount, question.parent, question.name, &question.event);
    *taken = err ? 0 : question.bytes;
    return err;
}
