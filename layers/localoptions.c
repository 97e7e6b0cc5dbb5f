/* SPDX-License-Identifier: MIT
 *
 * Duty: the options of the driver "local", from pairs to a plan. Docker hands type, device and o to
 * mount(2), where nobody reads them as a command line; mount(8) does, so each is held to what it
 * may be before it gets there.
 */
#include "localoptions.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* "o" and "type" mean nothing without a device, nor a device without a type. */
static const struct {
    const char *given, *needed;
} NEEDED[] = {
    {"device", "type"},
    {"o", "device"},
    {"o", "type"},
    {"type", "device"},
};

static const char *const KNOWN[] = {"type", "device", "o", "size"};

/* What would make mount(8) do something else than mount the device on the volume. */
static const char *const OTHER_ACTS[] = {"remount", "move", "bind", "rbind"};

#define COUNT_OF(table) (sizeof(table) / sizeof((table)[0]))

__attribute__((format(printf, 2, 3))) static int wrong(struct volume_fault *fault,
                                                       const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(fault->words, sizeof(fault->words), format, args);
    va_end(args);
    return -EINVAL;
}

void local_options_finish(struct local_options *local)
{
    free(local->type);
    free(local->device);
    free(local->flags);
    *local = (struct local_options){0};
}

/* ---- the words of "o" ---- */

/* Whether the word of `length` bytes is `word`. */
static bool is_word(const char *at, size_t length, const char *word)
{
    return strlen(word) == length && memcmp(at, word, length) == 0;
}

static bool has_word(const char *list, const char *word)
{
    while (list) {
        size_t length = strcspn(list, ",");
        if (is_word(list, length, word))
            return true;
        list = list[length] ? list + length + 1 : NULL;
    }
    return false;
}

static bool has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return true;
    }
    return false;
}

/* No word of a bind means anything but what is here. */
static int check_bind_words(const char *list, struct volume_fault *fault)
{
    static const char *const words[] = {"bind", "rbind", "rw", "ro"};
    while (list) {
        size_t length = strcspn(list, ","), i = 0;
        while (i < COUNT_OF(words) && !is_word(list, length, words[i]))
            i++;
        if (i == COUNT_OF(words))
            return wrong(fault, "invalid option of a bind: \"%.*s\"", (int)length, list);
        list = list[length] ? list + length + 1 : NULL;
    }
    return 0;
}

static int check_mount_words(const char *list, struct volume_fault *fault)
{
    if (!*list || *list == ',' || strstr(list, ",,") || list[strlen(list) - 1] == ',')
        return wrong(fault, "an empty word in the option \"o\": \"%s\"", list);
    for (unsigned i = 0; i < COUNT_OF(OTHER_ACTS); i++) {
        if (has_word(list, OTHER_ACTS[i]))
            return wrong(fault, "invalid mount option: \"%s\"", OTHER_ACTS[i]);
    }
    return 0;
}

/* ---- size ---- */

