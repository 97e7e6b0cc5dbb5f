/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "ahead.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

enum { OFTEN = 8, ROUNDS = 20000 };
enum { KEY = 1, OTHER = 2 };

struct scene {
    struct fdcache *fds;
    struct ahead *ahead;
};

static struct scene begin(void)
{
    struct scene scene = {.fds = fdcache_create(64)};
    scene.ahead = ahead_create(scene.fds, NULL);
    assert_non_null(scene.ahead);
    ahead_begin(scene.ahead);
    return scene;
}

static void end(struct scene *scene)
{
    ahead_end(scene->ahead);
    ahead_destroy(scene->ahead);
    fdcache_destroy(scene->fds);
}

/* Files are wanted again and again. */
static void want(struct ahead *ahead)
{
    for (int i = 0; i < OFTEN; i++)
        assert_int_equal(ahead_take(ahead, KEY), -1);
}

static struct ahead_file a_file(void)
{
    return (struct ahead_file){.dir = kit_root(), .name = "file", .flags = O_RDONLY | O_CLOEXEC};
}

static int highest(void)
{
    int fd = open("/", O_PATH | O_CLOEXEC);
    close(fd);
    return fd;
}

static void what_is_asked_is_opened_and_taken_once(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    const struct ahead_file file = a_file();
    want(scene.ahead);
    ahead_ask(scene.ahead, KEY, &file);
    ahead_work(scene.ahead);
    cleanup_fd int fd = ahead_take(scene.ahead, KEY);
    assert_true(fd >= 0);
    assert_int_equal(ahead_take(scene.ahead, KEY), -1);
    end(&scene);
}

static void nothing_is_opened_before_it_is_wanted_often(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    const struct ahead_file file = a_file();
    for (int i = 0; i < OFTEN; i++) {
        ahead_ask(scene.ahead, KEY, &file);
        ahead_work(scene.ahead);
        assert_int_equal(ahead_take(scene.ahead, KEY), -1);
    }
    end(&scene);
}

static void without_anybody_at_work_nothing_is_opened(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    const struct ahead_file file = a_file();
    want(scene.ahead);
    ahead_end(scene.ahead);
    ahead_ask(scene.ahead, KEY, &file);
    assert_int_equal(ahead_take(scene.ahead, KEY), -1);
    end(&scene);
    ahead_ask(NULL, KEY, &file);
    assert_int_equal(ahead_take(NULL, KEY), -1);
}

static void what_nobody_takes_is_closed(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    const struct ahead_file file = a_file();
    const int before = highest();
    want(scene.ahead);
    for (int i = 0; i < 3; i++) {
        ahead_ask(scene.ahead, KEY, &file);
        ahead_work(scene.ahead);
        assert_int_equal(ahead_take(scene.ahead, OTHER), -1);
    }
    ahead_end(scene.ahead);
    assert_int_equal(highest(), before);
    assert_int_equal(ahead_take(scene.ahead, KEY), -1);
    end(&scene);
}

static void what_was_asked_of_who_left_is_not_done_by_who_comes(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    const struct ahead_file file = a_file();
    const int before = highest();
    want(scene.ahead);
    ahead_ask(scene.ahead, KEY, &file);
    ahead_end(scene.ahead);
    ahead_begin(scene.ahead);
    ahead_work(scene.ahead);
    assert_int_equal(highest(), before);
    end(&scene);
}

static void what_cannot_be_opened_is_not_there(void **state)
{
    (void)state;
    struct scene scene = begin();
    const struct ahead_file file = {.dir = kit_root(), .name = "nothing", .flags = O_RDONLY};
    want(scene.ahead);
    ahead_ask(scene.ahead, KEY, &file);
    ahead_work(scene.ahead);
    assert_int_equal(ahead_take(scene.ahead, KEY), -1);
    end(&scene);
}

/* The directory stays open as long as something may be opened in it, and no longer. */
static void a_ref_is_given_back(void **state)
{
    (void)state;
    kit_tree("f d/file");
    struct scene scene = begin();
    const uint64_t key = fdkey(FDKIND_LOWER_DIR, 7);
    const int before = highest();
    fdref_release(scene.fds, fdcache_put_dir(scene.fds, key, kit_open("d", O_PATH), false));
    want(scene.ahead);
    for (int i = 0; i < 3; i++) {
        struct fdref *ref = fdcache_get(scene.fds, key);
        const struct ahead_file file = {
            .dir = ref->fd, .ref = ref, .name = "file", .flags = O_RDONLY | O_CLOEXEC};
        ahead_ask(scene.ahead, KEY, &file);
        if (i == 0) /* else it is not begun */
            continue;
        ahead_work(scene.ahead);
        int fd = ahead_take(scene.ahead, KEY);
        assert_true(fd >= 0);
        close(fd);
    }
    ahead_end(scene.ahead);
    ahead_destroy(scene.ahead);
    fdcache_drop(scene.fds, key);
    assert_int_equal(highest(), before);
    fdcache_destroy(scene.fds);
}

struct working {
    struct ahead *ahead;
    atomic_bool over;
    atomic_uint wrong; /* files that are not what was asked for */
};

static void *work(void *context)
{
    struct working *working = context;
    while (!atomic_load(&working->over)) {
        ahead_begin(working->ahead);
        for (int i = 0; i < 100; i++)
            ahead_work(working->ahead);
        ahead_end(working->ahead);
    }
    return NULL;
}

static bool is_the_file(int fd)
{
    struct stat found, file = kit_stat("file");
    return fstat(fd, &found) == 0 && found.st_ino == file.st_ino;
}

static void *use(void *context)
{
    const struct ahead_file file = a_file();
    struct working *working = context;
    struct ahead *ahead = working->ahead;
    for (int i = 0; i < ROUNDS; i++) {
        cleanup_fd int fd = ahead_take(ahead, i % 4 ? KEY : OTHER);
        atomic_fetch_add(&working->wrong, fd >= 0 && !is_the_file(fd));
        ahead_ask(ahead, KEY, &file);
    }
    return NULL;
}

static void nothing_is_lost_or_closed_twice_whoever_works_and_asks(void **state)
{
    (void)state;
    kit_tree("f file");
    struct scene scene = begin();
    struct working working = {.ahead = scene.ahead};
    pthread_t works, uses[2];
    const int before = highest();
    ahead_end(scene.ahead);
    assert_int_equal(pthread_create(&works, NULL, work, &working), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&uses[i], NULL, use, &working), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(uses[i], NULL);
    atomic_store(&working.over, true);
    pthread_join(works, NULL);
    assert_int_equal(atomic_load(&working.wrong), 0);
    assert_int_equal(highest(), before);
    end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(what_is_asked_is_opened_and_taken_once),
        kit_test(nothing_is_opened_before_it_is_wanted_often),
        kit_test(without_anybody_at_work_nothing_is_opened),
        kit_test(what_nobody_takes_is_closed),
        kit_test(what_was_asked_of_who_left_is_not_done_by_who_comes),
        kit_test(what_cannot_be_opened_is_not_there),
        kit_test(a_ref_is_given_back),
        kit_test(nothing_is_lost_or_closed_twice_whoever_works_and_asks),
    };
    return kit_run("ahead", tests, sizeof(tests) / sizeof(tests[0]));
}
