/* SPDX-License-Identifier: MIT
 *
 * Duty: read the table and look in it. Cost: one comparison for each range.
 */
#include "idmap.h"

#include <endian.h>
#include <linux/capability.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

void idmap_finish(struct idmap *map)
{
    free(map->users.at);
    free(map->groups.at);
    *map = (struct idmap){0};
}

/* ---- the table ---- */

/* Takes a number and the colon behind it. */
static bool take_number(const char **at, uint32_t *number)
{
    uint64_t value = 0;
    const char *from = *at;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        value = value * 10 + (uint64_t)(**at - '0');
        if (value > UINT32_MAX)
            return false;
    }
    if (*at == from || (**at && **at != ':'))
        return false;
    *at += **at == ':';
    *number = (uint32_t)value;
    return true;
}

static bool meet(uint32_t a, uint32_t a_length, uint32_t b, uint32_t b_length)
{
    return a < (uint64_t)b + b_length && b < (uint64_t)a + a_length;
}

/* The highest number means "no id" (chown(2)), and is in no range. */
static bool fits(const struct idtable *table, const struct idrange *range)
{
    const uint64_t most = UINT32_MAX;
    if (range->length == 0 || range->disk + (uint64_t)range->length > most ||
        range->shown + (uint64_t)range->length > most)
        return false;
    for (unsigned i = 0; i < table->count; i++) {
        const struct idrange *other = &table->at[i];
        if (meet(range->disk, range->length, other->disk, other->length) ||
            meet(range->shown, range->length, other->shown, other->length))
            return false;
    }
    return true;
}

static int add_range(struct idtable *table, const struct idrange *range)
{
    if (!fits(table, range))
        return -EINVAL;
    struct idrange *at = realloc(table->at, (table->count + 1) * sizeof(*at));
    if (!at)
        return -ENOMEM;
    table->at = at;
    at[table->count++] = *range;
    return 0;
}

int idtable_parse(struct idtable *table, const char *text)
{
    struct idrange range;
    table->count = 0;
    text += *text == ':';
    int err = *text ? 0 : -EINVAL;
    while (*text && !err) {
        bool whole = take_number(&text, &range.disk) && take_number(&text, &range.shown) &&
                     take_number(&text, &range.length);
        err = whole ? add_range(table, &range) : -EINVAL;
    }
    return err;
}

void idtable_squash(struct idtable *table, uint32_t id)
{
    table->squashed = true;
    table->squash_to = id;
}

bool idmap_is_plain(const struct idmap *map)
{
    return map->users.count == 0 && map->groups.count == 0 && !map->users.squashed &&
           !map->groups.squashed;
}

/* ---- one id ---- */

static bool find_shown(const struct idtable *table, uint32_t disk, uint32_t *shown)
{
    *shown = disk;
    for (unsigned i = 0; i < table->count; i++) {
        const struct idrange *range = &table->at[i];
        if (disk >= range->disk && disk - range->disk < range->length)
            return *shown = range->shown + (disk - range->disk), true;
    }
    return table->count == 0;
}

static uint32_t mapped(const struct idtable *table, uint32_t disk)
{
    uint32_t shown;
    return find_shown(table, disk, &shown) ? shown : (uint32_t)IDMAP_OVERFLOW;
}

uint32_t idtable_shown(const struct idtable *table, uint32_t disk)
{
    return table->squashed ? table->squash_to : mapped(table, disk);
}

bool idtable_disk(const struct idtable *table, uint32_t shown, uint32_t *disk)
{
    *disk = shown;
    for (unsigned i = 0; i < table->count; i++) {
        const struct idrange *range = &table->at[i];
        if (shown >= range->shown && shown - range->shown < range->length)
            return *disk = range->disk + (shown - range->shown), true;
    }
    return table->count == 0;
}

void idmap_show_owner(const struct idmap *map, struct stat *st)
{
    st->st_uid = idtable_shown(&map->users, st->st_uid);
    st->st_gid = idtable_shown(&map->groups, st->st_gid);
}

/* ---- ids in attributes ---- */

/* The little-endian word of an attribute's value, anywhere in it. */
static uint32_t read_word(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof(word));
    return le32toh(word);
}

static void write_word(char *at, uint32_t value)
{
    uint32_t word = htole32(value);
    memcpy(at, &word, sizeof(word));
}

static const struct idtable *table_of(const struct idmap *map, unsigned tag)
{
    return tag == ACL_USER ? &map->users : tag == ACL_GROUP ? &map->groups : NULL;
}

static int map_acl(const struct idmap *map, char *value, size_t size, bool out)
{
    const size_t entry = sizeof(struct posix_acl_xattr_entry);
    const size_t head = sizeof(struct posix_acl_xattr_header);
    for (size_t at = head; size >= entry && at <= size - entry; at += entry) {
        uint16_t tag;
        memcpy(&tag, value + at, sizeof(tag));
        const struct idtable *table = table_of(map, le16toh(tag));
        char *place = value + at + offsetof(struct posix_acl_xattr_entry, e_id);
        uint32_t id = table ? read_word(place) : 0;
        if (table && out)
            id = mapped(table, id);
        else if (table && !idtable_disk(table, id, &id))
            return -EINVAL;
        if (table)
            write_word(place, id);
    }
    return 0;
}

/* The root id is the last field of version 3 (linux/capability.h). */
static int map_capability(const struct idmap *map, char *value, size_t size, bool out)
{
    if (size != XATTR_CAPS_SZ_3 || (read_word(value) & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3)
        return 0;
    char *place = value + offsetof(struct vfs_ns_cap_data, rootid);
    uint32_t id = read_word(place);
    bool known = out ? find_shown(&map->users, id, &id) : idtable_disk(&map->users, id, &id);
    if (!known)
        return out ? -EOVERFLOW : -EINVAL;
    write_word(place, id);
    return 0;
}

static int map_attr(const struct idmap *map, const char *name, void *value, size_t size, bool out)
{
    if (strcmp(name, "security.capability") == 0)
        return map_capability(map, value, size, out);
    if (strncmp(name, "system.posix_acl_", strlen("system.posix_acl_")) == 0)
        return map_acl(map, value, size, out);
    return 0;
}

int idmap_show_attr(const struct idmap *map, const char *name, void *value, size_t size)
{
    return map_attr(map, name, value, size, true);
}

int idmap_store_attr(const struct idmap *map, const char *name, void *value, size_t size)
{
    return map_attr(map, name, value, size, false);
}
