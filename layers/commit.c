/* SPDX-License-Identifier: MIT
 *
 * Duty: a changeset, told as a tar into a pipe by one thread, is unpacked into a stage by another
 * and sealed: so a committed layer is what an imported one is, and its tar can be given back.
 */
#include "commit.h"

#include "changeset.h"
#include "log.h"
#include "seal.h"
#include "unpack.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

enum { TRIES = 5 };

struct telling {
    const struct stack *stack;
    int to; /* the pipe; closed at the end */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
    int err;
};

static void *tell(void *argument)
{
    struct telling *telling = argument;
    struct tar_writer *writer = tar_writer_open(telling->to, TAR_PLAIN);
    telling->err =
        writer ? changeset_pack(telling->stack, false, writer, telling->seen, telling->context)
               : -ENOMEM;
    if (!telling->err)
        telling->err = tar_writer_finish(writer, NULL);
    tar_writer_close(writer);
    own_close(&telling->to);
    return NULL;
}

static int unpack_from(int from, struct stage *stage, struct tar_sums *sums, char **words)
{
    int err = 0;
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(from, NULL, NULL, &err);
    if (!reader)
        return err;
    cleanup_fd int books = -1, tree = -1;
    err = seal_make_staged(stage, "layer", &books, &tree);
    if (err)
        return err;
    struct unpack unpack = {.tree = tree, .books = books};
    err = unpack_tree(&unpack, reader, sums);
    *words = err && unpack.words[0] ? strdup(unpack.words) : NULL;
    return err;
}

/* Fills the stage with the layer. Where telling failed by itself, that is the reason, and an end
 * that came too soon for who listened is none; else what is wrong with the changes is told here. */
static int fill(struct telling *telling, struct stage *stage, struct tar_sums *sums)
{
    pthread_t thread;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    telling->to = ends[1];
    if (pthread_create(&thread, NULL, tell, telling) != 0) {
        close(ends[0]);
        close(ends[1]);
        return -ENOMEM;
    }
    cleanup_free char *words = NULL;
    int err = unpack_from(ends[0], stage, sums, &words);
    close(ends[0]); /* a teller whom nobody hears any more ends with EPIPE */
    pthread_join(thread, NULL);
    if (telling->err && !(err && telling->err == -EPIPE))
        return telling->err;
    if (words)
        log_error("%s", words);
    return err;
}

static int try_once(struct store *store, struct telling *telling, const struct commit *commit,
                    struct layer_row *row)
{
    struct stage stage = STAGE_NONE;
    struct tar_sums sums;
    uint64_t before, after;
    int err = changeset_state(telling->stack, &before);
    if (!err)
        err = store_stage(store, &stage);
    if (!err)
        err = fill(telling, &stage, &sums);
    if (!err)
        err = changeset_state(telling->stack, &after);
    if (!err && before != after)
        err = -EAGAIN;
    const struct seal seal = {.staged = "layer",
                              .sums = &sums,
                              .source = commit->source,
                              .with_row = commit->with_row,
                              .row_context = commit->row_context};
    if (!err)
        err = seal_layer(store, &stage, &seal, row);
    store_unstage(store, &stage);
    return err;
}

int commit_layer(struct store *store, const struct commit *commit, struct layer_row *row)
{
    struct telling telling = {
        .stack = commit->stack, .seen = commit->seen, .context = commit->context};
    signal(SIGPIPE, SIG_IGN);
    int err = -EAGAIN;
    for (int i = 0; err == -EAGAIN && i < TRIES; i++)
        err = try_once(store, &telling, commit, row);
    return err;
}
