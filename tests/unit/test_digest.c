/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "digest.h"

#include <string.h>

static const char EMPTY[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

static void known_messages_have_their_known_sums(void **state)
{
    (void)state;
    char hex[DIGEST_HEX_SIZE];
    assert_int_equal(digest_of("", 0, hex), 0);
    assert_string_equal(hex, EMPTY);
    assert_int_equal(digest_of("abc", 3, hex), 0);
    assert_string_equal(hex, ABC);
}

static void pieces_sum_to_the_whole(void **state)
{
    (void)state;
    char hex[DIGEST_HEX_SIZE];
    cleanup_digest struct digest *digest = digest_create();
    assert_non_null(digest);
    digest_add(digest, "a", 1);
    digest_add(digest, "", 0);
    digest_add(digest, "bc", 2);
    digest_finish(digest, hex);
    assert_string_equal(hex, ABC);
}

static void only_a_whole_lower_case_digest_is_one(void **state)
{
    (void)state;
    char with_name[80] = "sha256:", cut[80], longer[80], upper[80];
    strcat(with_name, ABC);
    assert_string_equal(digest_hex(ABC), ABC);
    assert_string_equal(digest_hex(with_name), ABC);
    strcpy(cut, ABC);
    cut[63] = 0;
    strcpy(longer, ABC);
    strcat(longer, "0");
    strcpy(upper, ABC);
    upper[0] = 'B';
    const char *const others[] = {"", "sha256:", "sha256", "sha512:", cut, longer, upper};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_null(digest_hex(others[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(known_messages_have_their_known_sums),
        kit_test(pieces_sum_to_the_whole),
        kit_test(only_a_whole_lower_case_digest_is_one),
    };
    return kit_run("digest", tests, sizeof(tests) / sizeof(tests[0]));
}
