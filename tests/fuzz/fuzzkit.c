/* SPDX-License-Identifier: MIT
 *
 * Duty: what every fuzz target would else do for itself.
 */
#include "fuzzkit.h"

#include "fd.h"
#include "rmtree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz: %s\n", what);
        abort();
    }
}

char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    must(text != NULL, "no memory");
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    return text;
}

unsigned fuzz_words(char *text, char divider, const char **words, unsigned most)
{
    unsigned count = 0;
    while (count + 1 < most) {
        char *end = strchr(text, divider);
        if (!end)
            break;
        *end = 0;
        words[count++] = text;
        text = end + 1;
    }
    words[count++] = text;
    return count;
}

int fuzz_enter(char path[64])
{
    snprintf(path, 64, "%s/plyfs-fuzz.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    must(mkdtemp(path) != NULL, "no place to work in");
    int place = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(place >= 0, "the place cannot be opened");
    return place;
}

void fuzz_leave(const char *path)
{
    must(rmtree(AT_FDCWD, path) == 0, "the place cannot be removed");
}

void fuzz_file(int dir, const char *name, const void *data, size_t size)
{
    cleanup_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(fd >= 0 && fd_write_all(fd, data, size) == 0, "a file cannot be made");
}
