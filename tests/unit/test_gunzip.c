/* SPDX-License-Identifier: MIT */
#include "kit.h"
#include "tarkit.h"

#include "gunzip.h"

#include <string.h>

/* Inflates it, `step` bytes of input and `room` of output at a time; the length or -errno. */
static ssize_t inflate_all(const unsigned char *in, size_t size, size_t step, char *out,
                           size_t room)
{
    ssize_t total = 0;
    struct gunzip *gunzip = gunzip_create();
    assert_non_null(gunzip);
    for (size_t at = 0; at < size && total >= 0; at += step) {
        const unsigned char *from = in + at;
        size_t left = size - at < step ? size - at : step;
        ssize_t made;
        while ((made = gunzip_run(gunzip, &from, &left, out + total, room)) > 0)
            total += made;
        if (made < 0) {
            assert_non_null(gunzip_words(gunzip));
            total = made;
        } else {
            assert_int_equal(left, 0);
        }
    }
    int err = total < 0 ? 0 : gunzip_end(gunzip);
    gunzip_destroy(gunzip);
    return err ? err : total;
}

static unsigned char *output(const char *command, size_t *size)
{
    cleanup_fd int fd = tarkit_output(command);
    return tarkit_bytes(fd, size);
}

static void members_of_any_cut_are_one_stream(void **state)
{
    (void)state;
    size_t size, plain_size;
    char out[32768];
    cleanup_free unsigned char *plain = output("seq 2000", &plain_size);
    cleanup_free unsigned char *in = output(
        "seq 1000 | gzip; gzip < /dev/null; seq 1001 2000 | gzip; printf '\\037trailing'", &size);
    assert_true(gunzip_is_gzip(in, size));
    for (size_t step = 1; step < 40; step++) {
        assert_int_equal(inflate_all(in, size, step, out, 1 + step * 7), plain_size);
        assert_memory_equal(out, plain, plain_size);
    }
}

/* Bits that fill up a byte mean nothing. */
static void a_flipped_bit_is_found_or_changes_nothing(void **state)
{
    (void)state;
    size_t size, plain_size;
    unsigned harmless = 0;
    char out[8192];
    cleanup_free unsigned char *plain = output("seq 300", &plain_size);
    cleanup_free unsigned char *in = output("seq 300 | gzip -n", &size);
    for (size_t bit = 10 * 8; bit < size * 8; bit++) {
        in[bit / 8] ^= (unsigned char)(1 << bit % 8);
        ssize_t got = inflate_all(in, size, size, out, 1024);
        if (got != -EBADMSG) {
            assert_int_equal(got, plain_size);
            assert_memory_equal(out, plain, plain_size);
            harmless++;
        }
        in[bit / 8] ^= (unsigned char)(1 << bit % 8);
    }
    assert_true(harmless < 8);
}

static void what_ends_early_is_found(void **state)
{
    (void)state;
    size_t size;
    char out[8192];
    cleanup_free unsigned char *in = output("seq 300 | gzip -n", &size);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(inflate_all(in, cut, size, out, 1024), -EBADMSG);
}

static void other_data_are_no_gzip(void **state)
{
    (void)state;
    char out[16];
    assert_false(gunzip_is_gzip("\x1f", 1));
    assert_false(gunzip_is_gzip("\x1f\x8c", 2));
    assert_int_equal(inflate_all((const unsigned char *)"text", 4, 4, out, 16), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(members_of_any_cut_are_one_stream),
        kit_test(a_flipped_bit_is_found_or_changes_nothing),
        kit_test(what_ends_early_is_found),
        kit_test(other_data_are_no_gzip),
    };
    return kit_run("gunzip", tests, sizeof(tests) / sizeof(tests[0]));
}
