/* SPDX-License-Identifier: MIT
 *
 * Duty: volumes into use and out of it again, by the driver that each has.
 *
 * A volume that mount(8) mounts has two locks, both flock(2), taken in this order:
 *
 *   volumes/NAME        the gate: the directory itself, by whoever mounts or unmounts, waited for
 *   volumes/NAME/lock   shared by every user; whoever can have it alone at the end is the last
 *
 * So nobody comes or goes between the look at who else is there and what is done about it, and a
 * crash lets go of both. What it leaves is a mount without a user: the next user finds it, takes it
 * as it is when it answers, and puts it away when it does not.
 */
#include "volumedriver.h"

#include "fd.h"
#include "hostmount.h"
#include "localoptions.h"
#include "log.h"
#include "moment.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { MOUNT_SECONDS = 120 };

static bool is_local(const char *driver)
{
    return strcmp(driver, "local") == 0;
}

/* STORE/volumes/NAME/FILE, the caller's to free. */
static char *path_in_volume(const struct store *store, const char *name, const char *file)
{
    char *path = NULL;
    return asprintf(&path, "%s/volumes/%s/%s", store->path, name, file) < 0 ? NULL : path;
}

/* ---- local: options ---- */

static int read_options(const struct volume_row *row, struct local_options *local)
{
    struct volume_fault fault;
    int err = local_options_read(&row->options, local, &fault);
    if (err)
        log_error("volume %s: %s", row->name, err == -EINVAL ? fault.words : strerror(-err));
    return err;
}

