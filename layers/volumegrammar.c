/* SPDX-License-Identifier: MIT
 *
 * Duty: from what was typed to a specification. Two languages lead there: the sections between the
 * colons of -v, and the keys of --mount; what both may say is checked in one place each. A reading
 * fills a specification of its own, which is given away only when nothing was wrong with it.
 */
#include "volumespec.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { TMPFS_PERM = 01777 };

static int refuse(struct volume_fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int refuse(struct volume_fault *fault, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(fault->words, sizeof(fault->words), format, list);
    va_end(list);
    return -EINVAL;
}

static int no_memory(struct volume_fault *fault)
{
    snprintf(fault->words, sizeof(fault->words), "out of memory");
    return -ENOMEM;
}

/* Replaces a text. */
static int set_text(char **slot, const char *text, struct volume_fault *fault)
{
    char *copy = strdup(text);
    if (!copy)
        return no_memory(fault);
    free(*slot);
    *slot = copy;
    return 0;
}

static bool is_word(const char *word, const char *text, size_t length)
{
    return strlen(word) == length && strncmp(word, text, length) == 0;
}

/* ---- what both languages may say ---- */

static int set_destination(struct volume_spec *spec, const char *text, struct volume_fault *fault)
{
    if (*text != '/')
        return refuse(fault, "invalid mount path: '%s' mount path must be absolute", text);
    free(spec->destination);
    spec->destination = volume_path_clean(text);
    if (!spec->destination)
        return no_memory(fault);
    if (spec->destination[1] == 0)
        return refuse(fault, "invalid specification: destination can't be '/'");
    if (strlen(spec->destination) >= PATH_MAX)
        return refuse(fault, "invalid mount path: it is longer than %d bytes", PATH_MAX - 1);
    return 0;
}

/* A directory or file of the host. What begins with a dot is meant from where one is. */
static int set_host_path(struct volume_spec *spec, const char *text, const char *cwd,
                         struct volume_fault *fault)
{
    cleanup_free char *joined = NULL;
    if (*text == '.' && asprintf(&joined, "%s/%s", cwd, text) < 0) {
        joined = NULL;
        return no_memory(fault);
    }
    const char *path = joined ? joined : text;
    if (*path != '/')
        return refuse(fault, "invalid mount path: '%s' mount path must be absolute", text);
    free(spec->source);
    spec->source = volume_path_clean(path);
    if (!spec->source)
        return no_memory(fault);
    if (strlen(spec->source) >= PATH_MAX)
        return refuse(fault, "bind source path is longer than %d bytes", PATH_MAX - 1);
    return 0;
}

/* Whether a path, followed word by word, never leaves where it begins. */
static bool stays_inside(const char *path)
{
    size_t length;
    long depth = 0;
    for (const char *at = path; *at; at += length + (at[length] == '/')) {
        length = strcspn(at, "/");
        if (is_word("..", at, length) && --depth < 0)
            return false;
        depth += length > 0 && !is_word("..", at, length) && !is_word(".", at, length);
    }
    return *path != '/';
}

static int set_subpath(struct volume_spec *spec, const char *text, struct volume_fault *fault)
{
    cleanup_free char *joined = NULL;
    if (!stays_inside(text) || strlen(text) >= PATH_MAX)
        return refuse(fault, "subpath must be a relative path within the volume: '%s'", text);
    if (asprintf(&joined, "/%s", text) < 0) {
        joined = NULL;
        return no_memory(fault);
    }
    cleanup_free char *clean = volume_path_clean(joined);
    if (!clean)
        return no_memory(fault);
    return clean[1] ? set_text(&spec->subpath, clean + 1, fault) : 0;
}

/* ---- modes: "ro,z" ---- */

enum group { ACCESS, LABEL, PROPAGATION, COPY, CONSISTENCY, GROUPS };

static const struct {
    const char *word;
    enum group group;
} MODES[] = {
    {"rw", ACCESS},
    {"ro", ACCESS},
    {"z", LABEL},
    {"Z", LABEL},
    {"shared", PROPAGATION},
    {"rshared", PROPAGATION},
    {"slave", PROPAGATION},
    {"rslave", PROPAGATION},
    {"private", PROPAGATION},
    {"rprivate", PROPAGATION},
    {"nocopy", COPY},
    {"consistent", CONSISTENCY},
    {"cached", CONSISTENCY},
    {"delegated", CONSISTENCY},
};

/* What was said of each group: a word of the table, or NULL. */
struct mode {
    const char *said[GROUPS];
};

/* False when a word is unknown, or is the second of its group. */
static bool read_mode(const char *text, struct mode *mode)
{
    *mode = (struct mode){.said = {NULL}};
    for (;;) {
        size_t length = strcspn(text, ","), i = 0;
        while (i < sizeof(MODES) / sizeof(MODES[0]) && !is_word(MODES[i].word, text, length))
            i++;
        if (i == sizeof(MODES) / sizeof(MODES[0]) || mode->said[MODES[i].group])
            return false;
        mode->said[MODES[i].group] = MODES[i].word;
        text += length;
        if (*text++ == 0)
            return true;
    }
}

static bool says_read_only(const struct mode *mode)
{
    return mode->said[ACCESS] && strcmp(mode->said[ACCESS], "ro") == 0;
}

static bool is_propagation(const char *word)
{
    struct mode mode;
    return read_mode(word, &mode) && mode.said[PROPAGATION] && !strchr(word, ',');
}

/* ---- -v ---- */

/* Cuts the text at its colons; how many parts that made, at most four. */
static unsigned cut_sections(char *text, char *parts[4])
{
    unsigned count = 0;
    while (count < 4) {
        parts[count++] = text;
        text += strcspn(text, ":");
        if (*text == 0)
            break;
        *text++ = 0;
    }
    return count;
}

static int set_short_mode(struct volume_spec *spec, const char *text, struct volume_fault *fault)
{
    struct mode mode;
    if (!read_mode(text, &mode))
        return refuse(fault, "invalid mode: %s", text);
    if (mode.said[PROPAGATION] && spec->kind != VOLUME_KIND_BIND)
        return refuse(fault, "invalid mode: %s: propagation is for a directory of the host", text);
    if (mode.said[COPY] && spec->kind == VOLUME_KIND_BIND)
        return refuse(
            fault, "invalid mode: %s: nothing is ever copied into a directory of the host", text);
    spec->read_only = says_read_only(&mode);
    spec->nocopy = mode.said[COPY] != NULL;
    int err = set_text(&spec->mode, text, fault);
    if (!err && mode.said[PROPAGATION])
        err = set_text(&spec->propagation, mode.said[PROPAGATION], fault);
    return err;
}

static int set_short_source(struct volume_spec *spec, const char *text, const char *cwd,
                            struct volume_fault *fault)
{
    if (*text == '/' || *text == '.') {
        spec->kind = VOLUME_KIND_BIND;
        spec->make_source = true;
        int err = set_host_path(spec, text, cwd, fault);
        return err ? err : set_text(&spec->propagation, "rprivate", fault);
    }
    int err = volume_name_check(text, fault);
    return err ? err : set_text(&spec->source, text, fault);
}

static int read_short(const char *text, const char *cwd, struct volume_spec *spec,
                      struct volume_fault *fault)
{
    struct mode mode;
    char *parts[4];
    cleanup_free char *copy = strdup(text);
    if (!copy)
        return no_memory(fault);
    unsigned count = cut_sections(copy, parts);
    if (count > 3)
        return refuse(fault, "invalid spec: %s: too many colons", text);
    for (unsigned i = 0; i < count; i++) {
        if (*parts[i] == 0)
            return *text ? refuse(fault, "invalid spec: %s: empty section between colons", text)
                         : refuse(fault, "invalid empty volume spec");
    }
    if (count == 2 && read_mode(parts[1], &mode))
        return refuse(fault, "invalid volume specification: '%s': a mode needs a source in front",
                      text);
    int err = count > 1 ? set_short_source(spec, parts[0], cwd, fault) : 0;
    if (!err)
        err = set_destination(spec, parts[count > 1], fault);
    if (!err)
        err = set_text(&spec->mode, "", fault);
    return err || count < 3 ? err : set_short_mode(spec, parts[2], fault);
}

int volume_spec_parse_short(const char *text, const char *cwd, struct volume_spec *spec,
                            struct volume_fault *fault)
{
    cleanup_volume_spec struct volume_spec made = {.kind = VOLUME_KIND_VOLUME, .perm = TMPFS_PERM};
    *spec = (struct volume_spec){0};
    int err = read_short(text, cwd, &made, fault);
    if (!err)
        err = set_text(&made.said, text, fault);
    if (err)
        return err;
    *spec = made;
    made = (struct volume_spec){0};
    return 0;
}

/* ---- --mount ---- */

/* A record while it is read. The type may be said behind what depends on it, so sources, paths and
 * what goes with which type are looked at in the end. */
struct record {
    struct volume_spec *spec;
    struct volume_fault *fault;
    const char *field, *key; /* what is being read */
    char *source, *target;
    char *subpath;
    bool used[VOLUME_KIND_IMAGE + 1]; /* an option of that type was said */
};

static void record_finish(struct record *record)
{
    free(record->source);
    free(record->target);
    free(record->subpath);
}

static int invalid_value(const struct record *record, const char *value)
{
    return refuse(record->fault, "invalid value for %s: %s", record->key, value);
}

static int take_truth(const struct record *record, const char *value, bool *truth)
{
    static const char *const WORDS[] = {"0", "f", "F", "FALSE", "false", "False",
                                        "1", "t", "T", "TRUE",  "true",  "True"};
    for (unsigned i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(value, WORDS[i]) == 0)
            return *truth = i >= 6, 0;
    }
    return invalid_value(record, value);
}

