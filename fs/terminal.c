/* SPDX-License-Identifier: MIT
 *
 * Duty: the few sequences that a full screen needs. A row is ended by "erase what is behind", and
 * the last one by "erase what is below", so the screen is never empty in between.
 */
#include "terminal.h"

#include "cell.h"

#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>

#define ENTER "\033[?1049h\033[?25l\033[2J"
#define LEAVE "\033[?25h\033[?1049l"

static void say(const char *text)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t put = write(STDOUT_FILENO, text, length);
        if (put < 0 && errno != EINTR)
            return; /* nobody looks any more */
        text += put > 0 ? put : 0;
        length -= put > 0 ? (size_t)put : 0;
    }
}

int terminal_enter(struct terminal *terminal)
{
    *terminal = (struct terminal){.has_keys = false};
    if (!isatty(STDOUT_FILENO))
        return -ENOTTY;
    if (tcgetattr(STDIN_FILENO, &terminal->before) == 0) {
        struct termios keys = terminal->before;
        keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        keys.c_cc[VMIN] = 0;
        keys.c_cc[VTIME] = 0;
        terminal->has_keys = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
    }
    terminal_measure(terminal);
    say(ENTER);
    return 0;
}

void terminal_leave(const struct terminal *terminal)
{
    say(LEAVE);
    if (terminal->has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal->before);
}

void terminal_measure(struct terminal *terminal)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col;
    terminal->rows = known ? size.ws_row : 24;
    terminal->columns = known ? size.ws_col : 80;
}

/* ---- pictures ---- */

int picture_begin(struct picture *picture, const struct terminal *terminal)
{
    *picture = (struct picture){.terminal = terminal};
    picture->out = open_memstream(&picture->text, &picture->size);
    if (!picture->out)
        return -ENOMEM;
    fputs("\033[H", picture->out);
    return 0;
}

/* `text` without what a terminal would obey; the caller's to free, or NULL. */
static char *clean_text(const char *text)
{
    char *clean = NULL;
    size_t size;
    FILE *out = open_memstream(&clean, &size);
    if (!out)
        return NULL;
    cell_write(out, text);
    if (fclose(out) == 0)
        return clean;
    free(clean);
    return NULL;
}

void picture_row(struct picture *picture, bool bright, const char *format, ...)
{
    va_list arguments;
    cleanup_free char *text = NULL;
    if (picture->row >= picture->terminal->rows)
        return;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    cleanup_free char *clean = text ? clean_text(text) : NULL;
    if (!clean)
        return;
    const unsigned columns = picture->terminal->columns;
    clean[cell_fit(clean, columns)] = 0;
    unsigned width = cell_width(clean);
    fprintf(picture->out, "%s%s%s", picture->row > 0 ? "\r\n" : "", bright ? "\033[7m" : "", clean);
    if (bright)
        fprintf(picture->out, "%*s\033[m", (int)(columns - width), "");
    else if (width < columns)
        fputs("\033[K", picture->out);
    picture->row++;
}

void picture_show(struct picture *picture)
{
    if (picture->row < picture->terminal->rows)
        fputs("\033[J", picture->out);
    if (fclose(picture->out) == 0)
        say(picture->text);
    free(picture->text);
    *picture = (struct picture){0};
}
