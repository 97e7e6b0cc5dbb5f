/* SPDX-License-Identifier: MIT
 *
 * Duty: the count of users, which any thread may change.
 */
#include "filemore.h"

#include <stdlib.h>
#include <string.h>

struct filemore *filemore_create(uint16_t data_layer, const char *data_path, const char *index_name)
{
    struct filemore *more = calloc(1, sizeof(*more));
    if (!more)
        return NULL;
    atomic_init(&more->users, 1);
    more->data_layer = data_layer;
    more->data_path = data_path ? strdup(data_path) : NULL;
    more->index_name = index_name ? strdup(index_name) : NULL;
    if ((data_path && !more->data_path) || (index_name && !more->index_name)) {
        filemore_release(more);
        return NULL;
    }
    return more;
}

void filemore_release(struct filemore *more)
{
    if (!more || atomic_fetch_sub(&more->users, 1) != 1)
        return;
    free(more->data_path);
    free(more->index_name);
    free(more);
}
