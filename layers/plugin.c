/* SPDX-License-Identifier: MIT
 *
 * Duty: the words of the volume plug-in protocol, to and fro. Every answer passes through ask(),
 * which lets through a JSON object without an error, or nothing.
 */
#include "plugin.h"

#include "moment.h"
#include "pluginpost.h"

#include <jansson.h>
#include <limits.h>
#include <string.h>

enum { LONG_SECONDS = 120, SHORT_SECONDS = 60 };

struct plugin {
    char *name;
    struct pluginplace place;
    struct pluginpost *post;
    int64_t end; /* moment_steady() at which its caller stops waiting */
};

static void own_json(json_t **json)
{
    json_decref(*json);
}
#define cleanup_json cleanup(own_json)

/* ---- a question and its answer ---- */

/* The whole answer as an object. An empty one is an object without members: some plug-ins have
 * nothing to say when all is well. NULL: it is no object. */
static json_t *parse(const struct pluginpost_answer *answer)
{
    size_t blank = strspn(answer->body, " \t\r\n");
    if (blank == answer->size)
        return json_object();
    json_t *json = json_loadb(answer->body, answer->size, 0, NULL);
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static int judge(const struct plugin *plugin, const char *path,
                 const struct pluginpost_answer *answer, const json_t *json,
                 struct plugin_fault *fault)
{
    const json_t *said = json_object_get(json, "Err");
    const char *words = json_string_value(said);
    if (words && *words)
        return plugin_wrong(fault, -EREMOTEIO, "plugin \"%s\": %s: %s", plugin->name, path + 1,
                            words);
    if (answer->status != 200)
        return plugin_wrong(fault, -EREMOTEIO, "plugin \"%s\": %s: status %ld: %.200s",
                            plugin->name, path + 1, answer->status, answer->body);
    if (!json || (said && !words && !json_is_null(said)))
        return plugin_wrong(fault, -EBADMSG, "plugin \"%s\": %s: its answer makes no sense",
                            plugin->name, path + 1);
    return 0;
}

/* Asks with a question that it takes over; *answer is a JSON object. */
static int ask(struct plugin *plugin, const char *path, int seconds, json_t *question,
               json_t **answer, struct plugin_fault *fault)
{
    struct pluginpost_answer got;
    struct plugin_fault broken = {{0}};
    cleanup_json json_t *asked = question;
    cleanup_free char *text = asked ? json_dumps(asked, JSON_COMPACT) : NULL;
    int64_t end = moment_steady() + seconds * MOMENT_SECOND;
    *answer = NULL;
    if (!text)
        return plugin_wrong(fault, -ENOMEM, "%s", strerror(ENOMEM));
    int err = pluginpost_ask(plugin->post, path, text, end < plugin->end ? end : plugin->end, &got,
                             &broken);
    cleanup_free char *body = got.body;
    (void)body; /* only freed by that name */
    if (err)
        return plugin_wrong(fault, err, "plugin \"%s\": %s: %s", plugin->name, path + 1,
                            broken.words[0] ? broken.words : strerror(-err));
    cleanup_json json_t *json = parse(&got);
    err = judge(plugin, path, &got, json, fault);
    if (!err)
        *answer = json_incref(json);
    return err;
}

/* The same where the answer has nothing to tell. */
static int tell(struct plugin *plugin, const char *path, int seconds, json_t *question,
                struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    return ask(plugin, path, seconds, question, &answer, fault);
}

static json_t *name_alone(const char *name)
{
    return json_pack("{s:s}", "Name", name);
}

static json_t *name_and_id(const char *name, const char *id)
{
    return json_pack("{s:s, s:s}", "Name", name, "ID", id);
}

/* An absolute path that a plug-in said, or NULL where it said none. */
static int take_path(const struct plugin *plugin, const json_t *object, char **path,
                     struct plugin_fault *fault)
{
    const json_t *said = json_object_get(object, "Mountpoint");
    const char *text = json_string_value(said);
    *path = NULL;
    if (!said || json_is_null(said) || (text && !*text))
        return 0;
    if (!text || *text != '/' || strlen(text) >= PATH_MAX)
        return plugin_wrong(fault, -EBADMSG, "plugin \"%s\": a mountpoint that is no path",
                            plugin->name);
    *path = strdup(text);
    return *path ? 0 : plugin_wrong(fault, -ENOMEM, "%s", strerror(ENOMEM));
}

/* ---- a life ---- */

static int activate(struct plugin *plugin, struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    int err = ask(plugin, "/Plugin.Activate", SHORT_SECONDS, json_object(), &answer, fault);
    if (err)
        return err;
    size_t index;
    const json_t *word;
    json_array_foreach(json_object_get(answer, "Implements"), index, word)
    {
        const char *text = json_string_value(word);
        if (text && strcmp(text, "VolumeDriver") == 0)
            return 0;
    }
    return plugin_wrong(fault, -EOPNOTSUPP, "plugin \"%s\" does not implement VolumeDriver",
                        plugin->name);
}

void plugin_allow(struct plugin *plugin, int seconds)
{
    plugin->end = moment_steady() + seconds * MOMENT_SECOND;
}

int plugin_open(const char *name, int seconds, struct plugin **plugin, struct plugin_fault *fault)
{
    *plugin = NULL;
    fault->words[0] = 0;
    cleanup_plugin struct plugin *opened = calloc(1, sizeof(*opened));
    if (!opened || !(opened->name = strdup(name)))
        return plugin_wrong(fault, -ENOMEM, "%s", strerror(ENOMEM));
    opened->end = INT64_MAX;
    if (seconds > 0)
        plugin_allow(opened, seconds);
    int err = pluginplace_find(name, &opened->place, fault);
    if (err)
        return err;
    err = pluginpost_create(&opened->place, &opened->post, fault);
    if (err == -ENOMEM)
        return plugin_wrong(fault, err, "plugin \"%s\": it cannot be spoken to", name);
    if (!err)
        err = activate(opened, fault);
    if (!err)
        *plugin = steal_ptr(&opened);
    return err;
}

void plugin_close(struct plugin *plugin)
{
    if (!plugin)
        return;
    pluginpost_destroy(plugin->post);
    pluginplace_finish(&plugin->place);
    free(plugin->name);
    free(plugin);
}

/* ---- volumes ---- */

static json_t *create_question(const char *name, const struct volume_pairs *options)
{
    json_t *opts = json_object();
    for (unsigned i = 0; i < options->count; i++) {
        if (json_object_set_new(opts, options->at[i].key, json_string(options->at[i].value)) < 0) {
            json_decref(opts);
            return NULL;
        }
    }
    return json_pack("{s:s, s:o}", "Name", name, "Opts", opts);
}

int plugin_create(struct plugin *plugin, const char *name, const struct volume_pairs *options,
                  bool *made, struct plugin_fault *fault)
{
    *made = false;
    int err = plugin_get(plugin, name, NULL, fault);
    if (err != -EREMOTEIO)
        return err;
    err = tell(plugin, "/VolumeDriver.Create", LONG_SECONDS, create_question(name, options), fault);
    *made = err == 0;
    return err;
}

int plugin_get(struct plugin *plugin, const char *name, char **mountpoint,
               struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    int err = ask(plugin, "/VolumeDriver.Get", SHORT_SECONDS, name_alone(name), &answer, fault);
    if (err)
        return err;
    const json_t *volume = json_object_get(answer, "Volume");
    const char *said = json_string_value(json_object_get(volume, "Name"));
    if (!said)
        return plugin_wrong(fault, -EREMOTEIO, "plugin \"%s\": no such volume: %s", plugin->name,
                            name);
    if (strcmp(said, name) != 0)
        return plugin_wrong(fault, -EBADMSG, "plugin \"%s\": asked for %s, it tells of %.200s",
                            plugin->name, name, said);
    return mountpoint ? take_path(plugin, volume, mountpoint, fault) : 0;
}

int plugin_path(struct plugin *plugin, const char *name, char **mountpoint,
                struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    *mountpoint = NULL;
    int err = ask(plugin, "/VolumeDriver.Path", SHORT_SECONDS, name_alone(name), &answer, fault);
    return err ? err : take_path(plugin, answer, mountpoint, fault);
}

int plugin_list(struct plugin *plugin, int (*each)(void *context, const char *name), void *context,
                struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    int err = ask(plugin, "/VolumeDriver.List", SHORT_SECONDS, json_object(), &answer, fault);
    size_t index;
    const json_t *volume;
    json_array_foreach(json_object_get(answer, "Volumes"), index, volume)
    {
        const char *name = json_string_value(json_object_get(volume, "Name"));
        err = name ? each(context, name) : 0;
        if (err)
            break;
    }
    return err;
}

int plugin_remove(struct plugin *plugin, const char *name, struct plugin_fault *fault)
{
    return tell(plugin, "/VolumeDriver.Remove", SHORT_SECONDS, name_alone(name), fault);
}

int plugin_mount(struct plugin *plugin, const char *name, const char *id, char **path,
                 struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    *path = NULL;
    int err =
        ask(plugin, "/VolumeDriver.Mount", LONG_SECONDS, name_and_id(name, id), &answer, fault);
    if (!err)
        err = take_path(plugin, answer, path, fault);
    if (!err && !*path)
        err = plugin_wrong(fault, -EBADMSG, "plugin \"%s\": it mounted %s and does not say where",
                           plugin->name, name);
    return err;
}

int plugin_unmount(struct plugin *plugin, const char *name, const char *id,
                   struct plugin_fault *fault)
{
    return tell(plugin, "/VolumeDriver.Unmount", SHORT_SECONDS, name_and_id(name, id), fault);
}

int plugin_is_global(struct plugin *plugin, bool *global, struct plugin_fault *fault)
{
    cleanup_json json_t *answer = NULL;
    *global = false;
    int err =
        ask(plugin, "/VolumeDriver.Capabilities", SHORT_SECONDS, json_object(), &answer, fault);
    if (err)
        return err == -EREMOTEIO ? 0 : err;
    const json_t *said = json_object_get(json_object_get(answer, "Capabilities"), "Scope");
    const char *scope = json_string_value(said);
    *global = scope && strcasecmp(scope, "global") == 0;
    return 0;
}