static int take_type(struct record *record, const char *value)
{
    for (unsigned kind = 0; kind <= VOLUME_KIND_IMAGE; kind++) {
        if (strcasecmp(value, volume_kind_word((enum volume_kind)kind)) == 0)
            return record->spec->kind = (enum volume_kind)kind, 0;
    }
    return refuse(record->fault, "invalid mount config for type \"%s\": mount type unknown", value);
}

static int take_source(struct record *record, const char *value)
{
    return set_text(&record->source, value, record->fault);
}

static int take_target(struct record *record, const char *value)
{
    return set_text(&record->target, value, record->fault);
}

static int take_read_only(struct record *record, const char *value)
{
    return take_truth(record, value, &record->spec->read_only);
}

static int take_consistency(struct record *record, const char *value)
{
    struct mode mode;
    bool known = strcmp(value, "default") == 0 ||
                 (read_mode(value, &mode) && mode.said[CONSISTENCY] && !strchr(value, ','));
    return known ? 0 : invalid_value(record, value);
}

static int take_propagation(struct record *record, const char *value)
{
    return is_propagation(value) ? set_text(&record->spec->propagation, value, record->fault)
                                 : invalid_value(record, value);
}

static int take_recursive(struct record *record, const char *value)
{
    if (strcmp(value, "writable") == 0)
        return refuse(record->fault, "invalid value for bind-recursive: writable: what is "
                                     "read-only is so in all that is mounted beneath it too");
    if (strcmp(value, "enabled") != 0 && strcmp(value, "disabled") != 0 &&
        strcmp(value, "readonly") != 0)
        return refuse(record->fault,
                      "invalid value for %s: %s (must be \"enabled\", \"disabled\", \"writable\", "
                      "or \"readonly\")",
                      record->key, value);
    record->spec->one_filesystem = strcmp(value, "disabled") == 0;
    return 0;
}

