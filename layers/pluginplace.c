/* SPDX-License-Identifier: MIT
 *
 * Duty: from the name of a plug-in to where it listens. The files are an administrator's; they are
 * read all the same as if they were nobody's: so many bytes, strings where strings belong, and no
 * scheme but those of the table.
 */
#include "pluginplace.h"

#include "fd.h"
#include "log.h"
#include "volumespec.h"

#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

enum { FILE_MAX_BYTES = 1 << 16 };

static const char *const SOCKET_DIRECTORIES[] = {"/run/docker/plugins"};
static const char *const FILE_DIRECTORIES[] = {"/etc/docker/plugins", "/usr/lib/docker/plugins"};

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

int plugin_wrong(struct plugin_fault *fault, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    log_clean(fault->words);
    return err;
}

void pluginplace_finish(struct pluginplace *place)
{
    free(place->socket);
    free(place->url);
    free(place->ca);
    free(place->certificate);
    free(place->key);
    *place = (struct pluginplace){0};
}

/* ---- addresses ---- */

static int set_socket(const char *path, struct pluginplace *place, struct plugin_fault *fault)
{
    if (*path != '/' || strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
        return plugin_wrong(fault, -EBADMSG, "no path that a socket can have: %.200s", path);
    place->socket = strdup(path);
    place->url = strdup("http://plugin");
    return place->socket && place->url ? 0 : -ENOMEM;
}

/* HOST[:PORT], and nothing that would lead to another place or another user. */
static int set_host(const char *scheme, const char *host, struct pluginplace *place,
                    struct plugin_fault *fault)
{
    size_t length = strcspn(host, "/");
    const char *path = host + length;
    if (length == 0 || host[strcspn(host, "@?#\\ ")] || (*path && strcmp(path, "/") != 0))
        return plugin_wrong(fault, -EBADMSG, "no address of a host: %.200s", host);
    if (asprintf(&place->url, "%s://%.*s", scheme, (int)length, host) < 0)
        place->url = NULL;
    return place->url ? 0 : -ENOMEM;
}

static int set_address(const char *address, bool tls, struct pluginplace *place,
                       struct plugin_fault *fault)
{
    static const struct {
        const char *prefix;
        enum { PLAIN, SAFE, AS_CONFIGURED, SOCKET } how;
    } schemes[] = {
        {"unix://", SOCKET},
        {"tcp://", AS_CONFIGURED},
        {"http://", AS_CONFIGURED},
        {"https://", SAFE},
    };
    for (unsigned i = 0; i < COUNT_OF(schemes); i++) {
        size_t length = strlen(schemes[i].prefix);
        if (strncmp(address, schemes[i].prefix, length) != 0)
            continue;
        if (schemes[i].how == SOCKET)
            return set_socket(address + length, place, fault);
        bool safe = schemes[i].how == SAFE || tls;
        return set_host(safe ? "https" : "http", address + length, place, fault);
    }
    return plugin_wrong(fault, -EBADMSG, "an address of no scheme that is known: %.200s", address);
}

/* ---- files ---- */

/* The whole of a small file, with an end. */
static int read_file(int dir, const char *name, char **text, struct plugin_fault *fault)
{
    cleanup_fd int fd = fd_open_beneath(dir, name, O_RDONLY | O_NONBLOCK);
    if (fd < 0)
        return fd;
    cleanup_free char *bytes = malloc(FILE_MAX_BYTES + 1);
    if (!bytes)
        return -ENOMEM;
    ssize_t size = fd_read_all(fd, bytes, FILE_MAX_BYTES + 1);
    if (size < 0)
        return (int)size;
    if (size > FILE_MAX_BYTES)
        return plugin_wrong(fault, -EBADMSG, "%s is larger than %d bytes", name, FILE_MAX_BYTES);
    bytes[size] = 0;
    *text = steal_ptr(&bytes);
    return 0;
}

static int read_spec(const char *text, struct pluginplace *place, struct plugin_fault *fault)
{
    static const char blanks[] = " \t\r\n";
    const char *at = text + strspn(text, blanks);
    size_t length = strcspn(at, blanks);
    if (at[length + strspn(at + length, blanks)])
        return plugin_wrong(fault, -EBADMSG, "it holds more than one address");
    cleanup_free char *address = strndup(at, length);
    return address ? set_address(address, false, place, fault) : -ENOMEM;
}

static int copy_text(const json_t *object, const char *key, char **copy, struct plugin_fault *fault)
{
    const json_t *value = json_object_get(object, key);
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_string(value))
        return plugin_wrong(fault, -EBADMSG, "its \"%s\" is no string", key);
    if (*json_string_value(value) == 0)
        return 0;
    *copy = strdup(json_string_value(value));
    return *copy ? 0 : -ENOMEM;
}

