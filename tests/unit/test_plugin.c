/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "moment.h"
#include "plugin.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- a plug-in that answers as it is told ---- */

struct line {
    const char *path, *answer; /* a body, sent with status 200, or a whole answer */
};

struct script {
    struct line lines[8];
    void (*instead)(int fd, unsigned number); /* answers the connections itself */
};

static const struct line ACTIVE = {"/Plugin.Activate", "{\"Implements\":[\"VolumeDriver\"]}"};

/* Reads one request; the path is written to `path`. */
static void read_request(int fd, char path[256])
{
    char bytes[8192];
    size_t size = 0, length = 0;
    const char *end = NULL;
    while (!end || size < (size_t)(end - bytes) + 4 + length) {
        ssize_t got = read(fd, bytes + size, sizeof(bytes) - 1 - size);
        if (got <= 0)
            break;
        size += (size_t)got;
        bytes[size] = 0;
        end = strstr(bytes, "\r\n\r\n");
        const char *said = strstr(bytes, "Content-Length: ");
        length = said ? strtoul(said + 16, NULL, 10) : 0;
    }
    sscanf(bytes, "POST %255s", path);
}

static void answer(int fd, const struct script *script, int log)
{
    char path[256] = "";
    read_request(fd, path);
    dprintf(log, "%s\n", path);
    for (unsigned i = 0; i < 8 && script->lines[i].path; i++) {
        const char *text = script->lines[i].answer;
        if (strcmp(script->lines[i].path, path) != 0)
            continue;
        if (strncmp(text, "HTTP", 4) == 0)
            dprintf(fd, "%s", text);
        else
            dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(text), text);
        return;
    }
    dprintf(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

static int listen_at(const char *name)
{
    cleanup_free char *path = kit_path(name);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    assert_true(strlen(path) < sizeof(address.sun_path));
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

__attribute__((noreturn)) static void serve(int listening, const struct script *script)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    int log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
    for (unsigned number = 0;; number++) {
        int fd = accept(listening, NULL, NULL);
        if (script->instead)
            script->instead(fd, number);
        else
            answer(fd, script, log);
        close(fd);
    }
}

/* The plug-in "fake" listens when this returns. */
static pid_t start(const struct script *script)
{
    cleanup_free char *here = kit_path("");
    assert_int_equal(setenv("PLYFS_PLUGINS", here, 1), 0);
    cleanup_fd int listening = listen_at("fake.sock");
    pid_t child = fork();
    if (child == 0) {
        if (fchdir(kit_root()) == 0)
            serve(listening, script);
        _exit(1);
    }
    assert_true(child > 0);
    return child;
}

static void stop(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static struct plugin *open_fake(void)
{
    struct plugin *plugin;
    struct plugin_fault fault;
    assert_int_equal(plugin_open("fake", 10, &plugin, &fault), 0);
    return plugin;
}

/* ---- the protocol ---- */

static int count_name(void *context, const char *name)
{
    strcat(context, name);
    return 0;
}

static void a_plugin_is_asked_and_its_answers_are_read(void **state)
{
    (void)state;
    const struct script script = {
        .lines = {
            ACTIVE,
            {"/VolumeDriver.Mount", "{\"Mountpoint\": \"/mnt/x\", \"Err\": \"\"}"},
            {"/VolumeDriver.Unmount", ""},
            {"/VolumeDriver.Get", "{\"Volume\": {\"Name\": \"vol\", \"Mountpoint\": \"/mnt/x\"}}"},
            {"/VolumeDriver.Path", "{\"Mountpoint\": \"\", \"Err\": null}"},
            {"/VolumeDriver.List",
             "{\"Volumes\": [{\"Name\": \"a\"}, {\"Name\": 7}, {\"Name\": \"b\"}]}"},
            {"/VolumeDriver.Capabilities", "{\"Capabilities\": {\"Scope\": \"Global\"}}"},
        }};
    pid_t server = start(&script);
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = open_fake();
    cleanup_free char *mounted = NULL, *got = NULL, *path = NULL;
    char names[8] = "";
    bool global;
    assert_int_equal(plugin_mount(plugin, "vol", "id", &mounted, &fault), 0);
    assert_string_equal(mounted, "/mnt/x");
    assert_int_equal(plugin_get(plugin, "vol", &got, &fault), 0);
    assert_string_equal(got, "/mnt/x");
    assert_int_equal(plugin_path(plugin, "vol", &path, &fault), 0);
    assert_null(path);
    assert_int_equal(plugin_list(plugin, count_name, names, &fault), 0);
    assert_string_equal(names, "ab");
    assert_int_equal(plugin_is_global(plugin, &global, &fault), 0);
    assert_true(global);
    assert_int_equal(plugin_unmount(plugin, "vol", "id", &fault), 0);
    stop(server);
}

static void a_volume_is_asked_for_before_it_is_made(void **state)
{
    (void)state;
    const struct script script = {
        .lines = {
            ACTIVE,
            {"/VolumeDriver.Get",
             "HTTP/1.1 500 No\r\nContent-Length: 22\r\n\r\n{\"Err\": \"not a volume\"}"},
            {"/VolumeDriver.Create", "{}"},
        }};
    pid_t server = start(&script);
    const struct volume_pairs options = {0};
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = open_fake();
    bool made = false;
    assert_int_equal(plugin_create(plugin, "vol", &options, &made, &fault), 0);
    assert_true(made);
    kit_assert_text("log", "/Plugin.Activate\n/VolumeDriver.Get\n/VolumeDriver.Create\n");
    stop(server);
}

static void a_volume_that_is_there_is_not_made(void **state)
{
    (void)state;
    const struct script script = {.lines = {
                                      ACTIVE,
                                      {"/VolumeDriver.Get", "{\"Volume\": {\"Name\": \"vol\"}}"},
                                  }};
    pid_t server = start(&script);
    const struct volume_pairs options = {0};
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = open_fake();
    bool made = true;
    assert_int_equal(plugin_create(plugin, "vol", &options, &made, &fault), 0);
    assert_false(made);
    kit_assert_text("log", "/Plugin.Activate\n/VolumeDriver.Get\n");
    stop(server);
}

static void an_err_is_an_error_whatever_the_status(void **state)
{
    static const char *const answers[] = {
        "{\"Err\": \"no \\u001b[31mwater\"}",
        "HTTP/1.1 500 No\r\nContent-Length: 29\r\n\r\n{\"Err\": \"no \\u001b[31mwater\"}",
    };
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        const struct script script = {.lines = {ACTIVE, {"/VolumeDriver.Remove", answers[i]}}};
        pid_t server = start(&script);
        struct plugin_fault fault;
        cleanup_plugin struct plugin *plugin = open_fake();
        assert_int_equal(plugin_remove(plugin, "vol", &fault), -EREMOTEIO);
        assert_string_equal(fault.words, "plugin \"fake\": VolumeDriver.Remove: no ?[31mwater");
        stop(server);
        unlinkat(kit_root(), "fake.sock", 0);
    }
}

static void one_that_is_no_volume_driver_is_refused(void **state)
{
    (void)state;
    const struct script script = {
        .lines = {{"/Plugin.Activate", "{\"Implements\": [\"NetworkDriver\", 7]}"}}};
    pid_t server = start(&script);
    struct plugin *plugin;
    struct plugin_fault fault;
    assert_int_equal(plugin_open("fake", 10, &plugin, &fault), -EOPNOTSUPP);
    assert_null(plugin);
    stop(server);
}

/* ---- one that lies ---- */

static void an_answer_that_makes_no_sense_is_none(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    cleanup_free char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = 0;
    const char *const answers[] = {
        "{}",
        "[]",
        "{",
        "null",
        "7",
        "\"x\"",
        deep,
        "{\"Err\": 7}",
        "{\"Mountpoint\": 7}",
        "{\"Mountpoint\": \"\"}",
        "{\"Mountpoint\": \"rel\"}",
        "{\"Mountpoint\": \"/a\\u0000b\"}",
        "{\"Mountpoint\": [\"/x\"]}",
    };
    for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        const struct script script = {.lines = {ACTIVE, {"/VolumeDriver.Mount", answers[i]}}};
        pid_t server = start(&script);
        struct plugin_fault fault;
        cleanup_plugin struct plugin *plugin = open_fake();
        cleanup_free char *path = NULL;
        assert_int_equal(plugin_mount(plugin, "vol", "id", &path, &fault), -EBADMSG);
        assert_null(path);
        stop(server);
        unlinkat(kit_root(), "fake.sock", 0);
    }
}

