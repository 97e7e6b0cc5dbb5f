/* SPDX-License-Identifier: MIT
 *
 * Duty: hold a list of wishes.
 */
#include "routes.h"

#include "store.h"

#include <stdio.h>
#include <string.h>

void route_wish_finish(struct route_wish *wish)
{
    free(wish->destination);
    free(wish->source);
    free(wish->subpath);
    free(wish->usage);
    volume_pairs_finish(&wish->options);
    store_paths_free(wish->layers);
    *wish = (struct route_wish){0};
}

bool route_is_within(const char *inner, const char *outer)
{
    size_t length = strlen(outer);
    if (strcmp(outer, "/") == 0)
        return true;
    return strncmp(inner, outer, length) == 0 && (inner[length] == 0 || inner[length] == '/');
}

int route_wish_refuse(const struct route_wish *wish, int err, const char *why,
                      struct route_fault *fault)
{
    snprintf(fault->words, sizeof(fault->words), "%s cannot be shown at %s: %s",
             wish->source ? wish->source : "a tmpfs", wish->destination, why);
    return err;
}

int route_wish_of(const struct volume_spec *spec, struct route_wish *wish)
{
    *wish = (struct route_wish){
        .read_only = spec->read_only,
        .one_filesystem = spec->one_filesystem,
        .cached = volume_spec_lags(spec),
        .limit = spec->kind == VOLUME_KIND_TMPFS ? spec->size : 0,
        .perm = spec->perm,
    };
    int err = own_copy(&wish->destination, spec->destination);
    if (!err)
        err = own_copy(&wish->subpath, spec->subpath);
    if (!err && spec->kind == VOLUME_KIND_BIND)
        err = own_copy(&wish->source, spec->source);
    if (!err && spec->kind == VOLUME_KIND_TMPFS)
        err = volume_pairs_copy(&spec->options, &wish->options);
    if (err)
        route_wish_finish(wish);
    return err;
}

void route_wishes_finish(struct route_wishes *wishes)
{
    for (unsigned i = 0; i < wishes->count; i++)
        route_wish_finish(&wishes->at[i]);
    free(wishes->at);
    *wishes = (struct route_wishes){0};
}

int route_wishes_add(struct route_wishes *wishes, struct route_wish *wish)
{
    struct route_wish *more = realloc(wishes->at, (wishes->count + 1) * sizeof(*more));
    if (!more) {
        route_wish_finish(wish);
        return -ENOMEM;
    }
    wishes->at = more;
    wishes->at[wishes->count++] = *wish;
    *wish = (struct route_wish){0};
    return 0;
}
