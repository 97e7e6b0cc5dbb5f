/* SPDX-License-Identifier: MIT
 *
 * Duty: everything that a test of layers needs on disk, and that it is gone afterwards.
 */
#include "kit.h"

#include "fd.h"
#include "upper.h"
#include "whiteout.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/xattr.h>
#include <unistd.h>

static char base[4096], here[4200];
static int here_fd = -1;

/* ---- the directory of a test ---- */

/* Marks are written in the user's namespace, so that no privilege is needed. */
static bool takes_attributes(const char *directory)
{
    char probe[4200];
    snprintf(probe, sizeof(probe), "%s/plyfs-unit.XXXXXX", directory);
    if (!mkdtemp(probe))
        return false;
    bool takes = setxattr(probe, "user.overlay.opaque", "y", 1, 0) == 0;
    rmdir(probe);
    return takes;
}

static bool find_base(void)
{
    const char *const places[] = {
        getenv("PLYFS_TEST_DIR"), getenv("TMPDIR"), "/dev/shm", "/tmp", "/var/tmp", "."};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (places[i] && takes_attributes(places[i])) {
            snprintf(base, sizeof(base), "%s", places[i]);
            return true;
        }
    }
    return false;
}

int kit_run(const char *group, const struct CMUnitTest *tests, size_t count)
{
    if (!find_base()) {
        puts("1..0 # SKIP no directory here takes extended attributes of users");
        return 0;
    }
    umask(022);
    return _cmocka_run_group_tests(group, tests, count, NULL, NULL);
}

