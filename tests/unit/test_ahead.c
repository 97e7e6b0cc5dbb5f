/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "ahead.h"
#include "find.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what stands for the layers and for the kernel ---- */

static const char CONTENT[] = "content of a small file\n";
static struct tree tree;
static struct mount mount;
static bool sealed;
static unsigned stored;
static uint64_t stored_id;
static void (*meanwhile)(const struct node_view *view);
static struct node_view asked;

bool find_is_sealed(const struct mount *of, const struct node_view *view)
{
    (void)of;
    (void)view;
    return sealed;
}

struct fdref *find_data(struct mount *of, const struct node_view *view, bool write, int *err)
{
    (void)err;
    assert_false(write);
    int fd = openat(kit_root(), "file", O_RDONLY);
    assert_true(fd >= 0);
    return fdcache_put(of->fds, fdkey(FDKIND_DATA, view->index), fd, false);
}

static void store(void *session, uint64_t id, const char *content, size_t size)
{
    (void)session;
    assert_int_equal(size, strlen(CONTENT));
    assert_memory_equal(content, CONTENT, size);
    if (meanwhile)
        meanwhile(&asked);
    stored_id = id;
    stored++;
}

static void nobody_dies(void *context, uint32_t index, uint8_t of)
{
    (void)context;
    (void)index;
    (void)of;
}

static struct entry entry_of(mode_t type, uint64_t ino)
{
    return (struct entry){
        .present = true, .st = {.st_mode = type | 0644, .st_ino = ino}, .ino = ino, .layer = 1};
}

static int set_up(void **state)
{
    if (kit_enter(state) != 0)
        return -1;
    kit_file("file", CONTENT);
    struct entry root = entry_of(S_IFDIR, 1);
    tree = (struct tree){0};
    mount = (struct mount){.trees = {&tree}, .store = store, .rules.ahead = true};
    mount.nodes = node_table_create(nobody_dies, NULL);
    mount.fds = fdcache_create(64);
    mount.ahead = ahead_create();
    sealed = true;
    stored = 0;
    meanwhile = NULL;
    return mount.nodes && mount.fds && mount.ahead ? node_make_root(mount.nodes, &root) : -1;
}

static int tear_down(void **state)
{
    ahead_destroy(mount.ahead);
    fdcache_destroy(mount.fds);
    node_table_destroy(mount.nodes);
    return kit_leave(state);
}

/* ---- what a listing tells ---- */

static struct stat looks(off_t size)
{
    return (struct stat){.st_mode = S_IFREG | 0644, .st_size = size};
}

static struct node_view look_up(unsigned number)
{
    char name[32];
    uint64_t id;
    struct node_view view;
    struct entry entry = entry_of(S_IFREG, 100 + number);
    snprintf(name, sizeof(name), "file%u", number);
    assert_int_equal(node_intern(mount.nodes, NODE_ROOT, name, 0, &entry, &id), 0);
    assert_int_equal(node_view(mount.nodes, id, &view), 0);
    return view;
}

static struct node_view again(const struct node_view *old)
{
    struct node_view view;
    assert_int_equal(node_view(mount.nodes, old->id, &view), 0);
    return view;
}

/* Whether a new file of that size is withheld. */
static bool withholds(unsigned number, off_t size)
{
    const struct stat st = looks(size);
    const struct node_view view = look_up(number);
    return ahead_withholds(&mount, &view, &st);
}

/* Files that are listed and, it may be, read. */
static void walk(unsigned from, unsigned count, bool read)
{
    for (unsigned number = from; number < from + count; number++) {
        const struct stat st = looks(10);
        struct node_view view = look_up(number);
        const bool withheld = ahead_withholds(&mount, &view, &st);
        view = again(&view);
        if (read && !withheld)
            ahead_was_read(&mount, &view);
    }
}

/* A file that is withheld, of which *st is true. */
static struct node_view withheld(unsigned from, struct stat *st)
{
    *st = looks((off_t)strlen(CONTENT));
    walk(from, 100, true);
    for (unsigned number = from + 100; number < from + 110; number++) {
        const struct node_view view = look_up(number);
        if (ahead_withholds(&mount, &view, st))
            return again(&view);
    }
    fail();
    return (struct node_view){0};
}

static unsigned withheld_of(unsigned from, unsigned count)
{
    unsigned sum = 0;
    for (unsigned number = from; number < from + count; number++)
        sum += withholds(number, 10);
    return sum;
}

static void who_lists_and_reads_all_is_given_most_ahead(void **state)
{
    (void)state;
    assert_int_equal(withheld_of(0, 40), 0);
    walk(100, 100, true);
    const unsigned sum = withheld_of(1000, 64);
    assert_true(sum >= 58 && sum < 64); /* the others are looked at */
}

