/* SPDX-License-Identifier: MIT
 *
 * Duty: `plyfs mount`, and the drop-in form of the same. Directories said on the command line need
 * no store; a name or an image is looked up there, and the daemon keeps the row true: it says where
 * it is mounted before it serves, and that it is not afterwards.
 */
#include "command.h"

#include "live.h"
#include "log.h"
#include "named.h"
#include "options.h"
#include "plan.h"
#include "ready.h"
#include "remount.h"
#include "serve.h"
#include "unmount.h"
#include "volumewish.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum {
    OPT_LOWER = 256,
    OPT_UPPER,
    OPT_WORK,
    OPT_RO,
    OPT_PROFILE,
    OPT_REDIRECT,
    OPT_METACOPY,
    OPT_INDEX,
    OPT_ROOT,
    OPT_NAME,
    OPT_EPHEMERAL,
    OPT_MOUNT,
    OPT_TMPFS,
    OPT_VOLUMES_FROM,
    OPT_IMAGE_VOLUME,
    OPT_STRICT,
    OPT_TRACE,
    OPT_HELP
};

static const struct option LONG_OPTIONS[] = {
    {"lower", required_argument, NULL, OPT_LOWER},
    {"upper", required_argument, NULL, OPT_UPPER},
    {"work", required_argument, NULL, OPT_WORK},
    {"ro", no_argument, NULL, OPT_RO},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"redirect-dir", required_argument, NULL, OPT_REDIRECT},
    {"metacopy", required_argument, NULL, OPT_METACOPY},
    {"index", required_argument, NULL, OPT_INDEX},
    {"root", required_argument, NULL, OPT_ROOT},
    {"name", required_argument, NULL, OPT_NAME},
    {"rm", no_argument, NULL, OPT_EPHEMERAL},
    {"ephemeral", no_argument, NULL, OPT_EPHEMERAL},
    {"volume", required_argument, NULL, 'v'},
    {"mount", required_argument, NULL, OPT_MOUNT},
    {"tmpfs", required_argument, NULL, OPT_TMPFS},
    {"volumes-from", required_argument, NULL, OPT_VOLUMES_FROM},
    {"image-volume", required_argument, NULL, OPT_IMAGE_VOLUME},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"trace", no_argument, NULL, OPT_TRACE},
    {"foreground", no_argument, NULL, 'f'},
    {"debug", no_argument, NULL, 'd'},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

/* What was asked: a tree wholly by options, or a named mount or image. Strings are argv's. */
struct request {
    struct options options;
    const char *word; /* the name or image */
    const char *root, *name;
    bool ephemeral, helped;
    struct volume_words volumes;
    bool refused;         /* what was said of volumes is what is wrong */
    char *store;          /* where it is; NULL when none is needed */
    struct mount_row row; /* of the named mount */
    bool fresh;           /* it was made for this */
};

static int take_choice(const char *name, const char *value, enum choice *choice)
{
    if (options_parse_choice(value, choice))
        return 0;
    log_error("--%s: '%s' is not a value it takes; it takes on or off", name, value);
    return -EINVAL;
}

static int take_redirect(const char *value, struct options *options)
{
    if (options_parse_redirect(value, options))
        return 0;
    log_error("--redirect-dir: '%s' is not a value it takes; it takes on, off, follow or nofollow",
              value);
    return -EINVAL;
}

static int take_profile(const char *value, enum profile *profile)
{
    if (options_parse_profile(value, profile))
        return 0;
    log_error("--profile: '%s' is not a profile; there are stateless, tracked and auto", value);
    return -EINVAL;
}

static int take_image_volumes(const char *value, int *way)
{
    for (int i = 0; IMAGE_VOLUMES_WORDS[i]; i++) {
        if (strcmp(IMAGE_VOLUMES_WORDS[i], value) == 0)
            return *way = i, 0;
    }
    log_error("--image-volume: '%s' is not a way; there are bind, tmpfs and ignore", value);
    return -EINVAL;
}

static int take_volume_option(struct volume_words *volumes, int option, const char *value)
{
    switch (option) {
    case 'v':
        return words_add(&volumes->shorts, value);
    case OPT_MOUNT:
        return words_add(&volumes->longs, value);
    case OPT_TMPFS:
        return words_add(&volumes->tmpfs, value);
    case OPT_VOLUMES_FROM:
        return words_add(&volumes->from, value);
    case OPT_IMAGE_VOLUME:
        return take_image_volumes(value, &volumes->image_volumes);
    case OPT_STRICT:
        return volumes->strict = true, 0;
    default:
        return -EINVAL;
    }
}

