/* SPDX-License-Identifier: MIT
 *
 * Duty: the one caller of libcurl. It may speak HTTP to the place it was given, and nothing else:
 * no other scheme, no redirect, no proxy, no compression that could swell.
 *
 * Cost: one connection for each question, as Docker's plug-ins expect; headers and body are counted
 * together against the same bound, since libcurl keeps headers too. libcurl itself is loaded when a
 * plug-in is spoken to for the first time: with all that it needs in turn it would take almost half
 * of the time in which any other command starts.
 */
#include "pluginpost.h"

#include "moment.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

/* What is used of it. */
static struct {
    CURL *(*init)(void);
    CURLcode (*set)(CURL *curl, CURLoption option, ...);
    CURLcode (*get)(CURL *curl, CURLINFO info, ...);
    CURLcode (*perform)(CURL *curl);
    void (*finish)(CURL *curl);
    const char *(*words)(CURLcode code);
    struct curl_slist *(*append)(struct curl_slist *list, const char *text);
    void (*free_all)(struct curl_slist *list);
} lib;
static char unloaded[256]; /* why it is not there; "" when it is */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    const struct {
        const char *name;
        void *place;
    } calls[] = {
        {"curl_easy_init", &lib.init},      {"curl_easy_setopt", &lib.set},
        {"curl_easy_getinfo", &lib.get},    {"curl_easy_perform", &lib.perform},
        {"curl_easy_cleanup", &lib.finish}, {"curl_easy_strerror", &lib.words},
        {"curl_slist_append", &lib.append}, {"curl_slist_free_all", &lib.free_all},
    };
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; library && i < sizeof(calls) / sizeof(calls[0]); i++) {
        void *call = dlsym(library, calls[i].name);
        memcpy(calls[i].place, &call, sizeof(call));
        if (!call)
            library = NULL;
    }
    const char *why = library ? "" : dlerror();
    snprintf(unloaded, sizeof(unloaded), "%s", why ? why : "libcurl.so.4 lacks what is needed");
}

struct pluginpost {
    CURL *curl;
    struct curl_slist *headers;
    const struct pluginplace *place;
    char *body;
    size_t size, room, headed;
    bool too_much;
    char words[CURL_ERROR_SIZE];
};

/* ---- what comes in ---- */

static bool is_too_much(struct pluginpost *post, size_t more)
{
    if (post->size + post->headed + more > PLUGINPOST_MOST)
        post->too_much = true;
    return post->too_much;
}

/* Anything but `count` ends the transfer. */
static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct pluginpost *post = context;
    (void)data;
    (void)size; /* always 1 */
    if (is_too_much(post, count))
        return 0;
    post->headed += count;
    return count;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct pluginpost *post = context;
    (void)size; /* always 1 */
    if (count == 0 || is_too_much(post, count))
        return 0;
    if (post->size + count + 1 > post->room) {
        size_t room = 2 * (post->size + count) + 1;
        char *larger = realloc(post->body, room);
        if (!larger)
            return 0;
        post->body = larger;
        post->room = room;
    }
    memcpy(post->body + post->size, data, count);
    post->size += count;
    return count;
}

static void forget_answer(struct pluginpost *post)
{
    free(post->body);
    post->body = NULL;
    post->size = post->room = post->headed = 0;
    post->too_much = false;
    post->words[0] = 0;
}

/* ---- a life ---- */