static int take_nonrecursive(struct record *record, const char *value)
{
    return take_truth(record, value, &record->spec->one_filesystem);
}

static int take_make_source(struct record *record, const char *value)
{
    return take_truth(record, value, &record->spec->make_source);
}

static int take_nocopy(struct record *record, const char *value)
{
    return take_truth(record, value, &record->spec->nocopy);
}

static int take_subpath(struct record *record, const char *value)
{
    return set_text(&record->subpath, value, record->fault);
}

static int take_driver(struct record *record, const char *value)
{
    return *value ? set_text(&record->spec->driver, value, record->fault)
                  : invalid_value(record, value);
}

/* K=V, or K alone. */
static int take_pair(struct record *record, const char *value, struct volume_pairs *pairs)
{
    cleanup_free char *key = strndup(value, strcspn(value, "="));
    if (!key)
        return no_memory(record->fault);
    const char *equals = strchr(value, '=');
    if (*key == 0)
        return invalid_value(record, value);
    int err = volume_pairs_set(pairs, key, equals ? equals + 1 : "");
    return err ? no_memory(record->fault) : 0;
}

static int take_option(struct record *record, const char *value)
{
    return take_pair(record, value, &record->spec->options);
}

static int take_label(struct record *record, const char *value)
{
    return take_pair(record, value, &record->spec->labels);
}

