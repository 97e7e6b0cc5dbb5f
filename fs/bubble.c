/* SPDX-License-Identifier: MIT
 *
 * Duty: words for bubblewrap. It makes the mountpoints that it is told of by following the paths of
 * the new root while the old one is still there; so a path goes to it only when it has been opened
 * beneath the new root without one symlink on the way. The environment is handed over in words: as
 * an environment it would be that of bubblewrap itself, and an image could choose its libraries.
 */
#include "bubble.h"

#include "fd.h"
#include "log.h"

#include <ctype.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* ---- users ---- */

static void close_file(FILE **file)
{
    if (*file)
        fclose(*file);
}

static FILE *open_text(int root, const char *path)
{
    int fd = fd_open_beneath(root, path, O_RDONLY | O_NONBLOCK);
    struct stat st;
    FILE *file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(fd, "r") : NULL;
    if (!file)
        own_close(&fd);
    return file;
}

/* A number that an id can be; -1 is none. */
static bool parse_id(const char *text, unsigned *id)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    *id = (unsigned)value;
    return isdigit((unsigned char)*text) && *end == 0 && errno == 0 && value < 0xffffffffUL;
}

/* A number needs no line in etc/passwd; where it has one its group and home count. */
static int find_passwd(int root, const char *name, struct bubble_user *user)
{
    unsigned id = 0;
    bool number = parse_id(name, &id);
    cleanup(close_file) FILE *file = open_text(root, "etc/passwd");
    const struct passwd *line = NULL;
    while (file && (line = fgetpwent(file))) {
        if (number ? line->pw_uid == id : strcmp(line->pw_name, name) == 0)
            break;
    }
    if (!line && !number)
        return -ENOENT;
    user->uid = line ? line->pw_uid : id;
    user->gid = line ? line->pw_gid : 0;
    snprintf(user->home, sizeof(user->home), "%s", line && *line->pw_dir ? line->pw_dir : "/");
    return 0;
}

static int find_group(int root, const char *name, gid_t *gid)
{
    unsigned id = 0;
    if (parse_id(name, &id))
        return *gid = id, 0;
    cleanup(close_file) FILE *file = open_text(root, "etc/group");
    const struct group *line = NULL;
    while (file && (line = fgetgrent(file))) {
        if (strcmp(line->gr_name, name) == 0)
            return *gid = line->gr_gid, 0;
    }
    return -ENOENT;
}

int bubble_find_user(int root, const char *text, struct bubble_user *user)
{
    cleanup_free char *name = strdup(*text ? text : "0");
    if (!name)
        return -ENOMEM;
    char *group = strchr(name, ':');
    if (group)
        *group++ = 0;
    int err = find_passwd(root, *name ? name : "0", user);
    if (!err && group && *group)
        err = find_group(root, group, &user->gid);
    if (err == -ENOENT)
        log_error("the image is to run as the user %s, and its etc/passwd and etc/group do not "
                  "know that",
                  text);
    return err;
}

/* ---- words ---- */

static int add(struct bubble *bubble, const char *word)
{
    char **argv = reallocarray(bubble->argv, bubble->count + 2, sizeof(*argv));
    if (!argv)
        return -ENOMEM;
    bubble->argv = argv;
    argv[bubble->count] = strdup(word);
    argv[bubble->count + 1] = NULL;
    return argv[bubble->count++] ? 0 : -ENOMEM;
}

/* Adds words up to a NULL. */
static int add_all(struct bubble *bubble, const char *const *words)
{
    int err = 0;
    for (; *words && !err; words++)
        err = add(bubble, *words);
    return err;
}

static int add_variable(struct bubble *bubble, const char *text)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return 0;
    cleanup_free char *name = strndup(text, (size_t)(equals - text));
    return name ? add_all(bubble, (const char *const[]){"--setenv", name, equals + 1, NULL})
                : -ENOMEM;
}

static int add_environment(struct bubble *bubble, const struct bubble_wish *wish)
{
    const char *terminal = getenv("TERM");
    int err = add_all(bubble, (const char *const[]){"--clearenv", "--setenv", "PATH",
                                                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                                                    "/usr/bin:/sbin:/bin",
                                                    "--setenv", "HOME", wish->user.home, NULL});
    if (!err && terminal)
        err = add_all(bubble, (const char *const[]){"--setenv", "TERM", terminal, NULL});
    for (size_t i = 0; wish->config && i < wish->config->env.count && !err; i++)
        err = add_variable(bubble, wish->config->env.at[i]);
    return err;
}

