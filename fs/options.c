/* SPDX-License-Identifier: MIT
 *
 * Duty: the option list as a table: a name, what kind of value it takes, where it goes.
 */
#include "options.h"

#include "log.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum kind {
    KIND_LOWERS, /* a list of paths, separated by colons */
    KIND_LOWER,  /* one more path */
    KIND_STRING, /* a path or word */
    KIND_CHOICE, /* on or off */
    KIND_REDIRECT,
    KIND_OFF_ONLY, /* a feature of the kernel's that there is not */
    KIND_FLAG,     /* no value: sets a bool */
    KIND_PROFILE,
    KIND_SECONDS,
    KIND_NUMBER,
    KIND_FSYNC,  /* 0: nothing is synced */
    KIND_KERNEL, /* handed to mount(2) as it is */
    KIND_DATES,  /* whether reading leaves dates */
    KIND_NOACL,
    KIND_MAPPING,     /* a struct idtable: ranges of ids */
    KIND_SQUASH,      /* the id that all of one are shown as */
    KIND_SQUASH_ROOT, /* everything is root's */
    KIND_RECORDING,   /* where owners are recorded: 0, 1 or 2 */
    KIND_CONTEXT,     /* of SELinux: a label, which may hold commas */
    KIND_READ_WRITE,
    KIND_LISTED,  /* the kernel tells it of a mount: mount(8) hands it on to be remounted */
    KIND_IGNORED, /* known, and without effect here */
};

struct known {
    const char *name;
    enum kind kind;
    size_t at;
};

#define AT(field) offsetof(struct options, field)

