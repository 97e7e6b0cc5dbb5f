/* SPDX-License-Identifier: MIT
 *
 * The schema of the catalog as SQL. Step N brings a database of version N to N + 1 and says so in
 * its user_version; the catalog runs it in one transaction. A step that was released never changes:
 * what comes later is a step of its own.
 */
#ifndef PLYFS_SCHEMA_H
#define PLYFS_SCHEMA_H

enum { SCHEMA_VERSION = 5 };

extern const char *const schema_steps[SCHEMA_VERSION];

#endif
