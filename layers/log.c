/* SPDX-License-Identifier: MIT
 *
 * Duty: messages to stderr, one write(2) each, so that lines of several threads never mix. A name
 * out of a layer or an archive may hold anything: what would speak to a terminal is shown as '?'.
 */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static bool debug_on;
static atomic_bool error_told;

void log_enable_debug(bool on)
{
    debug_on = on;
}

bool log_debug_enabled(void)
{
    return debug_on;
}

void log_clean(char *words)
{
    for (; *words; words++) {
        if ((unsigned char)*words < ' ' || *words == 0x7f)
            *words = '?';
    }
}

__attribute__((format(printf, 2, 0))) static void log_line(const char *prefix, const char *format,
                                                           va_list args)
{
    char line[1024];
    int used = snprintf(line, sizeof(line), "%s", prefix);
    int more = vsnprintf(line + used, sizeof(line) - (size_t)used - 1, format, args);
    size_t length = (size_t)used + (more > 0 ? (size_t)more : 0);
    if (length > sizeof(line) - 2)
        length = sizeof(line) - 2;
    line[length] = 0;
    log_clean(line);
    line[length++] = '\n';
    /* There is nowhere to tell of a failed write to stderr. */
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

bool log_has_told(void)
{
    return atomic_load(&error_told);
}

void log_error(const char *format, ...)
{
    va_list args;
    atomic_store(&error_told, true);
    va_start(args, format);
    log_line("plyfs: ", format, args);
    va_end(args);
}

void log_warning(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_line("plyfs: warning: ", format, args);
    va_end(args);
}

void log_debug(const char *format, ...)
{
    if (!debug_on)
        return;
    va_list args;
    va_start(args, format);
    log_line("plyfs: debug: ", format, args);
    va_end(args);
}
