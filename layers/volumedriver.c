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
#include "plugin.h"
#include "volumeinplace.h"
#include "volumelook.h"

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

/* Tells what went wrong where nobody has. */
static int cannot_use(const char *name, int err)
{
    if (err)
        log_error("volume %s: cannot be used: %s", name, strerror(-err));
    return err;
}

static int take_lock(struct store *store, struct volume_use *use)
{
    use->lock = store_lock_volume(store, use->name, LOCK_SH);
    if (use->lock != -EWOULDBLOCK)
        return cannot_use(use->name, use->lock < 0 ? use->lock : 0);
    log_error("volume %s: another command is changing it", use->name);
    return -EBUSY;
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
        return cannot_use(name, mounted < 0 ? mounted : 0);
    int err = mounted ? unmount_dead(name, path) : 0;
    if (err)
        return cannot_use(name, err);
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
    use->gate = path ? open_gate(store, use->name) : -ENOMEM;
    if (use->gate < 0)
        return cannot_use(use->name, use->gate);
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

/* A first content that was interrupted is finished, or undone. The device is opened by its path: it
 * is the user's own word, symlinks and all. */
static int mend_bind(const struct store *store, const char *device)
{
    cleanup_fd int dir = open(device, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir < 0 ? -errno : volumeinplace_mend(store->root, dir);
}

static int use_local(struct store *store, const struct local_options *local, struct volume_use *use)
{
    use->path = local->kind == LOCAL_BIND ? strdup(local->device)
                                          : path_in_volume(store, use->name, "_data");
    use->limit = local->limit;
    use->read_only = local->read_only;
    if (use->limit)
        use->usage = path_in_volume(store, use->name, "usage");
    if (!use->path || (use->limit && !use->usage))
        return cannot_use(use->name, -ENOMEM);
    if (local->kind == LOCAL_MOUNT)
        return use_mount(store, local, use);
    int err = take_lock(store, use);
    if (err)
        return err;
    err = local->kind == LOCAL_BIND ? mend_bind(store, use->path) : check_directory(use->path);
    return cannot_use(use->name, err);
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

/* ---- plug-ins ---- */

static int tell_fault(const char *name, int err, const struct plugin_fault *fault)
{
    if (err)
        log_error("volume %s: %s", name, fault->words);
    return err;
}

static int check_plugin(const struct volume_row *row)
{
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = NULL;
    return tell_fault(row->name, plugin_open(row->driver, 0, &plugin, &fault), &fault);
}

static int create_at_plugin(const struct volume_row *row, bool *made)
{
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = NULL;
    int err = plugin_open(row->driver, 0, &plugin, &fault);
    if (!err)
        err = plugin_create(plugin, row->name, &row->options, made, &fault);
    return tell_fault(row->name, err, &fault);
}

/* One that the plug-in has no more is removed. */
static int remove_at_plugin(const struct volume_row *row)
{
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = NULL;
    int err = plugin_open(row->driver, 0, &plugin, &fault);
    if (!err)
        err = plugin_get(plugin, row->name, NULL, &fault);
    if (err == -EREMOTEIO)
        return 0;
    if (!err)
        err = plugin_remove(plugin, row->name, &fault);
    return tell_fault(row->name, err, &fault);
}

static int use_plugin(struct store *store, struct volume_use *use)
{
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = NULL;
    int err = take_lock(store, use);
    if (!err)
        err = cannot_use(use->name, store_new_id(use->id));
    if (err)
        return err;
    err = plugin_open(use->driver, 0, &plugin, &fault);
    if (!err)
        err = plugin_mount(plugin, use->name, use->id, &use->path, &fault);
    if (err)
        return tell_fault(use->name, err, &fault);
    err = check_directory(use->path);
    if (err)
        log_error("volume %s: plugin \"%s\" says that it is in %s: %s", use->name, use->driver,
                  use->path, strerror(-err));
    return err;
}

static void release_plugin(const struct volume_use *use)
{
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = NULL;
    int err = plugin_open(use->driver, 0, &plugin, &fault);
    if (!err)
        err = plugin_unmount(plugin, use->name, use->id, &fault);
    if (err)
        log_warning("volume %s: it is not unmounted: %s", use->name, fault.words);
}

/* ---- drivers ---- */

int volumedriver_check(const struct volume_row *row)
{
    return is_local(row->driver) ? check_local(row) : check_plugin(row);
}

int volumedriver_create(const struct volume_row *row, bool *made)
{
    *made = false;
    return is_local(row->driver) ? 0 : create_at_plugin(row, made);
}

int volumedriver_remove(const struct store *store, const struct volume_row *row)
{
    return is_local(row->driver) ? remove_local(store, row) : remove_at_plugin(row);
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
        return cannot_use(row->name, -ENOMEM);
    if (!is_local(row->driver))
        return use_plugin(store, use);
    cleanup_local_options struct local_options local = {0};
    int err = read_options(row, &local);
    return err ? err : use_local(store, &local, use);
}

int volumedriver_use(struct store *store, const struct volume_row *row, const char *mount,
                     struct volume_use *use)
{
    *use = (struct volume_use){.lock = -1, .gate = -1};
    int err = begin_use(store, row, use);
    if (err) {
        volumedriver_release(use);
        return err;
    }
    log_debug("volume %s: %s, for %s", row->name, use->path, mount ? mount : "nobody");
    /* When it was used is for people: no reason to do without it. */
    err = store->read_only ? 0 : catalog_set_volume_used(store->catalog, row->name, moment_now());
    if (err)
        log_warning("volume %s: the time of its use is not kept: %s", row->name, strerror(-err));
    return 0;
}

void volumedriver_release(struct volume_use *use)
{
    if (use->mounted)
        release_mount(use);
    else if (use->path && !is_local(use->driver))
        release_plugin(use);
    if (use->name)
        finish(use);
}

char *volumedriver_trouble(const struct store *store, const struct volume_row *row, int seconds)
{
    struct volumelook *look = volumelook_create(store, seconds);
    char *trouble = look ? volumelook_at(look, row) : NULL;
    volumelook_destroy(look);
    return trouble;
}