static int take_option(struct request *request, int option, const char *value)
{
    struct options *options = &request->options;
    switch (option) {
    case OPT_ROOT:
        return request->root = value, 0;
    case OPT_NAME:
        return request->name = value, 0;
    case OPT_EPHEMERAL:
        return request->ephemeral = true, 0;
    case OPT_LOWER:
        return options_add_lower(options, value);
    case OPT_UPPER:
        return options_set_string(&options->upper, value);
    case OPT_WORK:
        return options_set_string(&options->work, value);
    case OPT_RO:
        return options->read_only = true, 0;
    case OPT_PROFILE:
        return take_profile(value, &options->profile);
    case OPT_REDIRECT:
        return take_redirect(value, options);
    case OPT_METACOPY:
        return take_choice("metacopy", value, &options->metacopy);
    case OPT_INDEX:
        return take_choice("index", value, &options->index);
    case OPT_TRACE:
        return options->trace = true, 0;
    case 'o':
        return options_take(options, value);
    case 'f':
        return options->foreground = true, 0;
    case 'd':
        return options->debug = true, 0;
    default:
        return take_volume_option(&request->volumes, option, value);
    }
}

/* The last word is the mountpoint. What comes before it is the name or the image of what to mount;
 * in the drop-in form it is a source, which says nothing. */
static int take_words(struct request *request, int count, char **words)
{
    struct options *options = &request->options;
    bool by_name = !options->drop_in && options->lower_count == 0;
    int most = options->drop_in || by_name ? 2 : 1;
    if (count > most) {
        log_error("'%s' is one word too many: there is one mountpoint, %s", words[most],
                  words[most - 1]);
        return -EINVAL;
    }
    if (by_name && count == 2)
        request->word = words[0];
    return count == 0 ? 0 : options_set_string(&options->mountpoint, words[count - 1]);
}

static int take_arguments(struct request *request, int argc, char **argv, const char *usage)
{
    int option, err = 0;
    optind = 1;
    while (!err && (option = getopt_long(argc, argv, ":o:v:fdh", LONG_OPTIONS, NULL)) != -1) {
        if (option == OPT_HELP || option == 'h') {
            fputs(usage, stdout);
            request->helped = true;
            return 0;
        }
        if (option == '?' || option == ':') {
            log_error(option == ':' ? "option %s needs a value" : "unknown option '%s'",
                      argv[optind - 1]);
            return -EINVAL;
        }
        err = take_option(request, option, optarg);
    }
    return err ? err : take_words(request, argc - optind, argv + optind);
}

/* ---- named mounts ---- */

static int make_named(struct store *store, struct request *request, struct volume_specs *specs)
{
    const struct options *options = &request->options;
    cleanup_volume_rows struct volume_rows volumes = {0};
    int err = volume_words_resolve(store, &request->volumes, specs, request->word, &volumes);
    const struct named_wish wish = {
        .name = request->name,
        .image = request->word,
        .lowers = (const char *const *)options->lowers,
        .lower_count = request->word ? 0 : options->lower_count,
        .ephemeral = request->ephemeral,
        .volumes = &volumes,
    };
    if (!err)
        err = named_create(store, &wish, &request->row);
    request->fresh = err == 0;
    request->refused = volumes.refused;
    return err;
}

/* The mount of that name, or one made now from the image of that name. */
static int find_or_make(struct store *store, struct request *request, struct volume_specs *specs)
{
    int err = request->name || request->ephemeral
                  ? -ENOENT
                  : named_find(store, request->word, true, &request->row);
    if (err == -ENOENT)
        return make_named(store, request, specs);
    if (!err && volume_words_any(&request->volumes)) {
        log_error("%s is there already, with the volumes that were said when it was made; plyfs "
                  "attach gives it another while it is mounted",
                  request->row.name);
        request->refused = true;
        return -EINVAL;
    }
    return err;
}

/* What the row says comes first, so that what is said now has the last word. */
static int merge_row(struct store *store, struct request *request, int argc, char **argv)
{
    struct options *options = &request->options;
    bool drop_in = options->drop_in;
    options_finish(options);
    volume_words_finish(&request->volumes);
    options->drop_in = drop_in;
    int err = *request->row.options ? options_take(options, request->row.options) : 0;
    if (!err)
        err = take_arguments(request, argc, argv, "");
    if (!err && (options->lower_count > 0 || options->upper)) {
        log_error("%s has its own layers; --lower and --upper are for a mount without a name",
                  request->word);
        err = -EINVAL;
    }
    return err ? err : named_fill(store, &request->row, options);
}

