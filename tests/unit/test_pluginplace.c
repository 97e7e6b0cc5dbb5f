/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "pluginplace.h"

#include <string.h>

/* What a file "fake" with that suffix and text is read as. */
static int find_in(const char *file, const char *text, struct pluginplace *place,
                   struct plugin_fault *fault)
{
    cleanup_free char *here = kit_path("");
    assert_int_equal(setenv("PLYFS_PLUGINS", here, 1), 0);
    kit_file(file, text);
    int err = pluginplace_find("fake", place, fault);
    assert_int_equal(unlinkat(kit_root(), file, 0), 0);
    return err;
}

static void an_address_is_read_from_a_file(void **state)
{
    static const struct {
        const char *file, *text, *url, *socket;
    } cases[] = {
        {"fake.spec", "unix:///run/x.sock\n", "http://plugin", "/run/x.sock"},
        {"fake.spec", " tcp://localhost:80 \n", "http://localhost:80", "-"},
        {"fake.json", "{\"Name\": \"fake\", \"Addr\": \"https://[::1]:9/\"}", "https://[::1]:9",
         "-"},
        {"fake/fake.json", "{\"Addr\": \"tcp://h\", \"TLSConfig\": {\"CAFile\": \"/ca\"}}",
         "https://h", "-"},
        {"fake/fake.spec", "http://h", "http://h", "-"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plugin_fault fault;
        cleanup_pluginplace struct pluginplace place = {0};
        assert_int_equal(find_in(cases[i].file, cases[i].text, &place, &fault), 0);
        assert_string_equal(place.url, cases[i].url);
        assert_string_equal(place.socket ? place.socket : "-", cases[i].socket);
        assert_int_equal(place.ca != NULL, i == 3);
    }
}

static void a_file_that_says_something_else_is_refused(void **state)
{
    static const struct {
        const char *file, *text;
    } cases[] = {
        {"fake.spec", ""},
        {"fake.spec", "tcp://a tcp://b"},
        {"fake.spec", "file:///etc/shadow"},
        {"fake.spec", "unix://relative"},
        {"fake.spec", "tcp://user@host"},
        {"fake.spec", "tcp://host/elsewhere"},
        {"fake.spec", "tcp://"},
        {"fake.json", "{"},
        {"fake.json", "[]"},
        {"fake.json", "{\"Addr\": 7}"},
        {"fake.json", "{\"Addr\": \"tcp://h\", \"TLSConfig\": 7}"},
        {"fake.json", "{\"Addr\": \"tcp://h\", \"TLSConfig\": {\"KeyFile\": 7}}"},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct plugin_fault fault;
        struct pluginplace place;
        assert_int_equal(find_in(cases[i].file, cases[i].text, &place, &fault), -EBADMSG);
        assert_true(fault.words[0]);
        assert_null(place.url);
    }
}

static void a_file_without_end_is_refused(void **state)
{
    (void)state;
    enum { LARGE = 1 << 17 };
    struct plugin_fault fault;
    struct pluginplace place;
    cleanup_free char *text = malloc(LARGE + 1);
    memset(text, ' ', LARGE);
    text[LARGE] = 0;
    assert_int_equal(find_in("fake.json", text, &place, &fault), -EBADMSG);
}

static void a_name_that_leads_elsewhere_is_no_name(void **state)
{
    static const char *const names[] = {"../fake", "a/b", "", ".", "-o", "a b"};
    (void)state;
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct plugin_fault fault;
        struct pluginplace place;
        assert_int_equal(pluginplace_find(names[i], &place, &fault), -EINVAL);
    }
}

static void a_plain_file_is_no_socket(void **state)
{
    (void)state;
    struct plugin_fault fault;
    struct pluginplace place;
    assert_int_equal(find_in("fake.sock", "", &place, &fault), -ENOENT);
    assert_string_equal(fault.words, "plugin \"fake\" not found");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(an_address_is_read_from_a_file),
        kit_test(a_file_that_says_something_else_is_refused),
        kit_test(a_file_without_end_is_refused),
        kit_test(a_name_that_leads_elsewhere_is_no_name),
        kit_test(a_plain_file_is_no_socket),
    };
    return kit_run("pluginplace", tests, sizeof(tests) / sizeof(tests[0]));
}
