/* SPDX-License-Identifier: MIT
 *
 * A terminal that a command has for itself: another screen, keys as they are pressed, no cursor.
 * Interrupts stay signals. Plain ANSI sequences, which every terminal of today knows.
 */
#ifndef PLYFS_TERMINAL_H
#define PLYFS_TERMINAL_H

#include "own.h"

#include <stdbool.h>
#include <stdio.h>
#include <termios.h>

struct terminal {
    struct termios before;
    bool has_keys; /* stdin is a terminal as well */
    unsigned rows, columns;
};

/* -ENOTTY: stdout is none. */
must_check int terminal_enter(struct terminal *terminal);
/* Gives back the screen that was there, and the keys. */
void terminal_leave(const struct terminal *terminal);

/* How large it is now; 80x24 where it does not say. */
void terminal_measure(struct terminal *terminal);

/* A picture of it: what is written to it is cut to the terminal's size, a line of text for each
 * row, and shown at once, so that nothing flickers. */
struct picture {
    const struct terminal *terminal;
    FILE *out;
    char *text;
    size_t size;
    unsigned row;
};
must_check int picture_begin(struct picture *picture, const struct terminal *terminal);
/* One row, which may hold any byte; `bright`: in reverse colours. Rows beyond the last are left
 * out. */
void picture_row(struct picture *picture, bool bright, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void picture_show(struct picture *picture);

#endif
