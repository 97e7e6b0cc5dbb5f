/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "control.h"
#include "moment.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

static char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const struct mount_row row = {.id = id};

static struct store *open_store(const char *at)
{
    struct store *store = NULL;
    cleanup_free char *path = kit_path(at);
    assert_int_equal(store_open(path, true, &store), 0);
    assert_int_equal(mkdirat(store->mounts, id, 0700), 0);
    return store;
}

/* ---- what the tests answer ---- */

static atomic_int inside, most, asked;

static json_t *echo(void *context, const json_t *request)
{
    (void)context;
    int now = atomic_fetch_add(&inside, 1) + 1;
    if (now > atomic_load(&most))
        atomic_store(&most, now);
    json_t *answer = json_pack("{s:b, s:O}", "ok", 1, "said", json_object_get(request, "do"));
    sched_yield();
    atomic_fetch_sub(&inside, 1);
    atomic_fetch_add(&asked, 1);
    return answer;
}

static json_t *refuse(void *context, const json_t *request)
{
    (void)request;
    return context ? control_refusal(-EBUSY, context) : NULL;
}

static struct control *serve_refusing(const struct store *store, char *words)
{
    return control_serve(store, id, &(struct control_host){.answer = refuse, .context = words});
}

static struct control *serve_echo(const struct store *store)
{
    struct control *control = control_serve(store, id, &(struct control_host){.answer = echo});
    assert_non_null(control);
    return control;
}

static int ask(const struct store *store, json_t **answer)
{
    return control_ask(store, &row, json_pack("{s:s}", "do", "routes"), 10, answer);
}

static void assert_answered(const struct store *store)
{
    json_t *answer;
    assert_int_equal(ask(store, &answer), 0);
    assert_string_equal(json_string_value(json_object_get(answer, "said")), "routes");
    json_decref(answer);
}

/* ---- clients and servers without manners ---- */

