/* SPDX-License-Identifier: MIT
 *
 * What the unit tests share: cmocka with its headers, a temporary directory for each test, layers
 * made by hand in it, and a stack opened on them. Paths are relative to that directory.
 */
#ifndef PLYFS_TEST_KIT_H
#define PLYFS_TEST_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ovlattr.h"
#include "stack.h"

#include <sys/stat.h>

/* Runs the tests of `tests`, each in a directory of its own that is gone afterwards. Where no place
 * takes extended attributes, all are skipped by name. */
int kit_run(const char *group, const struct CMUnitTest *tests, size_t count);

/* A test in a directory of its own; its state is NULL, or `state`. */
#define kit_test(function) kit_test_of(#function, function, NULL)
#define kit_test_of(name, function, state)                                                         \
    (const struct CMUnitTest)                                                                      \
    {                                                                                              \
        (name), (function), kit_enter, kit_leave, (state)                                          \
    }
int kit_enter(void **state);
int kit_leave(void **state);

/* The test's directory, open. */
int kit_root(void);

/* The whole path of `path`, to be freed. */
char *kit_path(const char *path);

/* Makes things; what they lie in is made too. Every failure ends the test. */
void kit_dir(const char *path);
void kit_file(const char *path, const char *text);
void kit_symlink(const char *path, const char *target);
void kit_link(const char *path, const char *existing);
void kit_whiteout(const char *path);
void kit_mark(const char *path, enum ovlattr attr, const char *value);

/* What ovlattr_list() finds; it must not fail. */
ovlset kit_marks(enum ovlwhere where, int dir, const char *name);

/* Makes a tree from words: each is a letter, a path and perhaps a value, divided by blanks:
 *   d DIRECTORY          f FILE [TEXT]         l SYMLINK TARGET       h NAME EXISTING
 *   w WHITEOUT           e ATTRIBUTE-WHITEOUT  o DIRECTORY [OPAQUE]   r PATH REDIRECT
 *   m METACOPY-FILE      (a file that has no data of its own)
 * and commas divide the entries. */
void kit_tree(const char *words);

int kit_open(const char *path, int flags);

/* A descriptor of something or other; whether one is open; the lowest that is free. */
int kit_open_something(void);
bool kit_is_open(int fd);
int kit_free_descriptor(void);

bool kit_exists(const char *path);
bool kit_is_whiteout(const char *path);
struct stat kit_stat(const char *path);
/* The text of a file, to be freed. */
char *kit_text(const char *path);
void kit_assert_text(const char *path, const char *text);
/* How many names a directory holds. */
unsigned kit_entries(const char *path);

/* The memory that this process has now, in bytes, and how often it took a page so far. */
size_t kit_resident_bytes(void);
long kit_page_faults(void);

/* A stack over directories of the kit, the topmost first. */
struct kit_union {
    struct fdcache *fds;
    struct stack stack;
    int locks[2];
};

/* Opens `layers`, divided by colons. `writable`: the first is the upper, without its work directory
 * (enough to resolve). */
void kit_union_open(struct kit_union *all, const char *layers, bool writable);

/* The same with the work directory "work", so that the upper can be changed. */
void kit_union_open_upper(struct kit_union *all, const char *layers, struct features features);
void kit_union_close(struct kit_union *all);

#endif
