/* SPDX-License-Identifier: MIT
 *
 * Duty: say it so that one knows what will be done about it.
 */
#include "faults.h"

const char *faults_words(enum store_fault fault)
{
    static const char *const WORDS[] = {
        [STORE_FAULT_STAGE] = "stage: left of work that was interrupted",
        [STORE_FAULT_LAYER_DIR] = "layer: a directory that the catalog does not know",
        [STORE_FAULT_LAYER_ROW] = "layer: the catalog has it, but its directory is gone",
        [STORE_FAULT_MOUNT_DIR] = "mount: a directory that the catalog does not know",
        [STORE_FAULT_MOUNT_ROW] = "mount: the catalog has it, but its directory is gone",
        [STORE_FAULT_DAEMON] = "mount: its daemon died while it was mounted",
        [STORE_FAULT_EPHEMERAL] = "mount: to be forgotten when it was unmounted, and still there",
        [STORE_FAULT_VOLUME_DIR] = "volume: a directory that the catalog does not know",
        [STORE_FAULT_VOLUME_ROW] = "volume: the catalog has it, but its directory is gone",
        [STORE_FAULT_VOLUME_RENAME] = "volume: a rename of it was interrupted",
    };
    return WORDS[fault];
}
