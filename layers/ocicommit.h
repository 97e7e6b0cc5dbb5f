/* SPDX-License-Identifier: MIT
 *
 * A new image config from an older one: one more layer, one more line of history, and changes of
 * how a process is started, given as the instructions of a build file:
 *
 *   CMD ["sh", "-c", "date"]    or    CMD date     (the second runs "/bin/sh -c")
 *   ENTRYPOINT                                     the same; it takes an inherited CMD away
 *   ENV A=1 B="two words"       or    ENV A all the rest
 *   LABEL                                          the same
 *   EXPOSE 80 53/udp 8000-8010
 *   USER name[:group]
 *   VOLUME ["/data"]            or    VOLUME /data /log
 *   WORKDIR /srv                      a relative one goes on from the former
 *
 * "CMD=..." is taken as well as "CMD ...". Variables are not replaced.
 */
#ifndef PLYFS_OCICOMMIT_H
#define PLYFS_OCICOMMIT_H

#include "oci.h"

#include <stdint.h>

struct oci_commit {
    const struct oci_config *base; /* NULL: an image that stands on nothing */
    const char *diff_id;           /* of the new layer, 64 hex digits; NULL: there is none */
    int64_t created;               /* nanoseconds since 1970 */
    const char *created_by;        /* what made the layer, in words */
    const char *comment;           /* or NULL */
    const char *const *changes;
    size_t change_count;
};

/* Makes the config, and reads it again. Members that plyfs does not know are kept, but for those
 * that tell of the making of the older image. -EINVAL: an instruction makes no sense; the fault
 * says why. */
must_check int oci_config_commit(const struct oci_commit *commit, struct oci_config *config,
                                 struct oci_fault *fault);

#endif
