/* SPDX-License-Identifier: MIT
 *
 * Any bytes on a control socket, from either side: who asks gets a verdict and never hangs, who
 * answers goes on to the next.
 */
#include "fuzzkit.h"

#include "control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

enum { SECONDS = 20, MOST = 64 << 10 };

static json_t *answer(void *context, const json_t *request)
{
    (void)context;
    must(json_is_object(request), "a request is an object");
    return json_pack("{s:b, s:O?}", "ok", 1, "said", json_object_get(request, "do"));
}

/* The daemon's side, which lives as long as the process. */
static const struct sockaddr_un *serve(socklen_t *size)
{
    static struct sockaddr_un address = {.sun_family = AF_UNIX};
    static socklen_t length;
    if (length == 0) {
        dev_t device = makedev(4000, (unsigned)getpid() & 0xfffff);
        must(control_serve_device(device, &(struct control_host){.answer = answer}) != NULL,
             "nobody listens");
        int written = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "plyfs/%u:%u",
                               major(device), minor(device));
        length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)written);
    }
    *size = length;
    return &address;
}

static void ask_with(const uint8_t *data, size_t size)
{
    char said[4096];
    ssize_t got;
    socklen_t length;
    const struct sockaddr_un *address = serve(&length);
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (const struct sockaddr *)address, length) == 0, "no connection");
    (void)!send(fd, data, size, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    do {
        got = recv(fd, said, sizeof(said), 0);
    } while (got > 0);
}

/* One end of a pair, on which the other has said all that it ever will. `peer` is that one. */
static int hear(const uint8_t *data, size_t size, int *peer)
{
    int pair[2], room = 4 * MOST;
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no pair of sockets");
    (void)setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    must(send(pair[1], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size, "no room");
    shutdown(pair[1], SHUT_WR);
    *peer = pair[1];
    return pair[0];
}

static void be_answered(const uint8_t *data, size_t size)
{
    json_t *said = NULL;
    cleanup_fd int peer = -1;
    cleanup_fd int fd = hear(data, size, &peer);
    int err = control_ask_on(fd, json_pack("{s:s}", "do", "state"), SECONDS, &said);
    must(err != -ETIMEDOUT, "an answer is judged when it is there");
    must(err || json_is_object(said), "an answer is an object");
    must(err <= 0 && control_why(said, err) != NULL, "there are words for every answer");
    json_decref(said);
}

static void follow(const uint8_t *data, size_t size)
{
    struct control_stream *stream = NULL;
    json_t *said = NULL, *line;
    cleanup_fd int peer = -1;
    int fd = hear(data, size, &peer), more = 0;
    int err = control_follow(fd, json_pack("{s:s}", "do", "trace"), SECONDS, &stream, &said);
    must(err <= 0 && (err != 0) == (stream == NULL), "a stream is begun or not");
    while (!err && (more = control_stream_next(stream, &line)) >= 0) {
        if (more)
            json_decref(line);
    }
    control_stream_close(stream);
    json_decref(said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MOST)
        return 0;
    ask_with(data, size);
    be_answered(data, size);
    follow(data, size);
    return 0;
}