int kit_enter(void **state)
{
    (void)state;
    snprintf(here, sizeof(here), "%s/plyfs-unit.XXXXXX", base);
    if (!mkdtemp(here))
        return -1;
    here_fd = open(here, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return here_fd < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
    (void)st, (void)kind, (void)place;
    return remove(path);
}

int kit_leave(void **state)
{
    (void)state;
    own_close(&here_fd);
    here_fd = -1;
    return nftw(here, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

int kit_root(void)
{
    return here_fd;
}

char *kit_path(const char *path)
{
    char *whole = NULL;
    assert_true(asprintf(&whole, "%s/%s", here, path) > 0);
    return whole;
}

/* ---- making ---- */

static void make_parents(const char *path)
{
    char part[4096];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (mkdirat(here_fd, part, 0755) < 0)
            assert_int_equal(errno, EEXIST);
    }
}

void kit_dir(const char *path)
{
    make_parents(path);
    if (mkdirat(here_fd, path, 0755) < 0)
        assert_int_equal(errno, EEXIST);
}

void kit_file(const char *path, const char *text)
{
    make_parents(path);
    cleanup_fd int fd = openat(here_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fd_write_all(fd, text, strlen(text)), 0);
}

/* What a file without its data looks like: a size, and no blocks. */
static void kit_hole(const char *path)
{
    kit_file(path, "");
    cleanup_fd int fd = kit_open(path, O_WRONLY);
    assert_int_equal(ftruncate(fd, 5000), 0);
}

void kit_symlink(const char *path, const char *target)
{
    make_parents(path);
    assert_int_equal(symlinkat(target, here_fd, path), 0);
}

void kit_link(const char *path, const char *existing)
{
    make_parents(path);
    assert_int_equal(linkat(here_fd, existing, here_fd, path, 0), 0);
}

void kit_whiteout(const char *path)
{
    make_parents(path);
    assert_int_equal(mknodat(here_fd, path, S_IFCHR, makedev(0, 0)), 0);
}

void kit_mark(const char *path, enum ovlattr attr, const char *value)
{
    assert_int_equal(ovlattr_set(OVLSPACE_USER, here_fd, path, attr, value, strlen(value)), 0);
}

ovlset kit_marks(enum ovlwhere where, int dir, const char *name)
{
    ovlset set;
    assert_int_equal(ovlattr_list(where, dir, name, &set), 0);
    return set;
}

static void make_entry(char *entry)
{
    char *rest = NULL;
    const char *kind = strtok_r(entry, " ", &rest);
    const char *path = strtok_r(NULL, " ", &rest), *value = strtok_r(NULL, " ", &rest);
    assert_non_null(path);
    switch (*kind) {
    case 'd':
        return kit_dir(path);
    case 'f':
        return kit_file(path, value ? value : "");
    case 'l':
        return kit_symlink(path, value);
    case 'h':
        return kit_link(path, value);
    case 'w':
        return kit_whiteout(path);
    case 'e':
        kit_file(path, "");
        return kit_mark(path, OVLATTR_WHITEOUT, "y");
    case 'o':
        kit_dir(path);
        return kit_mark(path, OVLATTR_OPAQUE, value ? value : "y");
    case 'r':
        return kit_mark(path, OVLATTR_REDIRECT, value);
    case 'm':
        kit_hole(path);
        return kit_mark(path, OVLATTR_METACOPY, "");
    default:
        fail_msg("no kind of entry: %s", kind);
    }
}

void kit_tree(const char *words)
{
    cleanup_free char *copy = strdup(words);
    char *rest = NULL;
    for (char *entry = strtok_r(copy, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest))
        make_entry(entry);
}

/* ---- looking ---- */

int kit_open_something(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

bool kit_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

int kit_free_descriptor(void)
{
    int fd = kit_open_something();
    close(fd);
    return fd;
}

int kit_open(const char *path, int flags)
{
    int fd = openat(here_fd, path, flags | O_NOFOLLOW | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

bool kit_exists(const char *path)
{
    struct stat st;
    return fd_stat(here_fd, path, &st) == 0;
}

struct stat kit_stat(const char *path)
{
    struct stat st;
    assert_int_equal(fd_stat(here_fd, path, &st), 0);
    return st;
}

bool kit_is_whiteout(const char *path)
{
    struct stat st;
    return fd_stat(here_fd, path, &st) == 0 && whiteout_is_device(&st);
}

char *kit_text(const char *path)
{
    cleanup_fd int fd = kit_open(path, O_RDONLY);
    char *text = calloc(1, 4096);
    assert_non_null(text);
    assert_true(read(fd, text, 4095) >= 0);
    return text;
}

void kit_assert_text(const char *path, const char *text)
{
    cleanup_free char *found = kit_text(path);
    assert_string_equal(found, text);
}

unsigned kit_entries(const char *path)
{
    unsigned count = 0;
    cleanup_dir DIR *dir = fdopendir(kit_open(path, O_RDONLY | O_DIRECTORY));
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        count += !fd_is_dot(entry->d_name);
    return count;
}

/* ---- stacks ---- */

enum { LAYERS_MOST = 16 };

void kit_union_open(struct kit_union *all, const char *layers, bool writable)
{
    cleanup_free char *copy = strdup(layers);
    char *paths[LAYERS_MOST], *rest = NULL;
    unsigned count = 0, culprit = 0;
    for (char *name = strtok_r(copy, ":", &rest); name; name = strtok_r(NULL, ":", &rest)) {
        assert_true(count < LAYERS_MOST);
        kit_dir(name);
        paths[count++] = kit_path(name);
    }
    *all = (struct kit_union){.locks = {-1, -1}, .fds = fdcache_create(64)};
    assert_non_null(all->fds);
    int err =
        stack_open(&all->stack, (const char *const *)paths, count, writable, all->fds, &culprit);
    for (unsigned i = 0; i < count; i++)
        free(paths[i]);
    assert_int_equal(err, 0);
    all->stack.able.space = OVLSPACE_USER;
}

void kit_union_open_upper(struct kit_union *all, const char *layers, struct features features)
{
    enum upper_fault fault;
    kit_union_open(all, layers, true);
    kit_dir("work");
    cleanup_free char *work = kit_path("work");
    all->stack.features = features;
    assert_int_equal(upper_open(&all->stack, work, true, all->locks, &fault), 0);
}

void kit_union_close(struct kit_union *all)
{
    stack_close(&all->stack);
    fdcache_destroy(all->fds);
    own_close(&all->locks[0]);
    own_close(&all->locks[1]);
}

size_t kit_resident_bytes(void)
{
    long total = 0, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    assert_non_null(statm);
    assert_int_equal(fscanf(statm, "%ld %ld", &total, &resident), 2);
    fclose(statm);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

long kit_page_faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_minflt;
}
