/* SPDX-License-Identifier: MIT
 *
 * A mount while it is served: what it answers on its control socket (control.h), and of a named one
 * its volumes and its ledger.
 */
#ifndef PLYFS_LIVE_H
#define PLYFS_LIVE_H

#include "control.h"
#include "inuse.h"
#include "mount.h"
#include "own.h"

struct live {
    /* Its path: the daemon has the store open only while it needs it. NULL: it has no name. */
    const char *store;
    const struct mount_row *row; /* of the mount, where it has a name */
    struct mount *mount;
    struct inuse inuse;
    dev_t device; /* of the filesystem that is mounted; 0: not known */
    struct control *control;
    struct tracer *tracer; /* who reads what it does */
};

/* Takes the mount's volumes into use; what is to be routed goes to `wishes`. */
must_check int live_prepare(struct live *live, struct route_wishes *wishes);

/* From here to live_end() the control socket is answered. A mount without a name is served also
 * where it cannot have one. */
must_check int live_begin(struct live *live, struct mount *mount);
void live_end(struct live *live);

/* When the mount is finished: its volumes are given back. */
void live_finish(struct live *live);

#endif