/* ---- places ---- */

static bool climbs(const char *path)
{
    for (; *path; path += strcspn(path, "/"), path += strspn(path, "/")) {
        if (strcspn(path, "/") == 2 && path[0] == '.' && path[1] == '.')
            return true;
    }
    return false;
}

/* The type of what lies at an absolute path of the image; 0: nothing; -EINVAL: to reach it a
 * symlink would have to be followed, or a step back made. */
static int look(const struct bubble_wish *wish, const char *path)
{
    struct stat st;
    if (climbs(path))
        return -EINVAL;
    cleanup_fd int fd = fd_open_beneath(wish->root, path + strspn(path, "/"), O_PATH);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0 || fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
        return -EINVAL;
    return (int)(st.st_mode & S_IFMT);
}

/* Mounts something of bubblewrap's on a directory, which it makes where there is none. */
static int add_place(struct bubble *bubble, const struct bubble_wish *wish, const char *option,
                     const char *path)
{
    int type = look(wish, path);
    if (type == S_IFDIR || type == 0)
        return add_all(bubble, (const char *const[]){option, path, NULL});
    log_error("the image has something else than a directory at %s, or a way there that leads "
              "elsewhere: it is not run",
              path);
    return -EINVAL;
}

static int add_places(struct bubble *bubble, const struct bubble_wish *wish)
{
    int err = add_place(bubble, wish, "--proc", "/proc");
    if (!err)
        err = add_place(bubble, wish, "--dev", "/dev");
    if (!err && look(wish, "/etc/resolv.conf") == S_IFREG)
        err = add_all(bubble, (const char *const[]){"--ro-bind-try", "/etc/resolv.conf",
                                                    "/etc/resolv.conf", NULL});
    return err;
}

/* ---- the whole ---- */

static int add_report(struct bubble *bubble, int report)
{
    char number[12];
    snprintf(number, sizeof(number), "%d", report);
    return report > 0 ? add_all(bubble, (const char *const[]){"--json-status-fd", number, NULL})
                      : 0;
}

static int add_user(struct bubble *bubble, const struct bubble_wish *wish)
{
    if (!wish->map_user)
        return 0;
    char uid[16], gid[16];
    snprintf(uid, sizeof(uid), "%u", (unsigned)wish->user.uid);
    snprintf(gid, sizeof(gid), "%u", (unsigned)wish->user.gid);
    return add_all(bubble,
                   (const char *const[]){"--unshare-user", "--uid", uid, "--gid", gid, NULL});
}

/* The words said stand in the place of Cmd, behind the Entrypoint; with neither it is a shell. */
static int add_program(struct bubble *bubble, const struct bubble_wish *wish)
{
    static const char *const SHELL[] = {"/bin/sh", NULL};
    const struct oci_config *config = wish->config;
    size_t before = bubble->count;
    int err = 0;
    if (config && config->entrypoint.count)
        err = add_all(bubble, config->entrypoint.at);
    for (unsigned i = 0; i < wish->count && !err; i++)
        err = add(bubble, wish->words[i]);
    if (!err && wish->count == 0 && config && config->cmd.count)
        err = add_all(bubble, config->cmd.at);
    return err || bubble->count > before ? err : add_all(bubble, SHELL);
}

static int make(const struct bubble_wish *wish, struct bubble *bubble)
{
    const char *directory = wish->config ? wish->config->working_dir : "";
    int err = add_all(bubble, (const char *const[]){"bwrap", "--die-with-parent", "--unshare-pid",
                                                    "--unshare-ipc", NULL});
    if (!err)
        err = add_report(bubble, wish->report);
    if (!err)
        err = add_user(bubble, wish);
    if (!err)
        err = add_all(bubble, (const char *const[]){"--bind", wish->path, "/", NULL});
    if (!err)
        err = add_places(bubble, wish);
    if (!err)
        err = add_environment(bubble, wish);
    if (!err)
        err = add_all(bubble,
                      (const char *const[]){"--chdir", *directory ? directory : "/", "--", NULL});
    return err ? err : add_program(bubble, wish);
}

int bubble_make(const struct bubble_wish *wish, struct bubble *bubble)
{
    *bubble = (struct bubble){0};
    int err = make(wish, bubble);
    if (err)
        bubble_finish(bubble);
    return err;
}

void bubble_finish(struct bubble *bubble)
{
    for (size_t i = 0; i < bubble->count; i++)
        free(bubble->argv[i]);
    free(bubble->argv);
    *bubble = (struct bubble){0};
}
