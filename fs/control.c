/* SPDX-License-Identifier: MIT
 *
 * Duty: one line of JSON each way, over a socket that whoever dies leaves behind.
 *
 * The socket is reached through /proc/self/fd: the path of a store may be longer than the 108 bytes
 * that sun_path has. A daemon answers one client at a time in one thread, so no answer meets
 * another; therefore no client may keep it: each has REQUEST_MS to say what it wants and ANSWER_MS
 * to take the answer, and what is longer than a line may be is not read to its end. Who stops wakes
 * the thread through an eventfd that every wait has in its poll(2).
 */
#include "control.h"

#include "fd.h"
#include "log.h"
#include "moment.h"
#include "mountinfo.h"
#include "quietthread.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>

#define SOCKET_NAME "control"

enum {
    LINE_MAX_BYTES = 1 << 20,
    REQUEST_MS = 1000,
    ANSWER_MS = 5000,
    BACKLOG = 16,
    ERRNO_MAX = 256,
};

/* ---- lines ---- */

/* A conversation: the other's socket, when patience ends, and what ends it earlier (or -1). */
struct talk {
    int fd;
    int stop;
    int64_t until; /* moment_steady() */
};

static struct talk talk_for(int fd, int stop, int64_t milliseconds)
{
    return (struct talk){
        .fd = fd, .stop = stop, .until = moment_steady() + milliseconds * (MOMENT_SECOND / 1000)};
}

static int wait_for(const struct talk *talk, short events)
{
    struct pollfd fds[2] = {{.fd = talk->fd, .events = events},
                            {.fd = talk->stop, .events = POLLIN}};
    for (;;) {
        int64_t left = (talk->until - moment_steady() + 999999) / 1000000;
        int ready = poll(fds, 2, left > 0 ? (int)left : 0);
        if (ready < 0 && errno != EINTR)
            return -errno;
        if (ready > 0)
            return fds[1].revents ? -ECANCELED : 0;
        if (ready == 0)
            return -ETIMEDOUT;
    }
}

static int send_line(const struct talk *talk, const char *line, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(talk->fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        int err = sent < 0 ? wait_for(talk, POLLOUT) : 0;
        if (err)
            return err;
        line += sent > 0 ? sent : 0;
        length -= sent > 0 ? (size_t)sent : 0;
    }
    return 0;
}

/* Bytes that came, with room for more: a line from `begin` to `end`, and what came behind it. */
struct line {
    char *bytes;
    size_t begin, end, length, room;
};

static void line_finish(struct line *line)
{
    free(line->bytes);
}

static int line_grow(struct line *line)
{
    size_t room = line->room ? line->room * 2 : 4096;
    if (room > LINE_MAX_BYTES)
        return -EMSGSIZE;
    char *bytes = realloc(line->bytes, room);
    if (!bytes)
        return -ENOMEM;
    line->bytes = bytes;
    line->room = room;
    return 0;
}

/* Goes on to the line behind the one there was; whether it is here already. */
static bool line_next(struct line *line)
{
    const char *end = NULL;
    line->begin = line->end;
    if (line->length > line->begin)
        end = memchr(line->bytes + line->begin, '\n', line->length - line->begin);
    if (end)
        line->end = (size_t)(end - line->bytes) + 1;
    return end != NULL;
}

/* Takes what has come, which ends the line or does not: 1, 0 (also when nothing has), or -errno.
 * -ECONNRESET: the other has gone. */
static int line_receive(int fd, struct line *line)
{
    if (line->begin > 0) {
        memmove(line->bytes, line->bytes + line->begin, line->length - line->begin);
        line->length -= line->begin;
        line->begin = line->end = 0;
    }
    int err = line->length == line->room ? line_grow(line) : 0;
    if (err)
        return err;
    char *at = line->bytes + line->length;
    ssize_t got = recv(fd, at, line->room - line->length, MSG_DONTWAIT);
    if (got == 0)
        return -ECONNRESET;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    line->length += (size_t)got;
    const char *end = memchr(at, '\n', (size_t)got);
    line->end = end ? (size_t)(end - line->bytes) + 1 : 0;
    return end != NULL;
}

/* -ECONNRESET: the other went without the end of one. */
static int receive_line(const struct talk *talk, struct line *line)
{
    int done = 0;
    while (done == 0) {
        int err = wait_for(talk, POLLIN);
        done = err ? err : line_receive(talk->fd, line);
    }
    return done < 0 ? done : 0;
}

