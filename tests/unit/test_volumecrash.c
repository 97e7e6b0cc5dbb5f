/* SPDX-License-Identifier: MIT
 *
 * Whatever is done to a volume, killed before each system call that changes something: a child does
 * it under ptrace(2), and dies at the first one, the second one, and so on until it gets through.
 * Afterwards the volume is as it was or as it was to be, and nothing is half done.
 */
#include "kit.h"

#include "entries.h"
#include "rmtree.h"
#include "volume.h"
#include "volumefill.h"
#include "volumeinplace.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define cleanup_row cleanup(volume_row_finish)
#define DATA "store/volumes/data/_data"

/* ---- dying ---- */

static bool changes_something(uint64_t call)
{
    static const long calls[] = {
        SYS_mkdirat,   SYS_unlinkat,        SYS_renameat2, SYS_renameat,  SYS_linkat,
        SYS_symlinkat, SYS_mknodat,         SYS_openat,    SYS_openat2,   SYS_write,
        SYS_pwrite64,  SYS_copy_file_range, SYS_ftruncate, SYS_fchmod,    SYS_fchownat,
        SYS_utimensat, SYS_fsync,           SYS_syncfs,    SYS_fdatasync, SYS_fsetxattr,
        SYS_flock,     SYS_fchown,          SYS_setxattr,
#ifdef SYS_rename
        SYS_rename,    SYS_mkdir,           SYS_rmdir,     SYS_unlink,    SYS_open,
#endif
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (call == (uint64_t)calls[i])
            return true;
    }
    return false;
}

/* The child is stopped at a system call's beginning or end. */
static bool begins_a_change(pid_t child)
{
    struct __ptrace_syscall_info info = {0};
    assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) > 0);
    return info.op == PTRACE_SYSCALL_INFO_ENTRY && changes_something(info.entry.nr);
}

/* Lets the child go on until it begins its change number `last`, which it does not live to see.
 * Whether it got through before that. */
static bool live_until(pid_t child, unsigned last)
{
    int status;
    unsigned changes = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
                     0);
    for (;;) {
        assert_int_equal(ptrace(PTRACE_SYSCALL, child, 0, 0), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status)) {
            assert_int_equal(WEXITSTATUS(status), 0);
            return true;
        }
        assert_true(WIFSTOPPED(status));
        if (WSTOPSIG(status) == (SIGTRAP | 0x80) && begins_a_change(child) && ++changes == last)
            break;
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return false;
}

/* ---- what is done ---- */

struct deed {
    void (*prepare)(struct store *store);
    int (*act)(struct store *store);
    void (*judge)(struct store *store, bool done);
};

static struct store *open_here(void)
{
    struct store *store = NULL;
    cleanup_free char *path = kit_path("store");
    assert_int_equal(store_open(path, true, &store), 0);
    return store;
}

static bool mend_fault(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    (void)id;
    assert_int_not_equal(fault, STORE_FAULT_VOLUME_ROW);
    return true;
}

static bool fail_on_fault(void *context, enum store_fault fault, const char *id)
{
    (void)context;
    fail_msg("fault %d at %s", fault, id);
    return false;
}

static void start_anew(const struct deed *deed)
{
    assert_int_equal(rmtree(kit_root(), "store"), 0);
    assert_int_equal(rmtree(kit_root(), "host"), 0);
    cleanup_store struct store *store = open_here();
    deed->prepare(store);
}

/* The store is opened before: what happens there has tests of its own. */
static pid_t start_child(const struct deed *deed)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    struct store *store = NULL;
    cleanup_free char *path = kit_path("store");
    if (store_open(path, false, &store) != 0 || ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        _exit(2);
    raise(SIGSTOP);
    _exit(deed->act(store) == 0 ? 0 : 1);
}

static void do_and_die(const struct deed *deed)
{
    bool done = false;
    for (unsigned last = 1; !done; last++) {
        start_anew(deed);
        done = live_until(start_child(deed), last);
        cleanup_store struct store *store = open_here();
        assert_true(store_check(store, mend_fault, NULL, NULL) == 0);
        deed->judge(store, done);
        assert_int_equal(store_check(store, fail_on_fault, NULL, NULL), 0);
        assert_int_equal(kit_entries("store/stage"), 0);
        /* A child that changes nothing would prove nothing. */
        assert_true(!done || last > 10);
    }
}

/* ---- trees ---- */

/* On the host the times of the root itself may be those of the finishing. */
static int fail_difference(void *context, const struct entry_digest *a,
                           const struct entry_digest *b)
{
    const char *path = context;
    if (!a || !b || strcmp(path, "host") != 0 || strcmp(a->path, ".") != 0)
        fail_msg("%s differs: %s", path, (a ? a : b)->path);
    return 0;
}

