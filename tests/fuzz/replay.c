/* SPDX-License-Identifier: MIT
 *
 * Runs a fuzz target over the files of a directory, each a test in TAP: what the fuzzer found once
 * stays found without it.
 */
#include "fuzzkit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int run_file(int dir, const char *name)
{
    struct stat st;
    cleanup_fd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    cleanup_free uint8_t *bytes = malloc((size_t)st.st_size + 1);
    if (!bytes || read(fd, bytes, (size_t)st.st_size) != st.st_size)
        return -EIO;
    return LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    cleanup_dir DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    if (!dir)
        return 2;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        int err = run_file(dirfd(dir), entry->d_name);
        printf("%s %u - %s\n", err ? "not ok" : "ok", ++count, entry->d_name);
        fflush(stdout);
    }
    printf("1..%u\n", count);
    return count == 0;
}