static void another_volume_than_was_asked_for_is_no_answer(void **state)
{
    (void)state;
    const struct script script = {
        .lines = {ACTIVE, {"/VolumeDriver.Get", "{\"Volume\": {\"Name\": \"other\"}}"}}};
    pid_t server = start(&script);
    struct plugin_fault fault;
    cleanup_plugin struct plugin *plugin = open_fake();
    assert_int_equal(plugin_get(plugin, "vol", NULL, &fault), -EBADMSG);
    stop(server);
}

static void send_without_end(int fd, unsigned number)
{
    char bytes[4096], path[256];
    (void)number;
    read_request(fd, path);
    memset(bytes, 'x', sizeof(bytes));
    dprintf(fd, "HTTP/1.1 200 OK\r\n\r\n");
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
}

static void send_headers_without_end(int fd, unsigned number)
{
    char path[256];
    (void)number;
    read_request(fd, path);
    dprintf(fd, "HTTP/1.1 200 OK\r\n");
    while (dprintf(fd, "X-Header: %01000d\r\n", 0) > 0)
        ;
}

static void an_answer_without_end_is_cut_off(void **state)
{
    (void)state;
    void (*const endless[])(int, unsigned) = {send_without_end, send_headers_without_end};
    for (unsigned i = 0; i < 2; i++) {
        const struct script script = {.instead = endless[i]};
        pid_t server = start(&script);
        struct plugin *plugin;
        struct plugin_fault fault;
        assert_int_equal(plugin_open("fake", 20, &plugin, &fault), -EBADMSG);
        stop(server);
        unlinkat(kit_root(), "fake.sock", 0);
    }
}

