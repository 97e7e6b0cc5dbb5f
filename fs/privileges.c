/* SPDX-License-Identifier: MIT
 *
 * Duty: give up privileges, in an order in which each step may still be made: the bounding set
 * needs CAP_SETPCAP, Landlock needs no_new_privs.
 */
#include "privileges.h"

#include "log.h"
#include "own.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define BIT(capability) (UINT64_C(1) << (capability))

static const uint64_t KEPT = BIT(CAP_CHOWN) | BIT(CAP_FOWNER) | BIT(CAP_FSETID) |
                             BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_MKNOD) |
                             BIT(CAP_SETFCAP) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_SETUID) |
                             BIT(CAP_SETGID) | BIT(CAP_SYS_ADMIN) | BIT(CAP_MAC_ADMIN) |
                             BIT(CAP_MAC_OVERRIDE);

static void tell(const char *what, int err)
{
    log_warning("keeps %s, which it does not need: %s", what, strerror(err));
}

/* The first number that the kernel does not know is EINVAL. */
static void empty_bounding_set(void)
{
    for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        if (prctl(PR_CAPBSET_READ, capability) == 1 && prctl(PR_CAPBSET_DROP, capability) < 0)
            return tell("its bounding set", errno);
    }
}

static void drop_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {0};
    int done = (int)syscall(SYS_capget, &header, sets);
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        sets[i].permitted &= (uint32_t)(kept >> (32 * i));
        sets[i].effective = sets[i].permitted;
        sets[i].inheritable = 0;
    }
    if (done < 0 || syscall(SYS_capset, &header, sets) < 0)
        tell("its capabilities", errno);
    /* EINVAL: before Linux 4.3, which has no such set. */
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
        tell("its ambient capabilities", errno);
}

/* ---- Landlock ---- */

/* Of linux/landlock.h, which may be older than the kernel. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif

enum { ASK_VERSION = 1, BIND_TCP = 1, CONNECT_TCP = 2, ABSTRACT_SOCKETS = 1, SIGNALS = 2 };
enum { VERSION_WITH_TCP = 4, VERSION_WITH_SCOPES = 6 };

struct ruleset {
    uint64_t files, tcp, scopes;
};

/* No rule allows what the set denies. A kernel knows the members that its version has. */
static void leave_network(void)
{
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, ASK_VERSION);
    if (version < VERSION_WITH_TCP)
        return;
    const bool scopes = version >= VERSION_WITH_SCOPES;
    const struct ruleset rules = {.tcp = BIND_TCP | CONNECT_TCP,
                                  .scopes = scopes ? ABSTRACT_SOCKETS | SIGNALS : 0};
    size_t size = scopes ? sizeof(rules) : offsetof(struct ruleset, scopes);
    cleanup_fd int set = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
    if (set < 0 || syscall(SYS_landlock_restrict_self, set, 0) < 0)
        tell("the network", errno);
}

void privileges_give_up(unsigned needs)
{
    const bool census = needs & PRIVILEGES_CENSUS;
    if (geteuid() != 0)
        return;
    if (!(needs & PRIVILEGES_HELPERS)) {
        empty_bounding_set();
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
            tell("the way to new privileges", errno);
        if (!census)
            leave_network();
    }
    drop_capabilities(census ? KEPT | BIT(CAP_SYS_PTRACE) : KEPT);
}
