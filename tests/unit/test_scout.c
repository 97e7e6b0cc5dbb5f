/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "errand.h"
#include "listing.h"
#include "scout.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* ---- what stands for the listings ---- */

enum { MOST = 256, AT_ONCE = 16 };

static struct tree tree;
static struct mount mount;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char prepared[MOST][16]; /* the names, one after the other */
static unsigned count;
static bool given_back; /* the kernel gives back what is looked at */
static bool is_held;

void listing_prepare(struct mount *of, const struct node_view *view)
{
    struct node_view held = {0};
    assert_ptr_equal(of, &mount);
    if (given_back)
        node_forget(mount.nodes, view->id, 1);
    is_held = node_view(mount.nodes, view->id, &held) == 0;
    node_view_finish(&held);
    pthread_mutex_lock(&lock);
    snprintf(prepared[count++], sizeof(prepared[0]), "%.15s", view->name);
    pthread_mutex_unlock(&lock);
}

static unsigned prepared_so_far(void)
{
    pthread_mutex_lock(&lock);
    const unsigned so_far = count;
    pthread_mutex_unlock(&lock);
    return so_far;
}

static void nobody_dies(void *context, uint32_t index, uint8_t of)
{
    (void)context;
    (void)index;
    (void)of;
}

static int set_up(void **state)
{
    struct entry root = {
        .present = true, .st = {.st_mode = S_IFDIR | 0755, .st_ino = 1}, .ino = 1, .layer = 1};
    (void)state;
    count = 0;
    given_back = is_held = false;
    tree = (struct tree){0};
    mount = (struct mount){.trees = {&tree}};
    mount.nodes = node_table_create(nobody_dies, NULL);
    mount.scout = scout_start(&mount);
    return mount.nodes && mount.scout ? node_make_root(mount.nodes, &root) : -1;
}

static int tear_down(void **state)
{
    (void)state;
    scout_stop(mount.scout);
    node_table_destroy(mount.nodes);
    return 0;
}

/* ---- who walks ---- */

static struct node_view made(uint32_t parent, const char *name, uint64_t ino, mode_t type)
{
    uint64_t id;
    struct node_view view;
    struct entry entry = {
        .present = true, .st = {.st_mode = type | 0755, .st_ino = ino}, .ino = ino, .layer = 1};
    assert_int_equal(node_intern(mount.nodes, parent, name, 0, &entry, &id), 0);
    assert_int_equal(node_view(mount.nodes, id, &view), 0);
    return view;
}

/* A directory is listed, and tells of `number` others: "<name><first>" and on, with rising numbers.
 */
static void list(uint64_t directory, const char *name, unsigned first, unsigned number)
{
    uint32_t listing = scout_begin(mount.scout, directory, true);
    for (unsigned i = first; i < first + number; i++) {
        char full[32];
        snprintf(full, sizeof(full), "%s%u", name, i);
        struct node_view view = made((uint32_t)directory, full, 1000 + i, S_IFDIR);
        scout_tell(mount.scout, listing, &view);
        node_view_finish(&view);
    }
    scout_end(mount.scout);
}

static uint64_t id_of(uint64_t parent, const char *name)
{
    struct node_view view;
    const uint32_t index = node_find(mount.nodes, (uint32_t)parent, name);
    assert_int_equal(node_view_index(mount.nodes, index, &view), 0);
    const uint64_t id = view.id;
    node_view_finish(&view);
    return id;
}

static void list_empty(uint64_t parent, const char *name)
{
    list(id_of(parent, name), "", 0, 0);
}

/* Sends the errand, as who spins does, until it has nothing to do. */
static void look_ahead(void)
{
    struct errand *errand = scout_errand(mount.scout);
    do {
        errand_send(errand, -1);
        sched_yield();
    } while (errand_was_busy(errand));
}

/* Somebody goes down often enough to be trusted. */
static void go_down(unsigned number)
{
    list(NODE_ROOT, "d", 0, number);
    list_empty(NODE_ROOT, "d0");
    list_empty(NODE_ROOT, "d1");
}

