/* SPDX-License-Identifier: MIT
 *
 * Duty: the statements of the catalog, over the tables of schema.c.
 */
#include "catalogsql.h"

/* Ids are lower-case hex digits, so 'g' ends the range of all that begin with ?1. */
#define BY_PREFIX(table) "SELECT id FROM " table " WHERE id >= ?1 AND id < ?1 || 'g' LIMIT 2"

#define EVENT_COLUMNS                                                                              \
    "time, kind, path, cause, layer, type, pid, uid, command, writeback, size, moved, means,"      \
    " duration"
#define EVENT_SELECT                                                                               \
    "SELECT number, " EVENT_COLUMNS                                                                \
    " FROM event WHERE ledger = (SELECT number FROM ledger WHERE mount = ?1)"

const char *const catalogsql_texts[STATEMENT_COUNT] = {
    [VERSION] = "PRAGMA user_version",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [SAVE] = "SAVEPOINT change",
    [SAVE_KEEP] = "RELEASE change",
    [SAVE_UNDO] = "ROLLBACK TO change",

    [LAYER_ADD] = "INSERT INTO layer"
                  " (id, name, source, entries, created, files, bytes, tar_bytes, skeleton)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [LAYER_NAME] = "UPDATE layer SET name = ? WHERE id = ?",
    [LAYER_REMOVE] = "DELETE FROM layer WHERE id = ?",
    [LAYER_ROW] = "SELECT id, name, source, entries, created, files, bytes, tar_bytes, skeleton"
                  " FROM layer WHERE id = ?",
    [LAYER_BY_NAME] = "SELECT id FROM layer WHERE name = ?",
    [LAYER_BY_PREFIX] = BY_PREFIX("layer"),
    [LAYER_ALL] = "SELECT id FROM layer ORDER BY created, id",

    [IMAGE_ADD] = "INSERT INTO image (id, config, created) VALUES (?, ?, ?)"
                  " ON CONFLICT (id) DO NOTHING",
    [IMAGE_ADD_LAYER] = "INSERT INTO image_layer (image, position, layer) VALUES (?, ?, ?)",
    [IMAGE_TAG] = "INSERT INTO tag (name, image) VALUES (?, ?)"
                  " ON CONFLICT (name) DO UPDATE SET image = excluded.image",
    [IMAGE_UNTAG] = "DELETE FROM tag WHERE name = ?",
    [IMAGE_REMOVE] = "DELETE FROM image WHERE id = ?",
    [IMAGE_ROW] = "SELECT id, config, created, (SELECT coalesce(sum(bytes), 0) FROM layer"
                  " WHERE id IN (SELECT layer FROM image_layer WHERE image = this.id))"
                  " FROM image AS this WHERE id = ?",
    [IMAGE_LAYERS] = "SELECT layer FROM image_layer WHERE image = ? ORDER BY position",
    [IMAGE_NAMES] = "SELECT name FROM tag WHERE image = ? ORDER BY name",
    [IMAGE_BY_NAME] = "SELECT image FROM tag WHERE name = ?",
    [IMAGE_BY_PREFIX] = BY_PREFIX("image"),
    [IMAGE_ALL] = "SELECT id FROM image ORDER BY created, id",

    [MOUNT_ADD] = "INSERT INTO mount (id, name, image, options, ephemeral, created)"
                  " VALUES (?, ?, ?, ?, ?, ?)",
    [MOUNT_ADD_LOWER] = "INSERT INTO mount_lower (mount, position, path) VALUES (?, ?, ?)",
    [MOUNT_RENAME] = "UPDATE mount SET name = ? WHERE id = ?",
    [MOUNT_SET_MOUNTED] = "UPDATE mount SET mountpoint = ?, mounted = ?, pid = ?, boot = ?"
                          " WHERE id = ?",
    [MOUNT_SET_UNMOUNTED] = "UPDATE mount SET mountpoint = NULL WHERE id = ?",
    [MOUNT_REMOVE] = "DELETE FROM mount WHERE id = ?",
    [MOUNT_ROW] = "SELECT id, name, image, options, ephemeral, created, mountpoint, mounted, pid,"
                  " boot FROM mount WHERE id = ?",
    [MOUNT_LOWERS] = "SELECT path FROM mount_lower WHERE mount = ? ORDER BY position",
    [MOUNT_BY_NAME] = "SELECT id FROM mount WHERE name = ?",
    [MOUNT_BY_PREFIX] = BY_PREFIX("mount"),
    [MOUNT_BY_MOUNTPOINT] = "SELECT id FROM mount WHERE mountpoint = ?"
                            " ORDER BY mounted DESC LIMIT 1",
    [MOUNT_ALL] = "SELECT id FROM mount ORDER BY created, id",

    [VOLUME_ADD] = "INSERT INTO volume (name, driver, created, by_mount, by_image,"
                   " by_destination, used, copied_image, copied_path, copied)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [VOLUME_ADD_PAIR] = "INSERT INTO volume_pair (volume, kind, key, value) VALUES (?, ?, ?, ?)",
    [VOLUME_TAKEN] = "SELECT 1 FROM volume WHERE name = ?1 OR renaming = ?1",
    [VOLUME_BEGIN_RENAME] = "UPDATE volume SET renaming = ? WHERE name = ? AND renaming IS NULL",
    [VOLUME_RENAME] = "UPDATE volume SET name = renaming, renaming = NULL"
                      " WHERE name = ? AND renaming IS NOT NULL",
    [VOLUME_KEEP_NAME] = "UPDATE volume SET renaming = NULL"
                         " WHERE name = ? AND renaming IS NOT NULL",
    [VOLUME_SET_USED] = "UPDATE volume SET used = ? WHERE name = ?",
    [VOLUME_SET_COPIED] = "UPDATE volume SET copied_image = ?, copied_path = ?, copied = ?"
                          " WHERE name = ?",
    [VOLUME_REMOVE] = "DELETE FROM volume WHERE name = ?",
    [VOLUME_ROW] = "SELECT name, driver, created, by_mount, by_image, by_destination, used,"
                   " copied_image, copied_path, copied, renaming FROM volume WHERE name = ?",
    [VOLUME_PAIRS] = "SELECT key, value FROM volume_pair WHERE volume = ? AND kind = ?",
    [VOLUME_USERS] = "SELECT DISTINCT mount.name FROM mount_volume JOIN mount"
                     " ON mount.id = mount_volume.mount WHERE volume = ? ORDER BY mount.name",
    [VOLUME_ALL] = "SELECT name FROM volume ORDER BY name",
    [VOLUME_RENAMING] = "SELECT name FROM volume WHERE renaming IS NOT NULL",

    [ROUTE_ADD] = "INSERT INTO mount_volume (mount, destination, kind, volume, image, source, mode,"
                  " propagation, subpath, driver, size, perm, read_only, nocopy, make_source,"
                  " one_filesystem, origin, anonymous)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [ROUTE_ADD_PAIR] = "INSERT INTO mount_volume_pair (mount, destination, kind, key, value)"
                       " VALUES (?, ?, ?, ?, ?)",
    [ROUTE_REMOVE] = "DELETE FROM mount_volume WHERE mount = ? AND destination = ?",
    [ROUTE_ROW] =
        "SELECT destination, kind, coalesce(volume, image, source), mode, propagation, subpath,"
        " driver, size, perm, read_only, nocopy, make_source, one_filesystem, origin,"
        " anonymous FROM mount_volume WHERE mount = ? AND destination = ?",
    [ROUTE_PAIRS] = "SELECT key, value FROM mount_volume_pair"
                    " WHERE mount = ? AND destination = ? AND kind = ?",
    [ROUTE_ALL] = "SELECT destination FROM mount_volume WHERE mount = ?",

    [SYNC_LESS] = "PRAGMA synchronous = NORMAL",
    [LEDGER_FIND] = "SELECT number FROM ledger WHERE mount = ?",
    [LEDGER_MAKE] = "INSERT INTO ledger (mount) VALUES (?) ON CONFLICT (mount) DO NOTHING",
    [LEDGER_LOSE] = "UPDATE ledger SET lost = lost + ? WHERE number = ?",
    [LEDGER_LOST] = "SELECT lost FROM ledger WHERE mount = ?",
    [LEDGER_LAST] = "SELECT coalesce(max(number), 0) FROM event WHERE ledger = ?",
    [EVENT_ADD] = "INSERT INTO event (ledger, number, " EVENT_COLUMNS ")"
                  " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [EVENT_FORGET] =
        "DELETE FROM event INDEXED BY event_again WHERE ledger = ? AND path = ? AND kind = ?"
        " AND kind <> 'copyup'",
    [EVENT_PAGE] = EVENT_SELECT " AND number > ?2 AND time >= ?3 ORDER BY number LIMIT ?4",
    [EVENT_PAGE_OF_PATH] = EVENT_SELECT " AND number > ?2 AND time >= ?3 AND path = ?5"
                                        " ORDER BY number LIMIT ?4",
    [EVENT_MOVED] = "SELECT coalesce(sum(moved), 0) FROM event WHERE kind = 'copyup'"
                    " AND ledger = (SELECT number FROM ledger WHERE mount = ?)",

    [POLICY_RULES] = "SELECT act, glob, coalesce(above, -1) FROM policy_rule WHERE mount = ?"
                     " ORDER BY position",
    [POLICY_BUDGET] = "SELECT coalesce(budget, -1) FROM mount WHERE id = ?",
    [POLICY_CLEAR] = "DELETE FROM policy_rule WHERE mount = ?",
    [POLICY_ADD] = "INSERT INTO policy_rule (mount, position, act, glob, above)"
                   " VALUES (?, ?, ?, ?, nullif(?, -1))",
    [POLICY_SET_BUDGET] = "UPDATE mount SET budget = nullif(?, -1) WHERE id = ?",
};