static int take_size(struct record *record, const char *value)
{
    int err = volume_size_parse(value, &record->spec->size);
    return err ? invalid_value(record, value) : 0;
}

/* Octal digits; false for anything else. */
static bool read_perm(const char *text, mode_t *perm)
{
    size_t digits = strspn(text, "01234567");
    unsigned long number = strtoul(text, NULL, 8);
    *perm = (mode_t)number;
    return digits > 0 && digits <= 6 && text[digits] == 0 && number <= 07777;
}

static int take_perm(struct record *record, const char *value)
{
    return read_perm(value, &record->spec->perm) ? 0 : invalid_value(record, value);
}

enum { ANY_KIND = -1 };

static const struct key {
    const char *name;
    int (*take)(struct record *record, const char *value);
    int kind;         /* the type that it is an option of */
    const char *bare; /* what it means to say it without a value; NULL: it needs one */
} KEYS[] = {
    {"type", take_type, ANY_KIND, NULL},
    {"source", take_source, ANY_KIND, NULL},
    {"src", take_source, ANY_KIND, NULL},
    {"target", take_target, ANY_KIND, NULL},
    {"dst", take_target, ANY_KIND, NULL},
    {"destination", take_target, ANY_KIND, NULL},
    {"readonly", take_read_only, ANY_KIND, "true"},
    {"ro", take_read_only, ANY_KIND, "true"},
    {"consistency", take_consistency, ANY_KIND, NULL},
    {"bind-propagation", take_propagation, VOLUME_KIND_BIND, NULL},
    {"bind-recursive", take_recursive, VOLUME_KIND_BIND, NULL},
    {"bind-nonrecursive", take_nonrecursive, VOLUME_KIND_BIND, "true"},
    {"bind-create-src", take_make_source, VOLUME_KIND_BIND, "true"},
    {"volume-nocopy", take_nocopy, VOLUME_KIND_VOLUME, "true"},
    {"volume-subpath", take_subpath, VOLUME_KIND_VOLUME, NULL},
    {"volume-driver", take_driver, VOLUME_KIND_VOLUME, NULL},
    {"volume-opt", take_option, VOLUME_KIND_VOLUME, NULL},
    {"volume-label", take_label, VOLUME_KIND_VOLUME, NULL},
    {"tmpfs-size", take_size, VOLUME_KIND_TMPFS, NULL},
    {"tmpfs-mode", take_perm, VOLUME_KIND_TMPFS, NULL},
    {"image-subpath", take_subpath, VOLUME_KIND_IMAGE, NULL},
};

static const struct key *find_key(const char *name, size_t length)
{
    for (unsigned i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        if (strlen(KEYS[i].name) == length && strncasecmp(KEYS[i].name, name, length) == 0)
            return &KEYS[i];
    }
    return NULL;
}

