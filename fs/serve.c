/* SPDX-License-Identifier: MIT
 *
 * Duty: the session with the kernel, from mount(2) to the end; duty.h has the threads that answer.
 */
#include "serve.h"

#include "caller.h"
#include "duty.h"
#include "ending.h"
#include "lockbook.h"
#include "lockwait.h"
#include "log.h"
#include "ops.h"
#include "privileges.h"
#include "ready.h"
#include "rings.h"
#include "scout.h"
#include "settling.h"
#include "vigil.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/uio.h>

enum { ROOM = 4096 }; /* of descriptors: those of the cache, and as many more */

struct session {
    struct fuse_session *fuse;
    struct mount *mount;
    struct vigil *vigil;
    int done;      /* eventfd: the kernel has let go of the mount */
    int neighbour; /* whose end is heeded, as for ending_wait() */
    bool spin;
    bool rings; /* requests come through io_uring */
};

static void tell_end(struct session *session)
{
    uint64_t one = 1;
    (void)!write(session->done, &one, sizeof(one));
}

static void *ring_worker(void *argument)
{
    struct session *session = argument;
    rings_serve(session->fuse);
    tell_end(session);
    return NULL;
}

/* Where requests come through io_uring, libfuse's own loop and threads serve them. */
static void serve_rings(struct session *session, const struct options *options, int signals)
{
    pthread_t loop;
    const bool runs = pthread_create(&loop, NULL, ring_worker, session) == 0;
    if (!runs)
        tell_end(session);
    ending_wait(options, session->done, signals, session->neighbour);
    if (runs)
        pthread_join(loop, NULL);
}

static void serve_device(struct session *session, const struct options *options, int signals)
{
    const struct duty_plan plan = {.fuse = session->fuse,
                                   .mount = session->mount,
                                   .vigil = session->vigil,
                                   .threads = options->threads,
                                   .spins = session->spin,
                                   .done = session->done};
    struct duty *duty = duty_start(&plan);
    if (duty)
        log_debug("%u threads, spinning %s", duty_count(duty), session->spin ? "on" : "off");
    else
        tell_end(session);
    ending_wait(options, session->done, signals, session->neighbour);
    duty_end(duty);
}

/* Where it is not, the kernel refuses the option that only it reads, and mount(8) leaves it out. */
static bool has_selinux(void)
{
    return access("/sys/fs/selinux/enforce", F_OK) == 0;
}

/* One option, whatever is in the value. */
static int add_value(struct fuse_args *args, const char *key, const char *value)
{
    cleanup_free char *option = NULL;
    char *escaped = NULL;
    if (asprintf(&option, "%s=%s", key, value) < 0)
        return option = NULL, -ENOMEM;
    int err = fuse_opt_add_opt_escaped(&escaped, option) != 0 ||
                      fuse_opt_add_arg(args, "-o") != 0 || fuse_opt_add_arg(args, escaped) != 0
                  ? -ENOMEM
                  : 0;
    free(escaped);
    return err;
}

/* The arguments that libfuse parses: what mount(2) is told. */
static int fuse_arguments(const struct options *options, const struct mount *mount,
                          struct fuse_args *args)
{
    const bool root = geteuid() == 0, checked = !mount->rules.unchecked;
    /* To fusermount3 nodiratime is unknown; none of both changes what the kernel does here. */
    const struct {
        const char *option;
        bool wanted;
    } words[] = {
        {"-odefault_permissions", checked},
        {"-oallow_other", root && checked && !options->allow_other_set},
        {"-odev,suid", root},
        {"-oro", mount_is_read_only(mount)},
        {"-oio_uring", mount->rules.uring},
        {"-onoatime", options->undated & OWNVIEW_UNDATED},
        {"-onodiratime", root && options->undated & OWNVIEW_UNDATED_DIRS},
    };
    if (fuse_opt_add_arg(args, "plyfs") != 0)
        return -ENOMEM;
    int err = add_value(args, "fsname", options->fsname ? options->fsname : "plyfs");
    if (!err)
        err = add_value(args, "subtype", options->subtype ? options->subtype : "plyfs");
    for (size_t i = 0; !err && i < sizeof(words) / sizeof(words[0]); i++)
        err = words[i].wanted && fuse_opt_add_arg(args, words[i].option) != 0 ? -ENOMEM : 0;
    if (err)
        return err;
    if (options->context && has_selinux()) {
        cleanup_free char *context = NULL;
        err = options_format_context(options->context, &context);
        if (err || fuse_opt_add_arg(args, "-o") != 0 || fuse_opt_add_arg(args, context) != 0)
            return -ENOMEM;
    }
    if (options->kernel &&
        (fuse_opt_add_arg(args, "-o") != 0 || fuse_opt_add_arg(args, options->kernel) != 0))
        return -ENOMEM;
    return 0;
}

static int open_session(const struct options *options, struct mount *mount, struct session *session)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    int err = fuse_arguments(options, mount, &args);
    if (!err) {
        session->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), mount);
        err = session->fuse ? 0 : -EINVAL;
    }
    fuse_opt_free_args(&args);
    if (err)
        return err;
    if (fuse_session_mount(session->fuse, options->mountpoint) != 0) {
        /* libfuse has told the system's word; this says what was asked. */
        log_error("cannot mount on %s%s", options->mountpoint,
                  geteuid() == 0 ? "" : "; is /dev/fuse open to you, and fusermount3 installed?");
        fuse_session_destroy(session->fuse);
        return -EPERM;
    }
    if (session->rings)
        return 0;
    int fd = fuse_session_fd(session->fuse);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        err = -errno;
        fuse_session_unmount(session->fuse);
        fuse_session_destroy(session->fuse);
    }
    return err;
}

