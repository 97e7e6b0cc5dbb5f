/* SPDX-License-Identifier: MIT
 *
 * Duty: one account of who asks through all rings, that is never waited for.
 */
#include "rings.h"

#include "moment.h"
#include "rhythm.h"
#include "vigil.h"

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct rings {
    struct vigil *vigil;
    pthread_mutex_t lock; /* protects all below */
    struct rhythm rhythm;
    int64_t noted; /* when the last request was, on the steady clock */
};

bool rings_carry(struct fuse_req *request)
{
#ifdef HAVE_REQ_IS_URING
    return fuse_req_is_uring(request);
#else
    (void)request;
    return false;
#endif
}

enum { GATHER_NS = 1000000 };

void rings_let_gather(void)
{
    const struct timespec moment = {.tv_nsec = GATHER_NS};
    nanosleep(&moment, NULL);
}

void rings_serve(struct fuse_session *session)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    if (!config)
        return;
    (void)fuse_session_loop_mt(session, config);
    fuse_loop_cfg_destroy(config);
}

struct rings *rings_watch(struct vigil *vigil)
{
    struct rings *rings = vigil ? calloc(1, sizeof(*rings)) : NULL;
    if (!rings)
        return NULL;
    rings->vigil = vigil;
    pthread_mutex_init(&rings->lock, NULL);
    return rings;
}

void rings_free(struct rings *rings)
{
    if (!rings)
        return;
    pthread_mutex_destroy(&rings->lock);
    free(rings);
}

static bool is_awaited(enum meter_op op)
{
    return op != METER_FORGET && op != METER_RELEASE && op != METER_RELEASEDIR;
}

static void note(struct rings *rings, const struct beat *beat)
{
    const int64_t now = moment_steady();
    const bool close = now - rings->noted < RHYTHM_CLOSE_NS;
    rings->noted = now;
    rhythm_note(&rings->rhythm, beat, close);
    if (rhythm_is_stream(&rings->rhythm))
        vigil_end(rings->vigil);
    else if (close && rhythm_is_alone(&rings->rhythm) && beat->client != 0)
        vigil_keep(rings->vigil, (pid_t)beat->client);
}

void rings_note(struct rings *rings, pid_t client, enum meter_op op, size_t length)
{
    const struct beat beat = {
        .client = (uint32_t)client,
        .awaited = is_awaited(op),
        .large = op == METER_READ && rhythm_is_large(length),
    };
    if (pthread_mutex_trylock(&rings->lock) != 0)
        return; /* another client's is being noted: neither is alone */
    note(rings, &beat);
    pthread_mutex_unlock(&rings->lock);
}
