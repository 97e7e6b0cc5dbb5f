/* SPDX-License-Identifier: MIT
 *
 * What tests of single tables of the catalog share: a catalog in the test's directory with two
 * mounts in it.
 */
#ifndef PLYFS_TEST_CATALOGKIT_H
#define PLYFS_TEST_CATALOGKIT_H

#include "kit.h"

#include "catalog.h"

#include <string.h>

#define MOUNT "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define OTHER "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd"

static void own_catalog(struct catalog **catalog)
{
    catalog_close(*catalog);
}
#define cleanup_catalog cleanup(own_catalog)

static void add_mount(struct catalog *catalog, const char *id, const char *name)
{
    cleanup_free char *own_id = strdup(id), *own_name = strdup(name);
    const struct mount_row row = {.id = own_id, .name = own_name, .created = 1};
    assert_int_equal(catalog_add_mount(catalog, &row), 0);
}

static struct catalog *open_with_mounts(void)
{
    struct catalog *catalog = NULL;
    cleanup_free char *here = kit_path("");
    assert_int_equal(catalog_open(here, false, &catalog), 0);
    add_mount(catalog, MOUNT, "web");
    add_mount(catalog, OTHER, "other");
    return catalog;
}

#endif