/* ---- tests ---- */

static void who_does_not_go_down_has_nothing_prepared(void **state)
{
    (void)state;
    list(NODE_ROOT, "d", 0, 5);
    look_ahead();
    list_empty(NODE_ROOT, "d3");
    look_ahead();
    assert_int_equal(prepared_so_far(), 0);
}

static void what_is_beneath_comes_before_what_is_beside(void **state)
{
    (void)state;
    list(NODE_ROOT, "d", 0, 3);
    const uint64_t first = id_of(NODE_ROOT, "d0");
    list(first, "e", 0, 2);
    list_empty(first, "e0");
    look_ahead();
    assert_int_equal(prepared_so_far(), 3);
    assert_string_equal(prepared[0], "e1");
    assert_string_equal(prepared[1], "d1");
    assert_string_equal(prepared[2], "d2");
}

static void so_many_lie_ready_and_no_more(void **state)
{
    (void)state;
    go_down(40);
    look_ahead();
    assert_int_equal(prepared_so_far(), AT_ONCE);
    assert_string_equal(prepared[0], "d2");
    assert_string_equal(prepared[AT_ONCE - 1], "d17");
    list_empty(NODE_ROOT, "d2");
    look_ahead();
    assert_int_equal(prepared_so_far(), AT_ONCE + 1);
    assert_string_equal(prepared[AT_ONCE], "d18");
    assert_int_equal(scout_of_use(mount.scout), 1);
}

/* Tells of directories in an order that is neither that of their names nor of their numbers. */
static void list_mixed(const char *const *names, const uint64_t *numbers, unsigned number)
{
    uint32_t listing = scout_begin(mount.scout, NODE_ROOT, true);
    for (unsigned i = 0; i < number; i++) {
        struct node_view view = made(NODE_ROOT, names[i], numbers[i], S_IFDIR);
        scout_tell(mount.scout, listing, &view);
        node_view_finish(&view);
    }
    scout_end(mount.scout);
}

static const char *const NAMES[] = {"m", "c", "x", "a", "k", "z", "f", "h"};
static const uint64_t NUMBERS[] = {5, 9, 3, 7, 1, 2, 8, 6};
enum { MIXED = sizeof(NAMES) / sizeof(NAMES[0]) };

static void who_sorts_by_name_finds_the_next_by_name(void **state)
{
    (void)state;
    list_mixed(NAMES, NUMBERS, MIXED);
    list_empty(NODE_ROOT, "a");
    list_empty(NODE_ROOT, "c");
    list_empty(NODE_ROOT, "f");
    look_ahead();
    assert_string_equal(prepared[0], "h");
    assert_string_equal(prepared[1], "k");
    assert_string_equal(prepared[2], "m");
}

static void who_sorts_by_number_finds_the_next_by_number(void **state)
{
    (void)state;
    list_mixed(NAMES, NUMBERS, MIXED);
    list_empty(NODE_ROOT, "k");
    list_empty(NODE_ROOT, "z");
    list_empty(NODE_ROOT, "x");
    look_ahead();
    assert_string_equal(prepared[0], "m");
    assert_string_equal(prepared[1], "h");
    assert_string_equal(prepared[2], "a");
}

static void who_comes_back_leaves_what_was_beneath(void **state)
{
    (void)state;
    list(NODE_ROOT, "d", 0, 3);
    list(id_of(NODE_ROOT, "d0"), "e", 0, 2);
    list_empty(NODE_ROOT, "d1");
    look_ahead();
    assert_int_equal(prepared_so_far(), 1);
    assert_string_equal(prepared[0], "d2");
}

static void what_has_changed_since_was_prepared_in_vain(void **state)
{
    (void)state;
    go_down(40);
    look_ahead();
    for (unsigned i = 2; i < 5; i++) {
        char name[8];
        snprintf(name, sizeof(name), "d%u", i);
        if (i % 2)
            names_change(&mount, (uint32_t)id_of(NODE_ROOT, name));
        else
            names_rise(&mount, (uint32_t)id_of(NODE_ROOT, name));
        list_empty(NODE_ROOT, name);
    }
    const unsigned before = prepared_so_far();
    look_ahead();
    assert_int_equal(prepared_so_far(), before);
    assert_int_equal(scout_of_use(mount.scout), 0);
}

