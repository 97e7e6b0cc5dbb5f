/* SPDX-License-Identifier: MIT
 *
 * Any bytes as the tar of a layer, and of a volume: they are unpacked within limits, or refused;
 * nothing beside the tree changes; and where the tar of a layer was not compressed, skeleton and
 * tree give the same bytes again.
 * What breaks one of these aborts.
 *
 * Built by -Dfuzz=true with clang: fuzz_unpack CORPUS. Without it fuzz/replay.c runs it over files.
 */
#include "fuzzkit.h"

#include "digest.h"
#include "fd.h"
#include "skeleton.h"
#include "unpack.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static const char CANARY[] = "as it was";

/* Directories "tree", "books" and "volume" and a canary, in a directory of their own. */
static int make_place(char path[64])
{
    int place = fuzz_enter(path);
    must(mkdirat(place, "tree", 0700) == 0 && mkdirat(place, "books", 0700) == 0 &&
             mkdirat(place, "volume", 0700) == 0,
         "no directories");
    fuzz_file(place, "canary", CANARY, sizeof(CANARY));
    return place;
}

static void check_canary(int place)
{
    char found[sizeof(CANARY) + 1];
    struct stat st;
    cleanup_fd int canary = fd_open_name(place, "canary", O_RDONLY, 0);
    must(canary >= 0 && fstat(canary, &st) == 0, "the canary is gone");
    must(pread(canary, found, sizeof(found), 0) == sizeof(CANARY) &&
             memcmp(found, CANARY, sizeof(CANARY)) == 0,
         "the canary was written to");
    must(st.st_nlink == 1 && st.st_mode == (S_IFREG | 0600), "the canary is another");
}

static void check_part(int tree, const struct skeleton_part *part, const uint8_t *expected)
{
    if (part->data) {
        must(memcmp(part->data, expected, part->size) == 0, "raw bytes differ");
        return;
    }
    cleanup_free uint8_t *content = malloc(part->size);
    cleanup_fd int fd = fd_open_beneath(tree, part->path, O_RDONLY);
    must(fd >= 0 && content && pread(fd, content, part->size, 0) == (ssize_t)part->size,
         "content is not there");
    must(memcmp(content, expected, part->size) == 0, "content differs");
}

/* Puts the tar together again. */
static void check_skeleton(int tree, int books, const uint8_t *data, size_t size)
{
    int err, more;
    struct skeleton_part part;
    size_t used = 0;
    cleanup_skeleton_reader struct skeleton_reader *reader = skeleton_open(books, "skeleton", &err);
    must(reader && skeleton_size(reader) == size, "the skeleton is not of this tar");
    while ((more = skeleton_next(reader, &part)) > 0) {
        must(part.size <= size - used, "the skeleton is too long");
        check_part(tree, &part, data + used);
        used += part.size;
    }
    must(more == 0 && used == size, "the skeleton is too short");
}

static void unpack_into(int place, int archive, const uint8_t *data, size_t size)
{
    struct tar_sums sums;
    int err;
    cleanup_fd int tree = fd_open_name(place, "tree", O_RDONLY | O_DIRECTORY, 0);
    cleanup_fd int books = fd_open_name(place, "books", O_RDONLY | O_DIRECTORY, 0);
    struct unpack job = {
        .tree = tree, .books = books, .size_max = 1 << 20, .files_max = 1000, .vouched = true};
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(archive, NULL, NULL, &err);
    must(reader != NULL, "no reader");
    err = unpack_tree(&job, reader, &sums);
    must((err != 0) == (job.words[0] != 0), "an error has words, and nothing else has");
    if (!err)
        must(job.skeleton && job.bytes <= job.size_max && job.files <= job.files_max,
             "what was unpacked is beyond the limits, or has no skeleton");
    if (!err && strcmp(sums.diff_id, sums.blob) == 0)
        check_skeleton(tree, books, data, size);
}

static void unpack_plain(int place, int archive)
{
    struct tar_sums sums;
    int err;
    cleanup_fd int tree = fd_open_name(place, "volume", O_RDONLY | O_DIRECTORY, 0);
    struct unpack job = {
        .kind = TREEKIND_PLAIN, .tree = tree, .books = -1, .size_max = 1 << 20, .files_max = 1000};
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(archive, NULL, NULL, &err);
    must(reader != NULL, "no reader");
    err = unpack_tree(&job, reader, &sums);
    must((err != 0) == (job.words[0] != 0), "an error has words, and nothing else has");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    cleanup_fd int archive = memfd_create("archive", MFD_CLOEXEC);
    must(archive >= 0 && fd_write_all(archive, data, size) == 0, "no archive");
    must(lseek(archive, 0, SEEK_SET) == 0, "no way back");
    cleanup_fd int place = make_place(path);
    unpack_into(place, archive, data, size);
    check_canary(place);
    must(lseek(archive, 0, SEEK_SET) == 0, "no way back");
    unpack_plain(place, archive);
    check_canary(place);
    fuzz_leave(path);
    return 0;
}