/* An object, the caller's. -EPROTO: a line of something else. */
static int line_parse(const struct line *line, json_t **value)
{
    *value = json_loadb(line->bytes + line->begin, line->end - line->begin, JSON_REJECT_DUPLICATES,
                        NULL);
    if (json_is_object(*value))
        return 0;
    json_decref(*value);
    *value = NULL;
    return -EPROTO;
}

static int send_json(const struct talk *talk, const json_t *value)
{
    cleanup_free char *text = json_dumps(value, JSON_COMPACT);
    int err = text ? send_line(talk, text, strlen(text)) : -ENOMEM;
    return err ? err : send_line(talk, "\n", 1);
}

static int receive_json(const struct talk *talk, struct line *line, json_t **value)
{
    *value = NULL;
    int err = receive_line(talk, line);
    return err ? err : line_parse(line, value);
}

/* ---- asking ---- */

static struct sockaddr_un address_in(int dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dir);
    return address;
}

/* A name that is no file's begins with a zero byte. The length of the address is returned. */
static socklen_t address_of(dev_t device, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path + 1, sizeof(address->sun_path) - 1, "plyfs/%u:%u",
                          major(device), minor(device));
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Where too many wait already, connect(2) waits as long as a send would. */
static int connect_at(const struct sockaddr_un *address, socklen_t size, int seconds)
{
    const struct timeval patience = {.tv_sec = seconds};
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)address, size) == 0)
        return steal_fd(&fd);
    int err = errno;
    return err == ENOENT || err == ECONNREFUSED ? -ENOTCONN : err == EAGAIN ? -ETIMEDOUT : -err;
}

/* The number of an error that is told by its name: numbers differ between machines and libraries,
 * names do not. */
static int errno_named(const char *name)
{
    for (int number = 1; name && number < ERRNO_MAX; number++) {
        const char *known = strerrorname_np(number);
        if (known && strcmp(known, name) == 0)
            return number;
    }
    return EIO;
}

/* What an answer says: 0, or its error. */
static int verdict(const json_t *answer)
{
    const json_t *ok = json_object_get(answer, "ok");
    if (!json_is_boolean(ok))
        return -EPROTO;
    return json_is_true(ok) ? 0 : -errno_named(json_string_value(json_object_get(answer, "errno")));
}

/* Says the request and hears the answer; what comes behind it is left in `line`. */
static int converse(int fd, const json_t *request, int seconds, struct line *line, json_t **answer)
{
    const struct talk talk = talk_for(fd, -1, (int64_t)seconds * 1000);
    int err = send_json(&talk, request);
    /* Whoever is refused for who he is may be told so before he has said all. */
    if (!err || err == -EPIPE)
        err = receive_json(&talk, line, answer);
    return err ? err : verdict(*answer);
}

int control_connect(const struct store *store, const struct mount_row *row, int seconds)
{
    cleanup_fd int dir = fd_open_name(store->mounts, row->id, O_RDONLY | O_DIRECTORY, 0);
    if (dir < 0)
        return dir == -ENOENT ? -ENOTCONN : dir;
    const struct sockaddr_un address = address_in(dir);
    return connect_at(&address, sizeof(address), seconds);
}

