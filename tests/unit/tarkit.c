/* SPDX-License-Identifier: MIT
 *
 * Duty: archives for tests. Every failure ends the test.
 */
#include "tarkit.h"

#include "fd.h"
#include "kit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

int tarkit_file(void)
{
    int fd = memfd_create("archive", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

int tarkit_file_of(const void *data, size_t size)
{
    int fd = tarkit_file();
    assert_int_equal(fd_write_all(fd, data, size), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

unsigned char *tarkit_bytes(int fd, size_t *size)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    unsigned char *bytes = malloc((size_t)st.st_size + 1);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, (size_t)st.st_size, 0), st.st_size);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    *size = (size_t)st.st_size;
    return bytes;
}

void tarkit_add_entry(struct tar_writer *writer, const struct tar_entry *entry, const char *text)
{
    assert_int_equal(tar_writer_add(writer, entry), 0);
    if (S_ISREG(entry->mode) && !entry->link && entry->size > 0)
        assert_int_equal(tar_writer_data(writer, text, (size_t)entry->size), 0);
}

void tarkit_add(struct tar_writer *writer, mode_t type, const char *path, const char *text)
{
    struct tar_entry entry = {
        .path = path,
        .mode = (type ? type : S_IFREG) | (type == S_IFDIR ? 0755 : 0644),
        .mtime = {.tv_sec = 1000000000},
    };
    if (type == S_IFREG && text)
        entry.size = (off_t)strlen(text);
    else if (type == S_IFLNK)
        entry.target = text;
    else if (type == S_IFCHR)
        entry.rdev = makedev(1, 3);
    else if (type == 0)
        entry.link = text;
    tarkit_add_entry(writer, &entry, text);
}

static void add_words(struct tar_writer *writer, char *words)
{
    static const mode_t TYPES[128] = {['f'] = S_IFREG, ['d'] = S_IFDIR, ['l'] = S_IFLNK,
                                      ['c'] = S_IFCHR, ['p'] = S_IFIFO, ['h'] = 0};
    char *rest = NULL;
    const char *kind = strtok_r(words, " ", &rest);
    const char *path = strtok_r(NULL, " ", &rest), *text = strtok_r(NULL, " ", &rest);
    assert_non_null(path);
    tarkit_add(writer, TYPES[(unsigned char)*kind], path, text);
}

int tarkit_archive(const char *words)
{
    int fd = tarkit_file();
    cleanup_tar_writer struct tar_writer *writer = tar_writer_open(fd, TAR_PLAIN);
    cleanup_free char *copy = strdup(words);
    char *rest = NULL;
    assert_non_null(writer);
    for (char *entry = strtok_r(copy, ",", &rest); entry; entry = strtok_r(NULL, ",", &rest))
        add_words(writer, entry);
    assert_int_equal(tar_writer_finish(writer, NULL), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

int tarkit_output(const char *command)
{
    char line[8192], bytes[65536];
    size_t got;
    cleanup_free char *here = kit_path("");
    snprintf(line, sizeof(line), "cd %s && %s", here, command);
    int fd = tarkit_file();
    FILE *pipe = popen(line, "re");
    assert_non_null(pipe);
    while ((got = fread(bytes, 1, sizeof(bytes), pipe)) > 0)
        assert_int_equal(fd_write_all(fd, bytes, got), 0);
    assert_int_equal(pclose(pipe), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

void tarkit_run(const char *command)
{
    struct stat st;
    cleanup_fd int said = tarkit_output(command);
    assert_int_equal(fstat(said, &st), 0);
    assert_int_equal(st.st_size, 0);
}
