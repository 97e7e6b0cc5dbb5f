/* SPDX-License-Identifier: MIT
 *
 * Gives every header its sum again after the fuzzer has changed something: without it nearly all
 * that it makes is refused at the first look.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

enum { BLOCK = 512, SUM_AT = 148, SUM_SIZE = 8, MAGIC_AT = 257 };

static void mend(uint8_t *header)
{
    unsigned sum = 0;
    memset(header + SUM_AT, ' ', SUM_SIZE);
    for (int i = 0; i < BLOCK; i++)
        sum += header[i];
    snprintf((char *)header + SUM_AT, SUM_SIZE - 1, "%06o", sum & 0777777);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    (void)seed;
    size = LLVMFuzzerMutate(data, size, room);
    for (size_t at = 0; at + BLOCK <= size; at += BLOCK) {
        if (memcmp(data + at + MAGIC_AT, "ustar", 5) == 0)
            mend(data + at);
    }
    return size;
}