static const struct known KNOWN[] = {
    {"lowerdir", KIND_LOWERS, 0},
    {"upperdir", KIND_STRING, AT(upper)},
    {"workdir", KIND_STRING, AT(work)},
    {"lowerdir+", KIND_LOWER, 0},
    {"datadir+", KIND_OFF_ONLY, 0},
    {"redirect_dir", KIND_REDIRECT, 0},
    {"metacopy", KIND_CHOICE, AT(metacopy)},
    {"index", KIND_CHOICE, AT(index)},
    {"writeback", KIND_CHOICE, AT(writeback)},
    {"io_uring", KIND_CHOICE, AT(uring)},
    {"profile", KIND_PROFILE, AT(profile)},
    {"timeout", KIND_SECONDS, AT(timeout)},
    {"threads", KIND_NUMBER, AT(threads)},
    {"spin", KIND_CHOICE, AT(spin)},
    {"passthrough", KIND_CHOICE, AT(passthrough)},
    {"threaded", KIND_IGNORED, 0},
    {"userxattr", KIND_FLAG, AT(userxattr)},
    {"volatile", KIND_FLAG, AT(is_volatile)},
    {"fsync", KIND_FSYNC, 0},
    {"noacl", KIND_NOACL, 0},
    {"debug", KIND_FLAG, AT(debug)},
    {"trace", KIND_FLAG, AT(trace)},
    {"shared_locks", KIND_CHOICE, AT(shared_locks)},
    {"uidmapping", KIND_MAPPING, AT(map.users)},
    {"gidmapping", KIND_MAPPING, AT(map.groups)},
    {"squash_to_root", KIND_SQUASH_ROOT, 0},
    {"squash_to_uid", KIND_SQUASH, AT(map.users)},
    {"squash_to_gid", KIND_SQUASH, AT(map.groups)},
    {"xattr_permissions", KIND_RECORDING, 0},
    {"context", KIND_CONTEXT, 0},
    {"ro", KIND_FLAG, AT(read_only)},
    {"rw", KIND_READ_WRITE, 0},
    {"fsname", KIND_STRING, AT(fsname)},
    {"subtype", KIND_STRING, AT(subtype)},
    {"xino", KIND_IGNORED, 0},
    {"uuid", KIND_IGNORED, 0},
    {"nfs_export", KIND_OFF_ONLY, 0},
    {"verity", KIND_OFF_ONLY, 0},
    {"static_nlink", KIND_IGNORED, 0},
    {"private", KIND_IGNORED, 0},
    /* mount(8)'s own words of fstab(5), which it may hand on */
    {"defaults", KIND_IGNORED, 0},
    {"auto", KIND_IGNORED, 0},
    {"noauto", KIND_IGNORED, 0},
    {"nofail", KIND_IGNORED, 0},
    {"_netdev", KIND_IGNORED, 0},
    {"user", KIND_IGNORED, 0},
    {"nouser", KIND_IGNORED, 0},
    {"users", KIND_IGNORED, 0},
    {"owner", KIND_IGNORED, 0},
    {"group", KIND_IGNORED, 0},
    {"comment", KIND_IGNORED, 0},
    {"relatime", KIND_IGNORED, 0}, /* the upper is dated as its own filesystem is mounted */
    {"norelatime", KIND_IGNORED, 0},
    {"strictatime", KIND_IGNORED, 0},
    {"nostrictatime", KIND_IGNORED, 0},
    {"remount", KIND_FLAG, AT(remount)},
    {"user_id", KIND_LISTED, 0},
    {"group_id", KIND_LISTED, 0},
    {"max_read", KIND_LISTED, 0},
    {"blksize", KIND_LISTED, 0},
    /* mount(8)'s of any filesystem, which have no meaning for one that keeps nothing itself */
    {"lazytime", KIND_IGNORED, 0},
    {"nolazytime", KIND_IGNORED, 0},
    {"iversion", KIND_IGNORED, 0},
    {"noiversion", KIND_IGNORED, 0},
    {"mand", KIND_IGNORED, 0},
    {"nomand", KIND_IGNORED, 0},
    {"silent", KIND_IGNORED, 0},
    {"loud", KIND_IGNORED, 0},
    {"default_permissions", KIND_FLAG, AT(default_permissions)},
    {"max_idle_threads", KIND_IGNORED, 0},
    {"clone_fd", KIND_IGNORED, 0},
    {"allow_other", KIND_KERNEL, 0},
    {"allow_root", KIND_KERNEL, 0},
    {"dev", KIND_KERNEL, 0},
    {"nodev", KIND_KERNEL, 0},
    {"suid", KIND_KERNEL, 0},
    {"nosuid", KIND_KERNEL, 0},
    {"exec", KIND_KERNEL, 0},
    {"noexec", KIND_KERNEL, 0},
    {"atime", KIND_DATES, 0},
    {"noatime", KIND_DATES, 0},
    {"diratime", KIND_DATES, 0},
    {"nodiratime", KIND_DATES, 0},
    {"symfollow", KIND_KERNEL, 0},
    {"nosymfollow", KIND_KERNEL, 0},
    {"sync", KIND_KERNEL, 0},
    {"async", KIND_KERNEL, 0},
    {"dirsync", KIND_KERNEL, 0},
};

void options_init(struct options *options)
{
    *options = (struct options){.timeout = -1};
}

void options_drop_lowers(struct options *options)
{
    for (unsigned i = 0; i < options->lower_count; i++)
        free(options->lowers[i]);
    free(options->lowers);
    options->lowers = NULL;
    options->lower_count = 0;
}

void options_finish(struct options *options)
{
    options_drop_lowers(options);
    free(options->upper);
    free(options->work);
    free(options->mountpoint);
    free(options->fsname);
    free(options->subtype);
    free(options->kernel);
    free(options->context);
    idmap_finish(&options->map);
    route_wishes_finish(&options->routes);
    options_init(options);
}

int options_set_string(char **slot, const char *value)
{
    char *copy = strdup(value);
    if (!copy)
        return -ENOMEM;
    free(*slot);
    *slot = copy;
    return 0;
}

int options_add_lower(struct options *options, const char *path)
{
    char **lowers = realloc(options->lowers, (options->lower_count + 1) * sizeof(*lowers));
    if (!lowers)
        return -ENOMEM;
    options->lowers = lowers;
    lowers[options->lower_count] = strdup(path);
    return lowers[options->lower_count] ? (options->lower_count++, 0) : -ENOMEM;
}

