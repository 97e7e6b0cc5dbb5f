/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "imagename.h"

#include <string.h>

static void a_name_has_one_spelling(void **state)
{
    (void)state;
    static const char *const NAMES[][2] = {
        {"debian", "debian:latest"},
        {"debian:12", "debian:12"},
        {"docker.io/library/debian:12", "debian:12"},
        {"index.docker.io/library/debian", "debian:latest"},
        {"docker.io/someone/tool:1", "someone/tool:1"},
        {"docker.io/library/a/b", "library/a/b:latest"},
        {"localhost/x", "localhost/x:latest"},
        {"localhost:5000/x:V1.0_a-b", "localhost:5000/x:V1.0_a-b"},
        {"Host.Example/a.b/c__d/e--f:1", "Host.Example/a.b/c__d/e--f:1"},
        {"registry:80/x", "registry:80/x:latest"},
    };
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        char name[IMAGENAME_SIZE], again[IMAGENAME_SIZE];
        assert_int_equal(imagename_normal(NAMES[i][0], name), 0);
        assert_string_equal(name, NAMES[i][1]);
        assert_int_equal(imagename_normal(name, again), 0);
        assert_string_equal(again, name);
    }
}

static void what_is_no_name_is_refused(void **state)
{
    (void)state;
    static const char *const WORDS[] = {
        "",
        ":",
        ":tag",
        "a:",
        "/",
        "/a",
        "a/",
        "a//b",
        "A",
        "Upper/x",
        "a b",
        "a\nb",
        "..",
        "../a",
        "a..b",
        "-a",
        "a-",
        "a___b",
        "a._b",
        "a:.x",
        "a:-x",
        "a:x/y",
        "a:x:y",
        "a:\xc3\xa4",
        "a*",
        "a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "a:80x/b",
        "a:/b",
        "docker.io/",
        "docker.io/library/",
        "docker.io/docker.io/library/debian",
        "docker.io/index.docker.io/debian",
    };
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        char name[IMAGENAME_SIZE];
        if (imagename_normal(WORDS[i], name) != -EINVAL)
            fail_msg("'%s' became '%s'", WORDS[i], name);
    }
}

static void a_name_of_any_length_stays_in_its_room(void **state)
{
    (void)state;
    char word[1000], name[IMAGENAME_SIZE];
    memset(word, 'a', sizeof(word));
    word[255] = ':';
    word[255 + 1 + 128] = 0;
    assert_int_equal(imagename_normal(word, name), 0);
    assert_string_equal(name, word);
    word[255 + 1 + 128] = 'a';
    word[255 + 1 + 129] = 0;
    assert_int_equal(imagename_normal(word, name), -EINVAL);
    word[256] = 'a';
    word[255] = 'a';
    assert_int_equal(imagename_normal(word, name), -EINVAL);
    word[256] = 0;
    assert_int_equal(imagename_normal(word, name), -EINVAL);
    word[255] = 0;
    assert_int_equal(imagename_normal(word, name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_spelling),
        cmocka_unit_test(what_is_no_name_is_refused),
        cmocka_unit_test(a_name_of_any_length_stays_in_its_room),
    };
    return cmocka_run_group_tests_name("imagename", tests, NULL, NULL);
}
