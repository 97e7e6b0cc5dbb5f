/* SPDX-License-Identifier: MIT
 *
 * The policy of a mount in the catalog (policy.h), kept when it is unmounted and removed with it.
 * Errors as in catalog.h.
 */
#ifndef PLYFS_CATALOGPOLICY_H
#define PLYFS_CATALOGPOLICY_H

#include "catalog.h"
#include "policy.h"

/* -ENOENT: there is no such mount. After a failure *policy is POLICY_NONE. */
must_check int catalog_read_policy(struct catalog *catalog, const char *mount,
                                   struct policy *policy);

/* In place of the one that it has. */
must_check int catalog_write_policy(struct catalog *catalog, const char *mount,
                                    const struct policy *policy);

#endif
