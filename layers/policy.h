/* SPDX-License-Identifier: MIT
 *
 * Which copy-ups a mount may make: rules in their order, of which the first that speaks of a thing
 * decides, and a budget of bytes that copy-ups may move. What no rule speaks of is allowed. A plain
 * value and pure functions of it; who enforces it is the mount. Of what a rule speaks is said by a
 * glob (pathglob.h).
 */
#ifndef PLYFS_POLICY_H
#define PLYFS_POLICY_H

#include "own.h"

#include <stdbool.h>
#include <stdint.h>

enum policy_act { POLICY_ALLOW, POLICY_WARN, POLICY_DENY, POLICY_ACTS };

enum { POLICY_UNLIMITED = -1 };

struct policy_rule {
    enum policy_act act;
    char *glob;
    int64_t above; /* only files larger than so many bytes; POLICY_UNLIMITED: everything */
};

struct policy {
    struct policy_rule *rules;
    unsigned count;
    int64_t budget; /* bytes; or POLICY_UNLIMITED */
};
#define POLICY_NONE ((struct policy){.budget = POLICY_UNLIMITED})
void policy_finish(struct policy *policy);
#define cleanup_policy cleanup(policy_finish)

/* Puts a rule before the one at `at`, or behind the last. -EINVAL: a glob that names nothing
 * (empty, or with "." or ".." in it). The glob is copied. */
must_check int policy_insert(struct policy *policy, unsigned at, enum policy_act act,
                             const char *glob, int64_t above);
void policy_remove(struct policy *policy, unsigned at);

/* "allow", "warn", "deny", as the catalog and people have them; and back, or -EINVAL. */
const char *policy_act_word(enum policy_act act);
int policy_act_of(const char *word);

/* What is about to be copied up. */
struct policy_case {
    const char
        *path; /* absolute in the mount; "" of what has lost its name: no rule speaks of it */
    bool is_dir;
    uint64_t size;  /* of a file; else 0 */
    uint64_t bytes; /* that will be moved at most */
    uint64_t moved; /* that were moved so far, or are being moved */
};

enum policy_verdict {
    POLICY_ALLOWED,
    POLICY_WARNED, /* allowed, and to be told */
    POLICY_DENIED,
    POLICY_SPENT, /* the budget does not reach */
};

/* The rules first, then the budget. */
enum policy_verdict policy_judge(const struct policy *policy, const struct policy_case *the_case);

#endif
