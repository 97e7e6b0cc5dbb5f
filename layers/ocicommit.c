/* SPDX-License-Identifier: MIT
 *
 * Duty: change a config as a commit does. The older document is copied and edited in memory, so
 * that what is not understood stays; what comes out is read by oci.h like any other. Of the changes
 * each is one line of the table INSTRUCTIONS.
 */
#include "ocicommit.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define BLANKS " \t"

/* What tells of the making of the older image. */
static const char *const STALE[] = {
    "container", "container_config", "docker_version", "id", "parent", "moby.buildkit.cache.v0",
};

/* How far the changes are. */
struct change {
    json_t *run;       /* the member "config" of the new document */
    const char *whole; /* the instruction as it was given */
    bool cmd_set;      /* by a change, not inherited */
    struct oci_fault *fault;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct change *change,
                                                        const char *format, ...)
{
    char why[160];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    snprintf(change->fault->words, sizeof(change->fault->words), "'%.80s': %s", change->whole, why);
    return -EINVAL;
}

/* Gives `value` to a member. A string that is not UTF-8 came as NULL. */
static int set_member(const struct change *change, json_t *object, const char *key, json_t *value)
{
    if (json_object_set_new(object, key, value) == 0)
        return 0;
    return refuse(change, "it is not UTF-8");
}

/* The member `key` of `object`, made where it is missing or null. */
static json_t *ensure(json_t *object, const char *key, json_t *(*make)(void))
{
    json_t *value = json_object_get(object, key);
    if (value && !json_is_null(value))
        return value;
    value = make();
    return json_object_set_new(object, key, value) == 0 ? value : NULL;
}

/* ---- words ---- */

/* Takes the next word off *text, in place: quotes and backslashes are resolved, a blank outside
 * quotes ends it. NULL at the end; *broken where a quote is not closed. */
static char *next_word(char **text, bool *broken)
{
    char *from = *text + strspn(*text, BLANKS), *to = from, *word = from, quote = 0;
    if (!*from)
        return NULL;
    for (; *from && (quote || !strchr(BLANKS, *from)); from++) {
        if (*from == quote)
            quote = 0;
        else if (!quote && (*from == '"' || *from == '\''))
            quote = *from;
        else if (*from == '\\' && quote != '\'' && from[1])
            *to++ = *++from;
        else
            *to++ = *from;
    }
    *broken = quote != 0;
    *text = *from ? from + 1 : from;
    *to = 0;
    return word;
}

/* Calls `each` for every word of `args`. */
static int each_word(struct change *change, char *args,
                     int (*each)(struct change *change, const char *word))
{
    bool broken = false;
    for (char *word; (word = next_word(&args, &broken));) {
        int err = broken ? refuse(change, "a quote is not closed") : each(change, word);
        if (err)
            return err;
    }
    return 0;
}

/* The JSON array of strings that `args` is, or NULL. */
static json_t *array_of(const char *args)
{
    json_t *array = *args == '[' ? json_loads(args, JSON_REJECT_DUPLICATES, NULL) : NULL;
    size_t index;
    const json_t *value;
    json_array_foreach(array, index, value)
    {
        if (!json_is_string(value)) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/* ---- instructions ---- */

/* Nothing at all stands as no member: then what is beneath decides. */
static int set_command(struct change *change, const char *key, const char *args)
{
    json_t *words = array_of(args);
    if (!words)
        words = json_pack("[s, s, s]", "/bin/sh", "-c", args);
    if (words && json_array_size(words) == 0) {
        json_decref(words);
        json_object_del(change->run, key);
        return 0;
    }
    return set_member(change, change->run, key, words);
}

static int change_cmd(struct change *change, char *args)
{
    change->cmd_set = true;
    return set_command(change, "Cmd", args);
}

static int change_entrypoint(struct change *change, char *args)
{
    /* The inherited words were meant for the inherited program. */
    if (!change->cmd_set)
        json_object_del(change->run, "Cmd");
    return set_command(change, "Entrypoint", args);
}

/* Calls `set` for every NAME=VALUE, or once for "NAME all the rest". */
static int each_pair(struct change *change, char *args,
                     int (*set)(struct change *change, const char *pair))
{
    size_t name = strcspn(args, "=" BLANKS);
    if (args[name] == '=')
        return each_word(change, args, set);
    if (!args[name])
        return refuse(change, "it gives no value");
    args[name] = '=';
    char *value = args + name + 1;
    memmove(value, value + strspn(value, BLANKS), strlen(value + strspn(value, BLANKS)) + 1);
    return set(change, args);
}

static int set_env(struct change *change, const char *pair)
{
    size_t name = strcspn(pair, "=");
    if (name == 0 || !pair[name])
        return refuse(change, "'%.60s' is not NAME=VALUE", pair);
    json_t *env = ensure(change->run, "Env", json_array), *value = json_string(pair);
    if (!env || !value) {
        json_decref(value);
        return env ? refuse(change, "it is not UTF-8") : -ENOMEM;
    }
    size_t index;
    const json_t *old;
    json_array_foreach(env, index, old)
    {
        const char *text = json_string_value(old);
        if (text && strncmp(text, pair, name + 1) == 0)
            return json_array_set_new(env, index, value) < 0 ? -ENOMEM : 0;
    }
    return json_array_append_new(env, value) < 0 ? -ENOMEM : 0;
}

static int change_env(struct change *change, char *args)
{
    return each_pair(change, args, set_env);
}

static int set_label(struct change *change, const char *pair)
{
    size_t length = strcspn(pair, "=");
    if (length == 0 || !pair[length])
        return refuse(change, "'%.60s' is not NAME=VALUE", pair);
    json_t *labels = ensure(change->run, "Labels", json_object);
    cleanup_free char *name = strndup(pair, length);
    if (!labels || !name)
        return -ENOMEM;
    return set_member(change, labels, name, json_string(pair + length + 1));
}

static int change_label(struct change *change, char *args)
{
    return each_pair(change, args, set_label);
}

/* Takes a number from 1 to 65535 off *text. */
static bool take_port(const char **text, unsigned *port)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits < 1 || digits > 5)
        return false;
    *port = (unsigned)strtoul(*text, NULL, 10);
    *text += digits;
    return *port >= 1 && *port <= 65535;
}

