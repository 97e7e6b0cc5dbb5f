/* SPDX-License-Identifier: MIT
 *
 * The expected digests are those of the xxHash library's own program (xxhsum -H128).
 */
#include "kit.h"

#include "hash.h"

#include <stdlib.h>
#include <string.h>

static const char EMPTY[] = "99aa06d3014798d86001c324468d497f";
static const char ABC[] = "06b05ab6733a618578af5f94892f3950";

static void a_digest_is_that_of_other_programs(void **state)
{
    (void)state;
    char hex[HASH_HEX_SIZE];
    hash_hex_of("", 0, hex);
    assert_string_equal(hex, EMPTY);
    hash_hex_of("abc", 3, hex);
    assert_string_equal(hex, ABC);
}

static void pieces_of_any_size_give_the_digest_of_the_whole(void **state)
{
    (void)state;
    static char data[10000];
    char whole[HASH_HEX_SIZE], pieces[HASH_HEX_SIZE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * i >> 3);
    hash_hex_of(data, sizeof(data), whole);
    cleanup_hash struct hash *hash = hash_create();
    assert_non_null(hash);
    for (size_t size = 1; size < sizeof(data); size = size * 3 + 1) {
        for (size_t at = 0; at < sizeof(data); at += size)
            hash_add(hash, data + at, at + size < sizeof(data) ? size : sizeof(data) - at);
        hash_hex(hash, pieces);
        assert_string_equal(pieces, whole);
        hash_restart(hash);
    }
}

static void asking_for_the_digest_does_not_end_it(void **state)
{
    (void)state;
    char hex[HASH_HEX_SIZE];
    cleanup_hash struct hash *hash = hash_create();
    assert_non_null(hash);
    hash_hex(hash, hex);
    assert_string_equal(hex, EMPTY);
    hash_add(hash, "ab", 2);
    hash_hex(hash, hex);
    hash_add(hash, "c", 1);
    hash_hex(hash, hex);
    assert_string_equal(hex, ABC);
}

static void a_seed_makes_another_hash(void **state)
{
    (void)state;
    assert_true(hash_bytes("name", 4, 0) == hash_bytes("name", 4, 0));
    assert_true(hash_bytes("name", 4, 0) != hash_bytes("name", 4, 1));
}

static int by_value(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

/* "b/b" with seed 2 and "b/c" with seed 1 were one: the library adds a seed to so short an input.
 */
static void short_inputs_under_near_seeds_have_digests_of_their_own(void **state)
{
    (void)state;
    enum { LETTERS = 26, SEEDS = 40, COUNT = LETTERS * LETTERS * SEEDS };
    static const char *const FORMS[] = {"**", "*/*", "usr/**", "usr/lib*/*", "a/b/c/d/e/f/*/*"};
    uint64_t *all = calloc(COUNT, sizeof(*all));
    assert_non_null(all);
    for (size_t form = 0; form < sizeof(FORMS) / sizeof(FORMS[0]); form++) {
        for (int i = 0; i < COUNT; i++) {
            char text[32];
            strcpy(text, FORMS[form]);
            *strchr(text, '*') = (char)('a' + i % LETTERS);
            *strchr(text, '*') = (char)('a' + i / LETTERS % LETTERS);
            /* As many bits as the cache of descriptors keeps. */
            all[i] = hash_bytes(text, strlen(text), (uint64_t)(i / LETTERS / LETTERS)) << 3;
        }
        qsort(all, COUNT, sizeof(*all), by_value);
        for (int i = 1; i < COUNT; i++)
            assert_true(all[i] != all[i - 1]);
    }
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_digest_is_that_of_other_programs),
        kit_test(pieces_of_any_size_give_the_digest_of_the_whole),
        kit_test(asking_for_the_digest_does_not_end_it),
        kit_test(short_inputs_under_near_seeds_have_digests_of_their_own),
        kit_test(a_seed_makes_another_hash),
    };
    return kit_run("hash", tests, sizeof(tests) / sizeof(tests[0]));
}
