/* SPDX-License-Identifier: MIT
 *
 * What a user asks of a mount, from either form of the command line. Parsing is pure: it opens
 * nothing, and an option that it does not know is an error by name.
 */
#ifndef PLYFS_OPTIONS_H
#define PLYFS_OPTIONS_H

#include "idmap.h"
#include "mount.h"
#include "own.h"
#include "ownview.h"
#include "routes.h"

#include <stdbool.h>

enum choice { CHOICE_DEFAULT, CHOICE_OFF, CHOICE_ON };

/* xattr_permissions=: where the owners of what is made are recorded instead of given. By default
 * where a layer says that they are. */
enum recording { RECORDING_AUTO, RECORDING_OFF, RECORDING_PRIVILEGED, RECORDING_CONTAINERS };

struct options {
    char **lowers; /* topmost first; owned, as all strings here */
    unsigned lower_count;
    char *upper, *work, *mountpoint;
    char *fsname, *subtype;
    char *context; /* of SELinux: the label that everything is shown with */
    char *kernel;  /* options for mount(2) as they came, comma-separated; or NULL */
    enum profile profile;
    enum choice redirect, metacopy, index, writeback, uring, acl, spin, passthrough, shared_locks;
    enum recording recording;
    struct idmap map;             /* owners on disk and as they are shown */
    double timeout;               /* seconds; negative: without end */
    unsigned threads;             /* 0: as many as fit the machine */
    enum ownview_undated undated; /* of what of the upper reading leaves no date */
    unsigned dates_said;          /* which bits of that were spoken of */
    bool read_only, foreground, debug;
    bool drop_in; /* fuse-overlayfs's form: nothing is written that it would misread */
    bool userxattr;
    bool trace;       /* whoever writes is to be known */
    bool is_volatile; /* nothing is synced, and the work directory says so */
    bool no_sync;     /* nothing is synced */
    bool allow_other_set;
    bool default_permissions; /* asked for */
    bool attachable;          /* volumes may be attached while it is mounted */
    bool of_image;            /* the lowers are an image's, which may have one of them again */
    bool nofollow;            /* what points elsewhere in the layers is refused */
    bool remount;             /* what is mounted there gets other flags */
    const char *listed;       /* a word that only the kernel's list of mounts has; or NULL */
    struct route_wishes routes;
};

/* An empty wish list. options_finish() takes it back to that. */
void options_init(struct options *options);
void options_finish(struct options *options);

/* Takes the text behind one -o. Commas separate; a backslash takes the next character as it is. On
 * -EINVAL a message is on stderr. */
must_check int options_take(struct options *options, const char *text);

/* Adds one lower layer, beneath the ones there are. */
must_check int options_add_lower(struct options *options, const char *path);

/* Takes all of them away again. */
void options_drop_lowers(struct options *options);

/* Replaces a string. */
must_check int options_set_string(char **slot, const char *value);

/* "on" or "off" (and 1/0, true/false); false for anything else. */
bool options_parse_choice(const char *text, enum choice *choice);
/* "on", "off", "follow" (as off: what is there is followed) or "nofollow", as the kernel has them.
 */
bool options_parse_redirect(const char *text, struct options *options);
bool options_parse_profile(const char *text, enum profile *profile);

/* The label as libfuse is to be told it: between quotes, for the security module parts its options
 * at commas and takes quotes away, and with a backslash before each comma, for libfuse parts them
 * first. The caller's to free. */
must_check int options_format_context(const char *context, char **text);

/* What still makes no sense together, told on stderr: 0 or -EINVAL. */
must_check int options_check(const struct options *options);

#endif