static int open_mount(const struct store *store)
{
    int dir = openat(store->mounts, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    return dir;
}

static struct sockaddr_un address_in(int dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/control", dir);
    return address;
}

static int connect_in(int dir)
{
    const struct sockaddr_un address = address_in(dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int connect_raw(const struct store *store)
{
    cleanup_fd int dir = open_mount(store);
    return connect_in(dir);
}

static int listen_raw(const struct store *store)
{
    cleanup_fd int dir = open_mount(store);
    const struct sockaddr_un address = address_in(dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Says `text` to the next client, whatever it wants, and goes. */
struct rude {
    int listener;
    const char *text;
};

static void *answer_rudely(void *argument)
{
    const struct rude *rude = argument;
    char request[256];
    cleanup_fd int client = accept(rude->listener, NULL, NULL);
    if (client >= 0 && read(client, request, sizeof(request)) > 0)
        (void)!send(client, rude->text, strlen(rude->text), MSG_NOSIGNAL);
    return NULL;
}

static int ask_rude(const struct store *store, int listener, const char *text, json_t **answer)
{
    pthread_t thread;
    struct rude rude = {listener, text};
    assert_int_equal(pthread_create(&thread, NULL, answer_rudely, &rude), 0);
    int err = ask(store, answer);
    pthread_join(thread, NULL);
    return err;
}

/* Sends the answer and three lines, in pieces that end elsewhere, and goes. */
static int send_lines(void *context, const json_t *request, const json_t *answer, int client)
{
    static const char *const PIECES[] = {"\n{\"n\": 1}\n{\"n\"", ": 2}", "\n{\"n\": 3}\n"};
    (void)context;
    (void)request;
    assert_int_equal(json_dumpfd(answer, client, JSON_COMPACT), 0);
    for (size_t i = 0; i < sizeof(PIECES) / sizeof(PIECES[0]); i++)
        (void)!send(client, PIECES[i], strlen(PIECES[i]), MSG_NOSIGNAL);
    close(client);
    return 0;
}

static int take_nobody(void *context, const json_t *request, const json_t *answer, int client)
{
    (void)context, (void)request, (void)answer, (void)client;
    return -EUSERS;
}

static json_t *promise_stream(void *context, const json_t *request)
{
    (void)context;
    (void)request;
    return json_pack("{s:b, s:b}", "ok", 1, "stream", 1);
}

/* ---- claims ---- */

static void a_stream_comes_line_by_line_to_its_end(void **state)
{
    (void)state;
    json_t *answer, *line;
    struct control_stream *stream;
    cleanup_store struct store *store = open_store("store");
    struct control *control = control_serve(
        store, id, &(struct control_host){.answer = promise_stream, .stream = send_lines});
    int fd = control_connect(store, &row, 10);
    assert_int_equal(control_follow(fd, json_object(), 10, &stream, &answer), 0);
    json_decref(answer);
    int got, count = 0;
    while ((got = control_stream_next(stream, &line)) >= 0) {
        if (got == 0)
            continue;
        assert_int_equal(json_integer_value(json_object_get(line, "n")), ++count);
        json_decref(line);
    }
    assert_int_equal(got, -ECONNRESET);
    assert_int_equal(count, 3);
    control_stream_close(stream);
    control_stop(control);
}

static void who_cannot_be_taken_in_is_refused(void **state)
{
    (void)state;
    json_t *answer;
    struct control_stream *stream;
    cleanup_store struct store *store = open_store("store");
    struct control *control = control_serve(
        store, id, &(struct control_host){.answer = promise_stream, .stream = take_nobody});
    int fd = control_connect(store, &row, 10);
    assert_int_equal(control_follow(fd, json_object(), 10, &stream, &answer), -EUSERS);
    assert_string_equal(json_string_value(json_object_get(answer, "errno")), "EUSERS");
    json_decref(answer);
    control_stop(control);
}

static void who_is_promised_no_stream_gets_none(void **state)
{
    (void)state;
    json_t *answer;
    struct control_stream *stream;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    int fd = control_connect(store, &row, 10);
    assert_int_equal(control_follow(fd, json_pack("{s:s}", "do", "x"), 10, &stream, &answer),
                     -EPROTO);
    assert_null(stream);
    json_decref(answer);
    control_stop(control);
    control_stream_close(NULL);
}

static void an_answer_comes_back(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    assert_answered(store);
    assert_answered(store);
    control_stop(control);
}

static void a_refusal_brings_its_error_and_its_words(void **state)
{
    (void)state;
    char words[] = "the mill is in use";
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_refusing(store, words);
    json_t *answer;
    assert_int_equal(ask(store, &answer), -EBUSY);
    assert_string_equal(control_why(answer, -EBUSY), words);
    json_decref(answer);
    control_stop(control);
}

static void who_says_nothing_ends_the_conversation(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_refusing(store, NULL);
    json_t *answer;
    assert_int_equal(ask(store, &answer), -ECONNRESET);
    assert_null(answer);
    assert_string_equal(control_why(answer, -ECONNRESET), strerror(ECONNRESET));
    control_stop(control);
}

static void where_nobody_serves_is_not_connected(void **state)
{
    (void)state;
    json_t *answer;
    cleanup_store struct store *store = open_store("store");
    assert_int_equal(ask(store, &answer), -ENOTCONN);
    close(listen_raw(store));
    assert_int_equal(ask(store, &answer), -ENOTCONN);
    static char other[] = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const struct mount_row gone = {.id = other};
    assert_int_equal(control_ask(store, &gone, json_object(), 1, &answer), -ENOTCONN);
    assert_int_equal(control_ask(store, &row, NULL, 1, &answer), -ENOMEM);
}

static void what_a_dead_daemon_left_is_replaced(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    close(listen_raw(store));
    struct control *control = serve_echo(store);
    assert_answered(store);
    control_stop(control);
}

static void stopping_removes_the_socket(void **state)
{
    (void)state;
    struct stat st;
    cleanup_store struct store *store = open_store("store");
    cleanup_free char *path = NULL;
    assert_true(asprintf(&path, "%s/control", id) > 0);
    struct control *control = serve_echo(store);
    assert_int_equal(fstatat(store->mounts, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0077, 0);
    control_stop(control);
    assert_int_equal(fstatat(store->mounts, path, &st, AT_SYMLINK_NOFOLLOW), -1);
    control_stop(NULL);
}

static void a_silent_client_holds_nobody_up(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    cleanup_fd int silent = connect_raw(store);
    assert_true(silent >= 0);
    cleanup_fd int half = connect_raw(store);
    assert_int_equal(send(half, "{\"do\":", 6, 0), 6);
    assert_answered(store);
    control_stop(control);
}

static void a_silent_client_does_not_delay_the_end(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    cleanup_fd int silent = connect_raw(store);
    assert_true(silent >= 0);
    int64_t before = moment_steady();
    control_stop(control);
    assert_true(moment_steady() - before < MOMENT_SECOND / 2);
}

static void rubbish_is_refused_and_the_next_is_served(void **state)
{
    (void)state;
    static const char *const rubbish[] = {"\n",       "[]\n",    "{\"do\": \n",
                                          "\"do\"\n", "{} {}\n", "{\"a\": 1, \"a\": 2}\n"};
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
        char said[256] = "";
        cleanup_fd int client = connect_raw(store);
        assert_true(send(client, rubbish[i], strlen(rubbish[i]), 0) > 0);
        assert_true(recv(client, said, sizeof(said) - 1, 0) > 0);
        assert_non_null(strstr(said, "\"EPROTO\""));
    }
    assert_answered(store);
    control_stop(control);
}

static void a_line_without_end_is_not_read_to_its_end(void **state)
{
    (void)state;
    static char much[65536];
    memset(much, ' ', sizeof(much));
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    cleanup_fd int client = connect_raw(store);
    size_t sent = 0;
    for (ssize_t n = 0; n >= 0 && sent < 64 << 20; sent += (size_t)(n > 0 ? n : 0))
        n = send(client, much, sizeof(much), MSG_NOSIGNAL);
    assert_true(sent < 4 << 20);
    assert_answered(store);
    control_stop(control);
}

static void who_dies_before_the_answer_harms_nobody(void **state)
{
    (void)state;
    cleanup_store struct store *store = open_store("store");
    struct control *control = serve_echo(store);
    for (int i = 0; i < 50; i++) {
        cleanup_fd int client = connect_raw(store);
        if (i % 2)
            assert_int_equal(send(client, "{\"do\": \"x\"}\n", 12, 0), 12);
    }
    assert_answered(store);
    control_stop(control);
}

static void a_daemon_that_hangs_is_waited_for_so_long(void **state)
{
    (void)state;
    json_t *answer;
    cleanup_store struct store *store = open_store("store");
    cleanup_fd int listener = listen_raw(store);
    assert_true(listener >= 0);
    assert_int_equal(control_ask(store, &row, json_object(), 1, &answer), -ETIMEDOUT);
    assert_null(answer);
}

static void what_is_no_answer_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"nonsense\n", -EPROTO},
        {"[true]\n", -EPROTO},
        {"{}\n", -EPROTO},
        {"{\"ok\": 1}\n", -EPROTO},
        {"{\"ok\": true}", -ECONNRESET},
        {"{\"ok\": false}\n", -EIO},
        {"{\"ok\": false, \"errno\": 16}\n", -EIO},
        {"{\"ok\": false, \"errno\": \"ENOSENSE\"}\n", -EIO},
        {"{\"ok\": false, \"errno\": \"EROFS\", \"why\": 3}\n", -EROFS},
        {"{\"ok\": true}\nmore", 0},
    };
    cleanup_store struct store *store = open_store("store");
    cleanup_fd int listener = listen_raw(store);
    assert_true(listener >= 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *answer;
        assert_int_equal(ask_rude(store, listener, cases[i].text, &answer), cases[i].err);
        assert_non_null(control_why(answer, cases[i].err));
        json_decref(answer);
    }
}

static void *ask_often(void *argument)
{
    for (int i = 0; i < 25; i++) {
        json_t *answer = NULL;
        (void)!ask(argument, &answer);
        json_decref(answer);
    }
    return NULL;
}

static void one_is_answered_at_a_time(void **state)
{
    (void)state;
    pthread_t threads[4];
    cleanup_store struct store *store = open_store("store");
    atomic_store(&asked, 0);
    atomic_store(&most, 0);
    struct control *control = serve_echo(store);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, store), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    control_stop(control);
    assert_int_equal(atomic_load(&asked), 100);
    assert_int_equal(atomic_load(&most), 1);
}

/* ---- a mount without a name ---- */

static int predecessor;

/* Whoever had the number before goes when he was found there several times. */
static void *go_late(void *argument)
{
    (void)argument;
    for (int i = 0; i < 5; i++)
        close(accept(predecessor, NULL, NULL));
    close(predecessor);
    return NULL;
}

static void who_had_the_number_before_is_waited_for(void **state)
{
    pthread_t thread;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const unsigned number = 0x40000000u + (unsigned)getpid(); /* that no mount has */
    int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "plyfs/0:%u", number);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
    (void)state;
    predecessor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(predecessor, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(predecessor, 8), 0);
    assert_int_equal(pthread_create(&thread, NULL, go_late, NULL), 0);
    struct control *control =
        control_serve_device(makedev(0, number), &(struct control_host){.answer = echo});
    assert_non_null(control);
    pthread_join(thread, NULL);
    control_stop(control);
}