bool options_parse_choice(const char *text, enum choice *choice)
{
    static const char *const ON[] = {"on", "1", "true", "yes"};
    static const char *const OFF[] = {"off", "0", "false", "no"};
    for (size_t i = 0; i < sizeof(ON) / sizeof(ON[0]); i++) {
        if (strcmp(text, ON[i]) == 0)
            return *choice = CHOICE_ON, true;
    }
    for (size_t i = 0; i < sizeof(OFF) / sizeof(OFF[0]); i++) {
        if (strcmp(text, OFF[i]) == 0)
            return *choice = CHOICE_OFF, true;
    }
    return false;
}

bool options_parse_redirect(const char *text, struct options *options)
{
    const bool follow = strcmp(text, "follow") == 0, nofollow = strcmp(text, "nofollow") == 0;
    if (!options_parse_choice(follow || nofollow ? "off" : text, &options->redirect))
        return false;
    options->nofollow = nofollow;
    return true;
}

bool options_parse_profile(const char *text, enum profile *profile)
{
    static const char *const NAMES[] = {
        [PROFILE_AUTO] = "auto",
        [PROFILE_STATELESS] = "stateless",
        [PROFILE_TRACKED] = "tracked",
    };
    for (unsigned i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (strcmp(text, NAMES[i]) == 0)
            return *profile = (enum profile)i, true;
    }
    return false;
}

/* ---- cutting text ---- */

/* Cuts `text` at the first `mark` that no backslash protects, and that is in no value between
 * quotes (a quote elsewhere is a character of a path); returns what follows, or NULL. */
static char *cut(char *text, char mark, bool quotes)
{
    bool quoted = false;
    for (char *at = text; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        else if (quotes && *at == '"' && (quoted || (at > text && at[-1] == '=')))
            quoted = !quoted;
        else if (*at == mark && !quoted) {
            *at = 0;
            return at + 1;
        }
    }
    return NULL;
}

/* Takes backslashes away, each leaving the character behind it. */
static void unescape(char *text)
{
    char *to = text;
    for (char *at = text; *at; at++) {
        if (*at == '\\' && at[1])
            at++;
        *to++ = *at;
    }
    *to = 0;
}

/* Takes away the quotes around a value. */
static char *unquote(char *value)
{
    size_t length = value ? strlen(value) : 0;
    if (length < 2 || value[0] != '"' || value[length - 1] != '"')
        return value;
    value[length - 1] = 0;
    return value + 1;
}

static int take_lowers(struct options *options, char *list)
{
    while (list) {
        char *next = cut(list, ':', false);
        unescape(list);
        if (!*list) {
            log_error(
                "option lowerdir: an empty path in the list; write \\: for a colon in a path; "
                "there are no layers of data alone (A::B)");
            return -EINVAL;
        }
        int err = options_add_lower(options, list);
        if (err)
            return err;
        list = next;
    }
    return 0;
}

static int append_kernel(struct options *options, const char *name)
{
    char *joined = NULL;
    if (strcmp(name, "allow_other") == 0 || strcmp(name, "allow_root") == 0)
        options->allow_other_set = true;
    if (asprintf(&joined, "%s%s%s", options->kernel ? options->kernel : "",
                 options->kernel ? "," : "", name) < 0)
        return -ENOMEM;
    free(options->kernel);
    options->kernel = joined;
    return 0;
}

static int bad_value(const char *name, const char *value, const char *wanted)
{
    log_error("option %s: '%s' is not a value it takes; it takes %s", name, value, wanted);
    return -EINVAL;
}

static int take_seconds(struct options *options, const char *name, const char *value)
{
    char *end;
    double seconds = strtod(value, &end);
    if (*end || end == value || !(seconds >= 0))
        return bad_value(name, value, "a number of seconds");
    options->timeout = seconds;
    return 0;
}

static int take_number(unsigned *slot, const char *name, const char *value)
{
    char *end;
    unsigned long number = strtoul(value, &end, 10);
    /* strtoul(3) itself passes over blanks and takes a sign. */
    if (*end || strchr("0123456789", value[0]) == NULL || number > 1024)
        return bad_value(name, value, "a number up to 1024");
    *slot = (unsigned)number;
    return 0;
}

