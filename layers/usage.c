/* SPDX-License-Identifier: MIT
 *
 * Duty: add up sizes.
 */
#include "usage.h"

#include "linkset.h"
#include "treewalk.h"

#include <string.h>

static int add(struct linkset *links, const struct walk_step *step, uint64_t *bytes,
               uint64_t *names)
{
    const char *first = NULL;
    if (step->leaving || strcmp(step->path, ".") == 0)
        return 0;
    ++*names;
    int err = S_ISREG(step->st.st_mode) ? linkset_first(links, &step->st, step->path, &first) : 0;
    if (!err && !first && S_ISREG(step->st.st_mode))
        *bytes += (uint64_t)step->st.st_size;
    return err;
}

int usage_of(int dir, uint64_t *bytes, uint64_t *names)
{
    int err = 0;
    struct walk_step step;
    *bytes = *names = 0;
    cleanup_treewalk struct treewalk *walk = treewalk_open(dir, &err);
    cleanup_linkset struct linkset *links = linkset_create();
    if (!walk || !links)
        return walk ? -ENOMEM : err;
    int more;
    while ((more = treewalk_next(walk, &step)) > 0 && !err)
        err = add(links, &step, bytes, names);
    return err ? err : more;
}
