/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "dirents.h"
#include "fd.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

enum { MANY = 3000 }; /* more than one piece holds */

struct told {
    unsigned count, of_type, known[MANY];
    int end; /* returned for the third entry, unless 0 */
};

static int take(void *context, int fd, const struct dirent *entry)
{
    struct told *told = context;
    struct stat st;
    unsigned number;
    assert_int_equal(fd_stat(fd, entry->d_name, &st), 0);
    told->of_type += entry->d_type == DT_REG;
    if (sscanf(entry->d_name, "name%u", &number) == 1 && number < MANY)
        told->known[number]++;
    return ++told->count == 3 ? told->end : 0;
}

static int each(struct told *told)
{
    cleanup_fd int dir = kit_open("d", O_PATH | O_DIRECTORY);
    assert_true(dir >= 0);
    return dirents_each(dir, take, told);
}

static void every_entry_of_a_large_directory_is_told_once(void **state)
{
    (void)state;
    struct told told = {0};
    char path[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(path, sizeof(path), "d/name%d", i);
        kit_file(path, "");
    }
    assert_int_equal(each(&told), 0);
    assert_int_equal(told.count, MANY);
    assert_int_equal(told.of_type, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(told.known[i], 1);
}

static void a_directory_opened_for_reading_is_read_once(void **state)
{
    (void)state;
    struct told told = {0};
    kit_tree("f d/name1, f d/name2");
    cleanup_fd int dir = kit_open("d", O_RDONLY | O_DIRECTORY);
    assert_int_equal(dirents_read(dir, take, &told), 0);
    assert_int_equal(told.count, 2);
    assert_int_equal(dirents_read(dir, take, &told), 0);
    assert_int_equal(told.count, 2);
    told.count = 0;
    assert_int_equal(dirents_each(dir, take, &told), 0);
    assert_int_equal(told.count, 2);
}

static void an_empty_directory_has_no_entry(void **state)
{
    (void)state;
    struct told told = {0};
    kit_tree("d d");
    assert_int_equal(each(&told), 0);
    assert_int_equal(told.count, 0);
}

static void what_the_taker_returns_ends_the_reading(void **state)
{
    (void)state;
    struct told told = {.end = -EIO};
    kit_tree("f d/a, f d/b, f d/c, f d/d");
    assert_int_equal(each(&told), -EIO);
    assert_int_equal(told.count, 3);
}

static void what_is_no_directory_is_refused(void **state)
{
    (void)state;
    struct told told = {0};
    kit_tree("f f");
    cleanup_fd int file = kit_open("f", O_PATH);
    assert_int_equal(dirents_each(file, take, &told), -ENOTDIR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_entry_of_a_large_directory_is_told_once),
        kit_test(a_directory_opened_for_reading_is_read_once),
        kit_test(an_empty_directory_has_no_entry),
        kit_test(what_the_taker_returns_ends_the_reading),
        kit_test(what_is_no_directory_is_refused),
    };
    return kit_run("dirents", tests, sizeof(tests) / sizeof(tests[0]));
}