static CURLcode set_tls(struct pluginpost *post)
{
    const struct pluginplace *place = post->place;
    CURLcode code = CURLE_OK;
    if (place->ca)
        code = lib.set(post->curl, CURLOPT_CAINFO, place->ca);
    if (!code && place->certificate)
        code = lib.set(post->curl, CURLOPT_SSLCERT, place->certificate);
    if (!code && place->key)
        code = lib.set(post->curl, CURLOPT_SSLKEY, place->key);
    if (!code && place->trusting)
        code = lib.set(post->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    if (!code && place->trusting)
        code = lib.set(post->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    return code;
}

static CURLcode set_up(struct pluginpost *post)
{
    CURL *curl = post->curl;
    CURLcode code = lib.set(curl, CURLOPT_NOSIGNAL, 1L);
    if (!code && post->place->socket)
        code = lib.set(curl, CURLOPT_UNIX_SOCKET_PATH, post->place->socket);
    if (!code)
        code = lib.set(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!code)
        code = lib.set(curl, CURLOPT_PROXY, "");
    if (!code)
        code = lib.set(curl, CURLOPT_FORBID_REUSE, 1L);
    if (!code)
        code = lib.set(curl, CURLOPT_HTTPHEADER, post->headers);
    if (!code)
        code = lib.set(curl, CURLOPT_ERRORBUFFER, post->words);
    if (!code)
        code = lib.set(curl, CURLOPT_HEADERFUNCTION, take_header);
    if (!code)
        code = lib.set(curl, CURLOPT_HEADERDATA, post);
    if (!code)
        code = lib.set(curl, CURLOPT_WRITEFUNCTION, take_body);
    if (!code)
        code = lib.set(curl, CURLOPT_WRITEDATA, post);
    return code ? code : set_tls(post);
}

static bool set_headers(struct pluginpost *post)
{
    /* "Expect:" takes the header away that would cost a plug-in without HTTP/1.1 a second. */
    static const char *const headers[] = {
        "Accept: application/vnd.docker.plugins.v1.2+json",
        "Content-Type: application/json",
        "Expect:",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        struct curl_slist *longer = lib.append(post->headers, headers[i]);
        if (!longer)
            return false;
        post->headers = longer;
    }
    return true;
}

int pluginpost_create(const struct pluginplace *place, struct pluginpost **created,
                      struct plugin_fault *fault)
{
    pthread_once(&once, load);
    if (unloaded[0])
        return plugin_wrong(
            fault, -ENOPKG,
            "a plug-in needs libcurl (the package libcurl4), which cannot be loaded: %s", unloaded);
    struct pluginpost *post = calloc(1, sizeof(*post));
    if (!post)
        return -ENOMEM;
    post->place = place;
    post->curl = lib.init();
    if (post->curl && set_headers(post) && set_up(post) == CURLE_OK) {
        *created = post;
        return 0;
    }
    pluginpost_destroy(post);
    return -ENOMEM;
}

void pluginpost_destroy(struct pluginpost *post)
{
    if (!post)
        return;
    lib.finish(post->curl);
    lib.free_all(post->headers);
    free(post->body);
    free(post);
}

/* ---- asking ---- */

/* What went wrong, and whether the same question may get through a little later. */
static int errno_of(CURLcode code, bool *again)
{
    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        *again = true;
        return -ECONNREFUSED;
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
        *again = true;
        return -ECONNRESET;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
        return -EACCES;
    default:
        return -EBADMSG;
    }
}

static int give_answer(struct pluginpost *post, struct pluginpost_answer *answer)
{
    if (!post->body)
        post->body = malloc(1);
    if (!post->body || lib.get(post->curl, CURLINFO_RESPONSE_CODE, &answer->status))
        return -ENOMEM;
    post->body[post->size] = 0;
    answer->size = post->size;
    answer->body = steal_ptr(&post->body);
    return 0;
}

/* One attempt, with the time that is left. */
static int ask_once(struct pluginpost *post, int64_t end, struct pluginpost_answer *answer,
                    bool *again, struct plugin_fault *fault)
{
    int64_t left = (end - moment_steady()) / (MOMENT_SECOND / 1000);
    *again = false;
    if (left <= 0)
        return plugin_wrong(fault, -ETIMEDOUT, "no answer in time");
    forget_answer(post);
    if (lib.set(post->curl, CURLOPT_TIMEOUT_MS, (long)left) != CURLE_OK)
        return -EINVAL;
    CURLcode code = lib.perform(post->curl);
    int err = errno_of(code, again);
    /* An answer that was begun is all the answer there is; asking again could do the thing twice.
     */
    if (*again && post->headed) {
        *again = false;
        err = -EBADMSG;
    }
    if (post->too_much)
        return plugin_wrong(fault, -EBADMSG, "an answer of more than %d bytes", PLUGINPOST_MOST);
    if (err == -ETIMEDOUT)
        return plugin_wrong(fault, err, "no answer in time");
    if (err)
        return plugin_wrong(fault, err, "%s", post->words[0] ? post->words : lib.words(code));
    return give_answer(post, answer);
}

static void sleep_seconds(int seconds)
{
    struct timespec rest = {.tv_sec = seconds};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        ;
}

int pluginpost_ask(struct pluginpost *post, const char *path, const char *text, int64_t end,
                   struct pluginpost_answer *answer, struct plugin_fault *fault)
{
    static const int pauses[] = {1, 2, 4, 8};
    char url[1024];
    *answer = (struct pluginpost_answer){0};
    int length = snprintf(url, sizeof(url), "%s%s", post->place->url, path);
    if (length < 0 || (size_t)length >= sizeof(url))
        return plugin_wrong(fault, -EINVAL, "its address is too long");
    if (lib.set(post->curl, CURLOPT_URL, url) ||
        lib.set(post->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(text)) ||
        lib.set(post->curl, CURLOPT_COPYPOSTFIELDS, text))
        return -ENOMEM;
    for (unsigned tries = 0;; tries++) {
        bool again;
        int err = ask_once(post, end, answer, &again, fault);
        if (!err || !again || tries == sizeof(pauses) / sizeof(pauses[0]) ||
            moment_steady() + pauses[tries] * MOMENT_SECOND >= end)
            return err;
        sleep_seconds(pauses[tries]);
    }
}