static int open_store(struct request *request, bool make, struct store **store)
{
    int err = named_open_store(request->root, make, store);
    if (err)
        return err;
    if ((*store)->read_only) {
        log_error("the filesystem of the store %s is read-only, and its mounts are kept there; "
                  "plyfs mount --lower shows the directories that plyfs inspect tells",
                  (*store)->path);
        return -EROFS;
    }
    request->store = strdup((*store)->path);
    return request->store ? 0 : -ENOMEM;
}

static int prepare_named(struct request *request, struct volume_specs *specs, int argc, char **argv)
{
    cleanup_store struct store *store = NULL;
    int err = open_store(request, false, &store);
    if (!err)
        err = find_or_make(store, request, specs);
    return err ? err : merge_row(store, request, argc, argv);
}

/* Directories with volumes that a store has to keep: that is a named mount too. */
static int prepare_directories(struct request *request, struct volume_specs *specs)
{
    struct options *options = &request->options;
    cleanup_store struct store *store = NULL;
    if (options->upper || options->work || options->drop_in) {
        log_error("volumes of a store need a mount that the store keeps, with an upper of its own: "
                  "leave out --upper and --work, or show directories of the host alone");
        request->refused = true;
        return -EINVAL;
    }
    int err = options_check(options);
    if (!err)
        err = open_store(request, true, &store);
    if (err)
        return err;
    err = make_named(store, request, specs);
    options_drop_lowers(options);
    return err ? err : named_fill(store, &request->row, options);
}

/* The store is opened for a moment: the daemon holds its lock and nothing else of it. */
static int tell_mounted(const struct request *request)
{
    char boot[64] = "";
    cleanup_store struct store *store = NULL;
    int err = store_open(request->store, false, &store);
    if (err)
        return err;
    cleanup_fd int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, boot, 36) < 0)
        boot[0] = 0;
    return catalog_set_mounted(store->catalog, request->row.id, request->options.mountpoint,
                               getpid(), boot);
}

/* What was made for a mount that failed goes again. */
static int tell_ended(const struct request *request, bool failed)
{
    cleanup_store struct store *store = NULL;
    int err = store_open(request->store, false, &store);
    if (err)
        return err;
    if (request->row.ephemeral || (request->fresh && failed))
        return named_forget(store, &request->row, true);
    return catalog_set_unmounted(store->catalog, request->row.id);
}

static int lock_named(const struct request *request, int *lock)
{
    cleanup_store struct store *store = NULL;
    int err = store_open(request->store, false, &store);
    return err ? err : named_lock(store, &request->row, lock);
}

/* ---- serving ---- */

static int begin_live(void *context, struct mount *mount)
{
    return live_begin(context, mount);
}

static void end_live(void *context)
{
    live_end(context);
}

static int open_and_serve(struct request *request, struct live *live)
{
    struct mount mount;
    int locks[2];
    const struct serve_guest guest = {.begin = begin_live, .end = end_live, .context = live};
    unmount_dead_path(request->options.mountpoint);
    int err = plan_open(&request->options, &mount, locks);
    if (err)
        return err;
    if (request->store)
        err = tell_mounted(request);
    if (!err)
        err = serve_run(&request->options, &mount, &guest);
    /* The locks go first: whoever mounts the same upper next should not wait for memory to be
     * freed. */
    own_close(&locks[0]);
    own_close(&locks[1]);
    mount_finish(&mount);
    return err;
}

/* The rest happens in the process that will serve. */
static int mount_and_serve(struct request *request)
{
    cleanup_fd int lock = -1;
    struct live live = {.store = request->store, .row = &request->row};
    if (!request->store)
        return open_and_serve(request, &live);
    int err = lock_named(request, &lock);
    if (err)
        return err;
    request->options.attachable = true;
    err = live_prepare(&live, &request->options.routes);
    if (!err)
        err = open_and_serve(request, &live);
    live_finish(&live);
    int told = tell_ended(request, err != 0);
    return err ? err : told;
}

static void request_finish(struct request *request)
{
    options_finish(&request->options);
    mount_row_finish(&request->row);
    volume_words_finish(&request->volumes);
    free(request->store);
}