static void what_is_passed_by_makes_room(void **state)
{
    (void)state;
    go_down(2 * AT_ONCE);
    look_ahead();
    assert_int_equal(prepared_so_far(), AT_ONCE);
    struct node_view other = made(NODE_ROOT, "other", 7, S_IFDIR);
    list(other.id, "o", 0, 100);
    for (unsigned i = 0; i < 80; i++) {
        char name[8];
        snprintf(name, sizeof(name), "o%u", i);
        list_empty(other.id, name);
    }
    look_ahead();
    assert_int_equal(prepared_so_far(), 2 * AT_ONCE);
    assert_string_equal(prepared[AT_ONCE], "o80");
    node_view_finish(&other);
}

static void who_lists_one_twice_has_gone_down_once(void **state)
{
    (void)state;
    list(NODE_ROOT, "d", 0, 5);
    list_empty(NODE_ROOT, "d0");
    for (int i = 0; i < 5; i++)
        list_empty(NODE_ROOT, "d0");
    look_ahead();
    assert_int_equal(prepared_so_far(), 0);
    list_empty(NODE_ROOT, "d1");
    look_ahead();
    assert_int_equal(prepared_so_far(), 3);
}

static void what_is_gone_is_passed_over(void **state)
{
    (void)state;
    go_down(5);
    node_forget(mount.nodes, id_of(NODE_ROOT, "d3"), 1);
    look_ahead();
    assert_int_equal(prepared_so_far(), 2);
    assert_string_equal(prepared[0], "d2");
    assert_string_equal(prepared[1], "d4");
}

static void what_is_given_back_meanwhile_stays_until_it_was_looked_at(void **state)
{
    struct node_view view;
    (void)state;
    go_down(3);
    const uint64_t id = id_of(NODE_ROOT, "d2");
    given_back = true;
    look_ahead();
    assert_int_equal(prepared_so_far(), 1);
    assert_true(is_held);
    assert_int_equal(node_view(mount.nodes, id, &view), -ESTALE);
}

static void what_the_host_may_change_is_not_looked_at(void **state)
{
    (void)state;
    tree.stack.plain = true;
    go_down(5);
    look_ahead();
    assert_int_equal(prepared_so_far(), 0);
    tree.stack.plain = false;
    uint32_t listing = scout_begin(mount.scout, NODE_ROOT, true);
    struct node_view file = made(NODE_ROOT, "file", 7, S_IFREG);
    scout_tell(mount.scout, listing, &file);
    node_view_finish(&file);
    scout_end(mount.scout);
    look_ahead();
    assert_int_equal(prepared_so_far(), 0);
}

/* More than it keeps in mind: the last ones count. */
static void of_very_many_the_last_ones_wait(void **state)
{
    (void)state;
    list(NODE_ROOT, "d", 0, 10000);
    list_empty(NODE_ROOT, "d9000");
    list_empty(NODE_ROOT, "d9001");
    look_ahead();
    assert_int_equal(prepared_so_far(), AT_ONCE);
    list_empty(NODE_ROOT, "d5");
    look_ahead();
    assert_int_equal(prepared_so_far(), AT_ONCE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_does_not_go_down_has_nothing_prepared, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_beneath_comes_before_what_is_beside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(so_many_lie_ready_and_no_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_sorts_by_name_finds_the_next_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_sorts_by_number_finds_the_next_by_number, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_comes_back_leaves_what_was_beneath, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_changed_since_was_prepared_in_vain, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_passed_by_makes_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_lists_one_twice_has_gone_down_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_gone_is_passed_over, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_given_back_meanwhile_stays_until_it_was_looked_at,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_the_host_may_change_is_not_looked_at, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_very_many_the_last_ones_wait, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