static int take_field(struct record *record, const char *field)
{
    size_t length = strcspn(field, "=");
    const struct key *key = find_key(field, length);
    bool bare = field[length] == 0;
    if (bare && !(key && key->bare))
        return refuse(record->fault, "invalid field '%s' must be a key=value pair", field);
    if (!key)
        return refuse(record->fault, "unknown option '%.*s' in '%s'", (int)length, field, field);
    record->field = field;
    record->key = key->name;
    if (key->kind != ANY_KIND)
        record->used[key->kind] = true;
    return key->take(record, bare ? key->bare : field + length + 1);
}

/* Takes one field of the record off `at`, in place: what stands between quotes may hold commas, and
 * a quote that is doubled. NULL with `fault` when the quotes are wrong. *last: nothing follows. */
static char *cut_field(char **at, bool *last, struct volume_fault *fault)
{
    char *field = *at, *to = field, *from = field;
    if (*from != '"') {
        from += strcspn(from, ",");
        bool stray = memchr(field, '"', (size_t)(from - field)) != NULL;
        to = from;
        if (stray)
            return (void)refuse(fault, "invalid mount specification: bare \" in a field that does "
                                       "not begin with one"),
                   NULL;
    } else {
        from++;
        for (; *from && (*from != '"' || from[1] == '"'); from++) {
            from += *from == '"';
            *to++ = *from;
        }
        if (*from != '"' || (from[1] && from[1] != ','))
            return (void)refuse(fault, "invalid mount specification: a field's quotes must end "
                                       "where it ends"),
                   NULL;
        from++;
    }
    *last = *from == 0;
    *at = from + !*last;
    *to = 0;
    return field;
}

static int take_fields(struct record *record, char *text)
{
    int err = 0;
    for (bool last = false; !last && !err;) {
        const char *field = cut_field(&text, &last, record->fault);
        err = field ? take_field(record, field) : -EINVAL;
    }
    return err;
}

/* ---- what goes with what ---- */

static int check_mix(const struct record *record)
{
    const char *type = volume_kind_word(record->spec->kind);
    for (unsigned kind = 0; kind <= VOLUME_KIND_IMAGE; kind++) {
        if (record->used[kind] && kind != record->spec->kind)
            return refuse(record->fault, "cannot mix '%s-*' options with mount type '%s'",
                          volume_kind_word((enum volume_kind)kind), type);
    }
    return 0;
}

static int settle_source(struct record *record, const char *cwd)
{
    struct volume_spec *spec = record->spec;
    const char *source = record->source && *record->source ? record->source : NULL;
    bool needed = spec->kind == VOLUME_KIND_BIND || spec->kind == VOLUME_KIND_IMAGE;
    if (!source && needed)
        return refuse(record->fault, "field Source must not be empty");
    if (!source)
        return 0;
    if (spec->kind == VOLUME_KIND_TMPFS)
        return refuse(record->fault, "field Source must not be specified");
    if (spec->kind == VOLUME_KIND_BIND)
        return set_host_path(spec, source, cwd, record->fault);
    int err = spec->kind == VOLUME_KIND_VOLUME ? volume_name_check(source, record->fault) : 0;
    return err ? err : set_text(&spec->source, source, record->fault);
}

static int settle_subpath(struct record *record)
{
    if (!record->subpath)
        return 0;
    if (!record->spec->source)
        return refuse(record->fault, "must not set Subpath when using anonymous volumes");
    return set_subpath(record->spec, record->subpath, record->fault);
}

static int settle(struct record *record, const char *cwd)
{
    struct volume_spec *spec = record->spec;
    int err = check_mix(record);
    if (!err)
        err = settle_source(record, cwd);
    if (!err && !record->target)
        err = refuse(record->fault, "field Target must not be empty");
    if (!err)
        err = set_destination(spec, record->target, record->fault);
    if (!err)
        err = settle_subpath(record);
    if (!err && spec->kind == VOLUME_KIND_BIND && !spec->propagation)
        err = set_text(&spec->propagation, "rprivate", record->fault);
    if (!err && spec->kind == VOLUME_KIND_IMAGE)
        spec->read_only = true;
    return err ? err : set_text(&spec->mode, "", record->fault);
}

