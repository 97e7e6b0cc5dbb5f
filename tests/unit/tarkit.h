/* SPDX-License-Identifier: MIT
 *
 * Archives for tests, in files without a name: written entry by entry, by a tool, or by hand.
 */
#ifndef PLYFS_TEST_TARKIT_H
#define PLYFS_TEST_TARKIT_H

#include "tarball.h"

/* An empty file without a name. */
int tarkit_file(void);

/* The whole of a file, to be freed, and where the file stands at its beginning again. */
unsigned char *tarkit_bytes(int fd, size_t *size);

/* A file with these bytes, at its beginning. */
int tarkit_file_of(const void *data, size_t size);

/* Adds an entry of a type (S_IFREG...): mode 0644 or 0755, time 1000000000.0, owner 0:0. `text` is
 * a file's content, a symlink's target, or with type 0 the other name of a hard link. */
void tarkit_add(struct tar_writer *writer, mode_t type, const char *path, const char *text);
void tarkit_add_entry(struct tar_writer *writer, const struct tar_entry *entry, const char *text);

/* An archive from words, as kit_tree() has them: "f PATH [TEXT]", "d PATH", "l PATH TARGET",
 * "h PATH OTHER", "c PATH" (a character device 1:3), "p PATH" (a fifo), divided by commas. At its
 * beginning. */
int tarkit_archive(const char *words);

/* Runs a command of the shell in the test's directory; what it writes is the file. */
int tarkit_output(const char *command);

/* Runs one that has nothing to say. */
void tarkit_run(const char *command);

#endif