/* The kernel may know nothing of that name: then there is nothing to forget. */
static void forget_name(void *session, uint64_t directory, const char *name)
{
    (void)fuse_lowlevel_notify_inval_entry(session, directory, name, strlen(name));
}

/* A negative offset means no pages. */
static void forget_attributes(void *session, uint64_t id)
{
    (void)fuse_lowlevel_notify_inval_inode(session, id, -1, 0);
}

/* From the first page to the last: a listing is kept as the pages of its directory. */
static void forget_listing(void *session, uint64_t id)
{
    (void)fuse_lowlevel_notify_inval_inode(session, id, 0, 0);
}

/* In one system call: fuse_lowlevel_notify_store() takes four, through a pipe, to copy as much. */
static void store_content(void *session, uint64_t id, const char *content, size_t size)
{
    struct fuse_notify_store_out out = {.nodeid = id, .size = (uint32_t)size};
    struct fuse_out_header header = {.len = (uint32_t)(sizeof(header) + sizeof(out) + size),
                                     .error = FUSE_NOTIFY_STORE};
    const struct iovec parts[] = {
        {&header, sizeof(header)}, {&out, sizeof(out)}, {(void *)(uintptr_t)content, size}};
    (void)!writev(fuse_session_fd(session), parts, sizeof(parts) / sizeof(parts[0]));
}

/* Who has one processor alone must leave it to the client. */
static bool may_spin(const struct options *options)
{
    cpu_set_t set;
    return options->spin != CHOICE_OFF && sched_getaffinity(0, sizeof(set), &set) == 0 &&
           CPU_COUNT(&set) > 1;
}

/* Whoever locks many files takes none of the descriptors that each request needs. */
static int start_locks(struct mount *mount)
{
    struct rlimit limit = {.rlim_cur = 1024};
    if (!mount->rules.shared_locks)
        return 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    mount->lockbook = lockbook_create(limit.rlim_cur / 4);
    mount->lockwait = mount->lockbook ? lockwait_start(mount->lockbook, mount->fds) : NULL;
    return mount->lockwait ? 0 : -ENOMEM;
}

static void stop_locks(struct mount *mount)
{
    lockwait_stop(steal_ptr(&mount->lockwait));
    lockbook_destroy(steal_ptr(&mount->lockbook));
}

static void stop_scout(struct mount *mount)
{
    mount->chores.errand = NULL;
    scout_stop(steal_ptr(&mount->scout));
}

static int serve_session(struct session *session, const struct options *options, int signals,
                         const struct serve_guest *guest)
{
    struct mount *mount = session->mount;
    mount->session = session->fuse;
    mount->name_changed = forget_name;
    mount->attributes_changed = forget_attributes;
    mount->listing_changed = forget_listing;
    mount->store = store_content;
    mount->scout = session->spin ? scout_start(mount) : NULL;
    mount->chores.errand = scout_errand(mount->scout);
    int err = start_locks(mount);
    if (!err && guest)
        err = guest->begin(guest->context, mount);
    if (err) {
        stop_locks(mount);
        stop_scout(mount);
        own_close(&session->neighbour);
        return err;
    }
    session->vigil = session->spin ? vigil_start(&mount->chores) : NULL;
    mount->settling = settling_start(mount->fds);
    mount->rings = session->rings ? rings_watch(session->vigil) : NULL;
    if (session->rings)
        serve_rings(session, options, signals);
    else
        serve_device(session, options, signals);
    rings_free(mount->rings);
    vigil_stop(session->vigil);
    stop_locks(mount);
    settling_stop(steal_ptr(&mount->settling));
    if (guest)
        guest->end(guest->context);
    stop_scout(mount);
    return 0;
}

/* The table of descriptors grows by doubling, and each time, where there are threads, the kernel
 * waits out a grace period of RCU, some 10 ms in which a request is not answered. So it is made as
 * large as the mount may need while there is but one thread; it never shrinks. */
static void make_room_for_descriptors(int any)
{
    struct rlimit limit = {.rlim_cur = 1024};
    getrlimit(RLIMIT_NOFILE, &limit);
    cleanup_fd int highest =
        fcntl(any, F_DUPFD_CLOEXEC, (int)(limit.rlim_cur < ROOM ? limit.rlim_cur : ROOM) - 1);
    (void)highest;
}

/* How large files may become is a matter of whoever writes them, which the kernel sees to; the
 * shell that mounted is not asked. */
static void let_files_grow(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)!setrlimit(RLIMIT_FSIZE, &limit);
}

int serve_run(const struct options *options, struct mount *mount, const struct serve_guest *guest)
{
    struct session session = {.mount = mount, .rings = mount->rules.uring};
    /* The threads of rings do not spin; of two processors the vigil keeps theirs the client's. */
    session.spin = may_spin(options) && (!session.rings || vigil_pairs());
    cleanup_fd int signals = ending_signals();
    if (signals < 0)
        return signals;
    make_room_for_descriptors(signals);
    let_files_grow();
    session.done = eventfd(0, EFD_CLOEXEC);
    if (session.done < 0)
        return -errno;
    caller_init();
    int err = open_session(options, mount, &session);
    if (!err) {
        session.neighbour = ending_neighbour(options);
        privileges_give_up((options->attachable ? PRIVILEGES_HELPERS : 0) |
                           (session.neighbour >= 0 ? PRIVILEGES_CENSUS : 0));
        err = serve_session(&session, options, signals, guest);
        fuse_session_unmount(session.fuse);
        fuse_session_destroy(session.fuse);
    }
    close(session.done);
    return err;
}
