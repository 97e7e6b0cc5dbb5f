/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "origin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The filesystem of the kit, with a uuid even where the kernel does not tell one. */
static struct backing probe(void)
{
    struct backing backing;
    struct stat st = kit_stat("");
    assert_int_equal(backing_probe(&backing, kit_root(), st.st_dev), 0);
    assert_int_equal(backing.dev, st.st_dev);
    if (!backing.has_uuid) {
        backing.has_uuid = true;
        memcpy(backing.uuid, "a uuid of my own", 16);
    }
    return backing;
}

/* Whether handles may be opened here; without privilege they may not. */
static bool may_open(const struct backing *backing, const struct origin *origin)
{
    struct stat st;
    int err = origin_stat(backing, origin, &st);
    assert_true(err == 0 || err == -EPERM);
    return err == 0;
}

static void an_origin_has_the_kernels_layout(void **state)
{
    (void)state;
    kit_file("f", "");
    struct backing backing = probe();
    struct origin origin;
    assert_int_equal(origin_of(&backing, kit_root(), "f", &origin), 0);
    assert_true(origin.size > 21);
    assert_int_equal(origin.bytes[0], 0);
    assert_int_equal(origin.bytes[1], 0xfb);
    assert_int_equal(origin.bytes[2], origin.size);
    assert_int_equal(origin.bytes[3] & 1, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
    assert_memory_equal(origin.bytes + 5, backing.uuid, 16);
}

static void an_origin_leads_back_to_its_file(void **state)
{
    (void)state;
    kit_tree("d d, f d/f text, l l target");
    struct backing backing = probe();
    static const char *const NAMES[] = {"d", "d/f", "l"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        struct origin origin;
        struct stat st;
        assert_int_equal(origin_of(&backing, kit_root(), NAMES[i], &origin), 0);
        if (!may_open(&backing, &origin))
            continue;
        assert_int_equal(origin_stat(&backing, &origin, &st), 0);
        assert_int_equal(st.st_ino, kit_stat(NAMES[i]).st_ino);
    }
}

static void an_origin_outlives_a_rename_but_not_its_file(void **state)
{
    (void)state;
    kit_file("f", "");
    struct backing backing = probe();
    struct origin origin, moved;
    struct stat st;
    assert_int_equal(origin_of(&backing, kit_root(), "f", &origin), 0);
    assert_int_equal(renameat(kit_root(), "f", kit_root(), "g"), 0);
    assert_int_equal(origin_of(&backing, kit_root(), "g", &moved), 0);
    assert_int_equal(moved.size, origin.size);
    assert_memory_equal(moved.bytes, origin.bytes, origin.size);
    if (!may_open(&backing, &origin))
        return;
    assert_int_equal(unlinkat(kit_root(), "g", 0), 0);
    assert_int_equal(origin_stat(&backing, &origin, &st), -ESTALE);
}

/* Each spoils one byte, or the length, of a true origin. */
static void a_spoilt_origin_is_stale(void **state)
{
    (void)state;
    kit_file("f", "");
    struct backing backing = probe();
    struct origin whole, spoilt;
    struct stat st;
    assert_int_equal(origin_of(&backing, kit_root(), "f", &whole), 0);
    static const size_t AT[] = {0, 1, 2, 3, 5, 20};
    for (size_t i = 0; i < sizeof(AT) / sizeof(AT[0]); i++) {
        spoilt = whole;
        spoilt.bytes[AT[i]] ^= 1;
        assert_int_equal(origin_stat(&backing, &spoilt, &st), -ESTALE);
    }
    for (size_t size = 0; size < whole.size; size++) {
        spoilt = whole;
        spoilt.size = size;
        assert_int_equal(origin_stat(&backing, &spoilt, &st), -ESTALE);
    }
}

static void a_filesystem_without_a_uuid_has_no_origins(void **state)
{
    (void)state;
    kit_file("f", "");
    struct backing backing = probe();
    struct origin origin;
    backing.has_uuid = false;
    assert_int_equal(origin_of(&backing, kit_root(), "f", &origin), 0);
    assert_int_equal(origin.size, 0);
}

/* From now on name_to_handle_at(2) is answered with `number`, as by a container's filter. */
static int forbid_handles(int number)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_name_to_handle_at, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program);
}

static void where_handles_are_forbidden_there_are_no_origins(void **state)
{
    (void)state;
    kit_file("f", "");
    struct backing backing = probe();
    static const int NUMBERS[] = {EPERM, ENOSYS};
    for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++) {
        struct origin origin;
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(forbid_handles(NUMBERS[i]) ||
                  origin_of(&backing, kit_root(), "f", &origin) != 0 || origin.size != 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void a_missing_file_has_no_origin(void **state)
{
    (void)state;
    struct backing backing = probe();
    struct origin origin = {.size = 1};
    assert_int_equal(origin_of(&backing, kit_root(), "nothing", &origin), -ENOENT);
    assert_int_equal(origin.size, 0);
}

static void the_index_name_is_lower_case_hex(void **state)
{
    (void)state;
    struct origin origin = {.size = 4, .bytes = {0x00, 0xfb, 0x1d, 0xa0}};
    char hex[ORIGIN_HEX_MAX];
    origin_hex(&origin, hex);
    assert_string_equal(hex, "00fb1da0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_origin_has_the_kernels_layout),
        kit_test(an_origin_leads_back_to_its_file),
        kit_test(an_origin_outlives_a_rename_but_not_its_file),
        kit_test(a_spoilt_origin_is_stale),
        kit_test(a_filesystem_without_a_uuid_has_no_origins),
        kit_test(where_handles_are_forbidden_there_are_no_origins),
        kit_test(a_missing_file_has_no_origin),
        kit_test(the_index_name_is_lower_case_hex),
    };
    return kit_run("origin", tests, sizeof(tests) / sizeof(tests[0]));
}
