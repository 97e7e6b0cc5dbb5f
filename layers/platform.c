/* SPDX-License-Identifier: MIT
 *
 * Duty: name this machine as images name machines, and say what fits it.
 */
#include "platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

/* What uname(2) calls a machine, and what images call it. */
static const struct {
    const char *machine;
    struct platform platform;
} MACHINES[] = {
    {"x86_64", {"linux", "amd64", ""}},    {"aarch64", {"linux", "arm64", "v8"}},
    {"armv7l", {"linux", "arm", "v7"}},    {"armv6l", {"linux", "arm", "v6"}},
    {"armv8l", {"linux", "arm", "v7"}},    {"i686", {"linux", "386", ""}},
    {"i586", {"linux", "386", ""}},        {"i386", {"linux", "386", ""}},
    {"ppc64le", {"linux", "ppc64le", ""}}, {"s390x", {"linux", "s390x", ""}},
    {"riscv64", {"linux", "riscv64", ""}}, {"loongarch64", {"linux", "loong64", ""}},
    {"mips64", {"linux", "mips64le", ""}},
};

struct platform platform_here(void)
{
    struct utsname name;
    if (uname(&name) == 0) {
        for (size_t i = 0; i < sizeof(MACHINES) / sizeof(MACHINES[0]); i++) {
            if (strcmp(MACHINES[i].machine, name.machine) == 0)
                return MACHINES[i].platform;
        }
    }
    return (struct platform){"linux", "", ""};
}

int platform_parse(const char *word, char text[PLATFORM_TEXT_SIZE], struct platform *platform)
{
    if (snprintf(text, PLATFORM_TEXT_SIZE, "%s", word) >= PLATFORM_TEXT_SIZE)
        return -EINVAL;
    const char **parts[] = {&platform->os, &platform->architecture, &platform->variant};
    unsigned count = 0;
    *platform = (struct platform){"", "", ""};
    for (char *rest = text, *part; (part = strsep(&rest, "/"));) {
        if (count == 3 || *part == 0)
            return -EINVAL;
        *parts[count++] = part;
    }
    return count < 2 ? -EINVAL : 0;
}

char *platform_write(const struct platform *platform, char text[PLATFORM_TEXT_SIZE])
{
    if (!*platform->os && !*platform->architecture)
        snprintf(text, PLATFORM_TEXT_SIZE, "unknown");
    else
        snprintf(text, PLATFORM_TEXT_SIZE, "%.40s/%.40s%s%.40s", platform->os,
                 platform->architecture, *platform->variant ? "/" : "", platform->variant);
    return text;
}

enum platform_fit platform_fit(const struct platform *have, const struct platform *want)
{
    if (!*have->os && !*have->architecture)
        return PLATFORM_UNSAID;
    if (strcmp(have->os, want->os) != 0 || strcmp(have->architecture, want->architecture) != 0)
        return PLATFORM_WRONG;
    return strcmp(have->variant, want->variant) == 0 ? PLATFORM_FITS : PLATFORM_OTHER_VARIANT;
}
