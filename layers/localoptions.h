/* SPDX-License-Identifier: MIT
 *
 * What the options of a volume of the driver "local" ask for (moby, volume/local): type, device, o
 * and size. Pure: nothing is opened. Whatever comes out can be given to mount(8) as it is: no word
 * of it can be taken for an option of another kind, or make mount(8) do anything but mount the
 * device.
 */
#ifndef PLYFS_LOCALOPTIONS_H
#define PLYFS_LOCALOPTIONS_H

#include "own.h"
#include "volumespec.h"

#include <stdbool.h>
#include <stdint.h>

enum local_kind {
    LOCAL_DIRECTORY, /* a directory of the store */
    LOCAL_BIND,      /* a directory of the host: o=bind */
    LOCAL_MOUNT,     /* what mount(8) mounts: tmpfs, nfs, cifs, a disk */
};

struct local_options {
    enum local_kind kind;
    char *type;   /* of a mount */
    char *device; /* of a bind an absolute path, cleaned */
    char *flags;  /* of a mount, as behind -o; or NULL */
    bool read_only;
    uint64_t limit; /* size, in bytes; 0: none */
};
void local_options_finish(struct local_options *local);
#define cleanup_local_options cleanup(local_options_finish)

/* -EINVAL with the reason in `fault`, in Docker's words where it has some: invalid option: "foo";
 * missing required option: "device". */
must_check int local_options_read(const struct volume_pairs *options, struct local_options *local,
                                  struct volume_fault *fault);

#endif