static int read_tls(const json_t *tls, struct pluginplace *place, struct plugin_fault *fault)
{
    if (!json_is_object(tls))
        return plugin_wrong(fault, -EBADMSG, "its \"TLSConfig\" is no object");
    place->trusting = json_is_true(json_object_get(tls, "InsecureSkipVerify"));
    int err = copy_text(tls, "CAFile", &place->ca, fault);
    if (!err)
        err = copy_text(tls, "CertFile", &place->certificate, fault);
    return err ? err : copy_text(tls, "KeyFile", &place->key, fault);
}

static void own_json(json_t **json)
{
    json_decref(*json);
}

static int read_json(const char *text, struct pluginplace *place, struct plugin_fault *fault)
{
    json_error_t error;
    cleanup_free char *address = NULL;
    cleanup(own_json) json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        return plugin_wrong(fault, -EBADMSG, "it is no JSON: %s", error.text);
    const json_t *tls = json_object_get(json, "TLSConfig");
    bool safe = tls && !json_is_null(tls);
    int err = copy_text(json, "Addr", &address, fault);
    if (!err && safe)
        err = read_tls(tls, place, fault);
    return err ? err : set_address(address ? address : "", safe, place, fault);
}

/* ---- looking ---- */

/* Tries NAME and NAME/NAME with a suffix in a directory: 0, or -ENOENT. */
struct look {
    const char *suffix;
    int (*take)(int dir, const char *directory, const char *file, struct pluginplace *place,
                struct plugin_fault *fault);
};

static int take_socket(int dir, const char *directory, const char *file, struct pluginplace *place,
                       struct plugin_fault *fault)
{
    struct stat st;
    cleanup_free char *path = NULL;
    if (fstatat(dir, file, &st, 0) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOENT;
    if (asprintf(&path, "%s/%s", directory, file) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    return set_socket(path, place, fault);
}

static int take_file(int dir, const char *file,
                     int (*read_it)(const char *text, struct pluginplace *place,
                                    struct plugin_fault *fault),
                     struct pluginplace *place, struct plugin_fault *fault)
{
    cleanup_free char *text = NULL;
    int err = read_file(dir, file, &text, fault);
    return err ? err : read_it(text, place, fault);
}

static int take_spec(int dir, const char *directory, const char *file, struct pluginplace *place,
                     struct plugin_fault *fault)
{
    (void)directory;
    return take_file(dir, file, read_spec, place, fault);
}

static int take_json(int dir, const char *directory, const char *file, struct pluginplace *place,
                     struct plugin_fault *fault)
{
    (void)directory;
    return take_file(dir, file, read_json, place, fault);
}

static const struct look SOCKET_LOOKS[] = {{".sock", take_socket}};
static const struct look FILE_LOOKS[] = {{".spec", take_spec}, {".json", take_json}};

static int look_for(const char *directory, const char *name, const struct look *look,
                    struct pluginplace *place, struct plugin_fault *fault)
{
    char flat[300], deep[600];
    cleanup_fd int dir = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -errno;
    snprintf(flat, sizeof(flat), "%s%s", name, look->suffix);
    snprintf(deep, sizeof(deep), "%s/%s", name, flat);
    int err = look->take(dir, directory, flat, place, fault);
    return err == -ENOENT ? look->take(dir, directory, deep, place, fault) : err;
}

/* Through all directories with all looks, until something is there. */
static int look_all(const char *const *directories, size_t directory_count,
                    const struct look *looks, size_t look_count, const char *name,
                    struct pluginplace *place, struct plugin_fault *fault)
{
    int err = -ENOENT;
    for (size_t i = 0; i < directory_count && err == -ENOENT; i++) {
        for (size_t j = 0; j < look_count && err == -ENOENT; j++)
            err = look_for(directories[i], name, &looks[j], place, fault);
    }
    return err;
}

static int find(const char *name, struct pluginplace *place, struct plugin_fault *fault)
{
    const char *chosen = getenv("PLYFS_PLUGINS");
    bool has = chosen && *chosen;
    int err = look_all(has ? &chosen : SOCKET_DIRECTORIES, has ? 1 : COUNT_OF(SOCKET_DIRECTORIES),
                       SOCKET_LOOKS, COUNT_OF(SOCKET_LOOKS), name, place, fault);
    if (err != -ENOENT)
        return err;
    return look_all(has ? &chosen : FILE_DIRECTORIES, has ? 1 : COUNT_OF(FILE_DIRECTORIES),
                    FILE_LOOKS, COUNT_OF(FILE_LOOKS), name, place, fault);
}

int pluginplace_find(const char *name, struct pluginplace *place, struct plugin_fault *fault)
{
    struct volume_fault unfit;
    *place = (struct pluginplace){0};
    fault->words[0] = 0;
    if (volume_name_check(name, &unfit) != 0)
        return plugin_wrong(fault, -EINVAL, "invalid name of a plug-in: \"%.200s\"", name);
    int err = find(name, place, fault);
    if (err)
        pluginplace_finish(place);
    if (err == -ENOENT)
        return plugin_wrong(fault, err, "plugin \"%s\" not found", name);
    if (err && !fault->words[0])
        plugin_wrong(fault, err, "plugin \"%s\": %s", name, strerror(-err));
    return err;
}