/* ---- one that is silent, or dead ---- */

static void say_nothing(int fd, unsigned number)
{
    (void)fd;
    (void)number;
    pause();
}

static void a_silent_one_is_left_when_the_time_is_up(void **state)
{
    (void)state;
    const struct script script = {.instead = say_nothing};
    pid_t server = start(&script);
    struct plugin *plugin;
    struct plugin_fault fault;
    int64_t begun = moment_steady();
    assert_int_equal(plugin_open("fake", 1, &plugin, &fault), -ETIMEDOUT);
    assert_true(moment_steady() - begun < 10 * MOMENT_SECOND);
    assert_string_equal(fault.words, "plugin \"fake\": Plugin.Activate: no answer in time");
    stop(server);
}

static void a_dead_one_is_told_apart_from_a_missing_one(void **state)
{
    (void)state;
    const struct script script = {.instead = say_nothing};
    stop(start(&script)); /* its socket stays */
    struct plugin *plugin;
    struct plugin_fault fault;
    assert_int_equal(plugin_open("fake", 1, &plugin, &fault), -ECONNREFUSED);
    assert_int_equal(plugin_open("other", 1, &plugin, &fault), -ENOENT);
    assert_string_equal(fault.words, "plugin \"other\" not found");
}

static void break_off_once(int fd, unsigned number)
{
    static const struct script script = {
        .lines = {{"/Plugin.Activate", "{\"Implements\":[\"VolumeDriver\"]}"}}};
    if (number > 0)
        answer(fd, &script, -1);
}

static void what_breaks_off_is_asked_again(void **state)
{
    (void)state;
    const struct script script = {.instead = break_off_once};
    pid_t server = start(&script);
    cleanup_plugin struct plugin *plugin = open_fake();
    assert_non_null(plugin);
    stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_plugin_is_asked_and_its_answers_are_read),
        kit_test(a_volume_is_asked_for_before_it_is_made),
        kit_test(a_volume_that_is_there_is_not_made),
        kit_test(an_err_is_an_error_whatever_the_status),
        kit_test(one_that_is_no_volume_driver_is_refused),
        kit_test(an_answer_that_makes_no_sense_is_none),
        kit_test(another_volume_than_was_asked_for_is_no_answer),
        kit_test(an_answer_without_end_is_cut_off),
        kit_test(a_silent_one_is_left_when_the_time_is_up),
        kit_test(a_dead_one_is_told_apart_from_a_missing_one),
        kit_test(what_breaks_off_is_asked_again),
    };
    return kit_run("plugin", tests, sizeof(tests) / sizeof(tests[0]));
}
