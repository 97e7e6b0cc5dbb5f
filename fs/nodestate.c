/* SPDX-License-Identifier: MIT
 *
 * Duty: one thing noted or asked at a time, under the table's lock.
 */
#include "nodestate.h"

#include "nodetable.h"

bool node_try_lock(struct node_table *table, uint32_t index)
{
    nodetable_enter(table);
    bool taken = !(table->slots.at[index].flags & NODE_BUSY);
    table->slots.at[index].flags |= NODE_BUSY;
    nodetable_exit(table);
    return taken;
}

void node_lock(struct node_table *table, uint32_t index)
{
    nodetable_enter(table);
    while (table->slots.at[index].flags & NODE_BUSY)
        pthread_cond_wait(&table->unlocked[index % NODE_LOCK_SHARDS], &table->lock);
    table->slots.at[index].flags |= NODE_BUSY;
    nodetable_exit(table);
}

void node_unlock(struct node_table *table, uint32_t index)
{
    nodetable_enter(table);
    table->slots.at[index].flags &= ~(unsigned)NODE_BUSY;
    pthread_cond_broadcast(&table->unlocked[index % NODE_LOCK_SHARDS]);
    nodetable_let_go(table, index);
    nodetable_leave(table);
}

void node_set_flags(struct node_table *table, uint32_t index, unsigned set, unsigned clear)
{
    nodetable_enter(table);
    struct node *node = &table->slots.at[index];
    node->flags = (node->flags | set) & ~clear;
    nodetable_exit(table);
}

bool node_flag_new(struct node_table *table, uint64_t id, unsigned flag)
{
    nodetable_enter(table);
    uint32_t index = slots_find(&table->slots, id);
    bool new = index && table->slots.at[index].lookups == 1;
    if (new)
        table->slots.at[index].flags |= flag;
    nodetable_exit(table);
    return new;
}

bool node_has_flag(struct node_table *table, uint64_t id, unsigned flag)
{
    nodetable_enter(table);
    uint32_t index = slots_find(&table->slots, id);
    bool has = index && (table->slots.at[index].flags & flag);
    nodetable_exit(table);
    return has;
}

void node_found_bare(struct node_table *table, uint32_t index)
{
    nodetable_enter(table);
    struct node *node = &table->slots.at[index];
    if (!(node->flags & NODE_DRESSED))
        node->flags |= NODE_BARE;
    nodetable_exit(table);
}

void node_promoted(struct node_table *table, uint32_t index, unsigned set, unsigned clear,
                   uint64_t upper_ino)
{
    nodetable_enter(table);
    struct node *node = &table->slots.at[index];
    node->flags = (node->flags | set | NODE_UPPER) & ~clear;
    node->layer = 0;
    node->upper_ino = upper_ino;
    nodetable_exit(table);
}

void node_set_ino(struct node_table *table, uint32_t index, uint64_t ino)
{
    nodetable_enter(table);
    bool listed = table->slots.at[index].flags & NODE_BY_INO;
    nodehash_remove_ino(&table->hash, index);
    table->slots.at[index].ino = ino;
    if (listed)
        nodehash_add_ino(&table->hash, index);
    nodetable_exit(table);
}

void node_set_more(struct node_table *table, uint32_t index, struct filemore *more)
{
    nodetable_enter(table);
    struct filemore *old = table->slots.at[index].more;
    table->slots.at[index].more = more;
    nodetable_exit(table);
    filemore_release(old);
}

#define TOLD_SEVERAL UINT32_MAX /* or one without a number */

static uint32_t told_as(pid_t thread)
{
    return thread > 0 ? (uint32_t)thread : TOLD_SEVERAL;
}

void node_tell(struct node_table *table, uint32_t index, pid_t asker)
{
    const uint32_t who = told_as(asker);
    nodetable_enter(table);
    struct node *node = &table->slots.at[index];
    if (slot_is_dir(node))
        node->told = node->told == 0 || node->told == who ? who : TOLD_SEVERAL;
    nodetable_exit(table);
}

uint64_t node_told_others(struct node_table *table, uint32_t index, pid_t changer)
{
    nodetable_enter(table);
    struct node *node = &table->slots.at[index];
    bool others = slot_is_dir(node) && node->told &&
                  (node->told == TOLD_SEVERAL || node->told != told_as(changer));
    const uint64_t id = others ? slots_id(&table->slots, index) : 0;
    if (others)
        node->told = 0;
    nodetable_exit(table);
    return id;
}

struct node_opens node_opens(struct node_table *table, uint32_t index)
{
    nodetable_enter(table);
    struct node_opens opens = table->slots.at[index].opens;
    nodetable_exit(table);
    return opens;
}

void node_opened(struct node_table *table, uint32_t index, bool writes, int32_t backing)
{
    nodetable_enter(table);
    opens_add(&table->slots.at[index].opens, writes, backing);
    nodetable_exit(table);
}

bool node_opened_again(struct node_table *table, uint32_t index, bool writes, int32_t *backing)
{
    nodetable_enter(table);
    struct node_opens *opens = &table->slots.at[index].opens;
    const bool again = opens->count > 0;
    *backing = again ? opens->backing : 0;
    if (again)
        opens_add(opens, writes, *backing);
    nodetable_exit(table);
    return again;
}

int32_t node_released(struct node_table *table, uint32_t index, bool writes)
{
    nodetable_enter(table);
    const int32_t closed = opens_remove(&table->slots.at[index].opens, writes);
    nodetable_exit(table);
    return closed;
}
