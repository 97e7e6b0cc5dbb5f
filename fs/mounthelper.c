/* SPDX-License-Identifier: MIT
 *
 * Duty: read mount(8)'s letters. They say nothing that matters to a union: -n no mtab, -s unknown
 * options are tolerated, -v words, -N a namespace that mount(8) has entered already, -t the type.
 */
#include "mounthelper.h"

#include <string.h>

bool mounthelper_is(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strncmp(slash ? slash + 1 : program, "mount.", strlen("mount.")) == 0;
}

static bool is_letters(const char *word)
{
    return word[0] == '-' && word[1] && strspn(word + 1, "sfnv") == strlen(word + 1);
}

int mounthelper_strip(int argc, char **argv, bool *fake)
{
    int kept = 0;
    *fake = false;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0 && i + 1 < argc) {
            argv[kept++] = argv[i++];
            argv[kept++] = argv[i];
        } else if (strcmp(argv[i], "-N") == 0 || strcmp(argv[i], "-t") == 0) {
            i++;
        } else if (i > 0 && is_letters(argv[i])) {
            *fake = *fake || strchr(argv[i], 'f');
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    return kept;
}
