/* SPDX-License-Identifier: MIT
 *
 * Duty: find the daemon on the way of a path, ask it for its layers, and open what it has open. An
 * answer is believed as far as it can be checked: each directory must be the one that it says.
 */
#include "borrowed.h"

#include "control.h"
#include "log.h"
#include "mountinfo.h"
#include "mountof.h"
#include "record.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { PATIENCE = 10, PROC_FD_MAX = 48 };

/* ---- where the path enters the mount ---- */

struct entry_point {
    int control;   /* a connection to its daemon; -ENOTCONN: there is none so far */
    dev_t device;  /* of the filesystem that the walk is in */
    size_t length; /* of the path up to where it was entered */
};

static bool is_symlink(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* One more name of the path: 0 to go on, 1 where the rest is to be left to the mount. */
static int step(const char *prefix, struct entry_point *entry)
{
    dev_t device;
    if (entry->control >= 0 && is_symlink(prefix))
        return 1;
    if (mountinfo_device(prefix, &device) != 0)
        return 1;
    if (device == entry->device)
        return 0;
    own_close(&entry->control);
    *entry = (struct entry_point){.control = control_connect_path(prefix, PATIENCE),
                                  .device = device,
                                  .length = strlen(prefix)};
    return 0;
}

/* Walks the names of an absolute path. The last mount that it enters is the one it lies in. */
static void find_entry(char *path, struct entry_point *entry)
{
    *entry = (struct entry_point){.control = -ENOTCONN};
    for (size_t end = 1, done = 0; !done; end++) {
        const char kept = path[end];
        if (kept && kept != '/')
            continue;
        path[end] = 0;
        done = step(path, entry) != 0 || !kept;
        path[end] = kept;
    }
}

/* Where the path is in the mount, from that one's root; `front` is what of it leads there. A part
 * of the mount may be bound to where the rest leads. */
static int find_inside(const char *front, const char *rest, dev_t device, char **inside)
{
    cleanup_free char *real = realpath(front, NULL), *whole = NULL;
    if (!real)
        return -errno;
    if (asprintf(&whole, "%s%s", real, rest) < 0)
        return whole = NULL, -ENOMEM;
    return mountinfo_inside(whole, device, inside);
}

/* ---- what the daemon has open ---- */

static int number_in(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    return json_is_integer(number) ? (int)json_integer_value(number) : -1;
}

static void name_descriptor(const struct borrowed *borrowed, int fd, char path[PROC_FD_MAX])
{
    snprintf(path, PROC_FD_MAX, "/proc/%d/fd/%d", (int)borrowed->daemon, fd);
}

/* -ESTALE: it is another directory than the one that was told. */
static int check_root(const struct layer *layer, const json_t *told)
{
    struct stat st;
    if (fstat(layer->root, &st) < 0)
        return -errno;
    return json_integer_value(json_object_get(told, "Device")) == (json_int_t)st.st_dev &&
                   json_integer_value(json_object_get(told, "Inode")) == (json_int_t)st.st_ino
               ? 0
               : -ESTALE;
}

/* A layer is called by where its directory lies now; one that is set apart lies nowhere, and its
 * daemon tells where it was. */
static int rename_layer(struct layer *layer, const char *told)
{
    char target[PATH_MAX + 1];
    if (told) {
        free(layer->path);
        return own_copy(&layer->path, told);
    }
    ssize_t length = readlink(layer->path, target, PATH_MAX);
    if (length < 0)
        return -errno;
    target[length] = 0;
    free(layer->path);
    return own_copy(&layer->path, target);
}

static int open_layers(struct borrowed *borrowed, const json_t *roots, bool writable)
{
    const size_t count = json_array_size(roots);
    const unsigned first = writable ? 0 : 1;
    unsigned culprit = 0;
    cleanup_free char(*names)[PROC_FD_MAX] = calloc(count + 1, sizeof(*names));
    cleanup_free const char **paths = calloc(count + 1, sizeof(*paths));
    if (!names || !paths)
        return -ENOMEM;
    if (count == 0 || count > STACK_LAYERS_MAX)
        return -EPROTO;
    for (size_t i = 0; i < count; i++) {
        name_descriptor(borrowed, number_in(json_array_get(roots, i), "Fd"), names[i]);
        paths[i] = names[i];
    }
    int err =
        stack_open(&borrowed->stack, paths, (unsigned)count, writable, borrowed->fds, &culprit);
    for (size_t i = 0; !err && i < count; i++) {
        struct layer *layer = &borrowed->stack.layers[i + first];
        err = check_root(layer, json_array_get(roots, i));
        if (!err)
            err = rename_layer(
                layer, json_string_value(json_object_get(json_array_get(roots, i), "Path")));
    }
    return err;
}

static bool says(const json_t *layers, const char *key, const char *word)
{
    const char *said = json_string_value(json_object_get(layers, key));
    return said && strcmp(said, word) == 0;
}

static int open_books(struct borrowed *borrowed)
{
    char path[PROC_FD_MAX];
    struct stack *stack = &borrowed->stack;
    const json_t *layers = borrowed->layers;
    const int index = number_in(layers, "Index");
    stack->able.space = says(layers, "Attributes", "trusted") ? OVLSPACE_TRUSTED
                        : says(layers, "Attributes", "user")  ? OVLSPACE_USER
                                                              : OVLSPACE_NONE;
    stack->able.whiteform = says(layers, "Whiteouts", "device") ? WHITEFORM_DEVICE : WHITEFORM_FILE;
    stack->able.handles = geteuid() == 0;
    if (says(layers, "Recorded", RECORD_PRIVILEGED))
        stack_record_upper(stack, RECORD_PRIVILEGED);
    else if (says(layers, "Recorded", RECORD_CONTAINERS))
        stack_record_upper(stack, RECORD_CONTAINERS);
    if (index < 0)
        return 0;
    name_descriptor(borrowed, index, path);
    stack->index = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return stack->index < 0 ? -errno : 0;
}

static int ask(int control, struct borrowed *borrowed)
{
    json_t *answer = NULL;
    int err = control_peer(control, &borrowed->daemon);
    if (!err)
        err = control_ask_on(control, json_pack("{s:s}", "do", "layers"), PATIENCE, &answer);
    if (!err)
        borrowed->layers = json_incref(json_object_get(answer, "layers"));
    json_decref(answer);
    return err || borrowed->layers ? err : -EPROTO;
}

/* What was written to the mount and still lies in the kernel's cache goes to the upper. */
static void flush(const char *front)
{
    cleanup_fd int fd = open(front, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0)
        syncfs(fd);
}

static const char *reason(int err)
{
    switch (err) {
    case -EACCES:
    case -EPERM:
        return "its mount belongs to another user, whose daemon tells only him; ask as that user";
    case -ESRCH:
    case -ENOENT:
        return "the daemon of its mount cannot be seen from here; ask where it was mounted";
    case -ESTALE:
        return "a layer of its mount is another directory by now; try again";
    case -EPROTO:
        return "the daemon of its mount does not tell its layers; it is of an older version";
    default:
        return strerror(-err);
    }
}

static int open_at(const char *path, const struct entry_point *entry, struct borrowed *borrowed)
{
    cleanup_free char *front = strndup(path, entry->length);
    if (!front)
        return -ENOMEM;
    int err = find_inside(front, path + entry->length, entry->device, &borrowed->inside);
    if (!err)
        err = ask(entry->control, borrowed);
    if (err)
        return err;
    flush(front);
    borrowed->fds = fdcache_create(256);
    if (!borrowed->fds)
        return -ENOMEM;
    err = open_layers(borrowed, json_object_get(borrowed->layers, "Roots"),
                      json_is_true(json_object_get(borrowed->layers, "Writable")));
    return err ? err : open_books(borrowed);
}

int borrowed_open(const char *path, struct borrowed *borrowed)
{
    struct entry_point entry;
    *borrowed = (struct borrowed){.stack = {.stage = -1, .index = -1}};
    cleanup_free char *absolute = mountof_absolute(path);
    if (!absolute)
        return -ENOMEM;
    find_entry(absolute, &entry);
    cleanup_fd int control = entry.control;
    if (control < 0 && control != -EACCES)
        return -ENOTCONN;
    int err = control < 0 ? control : open_at(absolute, &entry, borrowed);
    if (!err)
        return 0;
    log_error("cannot look at %s: %s", path, reason(err));
    borrowed_close(borrowed);
    return err == -ENOTCONN ? -EIO : err;
}

void borrowed_close(struct borrowed *borrowed)
{
    if (borrowed->stack.layers)
        stack_close(&borrowed->stack);
    fdcache_destroy(borrowed->fds);
    json_decref(borrowed->layers);
    free(borrowed->inside);
    *borrowed = (struct borrowed){0};
}

/* ---- volumes ---- */

/* Without a store there are directories and files of the host, and what ends with the mount. */
static int add_volume(const struct borrowed *borrowed, const json_t *told, struct inquiry *inquiry)
{
    char path[PROC_FD_MAX];
    const int number = number_in(told, "Fd");
    const char *source = json_string_value(json_object_get(told, "Source"));
    const char *destination = json_string_value(json_object_get(told, "Destination"));
    if (!destination || *destination != '/')
        return -EPROTO;
    cleanup_volume_spec struct volume_spec spec = {
        .kind = source ? VOLUME_KIND_BIND : VOLUME_KIND_TMPFS,
        .read_only = json_is_true(json_object_get(told, "ReadOnly"))};
    int err = own_copy(&spec.source, source);
    if (!err)
        err = own_copy(&spec.destination, destination);
    if (err)
        return err;
    name_descriptor(borrowed, number, path);
    cleanup_fd int host = number < 0 ? -ENXIO : open(path, O_PATH | O_CLOEXEC);
    return inquiry_add_volume(inquiry, &spec, host == -1 ? -errno : host);
}

int borrowed_add_volumes(const struct borrowed *borrowed, struct inquiry *inquiry)
{
    size_t at;
    json_t *told;
    json_array_foreach(json_object_get(borrowed->layers, "Volumes"), at, told)
    {
        int err = add_volume(borrowed, told, inquiry);
        if (err)
            return err;
    }
    return 0;
}