static void who_only_lists_is_soon_given_nothing(void **state)
{
    (void)state;
    walk(0, 1000, true);
    assert_true(withheld_of(1000, 1000) < 500);
    assert_int_equal(withheld_of(2000, 1000), 0);
}

static void what_would_not_profit_or_must_not_be_is_told_as_ever(void **state)
{
    struct stat st;
    (void)state;
    (void)withheld(0, &st);
    assert_int_equal(withholds(200, 0) + withholds(201, 0), 0);
    assert_int_equal(withholds(202, 1 << 20) + withholds(203, 1 << 20), 0);
    sealed = false;
    assert_int_equal(withheld_of(300, 20), 0);
    sealed = true;
    tree.read_only = true;
    assert_int_equal(withheld_of(400, 20), 0);
    tree.read_only = false;
    mount.rules.ahead = false;
    assert_int_equal(withheld_of(500, 20), 0);
    mount.rules.ahead = true;
    assert_true(withheld_of(600, 20) > 0);
}

static void what_the_kernel_may_know_already_is_told_as_ever(void **state)
{
    struct stat st;
    (void)state;
    (void)withheld(0, &st);
    for (unsigned number = 200; number < 240; number++) {
        (void)look_up(number);
        assert_false(withholds(number, 10));
    }
}

/* ---- what is given ---- */

static void content_is_given_when_attributes_are_asked_for_and_once(void **state)
{
    struct stat st;
    (void)state;
    struct node_view view = withheld(0, &st), before = view;
    assert_true(node_is(&view, NODE_UNTOLD));
    ahead_give(&mount, &view, &st);
    assert_int_equal(stored, 1);
    assert_int_equal(ahead_given(mount.ahead), 1);
    assert_int_equal(stored_id, view.id);
    assert_false(node_is(&view, NODE_UNTOLD));
    ahead_give(&mount, &before, &st);
    view = again(&view);
    ahead_give(&mount, &view, &st);
    assert_int_equal(stored, 1);
}

static void nothing_is_given_once_attributes_were_told(void **state)
{
    struct stat st;
    (void)state;
    struct node_view view = withheld(0, &st);
    ahead_told(&mount, &view);
    ahead_give(&mount, &view, &st);
    assert_int_equal(stored, 0);
}

static void what_was_changed_or_is_shorter_by_now_is_not_given(void **state)
{
    struct stat st;
    (void)state;
    struct node_view view = withheld(0, &st);
    sealed = false; /* it was copied up */
    ahead_give(&mount, &view, &st);
    sealed = true;
    view = withheld(1000, &st);
    st.st_size++;
    ahead_give(&mount, &view, &st);
    assert_int_equal(stored, 0);
    view = again(&view);
    assert_false(node_is(&view, NODE_UNTOLD));
}

/* ---- two at once ---- */

static pthread_t other;
static atomic_int other_id;
static atomic_bool other_told;

static void *tell(void *view)
{
    atomic_store(&other_id, gettid());
    ahead_told(&mount, view);
    atomic_store(&other_told, true);
    return NULL;
}

/* Whether the thread sleeps, by its state in /proc (proc(5)). */
static bool sleeps(pid_t thread)
{
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    const char *line = fgets(text, sizeof(text), file);
    fclose(file);
    const char *state = line ? strrchr(line, ')') : NULL;
    return state && state[2] == 'S';
}

static void somebody_else_wants_to_tell(const struct node_view *view)
{
    atomic_store(&other_id, 0);
    assert_int_equal(pthread_create(&other, NULL, tell, (void *)(uintptr_t)view), 0);
    while (!atomic_load(&other_told) && !(other_id && sleeps(other_id)))
        sched_yield();
    assert_false(atomic_load(&other_told));
}

static void nobody_tells_attributes_while_content_is_given(void **state)
{
    (void)state;
    struct stat st;
    asked = withheld(0, &st);
    atomic_store(&other_told, false);
    meanwhile = somebody_else_wants_to_tell;
    ahead_give(&mount, &asked, &st);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_true(atomic_load(&other_told));
    assert_int_equal(stored, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_lists_and_reads_all_is_given_most_ahead, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_only_lists_is_soon_given_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_would_not_profit_or_must_not_be_is_told_as_ever,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_kernel_may_know_already_is_told_as_ever, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(content_is_given_when_attributes_are_asked_for_and_once,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_given_once_attributes_were_told, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_was_changed_or_is_shorter_by_now_is_not_given, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nobody_tells_attributes_while_content_is_given, set_up,
                                        tear_down),
    };
    return kit_run("ahead", tests, sizeof(tests) / sizeof(tests[0]));
}