static int ask_peer(int fd, struct ucred *peer)
{
    socklen_t size = sizeof(*peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0 ? -errno : 0;
}

int control_peer(int fd, pid_t *process)
{
    struct ucred peer;
    int err = ask_peer(fd, &peer);
    *process = err ? 0 : peer.pid;
    return err ? err : peer.pid > 0 ? 0 : -ESRCH;
}

/* The daemon must be the one that the kernel says serves the mount: anybody may take a name. */
static int check_daemon(int fd, dev_t device)
{
    uid_t owner;
    struct ucred daemon;
    int err = mountinfo_fuse_owner(device, &owner);
    if (!err)
        err = ask_peer(fd, &daemon);
    if (err)
        return err;
    bool mine = geteuid() == 0 || geteuid() == owner;
    return mine && daemon.uid == owner ? 0 : -EACCES;
}

int control_connect_path(const char *path, int seconds)
{
    dev_t device;
    int err = mountinfo_device(path, &device);
    if (err)
        return err;
    struct sockaddr_un address;
    socklen_t size = address_of(device, &address);
    cleanup_fd int fd = connect_at(&address, size, seconds);
    if (fd < 0)
        return fd;
    err = check_daemon(fd, device);
    return err ? err : steal_fd(&fd);
}

int control_ask_on(int fd, json_t *request, int seconds, json_t **answer)
{
    *answer = NULL;
    cleanup(line_finish) struct line line = {0};
    int err = request ? converse(fd, request, seconds, &line, answer) : -ENOMEM;
    json_decref(request);
    return err;
}

int control_ask(const struct store *store, const struct mount_row *row, json_t *request,
                int seconds, json_t **answer)
{
    *answer = NULL;
    cleanup_fd int fd = request ? control_connect(store, row, seconds) : -ENOMEM;
    if (fd >= 0)
        return control_ask_on(fd, request, seconds, answer);
    json_decref(request);
    return fd;
}

struct control_stream {
    int fd;
    struct line line;
};

void control_stream_close(struct control_stream *stream)
{
    if (!stream)
        return;
    own_close(&stream->fd);
    line_finish(&stream->line);
    free(stream);
}

int control_stream_fd(const struct control_stream *stream)
{
    return stream->fd;
}

int control_follow(int fd, json_t *request, int seconds, struct control_stream **stream,
                   json_t **answer)
{
    *answer = NULL;
    *stream = calloc(1, sizeof(**stream));
    int err = request && *stream ? 0 : -ENOMEM;
    if (*stream)
        (*stream)->fd = fd;
    else
        close(fd);
    if (!err)
        err = converse(fd, request, seconds, &(*stream)->line, answer);
    if (!err && !json_is_true(json_object_get(*answer, "stream")))
        err = -EPROTO;
    json_decref(request);
    if (err) {
        control_stream_close(*stream);
        *stream = NULL;
    }
    return err;
}

int control_stream_next(struct control_stream *stream, json_t **line)
{
    int done = line_next(&stream->line) ? 1 : line_receive(stream->fd, &stream->line);
    int err = done > 0 ? line_parse(&stream->line, line) : done;
    return err ? err : done;
}

const char *control_why(const json_t *answer, int err)
{
    const char *why = json_string_value(json_object_get(answer, "why"));
    return why ? why : strerror(err < 0 ? -err : err);
}

/* ---- answering ---- */

struct control {
    pthread_t thread;
    int dir, listener, stop;
    struct control_host host;
};

json_t *control_refusal(int err, const char *why)
{
    const char *name = strerrorname_np(err < 0 ? -err : err);
    return json_pack("{s:b, s:s, s:s}", "ok", 0, "errno", name ? name : "EIO", "why", why);
}

static bool may_ask(int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0)
        return false;
    return who.uid == 0 || who.uid == geteuid();
}

/* Reads what a client wants, and says what it is answered; NULL: nothing. */
static json_t *answer_to(const struct control *control, int client, json_t **request)
{
    const struct talk talk = talk_for(client, control->stop, REQUEST_MS);
    cleanup(line_finish) struct line line = {0};
    if (!may_ask(client))
        return control_refusal(-EACCES, "only the user whose daemon it is may ask it");
    int err = receive_json(&talk, &line, request);
    if (err == -EPROTO || err == -EMSGSIZE)
        return control_refusal(err, "this is no request: a JSON object in a line is one");
    if (err)
        return NULL;
    return control->host.answer(control->host.context, *request);
}

/* Whether the client is somebody else's now. Where he should be and cannot, *answer is a refusal.
 */
static bool begin_stream(const struct control *control, const json_t *request, json_t **answer,
                         int *client)
{
    const struct control_host *host = &control->host;
    if (!host->stream || !json_is_true(json_object_get(*answer, "stream")))
        return false;
    int err = host->stream(host->context, request, *answer, *client);
    if (!err) {
        (void)steal_fd(client);
        return true;
    }
    json_decref(*answer);
    *answer = control_refusal(err, strerror(-err));
    return false;
}

static void serve_client(const struct control *control, int *client)
{
    json_t *request = NULL, *answer = answer_to(control, *client, &request);
    const struct talk talk = talk_for(*client, control->stop, ANSWER_MS);
    int err =
        begin_stream(control, request, &answer, client) || !answer ? 0 : send_json(&talk, answer);
    if (err)
        log_debug("a client of the control socket took no answer: %s", strerror(-err));
    json_decref(answer);
    json_decref(request);
}