static int take_mapping(struct idtable *table, const char *name, const char *value)
{
    int err = idtable_parse(table, value);
    return err == -EINVAL
               ? bad_value(name, value,
                           "triples ON-DISK:SHOWN:LENGTH joined by colons, whose ranges do not "
                           "overlap")
               : err;
}

/* One id is set after all are: root is only what nobody else was asked for. */
static int take_squash(struct idtable *table, const char *name, const char *value)
{
    char *end;
    errno = 0;
    unsigned long id = strtoul(value, &end, 10);
    if (*end || errno || strchr("0123456789", value[0]) == NULL || id >= UINT32_MAX)
        return bad_value(name, value, "a user's or group's number");
    idtable_squash(table, (uint32_t)id);
    return 0;
}

static void squash_to_root(struct idmap *map)
{
    if (!map->users.squashed)
        idtable_squash(&map->users, 0);
    if (!map->groups.squashed)
        idtable_squash(&map->groups, 0);
}

static int take_recording(struct options *options, const char *value)
{
    if (strlen(value) != 1 || strchr("012", *value) == NULL)
        return bad_value("xattr_permissions", value,
                         "0 (owners are given), 1 (recorded in a security attribute, which needs "
                         "privilege) or 2 (in user.containers.override_stat)");
    options->recording = (enum recording)(RECORDING_OFF + (*value - '0'));
    return 0;
}

static void take_dates(struct options *options, const char *name)
{
    const bool set = strncmp(name, "no", 2) == 0;
    const unsigned bit =
        strcmp(name + 2 * set, "atime") == 0 ? OWNVIEW_UNDATED : OWNVIEW_UNDATED_DIRS;
    options->undated = set ? options->undated | bit : options->undated & ~bit;
    options->dates_said |= bit;
}

static int take_context(struct options *options, const char *value)
{
    if (strpbrk(value, "\"\\"))
        return bad_value("context", value, "a label of SELinux");
    return options_set_string(&options->context, value);
}

static bool takes_value(enum kind kind)
{
    return kind != KIND_FLAG && kind != KIND_DATES && kind != KIND_KERNEL && kind != KIND_NOACL &&
           kind != KIND_READ_WRITE && kind != KIND_SQUASH_ROOT && kind != KIND_IGNORED;
}

/* What the kernel's overlayfs has and a mount of ours has not must not be taken for granted. */
static int tell_missing(const char *name)
{
    static const struct {
        const char *name, *why;
    } MISSING[] = {
        {"nfs_export", "a file handle of this mount does not outlast it"},
        {"verity", "the digests of data in a lower layer are not looked at"},
        {"datadir+", "there are no layers of data alone"},
    };
    for (size_t i = 0; i < sizeof(MISSING) / sizeof(MISSING[0]); i++) {
        if (strcmp(name, MISSING[i].name) == 0)
            log_error("option %s cannot be had: %s", name, MISSING[i].why);
    }
    return -EINVAL;
}

static int take_known(struct options *options, const struct known *known, char *value)
{
    void *slot = (char *)options + known->at;
    enum choice choice;
    switch (known->kind) {
    case KIND_LOWERS:
        return take_lowers(options, value);
    case KIND_STRING:
        unescape(value);
        return options_set_string(slot, value);
    case KIND_LOWER:
        unescape(value);
        return options_add_lower(options, value);
    case KIND_CHOICE:
        return options_parse_choice(value, slot) ? 0 : bad_value(known->name, value, "on or off");
    case KIND_REDIRECT:
        return options_parse_redirect(value, options)
                   ? 0
                   : bad_value(known->name, value, "on, off, follow or nofollow");
    case KIND_OFF_ONLY:
        return strcmp(value, "off") == 0 ? 0 : tell_missing(known->name);
    case KIND_FSYNC:
        if (!options_parse_choice(value, &choice))
            return bad_value(known->name, value, "0 or 1");
        options->no_sync = choice == CHOICE_OFF;
        return 0;
    case KIND_PROFILE:
        return options_parse_profile(value, slot)
                   ? 0
                   : bad_value(known->name, value, "stateless, tracked or auto");
    case KIND_SECONDS:
        return take_seconds(options, known->name, value);
    case KIND_NUMBER:
        return take_number(slot, known->name, value);
    case KIND_FLAG:
        *(bool *)slot = true;
        return 0;
    case KIND_READ_WRITE:
        options->read_only = false;
        return 0;
    case KIND_NOACL:
        options->acl = CHOICE_OFF;
        return 0;
    case KIND_MAPPING:
        return take_mapping(slot, known->name, value);
    case KIND_SQUASH:
        return take_squash(slot, known->name, value);
    case KIND_SQUASH_ROOT:
        return squash_to_root(&options->map), 0;
    case KIND_RECORDING:
        return take_recording(options, value);
    case KIND_CONTEXT:
        return take_context(options, value);
    case KIND_KERNEL:
        return append_kernel(options, known->name);
    case KIND_DATES:
        return take_dates(options, known->name), 0;
    case KIND_LISTED:
        return options->listed = known->name, 0;
    case KIND_IGNORED:
        return 0;
    }
    return -EINVAL;
}

