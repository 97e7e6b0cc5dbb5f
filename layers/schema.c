/* SPDX-License-Identifier: MIT
 *
 * Duty: the tables of the catalog, step by step as they came to be. Ids are 64 hex digits, times
 * nanoseconds since 1970, and the lists that a row owns are tables with a position: the lowest
 * layer of an image has 0, and so has the topmost lower of a mount. The checks refuse what no
 * reader of a row expects.
 */
#include "schema.h"

#define IS_ID "(length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*')"

const char *const schema_steps[SCHEMA_VERSION] = {
    "CREATE TABLE layer ("
    "  id TEXT PRIMARY KEY CHECK " IS_ID ","
    "  name TEXT UNIQUE CHECK (name <> ''),"
    "  source TEXT NOT NULL,"
    "  created INTEGER NOT NULL,"
    "  files INTEGER NOT NULL CHECK (files >= 0),"
    "  bytes INTEGER NOT NULL CHECK (bytes >= 0),"
    "  tar_bytes INTEGER NOT NULL CHECK (tar_bytes >= 0),"
    "  skeleton INTEGER NOT NULL CHECK (skeleton IN (0, 1))"
    ") STRICT;"
    "CREATE TABLE image ("
    "  id TEXT PRIMARY KEY CHECK " IS_ID ","
    "  config TEXT NOT NULL,"
    "  created INTEGER NOT NULL"
    ") STRICT;"
    "CREATE TABLE image_layer ("
    "  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,"
    "  position INTEGER NOT NULL CHECK (position >= 0),"
    "  layer TEXT NOT NULL REFERENCES layer (id),"
    "  PRIMARY KEY (image, position)"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX image_layer_of_layer ON image_layer (layer);"
    "CREATE TABLE tag ("
    "  name TEXT PRIMARY KEY CHECK (name GLOB '?*:?*'),"
    "  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE"
    ") STRICT, WITHOUT ROWID;"
    "CREATE INDEX tag_of_image ON tag (image);"
    "CREATE TABLE mount ("
    "  id TEXT PRIMARY KEY CHECK " IS_ID ","
    "  name TEXT NOT NULL UNIQUE CHECK (name <> '' AND name NOT GLOB '/*'),"
    "  image TEXT REFERENCES image (id),"
    "  created INTEGER NOT NULL,"
    "  mountpoint TEXT CHECK (mountpoint GLOB '/*'),"
    "  mounted INTEGER NOT NULL DEFAULT 0 CHECK (mounted >= 0),"
    "  pid INTEGER NOT NULL DEFAULT 0,"
    "  boot TEXT,"
    "  CHECK (mountpoint IS NULL OR mounted > 0)"
    ") STRICT;"
    "CREATE INDEX mount_of_image ON mount (image);"
    "CREATE INDEX mount_at ON mount (mountpoint);"
    "CREATE TABLE mount_lower ("
    "  mount TEXT NOT NULL REFERENCES mount (id) ON DELETE CASCADE,"
    "  position INTEGER NOT NULL CHECK (position >= 0),"
    "  path TEXT NOT NULL CHECK (path GLOB '/*'),"
    "  PRIMARY KEY (mount, position)"
    ") STRICT, WITHOUT ROWID;"
    "PRAGMA user_version = 1;",

    /* Layers know the digest of their entries; mounts keep options, and may be ephemeral. */
    "ALTER TABLE layer ADD COLUMN entries TEXT NOT NULL DEFAULT ''"
    "  CHECK (entries = '' OR (length(entries) = 32 AND entries NOT GLOB '*[^0-9a-f]*'));"
    "ALTER TABLE mount ADD COLUMN options TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE mount ADD COLUMN ephemeral INTEGER NOT NULL DEFAULT 0"
    "  CHECK (ephemeral IN (0, 1));"
    "PRAGMA user_version = 2;",
};
