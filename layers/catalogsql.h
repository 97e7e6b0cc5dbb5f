/* SPDX-License-Identifier: MIT
 *
 * What the catalog says to SQLite: every statement is a line of one table. Which parameters and
 * columns it has is known where it is asked, in the same order.
 */
#ifndef PLYFS_CATALOGSQL_H
#define PLYFS_CATALOGSQL_H

enum statement {
    VERSION,
    BEGIN,
    COMMIT,
    ROLLBACK,
    SAVE,
    SAVE_KEEP,
    SAVE_UNDO,

    LAYER_ADD,
    LAYER_NAME,
    LAYER_REMOVE,
    LAYER_ROW,
    LAYER_BY_NAME,
    LAYER_BY_PREFIX,
    LAYER_ALL,

    IMAGE_ADD,
    IMAGE_ADD_LAYER,
    IMAGE_TAG,
    IMAGE_UNTAG,
    IMAGE_REMOVE,
    IMAGE_ROW,
    IMAGE_LAYERS,
    IMAGE_NAMES,
    IMAGE_BY_NAME,
    IMAGE_BY_PREFIX,
    IMAGE_ALL,

    MOUNT_ADD,
    MOUNT_ADD_LOWER,
    MOUNT_RENAME,
    MOUNT_SET_MOUNTED,
    MOUNT_SET_UNMOUNTED,
    MOUNT_REMOVE,
    MOUNT_ROW,
    MOUNT_LOWERS,
    MOUNT_BY_NAME,
    MOUNT_BY_PREFIX,
    MOUNT_BY_MOUNTPOINT,
    MOUNT_ALL,

    VOLUME_ADD,
    VOLUME_ADD_PAIR,
    VOLUME_TAKEN,
    VOLUME_BEGIN_RENAME,
    VOLUME_RENAME,
    VOLUME_KEEP_NAME,
    VOLUME_SET_USED,
    VOLUME_SET_COPIED,
    VOLUME_REMOVE,
    VOLUME_ROW,
    VOLUME_PAIRS,
    VOLUME_USERS,
    VOLUME_ALL,
    VOLUME_RENAMING,

    ROUTE_ADD,
    ROUTE_ADD_PAIR,
    ROUTE_REMOVE,
    ROUTE_ROW,
    ROUTE_PAIRS,
    ROUTE_ALL,

    SYNC_LESS,
    LEDGER_FIND,
    LEDGER_MAKE,
    LEDGER_LOSE,
    LEDGER_LOST,
    LEDGER_LAST,
    EVENT_ADD,
    EVENT_FORGET,
    EVENT_PAGE,
    EVENT_PAGE_OF_PATH,

    STATEMENT_COUNT,
};

extern const char *const catalogsql_texts[STATEMENT_COUNT];

#endif