static int unknown(const char *name)
{
    log_error("unknown option '%s'; plyfs(1) lists the options there are", name);
    return -EINVAL;
}

static int take_one(struct options *options, char *text)
{
    char *value = unquote(cut(text, '=', false));
    for (size_t i = 0; i < sizeof(KNOWN) / sizeof(KNOWN[0]); i++) {
        const struct known *known = &KNOWN[i];
        if (strcmp(text, known->name) != 0)
            continue;
        if (takes_value(known->kind) && (!value || !*value)) {
            log_error("option %s needs a value: %s=...", text, text);
            return -EINVAL;
        }
        if (!takes_value(known->kind) && value && known->kind != KIND_IGNORED) {
            log_error("option %s takes no value, and was given '%s'", text, value);
            return -EINVAL;
        }
        return take_known(options, known, value);
    }
    if (strncmp(text, "x-", 2) == 0 || strncmp(text, "X-", 2) == 0)
        return 0; /* somebody else's (mount(8)) */
    return unknown(text);
}

int options_take(struct options *options, const char *text)
{
    cleanup_free char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    for (char *at = copy; at;) {
        char *next = cut(at, ',', true);
        int err = *at ? take_one(options, at) : 0;
        if (err)
            return err;
        at = next;
    }
    return 0;
}

int options_check(const struct options *options)
{
    if (!options->mountpoint) {
        log_error("no mountpoint was given; see plyfs --help");
        return -EINVAL;
    }
    if (options->remount)
        return 0; /* what else is said was said when it was mounted */
    if (options->listed)
        return unknown(options->listed);
    if (options->lower_count == 0) {
        log_error("nothing to mount on %s: give at least one lower layer (%s)", options->mountpoint,
                  options->drop_in ? "-o lowerdir=DIR" : "--lower DIR");
        return -EINVAL;
    }
    if (options->upper && !options->work && options->drop_in && !options->read_only) {
        log_error("upperdir=%s needs a workdir= on the same filesystem", options->upper);
        return -EINVAL;
    }
    if (options->nofollow && options->metacopy == CHOICE_ON) {
        log_error("redirect_dir=nofollow and metacopy=on cannot be had together: the data of such "
                  "a file would not be followed");
        return -EINVAL;
    }
    if (options->trace && options->profile == PROFILE_STATELESS) {
        log_error("trace needs the tracked profile, where every open is seen; leave out "
                  "profile=stateless or trace");
        return -EINVAL;
    }
    if (options->work && !options->upper) {
        log_error("workdir=%s without an upper layer has no use: give %s too", options->work,
                  options->drop_in ? "upperdir=DIR" : "--upper DIR");
        return -EINVAL;
    }
    return 0;
}

int options_format_context(const char *context, char **text)
{
    char *at = *text = malloc(sizeof("context=\"\"") + 2 * strlen(context));
    if (!at)
        return -ENOMEM;
    at = stpcpy(at, "context=\"");
    for (; *context; context++) {
        if (*context == ',')
            *at++ = '\\';
        *at++ = *context;
    }
    strcpy(at, "\"");
    return 0;
}