static void take(const char *path, struct entries *entries)
{
    cleanup_fd int tree = kit_open(path, O_RDONLY | O_DIRECTORY);
    assert_int_equal(entries_take(tree, TREEKIND_PLAIN, entries, NULL, NULL), 0);
}

static void assert_same(const char *one, const char *other)
{
    cleanup_entries struct entries a = {0}, b = {0};
    take(one, &a);
    take(other, &b);
    cleanup_free char *path = strdup(other);
    assert_int_equal(entries_compare(&a, &b, fail_difference, path), 0);
    assert_int_equal(kit_stat(one).st_mode, kit_stat(other).st_mode);
}

/* Empty, or the same as the image's; when `whole` the latter. */
static void assert_empty_or_whole(const char *path, bool whole)
{
    if (whole || kit_entries(path) > 0)
        assert_same("1/d", path);
}

static void make_image(void)
{
    kit_tree("f 1/d/a one, f 1/d/sub/b two, h 1/d/c 1/d/a, l 1/d/l a, d 1/d/empty,"
             "f 2/d/other three, f 2/d/more/x four");
    assert_int_equal(fchmodat(kit_root(), "1/d", 01750, 0), 0);
    const struct timespec times[2] = {{1000, 1}, {1000, 2}};
    const char *const paths[] = {"1/d/sub", "1/d/empty", "1/d", "2/d/more", "2/d"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_int_equal(utimensat(kit_root(), paths[i], times, 0), 0);
}

static bool has_volume(struct store *store, const char *name)
{
    cleanup_row struct volume_row row = {0};
    return volume_find(store, name, true, &row) == 0;
}

/* ---- acts ---- */

/* The volume "data" with what `layer` has at /d. */
static int create_of(struct store *store, const char *layer, const struct volume_pairs *options)
{
    bool existed;
    struct kit_union all;
    cleanup_row struct volume_row row = {0};
    kit_union_open(&all, layer, false);
    const struct volume_wish wish = {
        .name = "data", .options = options, .stack = &all.stack, .content = "/d"};
    int err = volume_create(store, &wish, &row, &existed);
    kit_union_close(&all);
    return err;
}

static int create_filled(struct store *store)
{
    return create_of(store, "1", NULL);
}

static void prepare_filled(struct store *store)
{
    assert_int_equal(create_filled(store), 0);
}

static void prepare_empty(struct store *store)
{
    cleanup_row struct volume_row row = {0};
    bool existed;
    const struct volume_wish wish = {.name = "data"};
    assert_int_equal(volume_create(store, &wish, &row, &existed), 0);
}

static void prepare_nothing(struct store *store)
{
    (void)store;
}

static int fill(struct store *store)
{
    struct kit_union all;
    cleanup_row struct volume_row row = {0};
    int err = volume_find(store, "data", false, &row);
    if (err)
        return err;
    kit_union_open(&all, "1", false);
    const struct volume_wish wish = {.stack = &all.stack, .content = "/d"};
    int result = volume_fill(store, &row, &wish);
    kit_union_close(&all);
    return result < 0 ? result : 0;
}

/* Makes what the second image has, by another way than the copy. */
static int fill_from_other(void *context, int tree)
{
    struct kit_union all;
    (void)context;
    kit_union_open(&all, "2", false);
    int copied = volumefill_copy(&all.stack, "/d", tree, NULL, NULL);
    kit_union_close(&all);
    return copied < 0 ? copied : 0;
}

static int with_volume(struct store *store,
                       int (*act)(struct store *store, const struct volume_row *row))
{
    cleanup_row struct volume_row row = {0};
    int err = volume_find(store, "data", false, &row);
    return err ? err : act(store, &row);
}

static int replace_row(struct store *store, const struct volume_row *row)
{
    return volume_replace(store, row, fill_from_other, NULL);
}

static int replace(struct store *store)
{
    return with_volume(store, replace_row);
}

static int rename_row(struct store *store, const struct volume_row *row)
{
    return volume_rename(store, row, "new");
}

static int rename_it(struct store *store)
{
    return with_volume(store, rename_row);
}

static int remove_row(struct store *store, const struct volume_row *row)
{
    return volume_remove(store, row, false);
}

static int remove_it(struct store *store)
{
    return with_volume(store, remove_row);
}

static int clone_row(struct store *store, const struct volume_row *row)
{
    return volume_clone(store, row, "copy", NULL, NULL);
}

static int clone_it(struct store *store)
{
    return with_volume(store, clone_row);
}

/* ---- claims ---- */

static void judge_create(struct store *store, bool done)
{
    assert_int_equal(has_volume(store, "data"), kit_exists("store/volumes/data"));
    if (has_volume(store, "data"))
        assert_same("1/d", DATA);
    assert_true(!done || has_volume(store, "data"));
    assert_int_equal(create_filled(store), 0);
    assert_same("1/d", DATA);
}

static void a_kill_in_the_middle_of_create_leaves_a_whole_volume_or_none(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_nothing, create_filled, judge_create});
}

