/* SPDX-License-Identifier: MIT
 *
 * Duty: the way of layers from archives into the store. One pass over a blob gives its digest, its
 * DiffID and its content; so a layer lies in the stage before it is known to be right, and is
 * thrown away with the stage when it is not.
 */
#include "newlayers.h"

#include "fd.h"
#include "seal.h"
#include "tarball.h"
#include "unpack.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct newlayer {
    bool fresh;      /* it lies in the stage, whole */
    bool published;  /* in its place, and not in the stage any more */
    char staged[16]; /* its directory in the stage */
    struct layer_row row;
};

/* What is wrong, in words, and -EBADMSG. */
__attribute__((format(printf, 2, 3))) static int wrong(struct newlayers *layers, const char *format,
                                                       ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(layers->words, sizeof(layers->words), format, args);
    va_end(args);
    return -EBADMSG;
}

static void tell_seen(void *context, uint64_t bytes)
{
    const struct newlayers *layers = context;
    if (layers->seen)
        layers->seen(layers->context, layers->read + bytes);
}

/* ---- the list ---- */

static int has_layer(struct newlayers *layers, const char *id)
{
    cleanup(layer_row_finish) struct layer_row row = {0};
    int err = catalog_find_layer(layers->store->catalog, id, &row);
    if (err)
        return err == -ENOENT || err == -ENOTUNIQ ? 0 : err;
    return strcmp(row.id, id) == 0;
}

/* Adds a DiffID to the list; *known when it is there already. */
static int list_add(struct newlayers *layers, const char *id, struct newlayer **layer, bool *known)
{
    uint32_t index;
    bool added;
    if (layers->ids.used >= layers->room) {
        size_t room = layers->room ? layers->room * 2 : 64;
        struct newlayer *at = realloc(layers->at, room * sizeof(*at));
        if (!at)
            return -ENOMEM;
        memset(at + layers->room, 0, (room - layers->room) * sizeof(*at));
        layers->at = at;
        layers->room = room;
    }
    int err = nameset_add(&layers->ids, id, &index, &added);
    if (err)
        return err;
    *layer = &layers->at[index];
    *known = !added;
    return 0;
}

bool newlayers_is_fresh(const struct newlayers *layers, const char *diff_id)
{
    uint32_t index = nameset_find(&layers->ids, diff_id);
    return index != NAMESET_NONE && layers->at[index].fresh;
}

/* ---- unpacking ---- */

/* A layer on its way: its directory in the stage, and what is found out. */
struct passage {
    char staged[16];
    int dir, tree;
    struct unpack unpack;
    struct tar_sums sums;
};

static void passage_finish(struct passage *passage)
{
    own_close(&passage->dir);
    own_close(&passage->tree);
}

/* Makes the next directory of the stage. */
static int passage_begin(struct newlayers *layers, struct passage *passage)
{
    snprintf(passage->staged, sizeof(passage->staged), "layer%u", layers->begun++);
    return seal_make_staged(layers->stage, passage->staged, &passage->dir, &passage->tree);
}

static int passage_unpack(struct newlayers *layers, struct passage *passage, int fd,
                          const struct layer_claim *claim)
{
    struct unpack *unpack = &passage->unpack;
    *unpack = (struct unpack){.tree = passage->tree,
                              .books = passage->dir,
                              .files_max = layers->files_max,
                              .vouched = claim->diff_id != NULL};
    if (layers->size_max)
        unpack->size_max = layers->size_max - layers->unpacked;
    if (layers->size_max && unpack->size_max == 0) {
        wrong(layers, "%s: the layers before it have the size that is allowed", claim->what);
        return -EFBIG;
    }
    int err = 0;
    cleanup_tar_reader struct tar_reader *reader = tar_reader_open(fd, tell_seen, layers, &err);
    if (!reader)
        return err;
    err = unpack_tree(unpack, reader, &passage->sums);
    layers->unpacked += unpack->bytes;
    if (err)
        wrong(layers, "%s: %s", claim->what, *unpack->words ? unpack->words : strerror(-err));
    return err;
}

static int check_digest(struct newlayers *layers, const struct layer_claim *claim,
                        const char *found)
{
    if (!claim->digest || strcmp(claim->digest, found) == 0)
        return 0;
    return wrong(layers, "%s: digest sha256:%s expected, sha256:%s found", claim->what,
                 claim->digest, found);
}

static int check_sums(struct newlayers *layers, const struct layer_claim *claim,
                      const struct tar_sums *sums)
{
    int err = check_digest(layers, claim, sums->blob);
    if (err)
        return err;
    if (claim->diff_id && strcmp(claim->diff_id, sums->diff_id) != 0)
        return wrong(layers, "%s: DiffID sha256:%s expected, sha256:%s found", claim->what,
                     claim->diff_id, sums->diff_id);
    /* Where nothing speaks for it, it may have been cut between two entries. */
    if (!claim->diff_id && !sums->ended)
        return wrong(layers, "%s: it has no end; it seems to be cut short", claim->what);
    return 0;
}

