/* SPDX-License-Identifier: MIT
 *
 * Any bytes as what a volume plug-in answers to every question, and as the file that says where it
 * is: each question has an end, and a failure has words. What begins with "HTTP" is a whole answer,
 * everything else the body of one.
 */
#include "fuzzkit.h"

#include "fd.h"
#include "plugin.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* For all questions together: what breaks off is asked for again as long as there is time. */
enum { SECONDS = 1 };

static const char ACTIVE[] = "{\"Implements\":[\"VolumeDriver\"]}";

/* What the plug-in of the process says; it lives as long as the process. */
static struct {
    int listening;
    char place[64];
    /* Of whoever gave up waiting the answer may still be on its way. */
    pthread_mutex_t lock;
    const uint8_t *data; /* protected by the lock, and so is */
    size_t size;
} plug_in = {.listening = -1, .lock = PTHREAD_MUTEX_INITIALIZER};

static void send_body(int fd, const void *data, size_t size)
{
    char head[96];
    int length =
        snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", size);
    (void)!send(fd, head, (size_t)length, MSG_NOSIGNAL);
    (void)!send(fd, data, size, MSG_NOSIGNAL);
}

static void answer(int fd)
{
    char bytes[8192];
    size_t size = 0;
    ssize_t got;
    while (size < sizeof(bytes) - 1 &&
           (got = recv(fd, bytes + size, sizeof(bytes) - 1 - size, 0)) > 0) {
        size += (size_t)got;
        bytes[size] = 0;
        const char *end = strstr(bytes, "\r\n\r\n"), *said = strstr(bytes, "Content-Length: ");
        size_t length = said ? strtoul(said + 16, NULL, 10) : 0;
        if (end && size >= (size_t)(end - bytes) + 4 + length)
            break;
    }
    bytes[size] = 0;
    pthread_mutex_lock(&plug_in.lock);
    if (strstr(bytes, "Plugin.Activate") && plug_in.size > 0 && plug_in.data[0] != '!')
        send_body(fd, ACTIVE, sizeof(ACTIVE) - 1);
    else if (plug_in.size >= 4 && memcmp(plug_in.data, "HTTP", 4) == 0)
        (void)!send(fd, plug_in.data, plug_in.size, MSG_NOSIGNAL);
    else
        send_body(fd, plug_in.data, plug_in.size);
    pthread_mutex_unlock(&plug_in.lock);
}

static void say(const uint8_t *data, size_t size)
{
    pthread_mutex_lock(&plug_in.lock);
    plug_in.data = data;
    plug_in.size = size;
    pthread_mutex_unlock(&plug_in.lock);
}

static void *serve(void *context)
{
    for (;;) {
        cleanup_fd int fd = accept(plug_in.listening, NULL, NULL);
        if (fd >= 0)
            answer(fd);
    }
    return context;
}

static void take_away(void)
{
    fuzz_leave(plug_in.place);
}

static void begin(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    close(fuzz_enter(plug_in.place));
    atexit(take_away);
    must(setenv("PLYFS_PLUGINS", plug_in.place, 1) == 0, "no environment");
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/said.sock", plug_in.place);
    plug_in.listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(plug_in.listening >= 0 &&
             bind(plug_in.listening, (struct sockaddr *)&address, sizeof(address)) == 0 &&
             listen(plug_in.listening, 16) == 0,
         "the plug-in does not listen");
    must(pthread_create(&thread, NULL, serve, NULL) == 0, "the plug-in has no thread");
    pthread_detach(thread);
}

/* ---- asking ---- */

static void judge(int err, const struct plugin_fault *fault)
{
    must(err <= 0 && (!err || fault->words[0]), "a failure has words");
}

static int see(void *context, const char *name)
{
    (void)context;
    must(name != NULL, "a volume of a list has a name");
    return 0;
}

static void check_path(int err, const char *path)
{
    must(err || !path || *path == '/', "where a volume is mounted is an absolute path");
}

static void ask_all(struct plugin *plugin)
{
    struct plugin_fault fault = {.words = ""};
    struct volume_pairs options = {0};
    cleanup_free char *got = NULL, *path = NULL, *mounted = NULL;
    bool global;
    judge(plugin_create(plugin, "v", &options, &(bool){false}, &fault), &fault);
    int err = plugin_get(plugin, "v", &got, &fault);
    judge(err, &fault);
    check_path(err, got);
    err = plugin_path(plugin, "v", &path, &fault);
    judge(err, &fault);
    check_path(err, path);
    judge(plugin_list(plugin, see, NULL, &fault), &fault);
    err = plugin_mount(plugin, "v", "id", &mounted, &fault);
    judge(err, &fault);
    check_path(err, mounted);
    judge(plugin_unmount(plugin, "v", "id", &fault), &fault);
    judge(plugin_is_global(plugin, &global, &fault), &fault);
    judge(plugin_remove(plugin, "v", &fault), &fault);
}

static void find_by(const char *name)
{
    struct pluginplace place = {0};
    struct plugin_fault fault = {.words = ""};
    int err = pluginplace_find(name, &place, &fault);
    must(err <= 0 && (!err || fault.words[0]), "a refusal has words");
    must(err || place.url, "a plug-in that is found has an address");
    must(err || !place.socket || *place.socket == '/', "a socket has an absolute path");
    pluginplace_finish(&place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct plugin_fault fault = {.words = ""};
    cleanup_plugin struct plugin *plugin = NULL;
    if (plug_in.listening < 0)
        begin();
    say(data, size);
    cleanup_fd int place = fd_open_name(AT_FDCWD, plug_in.place, O_RDONLY | O_DIRECTORY, 0);
    fuzz_file(place, "spec.spec", data, size);
    fuzz_file(place, "json.json", data, size);
    find_by("spec");
    find_by("json");
    int err = plugin_open("said", SECONDS, &plugin, &fault);
    judge(err, &fault);
    if (!err)
        ask_all(plugin);
    say(NULL, 0);
    return 0;
}
