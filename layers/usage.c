/* SPDX-License-Identifier: MIT
 *
 * Duty: add up sizes.
 */
#include "usage.h"

#include "linkset.h"
#include "treewalk.h"

#include <string.h>

uint64_t usage_held(const struct stat *st)
{
    const uint64_t size = (uint64_t)st->st_size, blocks = (uint64_t)st->st_blocks * 512;
    return size < blocks ? size : blocks;
}

static int add(struct linkset *links, const struct walk_step *step, struct usage *usage)
{
    const char *first = NULL;
    if (step->leaving || strcmp(step->path, ".") == 0)
        return 0;
    usage->names++;
    if (!S_ISREG(step->st.st_mode))
        return 0;
    int err = linkset_first(links, &step->st, step->path, &first);
    if (err || first)
        return err;
    usage->bytes += (uint64_t)step->st.st_size;
    usage->held += usage_held(&step->st);
    return 0;
}

int usage_of(int dir, struct usage *usage)
{
    int err = 0;
    struct walk_step step;
    *usage = (struct usage){0};
    cleanup_treewalk struct treewalk *walk = treewalk_open(dir, &err);
    cleanup_linkset struct linkset *links = linkset_create();
    if (!walk || !links)
        return walk ? -ENOMEM : err;
    int more;
    while ((more = treewalk_next(walk, &step)) > 0 && !err)
        err = add(links, &step, usage);
    return err ? err : more;
}