static int prepare_volumes(struct request *request, int argc, char **argv)
{
    cleanup_volume_specs struct volume_specs specs = {0};
    bool named = request->name || request->ephemeral;
    int err = volume_words_parse(&request->volumes, &specs);
    request->refused = err == -EINVAL;
    if (err)
        return err;
    if (request->word)
        return prepare_named(request, &specs, argc, argv);
    if (volume_words_need_store(&request->volumes, &specs))
        return prepare_directories(request, &specs);
    if (named) {
        log_error(
            "--name and --rm are for an image: plyfs mount [--name N] [--rm] IMAGE MOUNTPOINT");
        return -EINVAL;
    }
    err = volume_words_route(&request->volumes, &specs, &request->options.routes);
    request->refused = err == -EINVAL;
    return err;
}

static int prepare(struct request *request, int argc, char **argv, const char *usage)
{
    int err = take_arguments(request, argc, argv, usage);
    if (err || request->helped)
        return err;
    if (!request->options.remount)
        err = prepare_volumes(request, argc, argv);
    return err ? err : options_check(&request->options);
}

static int serve(struct request *request)
{
    log_enable_debug(request->options.debug);
    umask(022);
    int err = 0;
    if (!request->options.foreground && !request->options.debug)
        err = ready_background();
    if (!err)
        err = mount_and_serve(request);
    if (err && !log_has_told())
        log_error("cannot mount on %s: %s", request->options.mountpoint, strerror(-err));
    ready_tell(err ? 1 : 0);
    return err;
}

static int act(struct request *request)
{
    return request->options.remount ? remount_run(&request->options) : serve(request);
}

/* The status is 125 where volumes are refused, as of a container that is asked for in such words.
 */
static int run(int argc, char **argv, bool drop_in, const char *usage)
{
    struct request request = {.helped = false};
    options_init(&request.options);
    request.options.drop_in = drop_in;
    int err = prepare(&request, argc, argv, usage);
    int status = !err ? 0 : request.refused ? 125 : 1;
    if (!err && !request.helped && act(&request) != 0)
        status = 1;
    request_finish(&request);
    return status;
}

static const char USAGE[] =
    "usage: plyfs mount --lower DIR [--lower DIR]... [--upper DIR [--work DIR]] [option]... "
    "MOUNTPOINT\n"
    "       plyfs mount [--root DIR] [--name NAME] [--rm] NAME|IMAGE [option]... MOUNTPOINT\n"
    "\n"
    "Shows the layers as one tree; changes go to the upper layer. Without --upper the tree is "
    "read-only.\n"
    "The second form mounts what the store keeps under a name, with the changes it had; of an "
    "image "
    "it makes\n"
    "one first.\n"
    "\n"
    "options:\n"
    "  --lower DIR           a read-only layer; the topmost first\n"
    "  --upper DIR           the layer that takes the changes\n"
    "  --work DIR            its work directory, on the same filesystem (UPPER.work)\n"
    "  --ro                  no changes, also with --upper\n"
    "  --profile=P           stateless, tracked or auto (auto)\n"
    "  --redirect-dir=on|off|nofollow\n"
    "                        rename directories without copying them (on)\n"
    "  --metacopy=on|off     leave the data below when only metadata changes (on)\n"
    "  --index=on|off        keep hard links together over copy-up (on)\n"
    "  --root DIR            the store (else $PLYFS_ROOT, else the user's own)\n"
    "  --name NAME           what the mount made of an image is called\n"
    "  --rm, --ephemeral     forget it, with every change, when it is unmounted\n"
    "  -v, --volume [SRC:]DST[:MODE]\n"
    "                        a volume, or a directory or file of the host, at DST\n"
    "  --mount KEY=VALUE,... the same by keys: type, src, dst, ro...\n"
    "  --tmpfs DST[:OPTIONS] an empty directory that ends with the mount\n"
    "  --volumes-from MOUNT[:MODE]\n"
    "                        the volumes of another mount\n"
    "  --image-volume=WAY    what the image's volumes are: bind, tmpfs, ignore (bind)\n"
    "  --strict              a directory of the host that is missing is an error\n"
    "  --trace               take the profile in which every writer is known, for plyfs trace\n"
    "  -o OPTION[,...]       further options, see plyfs(1)\n"
    "  -f, --foreground      stay in the foreground\n"
    "  -d, --debug           stay in the foreground and tell what happens\n"
    "      --help            this text\n"
    "\n"
    "examples: plyfs mount --lower top --lower base --upper changes merged\n"
    "          plyfs mount --rm debian:12 merged\n";

static int run_mount(int argc, char **argv)
{
    return run(argc, argv, false, USAGE);
}

const struct command command_mount = {
    .name = "mount",
    .summary = "show layers as one tree",
    .usage = USAGE,
    .run = run_mount,
};

int command_drop_in(int argc, char **argv)
{
    return run(argc, argv, true, USAGE);
}