static int check_directory(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

static int check_local(const struct volume_row *row)
{
    cleanup_local_options struct local_options local = {0};
    int err = read_options(row, &local);
    if (err || local.kind != LOCAL_BIND)
        return err;
    err = check_directory(local.device);
    if (err)
        log_error("volume %s: its device %s: %s", row->name, local.device, strerror(-err));
    return err ? -EINVAL : 0;
}

/* ---- local: locks ---- */

/* Waits until nobody mounts or unmounts the volume. */
static int open_gate(const struct store *store, const char *name)
{
    cleanup_fd int gate = fd_open_name(store->volumes, name, O_RDONLY | O_DIRECTORY, 0);
    if (gate < 0)
        return gate;
    while (flock(gate, LOCK_EX) < 0) {
        if (errno != EINTR)
            return -errno;
    }
    return steal_fd(&gate);
}

static void leave_gate(int gate)
{
    flock(gate, LOCK_UN);
}

static int take_lock(struct store *store, struct volume_use *use)
{
    use->lock = store_lock_volume(store, use->name, LOCK_SH);
    return use->lock == -EWOULDBLOCK ? -EBUSY : use->lock < 0 ? use->lock : 0;
}

/* ---- local: mounting ---- */

/* Puts away what is mounted there and has lost whatever it came from. */
static int unmount_dead(const char *name, const char *path)
{
    log_warning("volume %s: what was mounted on it is dead, and is mounted anew", name);
    return hostmount_unmount(path);
}

/* With the gate held. */
static int mount_once(const char *name, const struct local_options *local, const char *path)
{
    bool answers;
    int mounted = hostmount_is_mounted(path, &answers);
    if (mounted < 0 || (mounted && answers))
        return mounted < 0 ? mounted : 0;
    int err = mounted ? unmount_dead(name, path) : 0;
    if (err)
        return err;
    const struct hostmount mount = {
        .type = local->type, .flags = local->flags, .device = local->device, .path = path};
    err = hostmount_mount(&mount, MOUNT_SECONDS);
    if (err)
        log_error("volume %s: mount(8) of %s (%s) failed: %s", name, local->device, local->type,
                  strerror(-err));
    return err;
}

static int use_mount(struct store *store, const struct local_options *local, struct volume_use *use)
{
    cleanup_free char *path = strdup(use->path);
    if (!path)
        return -ENOMEM;
    use->gate = open_gate(store, use->name);
    if (use->gate < 0)
        return use->gate;
    int err = take_lock(store, use);
    if (!err)
        err = mount_once(use->name, local, use->path);
    if (!err)
        use->mounted = steal_ptr(&path);
    leave_gate(use->gate);
    return err;
}

/* The last user unmounts. A lock that cannot be had alone is lost in the attempt, which is as well:
 * this user is gone either way. */
static void release_mount(const struct volume_use *use)
{
    while (flock(use->gate, LOCK_EX) < 0 && errno == EINTR)
        ;
    if (flock(use->lock, LOCK_EX | LOCK_NB) == 0) {
        int err = hostmount_unmount(use->mounted);
        if (err)
            log_warning("volume %s: %s is still mounted: %s", use->name, use->mounted,
                        strerror(-err));
    }
    leave_gate(use->gate);
}

/* ---- local: use ---- */

static int use_local(struct store *store, const struct local_options *local, struct volume_use *use)
{
    use->path = local->kind == LOCAL_BIND ? strdup(local->device)
                                          : path_in_volume(store, use->name, "_data");
    use->limit = local->limit;
    use->read_only = local->read_only;
    if (use->limit)
        use->usage = path_in_volume(store, use->name, "usage");
    if (!use->path || (use->limit && !use->usage))
        return -ENOMEM;
    if (local->kind == LOCAL_MOUNT)
        return use_mount(store, local, use);
    int err = take_lock(store, use);
    return err ? err : check_directory(use->path);
}

static int remove_local(const struct store *store, const struct volume_row *row)
{
    bool answers;
    cleanup_free char *path = path_in_volume(store, row->name, "_data");
    if (!path)
        return -ENOMEM;
    int mounted = hostmount_is_mounted(path, &answers);
    int err = mounted > 0 ? hostmount_unmount(path) : 0;
    if (err)
        log_error("volume %s: cannot unmount %s: %s", row->name, path, strerror(-err));
    return err;
}

/* ---- drivers ---- */

int volumedriver_check(const struct volume_row *row)
{
    if (is_local(row->driver))
        return check_local(row);
    log_error("plug-in \"%s\" not found", row->driver);
    return -ENOENT;
}

int volumedriver_create(const struct volume_row *row)
{
    return is_local(row->driver) ? 0 : volumedriver_check(row);
}

int volumedriver_remove(const struct store *store, const struct volume_row *row)
{
    return is_local(row->driver) ? remove_local(store, row) : volumedriver_check(row);
}

static void finish(struct volume_use *use)
{
    own_close(&use->lock);
    own_close(&use->gate);
    free(use->path);
    free(use->usage);
    free(use->name);
    free(use->driver);
    free(use->mounted);
    *use = (struct volume_use){.lock = -1, .gate = -1};
}

static int begin_use(struct store *store, const struct volume_row *row, struct volume_use *use)
{
    use->name = strdup(row->name);
    use->driver = strdup(row->driver);
    if (!use->name || !use->driver)
        return -ENOMEM;
    if (!is_local(row->driver))
        return volumedriver_check(row);
    cleanup_local_options struct local_options local = {0};
    int err = read_options(row, &local);
    return err ? err : use_local(store, &local, use);
}

int volumedriver_use(struct store *store, const struct volume_row *row, const char *mount,
                     struct volume_use *use)
{
    *use = (struct volume_use){.lock = -1, .gate = -1};
    int err = begin_use(store, row, use);
    if (err == -EBUSY)
        log_error("volume %s: another command is changing it", row->name);
    else if (err)
        log_error("volume %s: cannot be used: %s", row->name, strerror(-err));
    if (err) {
        volumedriver_release(use);
        return err;
    }
    log_debug("volume %s: %s, for %s", row->name, use->path, mount);
    /* When it was used is for people: no reason to do without it. */
    err = catalog_set_volume_used(store->catalog, row->name, moment_now());
    if (err)
        log_warning("volume %s: the time of its use is not kept: %s", row->name, strerror(-err));
    return 0;
}

void volumedriver_release(struct volume_use *use)
{
    if (!use->name)
        return;
    if (use->mounted)
        release_mount(use);
    finish(use);
}

/* ---- trouble ---- */

static char *trouble_of(int err)
{
    char *words = NULL;
    if (err && asprintf(&words, "unreachable: %s", strerror(-err)) < 0)
        return NULL;
    return words;
}

static char *local_trouble(const struct store *store, const struct volume_row *row)
{
    cleanup_local_options struct local_options local = {0};
    struct volume_fault fault;
    int err = local_options_read(&row->options, &local, &fault);
    cleanup_free char *path =
        local.kind == LOCAL_BIND ? strdup(local.device) : path_in_volume(store, row->name, "_data");
    if (!err)
        err = path ? check_directory(path) : -ENOMEM;
    return trouble_of(err);
}

char *volumedriver_trouble(const struct store *store, const struct volume_row *row, int seconds)
{
    (void)seconds;
    return is_local(row->driver) ? local_trouble(store, row) : trouble_of(-ENOENT);
}