/* The words of what settle() refused, with the type in front, as they are known. */
static int in_config(enum volume_kind kind, int err, struct volume_fault *fault)
{
    struct volume_fault bare = *fault;
    if (err == -EINVAL && strncmp(bare.words, "cannot mix", 10) != 0 &&
        strncmp(bare.words, "create ", 7) != 0)
        snprintf(fault->words, sizeof(fault->words), "invalid mount config for type \"%s\": %.440s",
                 volume_kind_word(kind), bare.words);
    return err;
}

int volume_spec_parse_long(const char *text, const char *cwd, struct volume_spec *spec,
                           struct volume_fault *fault)
{
    cleanup_volume_spec struct volume_spec made = {.kind = VOLUME_KIND_VOLUME, .perm = TMPFS_PERM};
    cleanup(record_finish) struct record record = {.spec = &made, .fault = fault};
    cleanup_free char *copy = strdup(text);
    *spec = (struct volume_spec){0};
    if (!copy)
        return no_memory(fault);
    int err = take_fields(&record, copy);
    if (!err)
        err = in_config(made.kind, settle(&record, cwd), fault);
    if (!err)
        err = set_text(&made.said, text, fault);
    if (err)
        return err;
    *spec = made;
    made = (struct volume_spec){0};
    return 0;
}

/* ---- --tmpfs ---- */

static bool is_user(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    return isdigit((unsigned char)*text) && *end == 0 && errno == 0 && number < UINT32_MAX;
}

/* As the kernel reads it: lib/cmdline.c, memparse(). */
static bool is_count(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    const char *end = text + digits;
    return digits > 0 && digits < 19 && (!*end || (strchr("kKmMgG", *end) && !end[1]));
}

static int keep_option(struct volume_spec *spec, const char *key, const char *value,
                       struct volume_fault *fault)
{
    return volume_pairs_set(&spec->options, key, value) == 0 ? 0 : no_memory(fault);
}

/* What it may do that a directory of the host may, as mount(8) says it; the last word counts. 1:
 * it is no such word. */
static int take_tmpfs_flag(struct volume_spec *spec, const char *option, struct volume_fault *fault)
{
    static const char *const FLAGS[] = {"dev", "suid", "exec"};
    const bool is_not = strncmp(option, "no", 2) == 0;
    for (unsigned i = 0; i < sizeof(FLAGS) / sizeof(FLAGS[0]); i++) {
        if (strcmp(option + (is_not ? 2 : 0), FLAGS[i]) == 0)
            return keep_option(spec, FLAGS[i], is_not ? "no" : "yes", fault);
    }
    return 1;
}

/* What only the kernel that makes it has to know. 1: it is no such option. */
static int take_tmpfs_value(struct volume_spec *spec, const char *option,
                            struct volume_fault *fault)
{
    static const struct {
        const char *key;
        bool (*fine)(const char *value);
    } VALUES[] = {
        {"uid", is_user}, {"gid", is_user}, {"nr_inodes", is_count}, {"nr_blocks", is_count}};
    for (unsigned i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        const size_t length = strlen(VALUES[i].key);
        if (strncmp(option, VALUES[i].key, length) != 0 || option[length] != '=')
            continue;
        const char *value = option + length + 1;
        return VALUES[i].fine(value) ? keep_option(spec, VALUES[i].key, value, fault) : 1;
    }
    return 1;
}

static int take_tmpfs_option(struct volume_spec *spec, const char *option,
                             struct volume_fault *fault)
{
    if (strcmp(option, "rw") == 0 || strcmp(option, "ro") == 0)
        return spec->read_only = option[1] == 'o', 0;
    int err = take_tmpfs_flag(spec, option, fault);
    if (err == 1)
        err = take_tmpfs_value(spec, option, fault);
    if (err != 1)
        return err;
    bool fine = strncmp(option, "size=", 5) == 0   ? volume_size_parse(option + 5, &spec->size) == 0
                : strncmp(option, "mode=", 5) == 0 ? read_perm(option + 5, &spec->perm)
                                                   : false;
    return fine ? 0 : refuse(fault, "invalid tmpfs option \"%s\"", option);
}