static void a_store_may_lie_deep(void **state)
{
    (void)state;
    char deep[300];
    memset(deep, 'd', sizeof(deep));
    deep[200] = '/';
    deep[299] = 0;
    kit_dir(deep);
    cleanup_store struct store *store = open_store(deep);
    struct control *control = serve_echo(store);
    assert_answered(store);
    control_stop(control);
}

/* In a child that is somebody else: what it was answered. */
static void ask_as_somebody(int fd)
{
    char said[256] = "";
    if (recv(fd, said, sizeof(said) - 1, 0) <= 0)
        _exit(2);
    _exit(strstr(said, "\"EACCES\"") ? 0 : 1);
}

static void another_user_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    cleanup_store struct store *store = open_store("store");
    cleanup_free char *path = NULL;
    assert_true(asprintf(&path, "%s/control", id) > 0);
    struct control *control = serve_echo(store);
    assert_int_equal(fchmodat(store->mounts, id, 0755, 0), 0);
    assert_int_equal(fchmodat(store->mounts, path, 0666, 0), 0);
    cleanup_fd int dir = open_mount(store);
    pid_t child = fork();
    if (child == 0) {
        if (setresuid(65534, 65534, 65534) < 0)
            _exit(3);
        ask_as_somebody(connect_in(dir));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    control_stop(control);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_answer_comes_back),
        kit_test(a_refusal_brings_its_error_and_its_words),
        kit_test(who_says_nothing_ends_the_conversation),
        kit_test(a_stream_comes_line_by_line_to_its_end),
        kit_test(who_cannot_be_taken_in_is_refused),
        kit_test(who_is_promised_no_stream_gets_none),
        kit_test(where_nobody_serves_is_not_connected),
        kit_test(what_a_dead_daemon_left_is_replaced),
        kit_test(stopping_removes_the_socket),
        kit_test(a_silent_client_holds_nobody_up),
        kit_test(a_silent_client_does_not_delay_the_end),
        kit_test(rubbish_is_refused_and_the_next_is_served),
        kit_test(a_line_without_end_is_not_read_to_its_end),
        kit_test(who_dies_before_the_answer_harms_nobody),
        kit_test(a_daemon_that_hangs_is_waited_for_so_long),
        kit_test(what_is_no_answer_is_an_error),
        kit_test(one_is_answered_at_a_time),
        kit_test(who_had_the_number_before_is_waited_for),
        kit_test(a_store_may_lie_deep),
        kit_test(another_user_is_refused),
    };
    return kit_run("control", tests, sizeof(tests) / sizeof(tests[0]));
}
