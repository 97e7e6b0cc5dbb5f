/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs run`: a program in a mounted tree that nobody else sees. It lives in a mount
 * namespace of its own (for an ordinary user a user namespace too), in which `plyfs mount` and, at
 * the end, `plyfs umount` are called; between them bubblewrap makes the tree the program's "/".
 */
#include "command.h"

#include "arguments.h"
#include "bubble.h"
#include "log.h"
#include "named.h"
#include "volumewish.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct wishes {
    const char *root, *name;
    bool ephemeral;
    struct volume_words volumes;
    struct words words;
};

static const struct argument TABLE[] = {
    {.name = "name",
     .letter = 'n',
     .kind = ARGUMENT_STRING,
     .at = offsetof(struct wishes, name),
     .value = "NAME",
     .help = "what the mount made of an image is called"},
    {.name = "rm",
     .kind = ARGUMENT_FLAG,
     .at = offsetof(struct wishes, ephemeral),
     .help = "forget every change when the program ends"},
    VOLUME_ARGUMENTS(struct wishes, volumes),
    ARGUMENT_ROOT(struct wishes, root),
};

static const struct syntax SYNTAX = {
    .command = "run",
    .words = "NAME|IMAGE [--] [COMMAND [ARGUMENT]...]",
    .least = 1,
    .most = ARGUMENTS_ANY,
    .words_at = offsetof(struct wishes, words),
    .words_last = true,
    ARGUMENTS(TABLE),
    .about = "Runs a program in a named mount or an image, in namespaces of its own, with the\n"
             "environment, user, directory and entrypoint that the image has. The status is the\n"
             "program's. It takes bubblewrap.\n",
    .example = "plyfs run --rm debian:12 -- sh -c 'echo $PATH'",
};

struct run {
    const struct wishes *wishes;
    char *store;              /* its path */
    struct oci_config config; /* where there is one */
    bool configured;
    char at[64]; /* the mountpoint */
    bool user_namespace;
};

static void run_finish(struct run *run)
{
    free(run->store);
    if (run->configured)
        oci_config_finish(&run->config);
}

/* ---- what is to run ---- */

static int read_config(struct run *run, const char *text)
{
    struct oci_fault fault = {""};
    int err = oci_config_parse(text, strlen(text), &run->config, &fault);
    if (err)
        log_error("%s: its image config makes no sense: %s", run->wishes->words.at[0], fault.words);
    run->configured = err == 0;
    return err;
}

/* The image of a named mount, or the one that the word itself names. A mount of directories has
 * none. */
static int find_config(struct run *run, struct store *store)
{
    const struct wishes *wishes = run->wishes;
    struct mount_row mount = {0};
    struct image_row image = {0};
    const char *word = wishes->words.at[0];
    int err = wishes->name || wishes->ephemeral ? -ENOENT : named_find(store, word, true, &mount);
    if (err == -ENOENT || (!err && mount.image)) {
        err = catalog_find_image(store->catalog, err ? word : mount.image, &image);
        if (err)
            log_error("%s: %s", word,
                      err == -ENOENT     ? "no such mount and no such image"
                      : err == -ENOTUNIQ ? "several images begin like this; write more of the id"
                                         : strerror(-err));
    }
    if (!err && image.config)
        err = read_config(run, image.config);
    image_row_finish(&image);
    mount_row_finish(&mount);
    return err;
}

/* The store is told by its path from here on: as root of a user namespace one has another usual
 * place. */
static int find(struct run *run)
{
    cleanup_store struct store *store = NULL;
    int err = named_open_store(run->wishes->root, false, &store);
    if (err)
        return err;
    run->store = strdup(store->path);
    return run->store ? find_config(run, store) : -ENOMEM;
}

/* ---- namespaces ---- */

static int write_text(const char *path, const char *text)
{
    cleanup_fd int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* Oneself becomes root there; other users there are none. */
static int map_root(uid_t uid, gid_t gid)
{
    char map[64];
    int err = write_text("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", (unsigned)uid);
    if (!err)
        err = write_text("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", (unsigned)gid);
    return err ? err : write_text("/proc/self/gid_map", map);
}

static int enter_namespaces(struct run *run)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    run->user_namespace = uid != 0;
    int err = unshare(CLONE_NEWNS | (run->user_namespace ? CLONE_NEWUSER : 0)) < 0 ? -errno : 0;
    if (!err && run->user_namespace)
        err = map_root(uid, gid);
    if (!err && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        err = -errno;
    if (err)
        log_error("cannot have namespaces of its own: %s", strerror(-err));
    return err;
}

/* ---- processes ---- */

/* The status as a shell tells it. */
static int wait_for(pid_t child)
{
    int status = 0;
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            return 127;
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* In a child, when its user will not change any more: what it does is for `parent` alone, and ends
 * with it. */
static int die_with(pid_t parent)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return -errno;
    return getppid() == parent ? 0 : -ESRCH;
}

/* Runs this program again. */
static int call_self(const char *const *words)
{
    const pid_t self = getpid();
    pid_t child = fork();
    if (child == 0) {
        if (die_with(self) != 0)
            _exit(127);
        execv("/proc/self/exe", (char *const *)(uintptr_t)words);
        _exit(127);
    }
    return child < 0 ? -errno : wait_for(child) == 0 ? 0 : -EIO;
}

static int show_tree(const struct run *run)
{
    const struct wishes *wishes = run->wishes;
    cleanup_free const char **words =
        calloc(11 + volume_words_write(&wishes->volumes, NULL), sizeof(*words));
    if (!words)
        return -ENOMEM;
    unsigned count = 0;
    words[count++] = "plyfs";
    words[count++] = "mount";
    words[count++] = "--root";
    words[count++] = run->store;
    if (wishes->ephemeral)
        words[count++] = "--rm";
    if (wishes->name) {
        words[count++] = "--name";
        words[count++] = wishes->name;
    }
    count += volume_words_write(&wishes->volumes, words + count);
    words[count++] = "--";
    words[count++] = wishes->words.at[0];
    words[count] = run->at;
    return call_self(words);
}

static int unmount_tree(const struct run *run)
{
    return call_self((const char *const[]){"plyfs", "umount", "--root", run->store, run->at, NULL});
}

/* In the child. Root of the machine gives its rights away before bubblewrap starts; root of a user
 * namespace has none to give, and is only called by the user's number. */
static int become(const struct run *run, const struct bubble_user *user)
{
    if (run->user_namespace || user->uid == 0)
        return 0;
    if (setgroups(1, &user->gid) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0)
        return -errno;
    return 0;
}

/* The program, while it runs, for pass_on(). */
static volatile sig_atomic_t program;

/* Who ends us means the program: what it leaves is to be cleared here. */
static void pass_on(int number)
{
    if (program > 0)
        kill((pid_t)program, number);
}

/* Keys of the terminal reach the program without us. Signals that are passed on wait until there is
 * somebody to pass them on to. */
static void outlive_signals(sigset_t *before)
{
    sigset_t passed;
    struct sigaction action = {.sa_handler = pass_on};
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    sigemptyset(&passed);
    sigaddset(&passed, SIGTERM);
    sigaddset(&passed, SIGHUP);
    sigprocmask(SIG_BLOCK, &passed, before);
}

/* In the child. */
static void meet_signals(const sigset_t *before)
{
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, before, NULL);
}

/* bubblewrap ends with its parent too, but asks for that only when it has begun. */
static void run_child(const struct run *run, const struct bubble *bubble,
                      const struct bubble_wish *wish, pid_t parent)
{
    int err = become(run, &wish->user);
    if (!err)
        err = die_with(parent);
    if (!err && fcntl(wish->report, F_SETFD, 0) < 0)
        err = -errno;
    if (!err) {
        execvp("bwrap", bubble->argv);
        err = -errno;
    }
    log_error(err == -ENOENT ? "bwrap is not installed; it is in the package bubblewrap"
                             : "cannot start bwrap: %s",
              strerror(-err));
    _exit(127);
}

/* bubblewrap, which has told why a program could not be started, ends with 1 then, as many a
 * program does; but the report tells of an end only where there was a beginning. */
static bool was_run(int report)
{
    char text[1024];
    ssize_t length = pread(report, text, sizeof(text) - 1, 0);
    text[length > 0 ? length : 0] = 0;
    return strstr(text, "\"exit-code\"") != NULL;
}

static int run_bubble(const struct run *run, const struct bubble *bubble,
                      const struct bubble_wish *wish)
{
    sigset_t before;
    outlive_signals(&before);
    const pid_t self = getpid();
    pid_t child = fork();
    if (child == 0) {
        meet_signals(&before);
        run_child(run, bubble, wish, self);
    }
    program = child;
    sigprocmask(SIG_SETMASK, &before, NULL);
    int status = child < 0 ? 125 : wait_for(child);
    program = 0;
    return status < 128 && !was_run(wish->report) ? 125 : status;
}

/* The words behind the first one; a "--" may stand between, so that it reads well. */
static const char *const *said(const struct words *words, unsigned *count)
{
    unsigned skip = words->count > 1 && strcmp(words->at[1], "--") == 0 ? 2 : 1;
    *count = words->count - skip;
    return words->at + skip;
}

static int run_program(const struct run *run)
{
    const struct wishes *wishes = run->wishes;
    cleanup_bubble struct bubble bubble = {0};
    struct bubble_wish wish = {
        .path = run->at,
        .config = run->configured ? &run->config : NULL,
    };
    cleanup_fd int root = open(run->at, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) {
        log_error("cannot open the tree of %s, which was mounted just now: %s", wishes->words.at[0],
                  strerror(errno));
        return 125;
    }
    wish.root = root;
    wish.words = said(&wishes->words, &wish.count);
    cleanup_fd int report = memfd_create("report", MFD_CLOEXEC);
    wish.report = report;
    int err = report < 0 ? -errno : 0;
    if (err)
        log_error("cannot have it told what becomes of the program: %s", strerror(-err));
    if (!err)
        err = bubble_find_user(root, run->configured ? run->config.user : "", &wish.user);
    wish.map_user = run->user_namespace && wish.user.uid != 0;
    if (!err)
        err = bubble_make(&wish, &bubble);
    own_close(&root);
    root = -1;
    return err ? 125 : run_bubble(run, &bubble, &wish);
}

/* ---- the whole ---- */

static int run_mounted(const struct run *run)
{
    int status = run_program(run);
    return unmount_tree(run) == 0 || status ? status : 125;
}

static int run_at_directory(struct run *run)
{
    int err = enter_namespaces(run);
    if (!err)
        err = show_tree(run);
    return err ? 125 : run_mounted(run);
}

/* The status: 125 when it came to nothing, as a container's. */
static int run_wishes(const struct wishes *wishes)
{
    cleanup(run_finish) struct run run = {.wishes = wishes};
    if (find(&run) != 0)
        return 125;
    snprintf(run.at, sizeof(run.at), "/tmp/plyfs-run-XXXXXX");
    if (!mkdtemp(run.at)) {
        log_error("cannot make a directory in /tmp to mount on: %s", strerror(errno));
        return 125;
    }
    int status = run_at_directory(&run);
    rmdir(run.at);
    return status;
}

static int run_run(int argc, char **argv)
{
    struct wishes wishes = {0};
    int err = arguments_parse(&SYNTAX, argc, argv, &wishes);
    int status = err < 0 ? 125 : 0;
    if (!err)
        status = run_wishes(&wishes);
    arguments_finish(&SYNTAX, &wishes);
    return status;
}

const struct command command_run = {
    .name = "run",
    .summary = "run a program in a mount that nobody else sees",
    .run = run_run,
};