static bool is_protocol(const char *text)
{
    return strcmp(text, "/tcp") == 0 || strcmp(text, "/udp") == 0 || strcmp(text, "/sctp") == 0;
}

static int set_port(struct change *change, const char *word)
{
    const char *rest = word;
    unsigned from = 0, to = 0;
    bool good = take_port(&rest, &from);
    to = from;
    if (good && *rest == '-') {
        rest++;
        good = take_port(&rest, &to) && to >= from;
    }
    const char *protocol = *rest ? rest : "/tcp";
    if (!good || !is_protocol(protocol))
        return refuse(change, "'%.60s' is no port", word);
    json_t *ports = ensure(change->run, "ExposedPorts", json_object);
    for (unsigned port = from; port <= to; port++) {
        char key[16];
        snprintf(key, sizeof(key), "%u%s", port, protocol);
        if (!ports || json_object_set_new(ports, key, json_object()) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int change_expose(struct change *change, char *args)
{
    return each_word(change, args, set_port);
}

static int change_user(struct change *change, char *args)
{
    return set_member(change, change->run, "User", json_string(args));
}

static int set_volume(struct change *change, const char *path)
{
    if (*path != '/')
        return refuse(change, "'%.60s' is no absolute path", path);
    json_t *volumes = ensure(change->run, "Volumes", json_object);
    return volumes ? set_member(change, volumes, path, json_object()) : -ENOMEM;
}

static int change_volume(struct change *change, char *args)
{
    json_t *paths = array_of(args);
    if (!paths)
        return each_word(change, args, set_volume);
    int err = 0;
    size_t index;
    const json_t *path;
    json_array_foreach(paths, index, path)
    {
        if (!err)
            err = set_volume(change, json_string_value(path));
    }
    json_decref(paths);
    return err;
}

static int change_workdir(struct change *change, char *args)
{
    if (*args == '/')
        return set_member(change, change->run, "WorkingDir", json_string(args));
    const char *former = json_string_value(json_object_get(change->run, "WorkingDir"));
    if (!former || !*former)
        former = "/";
    bool slash = former[strlen(former) - 1] == '/';
    cleanup_free char *joined = NULL;
    if (asprintf(&joined, "%s%s%s", former, slash ? "" : "/", args) < 0) {
        joined = NULL;
        return -ENOMEM;
    }
    return set_member(change, change->run, "WorkingDir", json_string(joined));
}

static const struct instruction {
    const char *name;
    int (*apply)(struct change *change, char *args); /* args: not empty, to be written over */
} INSTRUCTIONS[] = {
    {"CMD", change_cmd},       {"ENTRYPOINT", change_entrypoint}, {"ENV", change_env},
    {"EXPOSE", change_expose}, {"LABEL", change_label},           {"USER", change_user},
    {"VOLUME", change_volume}, {"WORKDIR", change_workdir},
};

static const struct instruction *find_instruction(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(INSTRUCTIONS) / sizeof(INSTRUCTIONS[0]); i++) {
        const struct instruction *at = &INSTRUCTIONS[i];
        if (strlen(at->name) == length && strncasecmp(at->name, name, length) == 0)
            return at;
    }
    return NULL;
}

static int apply_change(struct change *change, const char *text)
{
    text += strspn(text, BLANKS);
    change->whole = text;
    size_t length = strcspn(text, "=" BLANKS);
    const struct instruction *instruction = find_instruction(text, length);
    if (!instruction)
        return refuse(change, "not one of CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR");
    text += length + (text[length] == '=');
    text += strspn(text, BLANKS);
    cleanup_free char *args = strdup(text);
    if (!args)
        return -ENOMEM;
    for (size_t end = strlen(args); end > 0 && strchr(BLANKS "\n", args[end - 1]); end--)
        args[end - 1] = 0;
    return *args ? instruction->apply(change, args) : refuse(change, "it says nothing");
}

/* ---- the document ---- */

static char *rfc3339(char text[40], int64_t when)
{
    const time_t seconds = (time_t)(when / 1000000000);
    struct tm tm;
    char date[24];
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, 40, "%s.%09dZ", date, (int)(when % 1000000000));
    return text;
}

static json_t *first_document(void)
{
    struct platform here = platform_here();
    json_t *json =
        json_pack("{s:s, s:s, s:{}, s:{s:s, s:[]}, s:[]}", "architecture", here.architecture, "os",
                  here.os, "config", "rootfs", "type", "layers", "diff_ids", "history");
    if (json && *here.variant && json_object_set_new(json, "variant", json_string(here.variant)))
        return json_decref(json), NULL;
    return json;
}

static json_t *copy_document(const struct oci_config *base)
{
    json_t *json = json_deep_copy(base->json);
    for (size_t i = 0; json && i < sizeof(STALE) / sizeof(STALE[0]); i++)
        json_object_del(json, STALE[i]);
    return json;
}

/* Lines of history and layers are counted against each other by other readers; so layers of the
 * base that have no line get an empty one. */
static int pad_history(json_t *history, const struct oci_config *base)
{
    size_t lines = 0;
    for (size_t i = 0; i < base->history_count; i++)
        lines += !base->history[i].empty;
    for (; lines < base->diff_ids.count; lines++) {
        if (json_array_append_new(history, json_object()) < 0)
            return -ENOMEM;
    }
    return 0;
}

static int add_history(json_t *json, const struct oci_commit *commit, const char *created)
{
    json_t *history = ensure(json, "history", json_array);
    if (!history || (commit->base && pad_history(history, commit->base)))
        return -ENOMEM;
    /* "s*": left out where it is NULL. */
    json_t *line = json_pack("{s:s, s:s, s:s*}", "created", created, "created_by",
                             commit->created_by, "comment", commit->comment);
    if (!line)
        return -EINVAL;
    if (!commit->diff_id && json_object_set_new(line, "empty_layer", json_true()) < 0) {
        json_decref(line);
        return -ENOMEM;
    }
    return json_array_append_new(history, line) < 0 ? -ENOMEM : 0;
}

static int add_layer(json_t *json, const char *diff_id)
{
    json_t *ids = ensure(json_object_get(json, "rootfs"), "diff_ids", json_array);
    char digest[sizeof("sha256:") + DIGEST_HEX_SIZE];
    snprintf(digest, sizeof(digest), "sha256:%s", diff_id);
    return ids && json_array_append_new(ids, json_string(digest)) == 0 ? 0 : -ENOMEM;
}

static int edit_document(json_t *json, const struct oci_commit *commit, struct oci_fault *fault)
{
    char created[40];
    rfc3339(created, commit->created);
    if (json_object_set_new(json, "created", json_string(created)) < 0)
        return -ENOMEM;
    int err = add_history(json, commit, created);
    if (err == -EINVAL)
        snprintf(fault->words, sizeof(fault->words), "the message is not UTF-8");
    if (!err && commit->diff_id)
        err = add_layer(json, commit->diff_id);
    struct change change = {.run = ensure(json, "config", json_object), .fault = fault};
    if (!err && !change.run)
        err = -ENOMEM;
    for (size_t i = 0; !err && i < commit->change_count; i++)
        err = apply_change(&change, commit->changes[i]);
    return err;
}

int oci_config_commit(const struct oci_commit *commit, struct oci_config *config,
                      struct oci_fault *fault)
{
    *config = (struct oci_config){0};
    fault->words[0] = 0;
    json_t *json = commit->base ? copy_document(commit->base) : first_document();
    if (!json)
        return -ENOMEM;
    int err = edit_document(json, commit, fault);
    cleanup_free char *text = err ? NULL : json_dumps(json, JSON_COMPACT);
    json_decref(json);
    if (err)
        return err;
    return text ? oci_config_parse(text, strlen(text), config, fault) : -ENOMEM;
}