/* A client, or -ECANCELED at the end. */
static int next_client(const struct control *control)
{
    struct pollfd fds[2] = {{.fd = control->listener, .events = POLLIN},
                            {.fd = control->stop, .events = POLLIN}};
    for (;;) {
        int ready = poll(fds, 2, -1);
        if (ready > 0 && fds[1].revents)
            return -ECANCELED;
        int fd = accept4(control->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        /* Without descriptors the client stays in the queue: look again a little later. */
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            (void)!poll(&fds[1], 1, 100);
    }
}

static void *serve(void *argument)
{
    const struct control *control = argument;
    pthread_setname_np(pthread_self(), "plyfs-control");
    for (;;) {
        cleanup_fd int client = next_client(control);
        if (client < 0)
            return NULL;
        serve_client(control, &client);
    }
}

/* Nobody but the store's owner comes into the directory; the mode says it once more. */
static int listen_in(int dir)
{
    const struct sockaddr_un address = address_in(dir);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || fchmod(fd, 0600) < 0)
        return -errno;
    if (unlinkat(dir, SOCKET_NAME, 0) < 0 && errno != ENOENT)
        return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, BACKLOG) < 0)
        return -errno;
    return steal_fd(&fd);
}

/* Whether a daemon of ours has the address. Of another user it is only a name that he has taken. */
static bool is_held_by_us(const struct sockaddr_un *address, socklen_t size)
{
    struct ucred peer;
    cleanup_fd int fd = connect_at(address, size, 1);
    return fd >= 0 && ask_peer(fd, &peer) == 0 && peer.uid == geteuid();
}

/* A number is given to the next mount as soon as the kernel has let go of one, whose daemon may
 * take a moment longer: on a busy machine seconds. Until it has gone, whoever asks for this mount
 * would be told of that one. */
static int listen_for(dev_t device)
{
    enum { TRIES = 50, TRIES_OF_US = 1000 };
    struct sockaddr_un address;
    const struct timespec pause = {.tv_nsec = 10000000};
    socklen_t size = address_of(device, &address);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    for (int tries = 1; bind(fd, (const struct sockaddr *)&address, size) < 0; tries++) {
        if (errno != EADDRINUSE)
            return -errno;
        if (tries >= TRIES_OF_US || (tries >= TRIES && !is_held_by_us(&address, size)))
            return -EADDRINUSE;
        nanosleep(&pause, NULL);
    }
    return listen(fd, BACKLOG) < 0 ? -errno : steal_fd(&fd);
}

/* Takes the listener over, or its -errno. */
static int begin_listening(struct control *control, int listener)
{
    control->listener = listener;
    if (listener < 0)
        return listener;
    control->stop = eventfd(0, EFD_CLOEXEC);
    return control->stop < 0 ? -errno : quietthread_start(&control->thread, serve, control);
}

static int begin(struct control *control, const struct store *store, const char *id)
{
    control->dir = fd_open_name(store->mounts, id, O_RDONLY | O_DIRECTORY, 0);
    if (control->dir < 0)
        return control->dir;
    return begin_listening(control, listen_in(control->dir));
}

static void control_destroy(struct control *control)
{
    if (control->listener >= 0 && control->dir >= 0)
        (void)unlinkat(control->dir, SOCKET_NAME, 0);
    own_close(&control->listener);
    own_close(&control->stop);
    own_close(&control->dir);
    free(control);
}

static struct control *control_create(const struct control_host *host)
{
    struct control *control = malloc(sizeof(*control));
    if (control)
        *control = (struct control){.dir = -1, .listener = -1, .stop = -1, .host = *host};
    return control;
}

struct control *control_serve_device(dev_t device, const struct control_host *host)
{
    struct control *control = control_create(host);
    if (!control)
        return NULL;
    int err = begin_listening(control, listen_for(device));
    if (!err)
        return control;
    log_debug("nobody can ask how the mount fares: %s", strerror(-err));
    control_destroy(control);
    return NULL;
}

struct control *control_serve(const struct store *store, const char *id,
                              const struct control_host *host)
{
    struct control *control = control_create(host);
    int err = control ? begin(control, store, id) : -ENOMEM;
    if (!err)
        return control;
    log_error("cannot listen in %s/mounts/%s: %s", store->path, id, strerror(-err));
    if (control)
        control_destroy(control);
    return NULL;
}

void control_stop(struct control *control)
{
    const uint64_t one = 1;
    if (!control)
        return;
    (void)!write(control->stop, &one, sizeof(one));
    pthread_join(control->thread, NULL);
    control_destroy(control);
}
