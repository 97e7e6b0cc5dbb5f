/* SPDX-License-Identifier: MIT
 *
 * Duty: nothing that is held dies, and nothing else stays. The death of a node may be that of its
 * parent, and so on up; those who are told of it are told under no lock, in portions.
 */
#include "nodetable.h"

int nodetable_attach(struct node_table *table, uint32_t slot, uint32_t parent, const char *name)
{
    struct node *node = &table->slots.at[slot];
    nameref ref = names_add(table->names, name);
    if (!ref)
        return -ENOMEM;
    node->name = ref;
    node->parent = parent;
    table->slots.at[parent].children++;
    nodehash_add_name(&table->hash, slot);
    return 0;
}

static bool is_held(const struct node *node)
{
    return node->lookups > 0 || node->children > 0 || (node->flags & NODE_BUSY);
}

void nodetable_let_go(struct node_table *table, uint32_t index)
{
    struct node *node = &table->slots.at[index];
    if (index <= NODE_ROOT || is_held(node) || (node->flags & NODE_LONELY))
        return;
    node->flags |= NODE_LONELY;
    node->target = table->lonely;
    table->lonely = index;
}

void nodetable_detach(struct node_table *table, uint32_t slot)
{
    struct node *node = &table->slots.at[slot];
    nodehash_remove_name(&table->hash, slot);
    names_remove(table->names, node->name);
    table->slots.at[node->parent].children--;
    nodetable_let_go(table, node->parent);
    node->name = 0;
    node->parent = NODE_NONE;
}

void nodetable_free_alias(struct node_table *table, uint32_t slot)
{
    nodetable_detach(table, slot);
    slots_give(&table->slots, slot);
}

void nodetable_release_extras(struct node *node)
{
    if (slot_is_dir(node))
        sources_release(node->sources);
    else
        filemore_release(node->more);
}

/* Everything of a node but its slot, which nobody finds any more. */
static void end_node(struct node_table *table, uint32_t index)
{
    struct node *node = &table->slots.at[index];
    while (node->aliases) {
        uint32_t alias = node->aliases;
        node->aliases = table->slots.at[alias].aliases;
        nodetable_free_alias(table, alias);
    }
    if (node->name)
        nodetable_detach(table, index);
    nodehash_remove_ino(&table->hash, index);
    nodetable_release_extras(node);
    node->generation = 0;
}

/* The indices of nodes that died under the lock, to be told outside it. */
struct obituary {
    uint32_t at[64];
    uint8_t tree[64];
    unsigned count;
};

/* Ends nodes that nobody holds any more; their parents, if that was what kept them, come next. */
static unsigned bury_lonely(struct node_table *table, struct obituary *dead)
{
    dead->count = 0;
    while (table->lonely && dead->count < sizeof(dead->at) / sizeof(dead->at[0])) {
        uint32_t index = table->lonely;
        struct node *node = &table->slots.at[index];
        table->lonely = node->target;
        node->flags &= ~(unsigned)NODE_LONELY;
        if (is_held(node))
            continue;
        end_node(table, index);
        dead->tree[dead->count] = node->tree;
        dead->at[dead->count++] = index;
    }
    return dead->count;
}

void nodetable_leave(struct node_table *table)
{
    struct obituary dead;
    while (bury_lonely(table, &dead) > 0) {
        pthread_mutex_unlock(&table->lock);
        for (unsigned i = 0; i < dead.count; i++)
            table->freed(table->context, dead.at[i], dead.tree[i]);
        pthread_mutex_lock(&table->lock);
        for (unsigned i = 0; i < dead.count; i++) {
            table->in_tree[dead.tree[i]]--;
            slots_give(&table->slots, dead.at[i]);
        }
    }
    pthread_mutex_unlock(&table->lock);
}
