/* SPDX-License-Identifier: MIT
 *
 * Duty: the one door to zlib.
 *
 *   BETWEEN --the magic of a member--> INSIDE --its end--> BETWEEN --anything else--> BEHIND
 *
 * Input comes in pieces of any size, so the magic may come in two.
 */
#include "gunzip.h"

#include <string.h>

#define ZLIB_CONST /* next_in is const */
#include <zlib.h>

static const unsigned char MAGIC[GUNZIP_MAGIC] = {0x1f, 0x8b};

struct gunzip {
    enum { BETWEEN, INSIDE, BEHIND } state;
    size_t magic_size; /* bytes of the magic that came BETWEEN */
    bool any;          /* a member has ended */
    z_stream stream;
    const char *words;
};

bool gunzip_is_gzip(const void *data, size_t size)
{
    return size >= GUNZIP_MAGIC && memcmp(data, MAGIC, GUNZIP_MAGIC) == 0;
}

struct gunzip *gunzip_create(void)
{
    const int gzip_alone = 15 + 16;
    struct gunzip *gunzip = calloc(1, sizeof(*gunzip));
    if (gunzip && inflateInit2(&gunzip->stream, gzip_alone) != Z_OK) {
        free(gunzip);
        gunzip = NULL;
    }
    return gunzip;
}

void gunzip_destroy(struct gunzip *gunzip)
{
    if (!gunzip)
        return;
    inflateEnd(&gunzip->stream);
    free(gunzip);
}

const char *gunzip_words(const struct gunzip *gunzip)
{
    return gunzip->words;
}

static int broken(struct gunzip *gunzip, const char *words)
{
    gunzip->words = words ? words : "broken gzip data";
    return -EBADMSG;
}

/* Gives zlib some input, without output yet. */
static int inflate_some(struct gunzip *gunzip, const unsigned char *in, size_t size)
{
    z_stream *stream = &gunzip->stream;
    stream->next_in = in;
    stream->avail_in = (uInt)size;
    int done = inflate(stream, Z_NO_FLUSH);
    if (done == Z_STREAM_END) {
        gunzip->state = BETWEEN;
        gunzip->any = true;
        return inflateReset(stream) == Z_OK ? 0 : broken(gunzip, NULL);
    }
    /* Z_BUF_ERROR: nothing to do without more input. */
    if (done == Z_OK || done == Z_BUF_ERROR)
        return 0;
    return done == Z_MEM_ERROR ? -ENOMEM : broken(gunzip, stream->msg);
}

/* Takes one byte of what may be the magic of a member; once whole, zlib gets it. */
static int take_magic(struct gunzip *gunzip, unsigned char byte)
{
    if (byte != MAGIC[gunzip->magic_size]) {
        gunzip->state = BEHIND;
        return gunzip->any ? 0 : broken(gunzip, "it is no gzip");
    }
    if (++gunzip->magic_size < GUNZIP_MAGIC)
        return 0;
    gunzip->magic_size = 0;
    gunzip->state = INSIDE;
    return inflate_some(gunzip, MAGIC, GUNZIP_MAGIC);
}

ssize_t gunzip_run(struct gunzip *gunzip, const unsigned char **in, size_t *in_size, void *out,
                   size_t out_size)
{
    gunzip->stream.next_out = out;
    gunzip->stream.avail_out = (uInt)out_size;
    do {
        size_t taken = *in_size; /* what is BEHIND goes unseen */
        int err = 0;
        if (gunzip->state == INSIDE) {
            err = inflate_some(gunzip, *in, *in_size);
            taken = *in_size - gunzip->stream.avail_in;
        } else if (gunzip->state == BETWEEN && *in_size > 0) {
            err = take_magic(gunzip, **in);
            taken = 1;
        }
        if (err)
            return err;
        *in += taken;
        *in_size -= taken;
    } while (gunzip->stream.avail_out > 0 && *in_size > 0);
    return (ssize_t)(out_size - gunzip->stream.avail_out);
}

int gunzip_end(struct gunzip *gunzip)
{
    bool early = gunzip->state == INSIDE || !gunzip->any;
    return early ? broken(gunzip, "the gzip data end too early") : 0;
}
