/* SPDX-License-Identifier: MIT
 *
 * A named mount while it is served: its volumes, and what it answers on its control socket
 * (control.h).
 */
#ifndef PLYFS_LIVE_H
#define PLYFS_LIVE_H

#include "control.h"
#include "inuse.h"
#include "mount.h"
#include "own.h"

struct live {
    const char *store; /* its path: the daemon has the store open only while it needs it */
    const struct mount_row *row; /* of the mount */
    struct mount *mount;
    struct inuse inuse;
    struct control *control;
    struct tracer *tracer; /* who reads what it does */
};

/* Takes the mount's volumes into use; what is to be routed goes to `wishes`. */
must_check int live_prepare(struct live *live, struct route_wishes *wishes);

/* From here to live_end() the control socket is answered. */
must_check int live_begin(struct live *live, struct mount *mount);
void live_end(struct live *live);

/* When the mount is finished: its volumes are given back. */
void live_finish(struct live *live);

#endif
