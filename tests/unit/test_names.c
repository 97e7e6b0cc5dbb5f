/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "names.h"

#include <stdio.h>
#include <string.h>

static void names_of_every_length_are_kept(void **state)
{
    (void)state;
    struct names *names = names_create();
    nameref refs[256];
    char name[256];
    for (size_t length = 0; length < 256; length++) {
        memset(name, 'a' + (int)(length % 26), length);
        name[length] = 0;
        refs[length] = names_add(names, name);
        assert_int_not_equal(refs[length], 0);
    }
    for (size_t length = 0; length < 256; length++) {
        const char *text = names_text(names, refs[length]);
        assert_int_equal(strlen(text), length);
        assert_int_equal(strspn(text, (char[]){(char)('a' + length % 26), 0}), length);
    }
    names_destroy(names);
}

static void a_name_too_long_is_refused(void **state)
{
    (void)state;
    char name[400];
    struct names *names = names_create();
    memset(name, 'x', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(names_add(names, name), 0);
    names_destroy(names);
}

static void the_room_of_a_removed_name_is_used_again(void **state)
{
    (void)state;
    struct names *names = names_create();
    nameref first = names_add(names, "first"), second = names_add(names, "second");
    names_remove(names, first);
    assert_int_equal(names_add(names, "third"), first);
    assert_string_equal(names_text(names, second), "second");
    assert_string_equal(names_text(names, first), "third");
    names_remove(names, 0);
    names_destroy(names);
}

static void names_survive_while_others_come_and_go(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct names *names = names_create();
    nameref *refs = calloc(COUNT, sizeof(*refs));
    char name[256];
    for (int round = 0; round < 4; round++) {
        for (int i = round % 2; i < COUNT; i += 1 + round % 2) {
            names_remove(names, refs[i]);
            snprintf(name, sizeof(name), "%0*d", 1 + (i * 7 + round) % 240, i);
            refs[i] = names_add(names, name);
            assert_int_not_equal(refs[i], 0);
        }
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(atoi(names_text(names, refs[i])), i);
    }
    free(refs);
    names_destroy(names);
}

static void memory_of_removed_names_goes_back(void **state)
{
    (void)state;
    enum { COUNT = 200000 };
    struct names *names = names_create();
    nameref *refs = calloc(COUNT, sizeof(*refs));
    char name[64];
    memset(refs, 1, COUNT * sizeof(*refs)); /* resident before it is measured */
    size_t before = kit_resident_bytes();
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "a name of about forty bytes: %010d", i);
        refs[i] = names_add(names, name);
    }
    assert_true(kit_resident_bytes() > before + 8000000);
    assert_true(names_bytes(names) > 8000000);
    for (int i = 0; i < COUNT; i++)
        names_remove(names, refs[i]);
    assert_true(kit_resident_bytes() < before + 1000000);
    assert_int_equal(names_bytes(names), 0);
    free(refs);
    names_destroy(names);
}

static void a_name_that_comes_and_goes_takes_its_memory_once(void **state)
{
    (void)state;
    struct names *names = names_create();
    names_remove(names, names_add(names, "temporary"));
    long before = kit_page_faults();
    for (int i = 0; i < 1000; i++)
        names_remove(names, names_add(names, "temporary"));
    assert_true(kit_page_faults() < before + 500);
    names_destroy(names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_every_length_are_kept),
        cmocka_unit_test(a_name_too_long_is_refused),
        cmocka_unit_test(the_room_of_a_removed_name_is_used_again),
        cmocka_unit_test(names_survive_while_others_come_and_go),
        cmocka_unit_test(memory_of_removed_names_goes_back),
        cmocka_unit_test(a_name_that_comes_and_goes_takes_its_memory_once),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