/* Bytes, with k, m, g or t behind, and perhaps "b" or "ib": powers of 1024. */
static int read_size(const char *text, uint64_t *bytes, struct volume_fault *fault)
{
    static const char units[] = "kmgt";
    char *end = NULL;
    errno = 0;
    unsigned long long number = isdigit((unsigned char)*text) ? strtoull(text, &end, 10) : 0;
    bool whole = end && errno == 0;
    const char *unit = whole && *end ? strchr(units, tolower((unsigned char)*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    if (unit)
        end++;
    if (whole && *end)
        whole = strcasecmp(end, "b") == 0 || (unit && strcasecmp(end, "ib") == 0);
    if (!whole || number == 0 || number > UINT64_MAX >> shift)
        return wrong(fault, "invalid size: '%s'", text);
    *bytes = (uint64_t)number << shift;
    return 0;
}

/* ---- plans ---- */

static int check_keys(const struct volume_pairs *options, struct volume_fault *fault)
{
    for (unsigned i = 0; i < options->count; i++) {
        unsigned known = 0;
        while (known < COUNT_OF(KNOWN) && strcmp(options->at[i].key, KNOWN[known]) != 0)
            known++;
        if (known == COUNT_OF(KNOWN))
            return wrong(fault, "invalid option: \"%s\"", options->at[i].key);
        if (has_control(options->at[i].value))
            return wrong(fault, "a control character in the option \"%s\"", options->at[i].key);
    }
    return 0;
}

/* A tmpfs has no device to speak of; Docker wants one all the same. */
static int check_needed(const struct volume_pairs *options, struct volume_fault *fault)
{
    const char *type = volume_pairs_get(options, "type");
    bool tmpfs = type && strcmp(type, "tmpfs") == 0;
    for (unsigned i = 0; i < COUNT_OF(NEEDED); i++) {
        const char *value = volume_pairs_get(options, NEEDED[i].needed);
        if (!volume_pairs_get(options, NEEDED[i].given) || (value && *value))
            continue;
        if (!tmpfs || strcmp(NEEDED[i].needed, "device") != 0)
            return wrong(fault, "missing required option: \"%s\"", NEEDED[i].needed);
    }
    return 0;
}

static int check_type(const char *type, struct volume_fault *fault)
{
    const char *at = type;
    while (islower((unsigned char)*at) ||
           (at > type && (isdigit((unsigned char)*at) || *at == '_' || *at == '.')))
        at++;
    return *at || at == type ? wrong(fault, "invalid filesystem type: \"%s\"", type) : 0;
}

static int plan_bind(const char *device, struct local_options *local, struct volume_fault *fault)
{
    local->kind = LOCAL_BIND;
    if (!device)
        return wrong(fault, "missing required option: \"device\"");
    if (*device != '/')
        return wrong(fault, "the device of a bind is no absolute path: '%s'", device);
    local->device = volume_path_clean(device);
    return local->device ? 0 : -ENOMEM;
}

static const char ADDRESS[] = "addr=";

/* The word of the list that begins with ADDRESS, or NULL. */
static const char *find_address(const char *list)
{
    while (list && strncmp(list, ADDRESS, strlen(ADDRESS)) != 0) {
        list = strchr(list, ',');
        list = list ? list + 1 : NULL;
    }
    return list;
}

/* The address at the word `at` of the list, and the list without that word: NULL when there is no
 * other. */
static int split_address(const char *list, const char *at, char **address, char **flags)
{
    size_t length = strcspn(at, ","), before = (size_t)(at - list);
    const char *after = at[length] ? at + length + 1 : at + length;
    *address = strndup(at + strlen(ADDRESS), length - strlen(ADDRESS));
    if (before > 0 && !*after)
        before--; /* the comma */
    bool rest = before > 0 || *after;
    if (rest && asprintf(flags, "%.*s%s", (int)before, list, after) < 0)
        *flags = NULL;
    return !*address || (rest && !*flags) ? -ENOMEM : 0;
}

/* mount(2) takes the server of an nfs from "addr=", and so do people: o=addr=HOST, device=:/PATH.
 * mount(8) wants it in front of the path. */
static int plan_nfs(const char *device, const char *list, const char *at,
                    struct local_options *local)
{
    cleanup_free char *address = NULL;
    int err = split_address(list, at, &address, &local->flags);
    if (err)
        return err;
    bool six = strchr(address, ':') && *address != '[';
    int made =
        asprintf(&local->device, "%s%s%s%s", six ? "[" : "", address, six ? "]" : "", device);
    if (made < 0)
        local->device = NULL;
    return local->device ? 0 : -ENOMEM;
}

static int plan_mount(const char *type, const char *device, const char *list,
                      struct local_options *local, struct volume_fault *fault)
{
    local->kind = LOCAL_MOUNT;
    int err = strcmp(type, "none") == 0 ? wrong(fault, "missing \"bind\" in the option \"o\"")
                                        : check_type(type, fault);
    if (!err && list)
        err = check_mount_words(list, fault);
    if (err)
        return err;
    local->read_only = has_word(list, "ro");
    local->type = strdup(type);
    const char *address = find_address(list);
    if (strncmp(type, "nfs", 3) == 0 && *device == ':' && address) {
        err = plan_nfs(device, list, address, local);
        return err || local->type ? err : -ENOMEM;
    }
    local->device = strdup(*device ? device : "tmpfs");
    local->flags = list ? strdup(list) : NULL;
    return local->type && local->device && (!list || local->flags) ? 0 : -ENOMEM;
}

static int plan(const struct volume_pairs *options, struct local_options *local,
                struct volume_fault *fault)
{
    const char *type = volume_pairs_get(options, "type"), *o = volume_pairs_get(options, "o");
    const char *device = volume_pairs_get(options, "device");
    const char *size = volume_pairs_get(options, "size");
    int err = check_keys(options, fault);
    if (!err)
        err = check_needed(options, fault);
    if (!err && size)
        err = read_size(size, &local->limit, fault);
    if (err || !type)
        return err;
    if (has_word(o, "bind") || has_word(o, "rbind")) {
        local->read_only = has_word(o, "ro");
        err = check_bind_words(o, fault);
        return err ? err : plan_bind(device, local, fault);
    }
    return plan_mount(type, device ? device : "", o && *o ? o : NULL, local, fault);
}

int local_options_read(const struct volume_pairs *options, struct local_options *local,
                       struct volume_fault *fault)
{
    *local = (struct local_options){0};
    fault->words[0] = 0;
    int err = plan(options, local, fault);
    if (err)
        local_options_finish(local);
    return err;
}
