/* SPDX-License-Identifier: MIT
 *
 * Duty: from words to the flags of mount(2), which takes all of them anew each time.
 */
#include "remount.h"

#include "log.h"

#include <linux/magic.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256 /* Linux 5.10 */
#endif

struct flag {
    const char *name;
    unsigned long bit;
    bool set;
};

static const struct flag FLAGS[] = {
    {"dev", MS_NODEV, false},
    {"nodev", MS_NODEV, true},
    {"suid", MS_NOSUID, false},
    {"nosuid", MS_NOSUID, true},
    {"exec", MS_NOEXEC, false},
    {"noexec", MS_NOEXEC, true},
    {"async", MS_SYNCHRONOUS, false},
    {"sync", MS_SYNCHRONOUS, true},
    {"dirsync", MS_DIRSYNC, true},
    {"symfollow", MS_NOSYMFOLLOW, false},
    {"nosymfollow", MS_NOSYMFOLLOW, true},
};

static void take_word(const char *word, size_t length, unsigned long *set)
{
    for (size_t i = 0; i < sizeof(FLAGS) / sizeof(FLAGS[0]); i++) {
        const struct flag *flag = &FLAGS[i];
        if (strlen(flag->name) == length && strncmp(flag->name, word, length) == 0)
            *set = flag->set ? *set | flag->bit : *set & ~flag->bit;
    }
}

static unsigned long read_words(const struct options *options)
{
    unsigned long set = options->read_only ? MS_RDONLY : 0;
    for (const char *word = options->kernel; word && *word;) {
        size_t length = strcspn(word, ",");
        take_word(word, length, &set);
        word += length + (word[length] == ',');
    }
    return set;
}

/* What the daemon reads leaves dates or does not by what it was told when it started. Where nothing
 * is said of that it stays. */
static int keep_dates(const struct options *options, unsigned long *set)
{
    const char *at = options->mountpoint;
    struct statvfs st;
    if (statvfs(at, &st) < 0)
        return -errno;
    const unsigned now = (st.f_flag & ST_NOATIME ? OWNVIEW_UNDATED : 0) |
                         (st.f_flag & ST_NODIRATIME ? OWNVIEW_UNDATED_DIRS : 0);
    if ((options->undated ^ now) & options->dates_said) {
        log_error("cannot remount %s: noatime and nodiratime are taken when it is mounted; unmount "
                  "it, and mount it with what it is to be",
                  at);
        return -EINVAL;
    }
    *set |= now & OWNVIEW_UNDATED ? MS_NOATIME : 0;
    *set |= now & OWNVIEW_UNDATED_DIRS ? MS_NODIRATIME : 0;
    return 0;
}

static int set_flags(const char *at, unsigned long flags)
{
    return mount(NULL, at, NULL, MS_REMOUNT | flags, NULL) < 0 ? -errno : 0;
}

/* What a daemon says that can only read: it is asked to remove what is not there. */
static bool can_only_be_read(const char *at)
{
    return removexattr(at, "user.plyfs_remount") < 0 && errno == EROFS;
}

static int check_place(const char *at)
{
    struct statfs fs;
    if (statfs(at, &fs) < 0) {
        int err = -errno;
        log_error("cannot remount %s: %s", at, strerror(-err));
        return err;
    }
    if (fs.f_type == FUSE_SUPER_MAGIC)
        return 0;
    log_error("cannot remount %s: no mount of plyfs is there", at);
    return -EINVAL;
}

static const char *words_for(int err)
{
    switch (err) {
    case -EBUSY:
        return "files of it are open for writing";
    case -EINVAL:
        return "it is no mountpoint";
    default:
        return strerror(-err);
    }
}

int remount_run(const struct options *options)
{
    const char *at = options->mountpoint;
    unsigned long set = read_words(options);
    int err = check_place(at);
    if (err)
        return err;
    err = keep_dates(options, &set);
    if (err)
        return err;
    err = set_flags(at, set);
    if (err) {
        log_error("cannot remount %s: %s", at, words_for(err));
        return err;
    }
    if ((set & MS_RDONLY) || !can_only_be_read(at))
        return 0;
    log_error("cannot remount %s for writing: it was mounted read-only, or without an upper layer; "
              "unmount it, and mount it with what it is to be",
              at);
    (void)!set_flags(at, set | MS_RDONLY);
    return -EROFS;
}