static int read_tmpfs(const char *text, struct volume_spec *spec, struct volume_fault *fault)
{
    cleanup_free char *copy = strdup(text);
    if (!copy)
        return no_memory(fault);
    char *options = strchr(copy, ':');
    if (options)
        *options++ = 0;
    int err = set_destination(spec, copy, fault);
    for (char *option; !err && (option = strsep(&options, ","));)
        err = take_tmpfs_option(spec, option, fault);
    return err ? err : set_text(&spec->mode, "", fault);
}

int volume_spec_parse_tmpfs(const char *text, struct volume_spec *spec, struct volume_fault *fault)
{
    cleanup_volume_spec struct volume_spec made = {.kind = VOLUME_KIND_TMPFS, .perm = TMPFS_PERM};
    *spec = (struct volume_spec){0};
    int err = read_tmpfs(text, &made, fault);
    if (!err)
        err = set_text(&made.said, text, fault);
    if (err)
        return err;
    *spec = made;
    made = (struct volume_spec){0};
    return 0;
}

/* ---- either ---- */

/* Whether an equals sign comes before any colon; what stands between quotes does not count. */
static bool is_long(const char *text)
{
    bool quoted = false;
    for (; *text; text++) {
        if (*text == '"')
            quoted = !quoted;
        else if (!quoted && (*text == '=' || *text == ':'))
            return *text == '=';
    }
    return false;
}

int volume_spec_parse_any(const char *text, const char *cwd, struct volume_spec *spec,
                          struct volume_fault *fault)
{
    return is_long(text) ? volume_spec_parse_long(text, cwd, spec, fault)
                         : volume_spec_parse_short(text, cwd, spec, fault);
}

/* ---- --volumes-from ---- */

int volume_spec_parse_from(const char *text, char **mount, bool *read_only,
                           struct volume_fault *fault)
{
    struct mode mode = {.said = {NULL}};
    size_t length = strcspn(text, ":");
    *mount = NULL;
    if (length == 0)
        return refuse(fault, "invalid volumes-from specification: '%s'", text);
    if (text[length] == ':' && (!read_mode(text + length + 1, &mode) || mode.said[PROPAGATION] ||
                                mode.said[COPY] || mode.said[CONSISTENCY]))
        return refuse(fault, "invalid mode: %s", text + length + 1);
    *read_only = says_read_only(&mode);
    *mount = strndup(text, length);
    return *mount ? 0 : no_memory(fault);
}

/* ---- names and sizes ---- */

int volume_name_check(const char *name, struct volume_fault *fault)
{
    static const char *const LETTERS =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    size_t length = strlen(name);
    if (length == 1)
        return refuse(fault,
                      "create %s: volume name is too short, names should be at least two "
                      "alphanumeric characters",
                      name);
    if (length == 0 || !isascii((unsigned char)*name) || !isalnum((unsigned char)*name) ||
        strspn(name, LETTERS) != length)
        return refuse(fault,
                      "create %.100s: \"%.100s\" includes invalid characters for a local volume "
                      "name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to "
                      "pass a host directory, use absolute path",
                      name, name);
    if (length > NAME_MAX)
        return refuse(fault, "create %.100s...: volume name is longer than %d bytes", name,
                      NAME_MAX);
    return 0;
}

int volume_size_parse(const char *text, uint64_t *bytes)
{
    static const char UNITS[] = "kmgtp";
    char *end;
    *bytes = 0;
    if (!isdigit((unsigned char)*text))
        return -EINVAL;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (errno != 0)
        return -ERANGE;
    unsigned shift = 0;
    const char *unit = *end ? strchr(UNITS, tolower((unsigned char)*end)) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - UNITS + 1);
        end++;
    }
    if (*end && strcasecmp(end, "b") != 0 && !(unit && strcasecmp(end, "ib") == 0))
        return -EINVAL;
    return __builtin_mul_overflow(number, UINT64_C(1) << shift, bytes) ? -ERANGE : 0;
}
