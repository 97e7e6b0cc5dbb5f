/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the attribute of owner, mode and type, on an object of each kind: it says something
 * that fits the object, or nothing; what it said, written and read again, says the same.
 */
#include "fuzzkit.h"

#include "override.h"

#include <string.h>

static bool same(const struct stat *a, const struct stat *b)
{
    return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
           a->st_rdev == b->st_rdev && a->st_ino == b->st_ino && a->st_size == b->st_size;
}

static void apply_to(mode_t type, const char *value, size_t size)
{
    char text[OVERRIDE_MAX];
    const struct stat before = {.st_mode = type | 0640, .st_uid = 7, .st_gid = 8, .st_ino = 9};
    struct stat st = before, again = before;
    if (!override_apply(value, size, &st)) {
        must(same(&st, &before), "what says nothing changes nothing");
        return;
    }
    must((st.st_mode & S_IFMT) == type || type == S_IFREG, "only a file stands for something else");
    must(!S_ISDIR(st.st_mode) || type == S_IFDIR, "nothing but a directory is a directory");
    must(!S_ISLNK(st.st_mode) || type == S_IFLNK, "nothing but a symlink is a symlink");
    size_t length = override_format(text, &st);
    must(length < OVERRIDE_MAX && strlen(text) == length, "a record has room");
    must(override_apply(text, length, &again) && same(&st, &again),
         "a record that is written says what was read");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mode_t types[] = {S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
    cleanup_free char *text = fuzz_text(data, size);
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        apply_to(types[i], text, size);
    return 0;
}