static void judge_fill(struct store *store, bool done)
{
    assert_empty_or_whole(DATA, done);
    assert_int_equal(fill(store), 0);
    assert_empty_or_whole(DATA, true);
}

static void a_kill_in_the_middle_of_a_copy_leaves_it_empty_or_whole(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_empty, fill, judge_fill});
}

static void judge_replace(struct store *store, bool done)
{
    assert_true(has_volume(store, "data"));
    assert_same(done || kit_exists(DATA "/other") ? "2/d" : "1/d", DATA);
}

static void a_kill_in_the_middle_of_a_replacement_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_filled, replace, judge_replace});
}

static void judge_rename(struct store *store, bool done)
{
    bool renamed = has_volume(store, "new");
    assert_true(renamed != has_volume(store, "data"));
    assert_true(renamed || !done);
    assert_same("1/d", renamed ? "store/volumes/new/_data" : DATA);
    assert_int_equal(kit_entries("store/volumes"), 1);
}

static void a_kill_in_the_middle_of_a_rename_loses_nothing(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_filled, rename_it, judge_rename});
}

static void judge_remove(struct store *store, bool done)
{
    bool there = has_volume(store, "data");
    assert_true(!there || !done);
    assert_int_equal(there, kit_exists("store/volumes/data"));
    if (there)
        assert_same("1/d", DATA);
}

static void a_kill_in_the_middle_of_a_removal_leaves_a_whole_volume_or_none(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_filled, remove_it, judge_remove});
}

static void judge_clone(struct store *store, bool done)
{
    bool there = has_volume(store, "copy");
    assert_true(there || !done);
    assert_same("1/d", DATA);
    if (there)
        assert_same("1/d", "store/volumes/copy/_data");
}

static void a_kill_in_the_middle_of_a_clone_leaves_a_whole_one_or_none(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_filled, clone_it, judge_clone});
}

/* ---- on a directory of the host ---- */

static int create_on_host(struct store *store)
{
    struct volume_pairs options = {0};
    cleanup_free char *device = kit_path("host");
    int err = volume_pairs_set(&options, "type", "none");
    if (!err)
        err = volume_pairs_set(&options, "o", "bind");
    if (!err)
        err = volume_pairs_set(&options, "device", device);
    if (!err)
        err = create_of(store, "1", &options);
    volume_pairs_finish(&options);
    return err;
}

static void prepare_host(struct store *store)
{
    (void)store;
    kit_dir("host");
}

static void prepare_on_host(struct store *store)
{
    kit_dir("host");
    assert_int_equal(create_on_host(store), 0);
}

/* As whoever takes it into use does first. */
static void mend_host(const struct store *store)
{
    cleanup_fd int host = kit_open("host", O_RDONLY | O_DIRECTORY);
    assert_int_equal(volumeinplace_mend(store->root, host), 0);
}

static void judge_host(struct store *store, bool done)
{
    mend_host(store);
    assert_empty_or_whole("host", done);
    assert_int_equal(create_on_host(store), 0);
    assert_int_equal(fill(store), 0);
    assert_empty_or_whole("host", true);
}

static void a_kill_leaves_a_directory_of_the_host_empty_or_whole(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_host, create_on_host, judge_host});
}

static void judge_host_replaced(struct store *store, bool done)
{
    mend_host(store);
    assert_same(done || kit_exists("host/other") ? "2/d" : "1/d", "host");
}

static void a_kill_leaves_the_old_or_the_new_content_on_the_host(void **state)
{
    (void)state;
    make_image();
    do_and_die(&(struct deed){prepare_on_host, replace, judge_host_replaced});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_kill_in_the_middle_of_create_leaves_a_whole_volume_or_none),
        kit_test(a_kill_in_the_middle_of_a_copy_leaves_it_empty_or_whole),
        kit_test(a_kill_in_the_middle_of_a_replacement_leaves_the_old_or_the_new),
        kit_test(a_kill_in_the_middle_of_a_rename_loses_nothing),
        kit_test(a_kill_in_the_middle_of_a_removal_leaves_a_whole_volume_or_none),
        kit_test(a_kill_in_the_middle_of_a_clone_leaves_a_whole_one_or_none),
        kit_test(a_kill_leaves_a_directory_of_the_host_empty_or_whole),
        kit_test(a_kill_leaves_the_old_or_the_new_content_on_the_host),
    };
    return kit_run("volumecrash", tests, sizeof(tests) / sizeof(tests[0]));
}