/* Gives what was unpacked its place in the list; what turns out to be there already stays in the
 * stage, for nothing. */
static int keep(struct newlayers *layers, const struct passage *passage)
{
    struct newlayer *layer;
    bool known;
    int has = has_layer(layers, passage->sums.diff_id);
    if (has < 0)
        return has;
    int err = list_add(layers, passage->sums.diff_id, &layer, &known);
    if (err || has || known)
        return err;
    memcpy(layer->staged, passage->staged, sizeof(layer->staged));
    const struct seal seal = {
        .staged = passage->staged, .sums = &passage->sums, .source = layers->source};
    err = seal_prepare(layers->stage, &seal, &layer->row);
    layer->fresh = !err;
    return err;
}

static int unpack_new(struct newlayers *layers, int fd, const struct layer_claim *claim,
                      char diff_id[DIGEST_HEX_SIZE])
{
    cleanup(passage_finish) struct passage passage = {.dir = -1, .tree = -1};
    int err = passage_begin(layers, &passage);
    if (!err)
        err = passage_unpack(layers, &passage, fd, claim);
    if (!err)
        err = check_sums(layers, claim, &passage.sums);
    if (!err)
        err = keep(layers, &passage);
    memcpy(diff_id, passage.sums.diff_id, DIGEST_HEX_SIZE);
    return err;
}

/* ---- taking ---- */

/* Reads a blob for its digest alone. */
static int read_blob(struct newlayers *layers, int fd, const struct layer_claim *claim)
{
    enum { room = 1 << 18 };
    char hex[DIGEST_HEX_SIZE];
    cleanup_digest struct digest *digest = digest_create();
    cleanup_free char *buffer = malloc(room);
    if (!digest || !buffer)
        return -ENOMEM;
    for (uint64_t all = 0;;) {
        ssize_t got = fd_read(fd, buffer, room);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        digest_add(digest, buffer, (size_t)got);
        tell_seen(layers, all += (uint64_t)got);
    }
    digest_finish(digest, hex);
    return check_digest(layers, claim, hex);
}

/* Whether the layer needs no unpacking: the store has it, or this import took it before. */
static int is_had(struct newlayers *layers, const char *diff_id)
{
    struct newlayer *layer;
    bool known;
    if (nameset_find(&layers->ids, diff_id) != NAMESET_NONE)
        return 1;
    int has = has_layer(layers, diff_id);
    int err = has > 0 ? list_add(layers, diff_id, &layer, &known) : 0;
    return err ? err : has;
}

static bool is_right(const struct newlayers *layers, const char *digest)
{
    return !digest || nameset_find(&layers->right, digest) != NAMESET_NONE;
}

int newlayers_take(struct newlayers *layers, int fd, const struct layer_claim *claim,
                   char diff_id[DIGEST_HEX_SIZE])
{
    uint32_t index;
    bool fresh;
    int had = claim->diff_id ? is_had(layers, claim->diff_id) : 0;
    if (had < 0)
        return had;
    int err = 0;
    if (!had)
        err = unpack_new(layers, fd, claim, diff_id);
    else if (!is_right(layers, claim->digest))
        err = read_blob(layers, fd, claim);
    if (had)
        memcpy(diff_id, claim->diff_id, DIGEST_HEX_SIZE);
    if (!err && claim->digest)
        err = nameset_add(&layers->right, claim->digest, &index, &fresh);
    return err;
}

/* ---- publishing ---- */

int newlayers_publish(struct newlayers *layers)
{
    for (uint32_t i = 0; i < layers->ids.used; i++) {
        struct newlayer *layer = &layers->at[i];
        if (!layer->fresh)
            continue;
        int err = store_publish(layers->store, layers->stage, layer->staged, layers->store->layers,
                                layer->row.id);
        /* Who imports the same thing may have been faster. */
        if (err && err != -EEXIST)
            return err;
        layer->published = !err;
    }
    return 0;
}

int newlayers_add_rows(struct newlayers *layers)
{
    int err = 0;
    for (uint32_t i = 0; !err && i < layers->ids.used; i++) {
        if (layers->at[i].published)
            err = catalog_add_layer(layers->store->catalog, &layers->at[i].row);
    }
    return err;
}

void newlayers_withdraw(struct newlayers *layers)
{
    for (uint32_t i = 0; i < layers->ids.used; i++) {
        struct newlayer *layer = &layers->at[i];
        /* What resists has no row, and is swept later. */
        if (layer->published && store_discard(layers->store, layers->store->layers, layer->row.id))
            continue;
        layer->published = false;
    }
}

void newlayers_finish(struct newlayers *layers)
{
    for (uint32_t i = 0; i < layers->ids.used; i++)
        layer_row_finish(&layers->at[i].row);
    free(layers->at);
    nameset_finish(&layers->ids);
    nameset_finish(&layers->right);
    layers->at = NULL;
    layers->room = 0;
}
