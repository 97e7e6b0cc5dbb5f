/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "own.h"
#include "privileges.h"

#include <arpa/inet.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

/* What a child said that tried something, without its privileges or with them: 0 or an errno. */
static int without(bool helpers, int (*act)(int), int argument)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        privileges_give_up(helpers ? PRIVILEGES_HELPERS : 0);
        _exit(act(argument) < 0 ? errno : 0);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

static long landlock_version(void)
{
    return syscall(444, NULL, 0, 1);
}

static int connect_tcp(int port)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = (in_port_t)port,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&to, sizeof(to));
}

static void the_network_is_left_to_the_helpers(void **state)
{
    (void)state;
    need_root();
    if (landlock_version() < 4)
        skip();
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(at);
    cleanup_fd int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &size), 0);
    assert_int_equal(without(true, connect_tcp, at.sin_port), 0);
    assert_int_equal(without(false, connect_tcp, at.sin_port), EACCES);
}

static int connect_abstract(int number)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    memcpy(to.sun_path + 1, &number, sizeof(number));
    cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&to,
                   offsetof(struct sockaddr_un, sun_path) + 1 + sizeof(number));
}

static int send_signal(int to)
{
    return kill(to, SIGCHLD);
}

static void other_processes_are_neither_signalled_nor_spoken_to(void **state)
{
    (void)state;
    need_root();
    if (landlock_version() < 6)
        skip();
    const int number = getpid();
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    memcpy(at.sun_path + 1, &number, sizeof(number));
    cleanup_fd int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at,
                          offsetof(struct sockaddr_un, sun_path) + 1 + sizeof(number)),
                     0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(without(true, connect_abstract, number), 0);
    assert_int_equal(without(false, connect_abstract, number), EPERM);
    assert_int_equal(without(true, send_signal, getpid()), 0);
    assert_int_equal(without(false, send_signal, getpid()), EPERM);
}

static int mount_and_unmount(int unused)
{
    (void)unused;
    if (mount("none", "/tmp", "tmpfs", 0, NULL) < 0)
        return -1;
    return umount2("/tmp", UMOUNT_NOFOLLOW);
}

static void a_mount_can_still_be_unmounted(void **state)
{
    (void)state;
    need_root();
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        skip();
    assert_int_equal(without(false, mount_and_unmount, 0), 0);
    assert_int_equal(without(true, mount_and_unmount, 0), 0);
}

/* CAP_NET_RAW stands for what goes. */
static int open_raw_socket(int unused)
{
    (void)unused;
    cleanup_fd int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    return fd;
}

static void what_is_given_up_is_gone_with_helpers_too(void **state)
{
    (void)state;
    need_root();
    if (open_raw_socket(0) < 0)
        skip();
    assert_int_equal(without(true, open_raw_socket, 0), EPERM);
    assert_int_equal(without(false, open_raw_socket, 0), EPERM);
}

static int act_again(int unused)
{
    (void)unused;
    privileges_give_up(0);
    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : -1;
}

static void giving_up_twice_does_no_harm(void **state)
{
    (void)state;
    need_root();
    assert_int_equal(without(false, act_again, 0), 0);
    assert_int_equal(without(true, act_again, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_network_is_left_to_the_helpers),
        cmocka_unit_test(other_processes_are_neither_signalled_nor_spoken_to),
        cmocka_unit_test(a_mount_can_still_be_unmounted),
        cmocka_unit_test(what_is_given_up_is_gone_with_helpers_too),
        cmocka_unit_test(giving_up_twice_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
