/* SPDX-License-Identifier: MIT
 *
 * Duty: answer for the driver "local", which needs nobody to be told.
 */
#include "volumedriver.h"

#include <string.h>

int volumedriver_check(const struct volume_row *row)
{
    return strcmp(row->driver, "local") == 0 ? 0 : -ENOENT;
}

int volumedriver_create(const struct volume_row *row)
{
    return volumedriver_check(row);
}

int volumedriver_remove(const struct volume_row *row)
{
    return volumedriver_check(row);
}
