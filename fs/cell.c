/* SPDX-License-Identifier: MIT
 *
 * Duty: decode UTF-8 whatever the user's locale is, and judge each character. The C library knows
 * how wide characters are, in a UTF-8 locale; where it has none, every character counts as one.
 * Cost: a locale is made once and kept; two calls of the C library a character.
 */
#include "cell.h"

#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static locale_t utf8;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void)
{
    utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* Enters the UTF-8 locale for this thread; what it gives is for leave(). */
static locale_t enter(void)
{
    pthread_once(&once, make_locale);
    return utf8 ? uselocale(utf8) : (locale_t)0;
}

static void leave(locale_t before)
{
    if (before)
        uselocale(before);
}

/* The length of the character at `text`; 0 where there is none, and the byte stands for itself. */
static size_t decode(const char *text, wchar_t *character)
{
    mbstate_t state = {0};
    size_t length = mbrtowc(character, text, strlen(text), &state);
    return length == (size_t)-1 || length == (size_t)-2 ? 0 : length;
}

/* Marks of direction turn what follows them around: as bad as a moved cursor. */
static bool is_harmless(wchar_t character)
{
    bool turns = (character >= 0x202a && character <= 0x202e) ||
                 (character >= 0x2066 && character <= 0x2069);
    return !iswcntrl((wint_t)character) && !turns;
}

static void write_escaped(FILE *out, wchar_t character)
{
    if (character == '\n')
        fputs("\\n", out);
    else if (character == '\t')
        fputs("\\t", out);
    else
        fprintf(out, character < 0x80 ? "\\x%02x" : "\\u{%x}", (unsigned)character);
}

void cell_write(FILE *out, const char *text)
{
    locale_t before = enter();
    while (*text) {
        wchar_t character;
        size_t length = decode(text, &character);
        if (length == 0)
            fprintf(out, "\\x%02x", (unsigned char)*text);
        else if (is_harmless(character))
            fwrite(text, 1, length, out);
        else
            write_escaped(out, character);
        text += length ? length : 1;
    }
    leave(before);
}

/* How many columns the character at `text` takes, and of how many bytes it is. */
static unsigned columns_of(const char *text, size_t *length)
{
    wchar_t character;
    *length = decode(text, &character);
    int columns = *length ? wcwidth(character) : 1;
    *length += *length == 0;
    return columns < 0 ? 1 : (unsigned)columns;
}

void cell_write_raw(FILE *out, const char *text)
{
    if (isatty(fileno(out)))
        cell_write(out, text);
    else
        fputs(text, out);
}

unsigned cell_width(const char *text)
{
    unsigned width = 0;
    locale_t before = enter();
    for (size_t length; *text; text += length)
        width += columns_of(text, &length);
    leave(before);
    return width;
}

size_t cell_fit(const char *text, unsigned columns)
{
    size_t at = 0, length;
    locale_t before = enter();
    for (unsigned used = 0; text[at]; at += length) {
        used += columns_of(text + at, &length);
        if (used > columns)
            break;
    }
    leave(before);
    return at;
}
