/* SPDX-License-Identifier: MIT
 *
 * Duty: from a wish to a tree. Cost: a copy of the content, and one reading of it for the digests.
 */
#include "volumemake.h"

#include "entries.h"
#include "fd.h"
#include "log.h"
#include "quota.h"
#include "volumefill.h"

#include <string.h>

/* ---- the root ---- */

bool volumemake_is_default(const struct stat *root)
{
    return root->st_uid == geteuid() && root->st_gid == getegid() &&
           (root->st_mode & 07777) == 0755;
}

/* The mode comes last: a change of owner takes set-id bits away. */
static int give_root(int tree, uid_t uid, gid_t gid, mode_t mode)
{
    if (fchown(tree, uid, gid) < 0)
        return -errno;
    return fchmod(tree, mode) < 0 ? -errno : 0;
}

static int give_wished_root(int tree, const struct volume_root *root)
{
    struct stat st;
    int err = fd_stat(tree, "", &st);
    if (err)
        return err;
    uid_t uid = root->uid < 0 ? st.st_uid : (uid_t)root->uid;
    gid_t gid = root->gid < 0 ? st.st_gid : (gid_t)root->gid;
    mode_t mode = root->mode < 0 ? st.st_mode & 07777 : (mode_t)root->mode;
    return give_root(tree, uid, gid, mode);
}

static int choose_root(const struct volumemake *make, int tree)
{
    const struct stat *chosen = make->chosen;
    if (make->wish->root)
        return give_wished_root(tree, make->wish->root);
    return chosen ? give_root(tree, chosen->st_uid, chosen->st_gid, chosen->st_mode & 07777) : 0;
}

/* ---- content ---- */

/* What would be more than may ever be written there is refused as a write is. */
static int check_limit(struct volumemake *make, int tree)
{
    int64_t sum;
    int err = make->limit ? quota_weigh(tree, &sum) : 0;
    if (err || !make->limit)
        return err;
    sum += make->beside;
    if ((uint64_t)sum <= make->limit)
        return 0;
    log_error("with this content it has %lld bytes, and may hold %llu: %s", (long long)sum,
              (unsigned long long)make->limit, strerror(ENOSPC));
    make->told = true;
    return -ENOSPC;
}

int volumemake_content(void *context, int tree)
{
    int err = 0;
    struct volumemake *make = context;
    const struct volume_wish *wish = make->wish;
    make->copied = false;
    /* Whatever the umask is. */
    if (fchmod(tree, 0755) < 0)
        return -errno;
    if (wish->fill)
        err = wish->fill(wish->context, tree);
    else if (wish->stack && wish->content)
        err = volumefill_copy(wish->stack, wish->content, tree, wish->seen, wish->context);
    make->copied = err > 0 && !wish->fill;
    make->told = err < 0;
    if (err < 0)
        return err;
    if (make->only_if_any && !make->copied && !wish->fill)
        return -ENODATA;
    err = check_limit(make, tree);
    return err ? err : choose_root(make, tree);
}

/* ---- the record ---- */

static int write_digests(int tree, int dir, bool *told)
{
    char digest[33];
    cleanup_entries struct entries entries = {0};
    int err = entries_take(tree, TREEKIND_PLAIN, &entries, NULL, NULL);
    *told = err != 0;
    return err ? err : entries_write(&entries, dir, VOLUMEMAKE_COPIED, digest);
}

static void forget_record(struct volume_row *row)
{
    free(steal_ptr(&row->copied));
    free(steal_ptr(&row->copied_image));
    free(steal_ptr(&row->copied_path));
}

/* The id of the image, which a name will not mean for ever. */
static int image_id(struct store *store, const char *image, char **id)
{
    cleanup(image_row_finish) struct image_row row = {0};
    int err = image ? catalog_find_image(store->catalog, image, &row) : -ENOENT;
    if (err)
        return err == -ENOENT || err == -ENOTUNIQ ? 0 : err;
    *id = steal_ptr(&row.id);
    return 0;
}

int volumemake_record(struct store *store, struct volumemake *make, int tree, int dir,
                      struct volume_row *row)
{
    forget_record(row);
    if (!make->copied)
        return 0;
    int err = write_digests(tree, dir, &make->told);
    if (!err)
        err = image_id(store, make->wish->image, &row->copied_image);
    if (err)
        return err;
    row->copied = strdup(VOLUMEMAKE_COPIED);
    row->copied_path = strdup(make->wish->content);
    return row->copied && row->copied_path ? 0 : -ENOMEM;
}

int volumemake_tell(const struct volumemake *make, const char *what, const char *name, int err)
{
    if (err < 0 && !make->told)
        log_error("%s %s: %s", what, name, strerror(-err));
    return err;
}
