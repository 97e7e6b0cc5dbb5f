/* SPDX-License-Identifier: MIT
 *
 * Duty: a lock for each directory, a few of them for all: two that fall together only wait for each
 * other.
 */
#include "turns.h"

void turns_init(struct turns *turns)
{
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* A copy-up must not wait for ever behind those who share. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    for (unsigned i = 0; i < TURNS; i++)
        pthread_rwlock_init(&turns->at[i], &attr);
    pthread_rwlockattr_destroy(&attr);
}

void turns_finish(struct turns *turns)
{
    for (unsigned i = 0; i < TURNS; i++)
        pthread_rwlock_destroy(&turns->at[i]);
}

pthread_rwlock_t *turn_of(struct mount *mount, uint8_t tree, uint32_t index)
{
    return mount->trees[tree]->stack.plain ? NULL : &mount->turns.at[index % TURNS];
}

pthread_rwlock_t *turn_take(struct mount *mount, uint8_t tree, uint32_t index)
{
    pthread_rwlock_t *turn = turn_of(mount, tree, index);
    if (turn)
        pthread_rwlock_wrlock(turn);
    return turn;
}

static pthread_rwlock_t *share(pthread_rwlock_t *turn)
{
    if (turn)
        pthread_rwlock_rdlock(turn);
    return turn;
}

pthread_rwlock_t *turn_share(struct mount *mount, const struct node_view *dir)
{
    return share(turn_of(mount, dir->tree, dir->index));
}

void turn_end(pthread_rwlock_t *turn)
{
    if (turn)
        pthread_rwlock_unlock(turn);
}

/* In the order of memory, and one lock once: whoever waits to have it alone is let in before those
 * who come to share it. */
struct turn_ends turn_share_ends(struct mount *mount, const struct node_view *from,
                                 const struct node_view *to)
{
    pthread_rwlock_t *a = turn_of(mount, from->tree, from->index);
    pthread_rwlock_t *b = turn_of(mount, to->tree, to->index);
    pthread_rwlock_t *first = a < b ? a : b, *second = a < b ? b : a;
    return (struct turn_ends){share(first), first == second ? NULL : share(second)};
}

void turn_end_ends(struct turn_ends ends)
{
    turn_end(ends.second);
    turn_end(ends.first);
}
