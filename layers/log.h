/* SPDX-License-Identifier: MIT
 *
 * The program's one voice on stderr. Levels: an error is for the user, a warning names something
 * that works less well than it could, debug is shown by -d only.
 */
#ifndef PLYFS_LOG_H
#define PLYFS_LOG_H

#include <stdbool.h>

/* Shows debug lines from now on. Call before threads exist. */
void log_enable_debug(bool on);
bool log_debug_enabled(void);

/* Puts '?' for what a terminal would obey: for words that quote what came from outside. */
void log_clean(char *words);

/* Whether an error was told: who fails in the end can see whether anybody has said why. */
bool log_has_told(void);

/* Each writes "plyfs: " and the message, cleaned so, and a newline to stderr, in one write. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
