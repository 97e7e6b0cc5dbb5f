/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "localoptions.h"

#include <string.h>

/* Reads options from words "key=value;key=value". */
static int read_words(const char *words, struct local_options *local, struct volume_fault *fault)
{
    struct volume_pairs pairs = {0};
    cleanup_free char *copy = strdup(words);
    char *rest = NULL;
    for (char *word = strtok_r(copy, ";", &rest); word; word = strtok_r(NULL, ";", &rest)) {
        char *value = strchr(word, '=');
        *value++ = 0;
        assert_int_equal(volume_pairs_set(&pairs, word, value), 0);
    }
    int err = local_options_read(&pairs, local, fault);
    volume_pairs_finish(&pairs);
    return err;
}

static void what_is_refused_is_refused_in_words(void **state)
{
    static const struct {
        const char *options, *words;
    } cases[] = {
        {"foo=1", "invalid option: \"foo\""},
        {"type=tmpfs;Device=x", "invalid option: \"Device\""},
        {"type=none;o=bind", "missing required option: \"device\""},
        {"type=tmpfs;o=bind", "missing required option: \"device\""},
        {"device=/x", "missing required option: \"type\""},
        {"o=bind", "missing required option: \"device\""},
        {"type=nfs;device=", "missing required option: \"device\""},
        {"type=none;device=/x", "missing \"bind\" in the option \"o\""},
        {"type=none;o=bind;device=x/y", "the device of a bind is no absolute path: 'x/y'"},
        {"type=none;o=bind,suid;device=/x", "invalid option of a bind: \"suid\""},
        {"type=none;o=bind,;device=/x", "invalid option of a bind: \"\""},
        {"type=ext4;o=remount,rw;device=/dev/x", "invalid mount option: \"remount\""},
        {"type=ext4;o=rw,move;device=/dev/x", "invalid mount option: \"move\""},
        {"type=ext4;o=rw,,ro;device=/dev/x", "an empty word in the option \"o\": \"rw,,ro\""},
        {"type=-o;device=/dev/x", "invalid filesystem type: \"-o\""},
        {"type=ext4,nfs;device=/dev/x", "invalid filesystem type: \"ext4,nfs\""},
        {"type=ext4;device=/dev/x\n/y", "a control character in the option \"device\""},
        {"size=", "invalid size: ''"},
        {"size=0", "invalid size: '0'"},
        {"size=-1", "invalid size: '-1'"},
        {"size=1x", "invalid size: '1x'"},
        {"size=1kk", "invalid size: '1kk'"},
        {"size=99999999999g", "invalid size: '99999999999g'"},
        {"size=99999999999999999999", "invalid size: '99999999999999999999'"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct local_options local;
        struct volume_fault fault;
        assert_int_equal(read_words(cases[i].options, &local, &fault), -EINVAL);
        assert_string_equal(fault.words, cases[i].words);
        assert_null(local.device);
    }
}

static void a_size_is_bytes_with_a_unit(void **state)
{
    static const struct {
        const char *options;
        uint64_t bytes;
    } cases[] = {
        {"size=1", 1},           {"size=20M", 20 << 20},
        {"size=20mb", 20 << 20}, {"size=20MiB", 20 << 20},
        {"size=4k", 4096},       {"size=3g", UINT64_C(3) << 30},
        {"size=7b", 7},          {"size=2t", UINT64_C(2) << 40},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct local_options local;
        struct volume_fault fault;
        assert_int_equal(read_words(cases[i].options, &local, &fault), 0);
        assert_int_equal(local.limit, cases[i].bytes);
        assert_int_equal(local.kind, LOCAL_DIRECTORY);
    }
}

static void a_bind_is_a_clean_path_that_may_be_read_only(void **state)
{
    (void)state;
    struct volume_fault fault;
    cleanup_local_options struct local_options local = {0};
    assert_int_equal(read_words("type=none;o=bind,ro;device=/a//b/../c;size=1m", &local, &fault),
                     0);
    assert_int_equal(local.kind, LOCAL_BIND);
    assert_string_equal(local.device, "/a/c");
    assert_true(local.read_only);
    assert_int_equal(local.limit, 1 << 20);
}

static void a_mount_is_what_mount_8_is_given(void **state)
{
    static const struct {
        const char *options, *type, *flags, *device;
    } cases[] = {
        {"type=tmpfs", "tmpfs", NULL, "tmpfs"},
        {"type=tmpfs;o=size=1m,uid=7;device=tmpfs", "tmpfs", "size=1m,uid=7", "tmpfs"},
        {"type=cifs;o=username=x;device=//host/share", "cifs", "username=x", "//host/share"},
        {"type=nfs;o=ro;device=host:/path", "nfs", "ro", "host:/path"},
        {"type=nfs;o=addr=10.0.0.1,rw;device=:/path", "nfs", "rw", "10.0.0.1:/path"},
        {"type=nfs;o=rw,addr=10.0.0.1;device=:/path", "nfs", "rw", "10.0.0.1:/path"},
        {"type=nfs4;o=rw,addr=fd00::1,soft;device=:/p", "nfs4", "rw,soft", "[fd00::1]:/p"},
        {"type=nfs;o=addr=host;device=:/path", "nfs", NULL, "host:/path"},
        {"type=ext4;device=-dev", "ext4", NULL, "-dev"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct volume_fault fault;
        cleanup_local_options struct local_options local = {0};
        assert_int_equal(read_words(cases[i].options, &local, &fault), 0);
        assert_int_equal(local.kind, LOCAL_MOUNT);
        assert_string_equal(local.type, cases[i].type);
        assert_string_equal(local.device, cases[i].device);
        assert_string_equal(local.flags ? local.flags : "-", cases[i].flags ? cases[i].flags : "-");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_is_refused_in_words),
        cmocka_unit_test(a_size_is_bytes_with_a_unit),
        cmocka_unit_test(a_bind_is_a_clean_path_that_may_be_read_only),
        cmocka_unit_test(a_mount_is_what_mount_8_is_given),
    };
    return kit_run("localoptions", tests, sizeof(tests) / sizeof(tests[0]));
}
