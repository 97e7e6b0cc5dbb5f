-- SPDX-License-Identifier: MIT
-- A catalog of schema version 2: that of version 1, one layer with digests, one mount with options.
PRAGMA foreign_keys = OFF;
BEGIN;
CREATE TABLE layer (  id TEXT PRIMARY KEY CHECK (length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*'),  name TEXT UNIQUE CHECK (name <> ''),  source TEXT NOT NULL,  created INTEGER NOT NULL,  files INTEGER NOT NULL CHECK (files >= 0),  bytes INTEGER NOT NULL CHECK (bytes >= 0),  tar_bytes INTEGER NOT NULL CHECK (tar_bytes >= 0),  skeleton INTEGER NOT NULL CHECK (skeleton IN (0, 1)), entries TEXT NOT NULL DEFAULT ''  CHECK (entries = '' OR (length(entries) = 32 AND entries NOT GLOB '*[^0-9a-f]*'))) STRICT;
CREATE TABLE image (  id TEXT PRIMARY KEY CHECK (length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*'),  config TEXT NOT NULL,  created INTEGER NOT NULL) STRICT;
CREATE TABLE image_layer (  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,  position INTEGER NOT NULL CHECK (position >= 0),  layer TEXT NOT NULL REFERENCES layer (id),  PRIMARY KEY (image, position)) STRICT, WITHOUT ROWID;
CREATE INDEX image_layer_of_layer ON image_layer (layer);
CREATE TABLE tag (  name TEXT PRIMARY KEY CHECK (name GLOB '?*:?*'),  image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE) STRICT, WITHOUT ROWID;
CREATE INDEX tag_of_image ON tag (image);
CREATE TABLE mount (  id TEXT PRIMARY KEY CHECK (length(id) = 64 AND id NOT GLOB '*[^0-9a-f]*'),  name TEXT NOT NULL UNIQUE CHECK (name <> '' AND name NOT GLOB '/*'),  image TEXT REFERENCES image (id),  created INTEGER NOT NULL,  mountpoint TEXT CHECK (mountpoint GLOB '/*'),  mounted INTEGER NOT NULL DEFAULT 0 CHECK (mounted >= 0),  pid INTEGER NOT NULL DEFAULT 0,  boot TEXT, options TEXT NOT NULL DEFAULT '', ephemeral INTEGER NOT NULL DEFAULT 0  CHECK (ephemeral IN (0, 1)),  CHECK (mountpoint IS NULL OR mounted > 0)) STRICT;
CREATE INDEX mount_of_image ON mount (image);
CREATE INDEX mount_at ON mount (mountpoint);
CREATE TABLE mount_lower (  mount TEXT NOT NULL REFERENCES mount (id) ON DELETE CASCADE,  position INTEGER NOT NULL CHECK (position >= 0),  path TEXT NOT NULL CHECK (path GLOB '/*'),  PRIMARY KEY (mount, position)) STRICT, WITHOUT ROWID;
INSERT INTO layer VALUES ('1111111111111111111111111111111111111111111111111111111111111111', 'base', 'debian.tar', 1700000000000000001, 9000, 120000000, 130000000, 1, '0123456789abcdef0123456789abcdef');
INSERT INTO layer VALUES ('2222222222222222222222222222222222222222222222222222222222222222', NULL, 'commit of web', 1700000000000000002, 12, 4096, 10240, 0, '');
INSERT INTO image VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '{"os":"linux"}', 1700000000000000003);
INSERT INTO image_layer VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 0, '1111111111111111111111111111111111111111111111111111111111111111');
INSERT INTO image_layer VALUES ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1, '2222222222222222222222222222222222222222222222222222222222222222');
INSERT INTO tag VALUES ('debian:12', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO tag VALUES ('debian:latest', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa');
INSERT INTO mount VALUES ('cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc', 'web', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1700000000000000004, '/srv/web', 1700000000000000005, 4711, '6f9c0b9e-0000-4000-8000-000000000001', '', 0);
INSERT INTO mount VALUES ('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 'plain', NULL, 1700000000000000006, NULL, 0, 0, NULL, 'ro', 1);
INSERT INTO mount_lower VALUES ('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 0, '/srv/top');
INSERT INTO mount_lower VALUES ('dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd', 1, '/srv/bottom');
PRAGMA user_version = 2;
COMMIT;
