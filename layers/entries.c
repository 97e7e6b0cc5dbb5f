/* SPDX-License-Identifier: MIT
 *
 * Duty: digest a layer, and keep the digests in a file. A file may have been damaged in any way:
 * it is taken only when every line has its form and the paths rise.
 *
 * Cost: every byte of the layer is read once; about a hundred bytes of memory for each entry, and
 * its path.
 */
#include "entries.h"

#include "fd.h"
#include "hash.h"
#include "layertree.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char NONE[] = "-";
static const char TYPES[] = "fdlcbpshwo";

void entries_finish(struct entries *entries)
{
    free(entries->at);
    free(entries->text);
    *entries = (struct entries){0};
}

/* Room for one more, at the end. */
static struct entry_digest *entries_add(struct entries *entries)
{
    if (entries->count == entries->room) {
        size_t room = entries->room ? entries->room * 2 : 64;
        struct entry_digest *at = realloc(entries->at, room * sizeof(*at));
        if (!at)
            return NULL;
        entries->at = at;
        entries->room = room;
    }
    entries->at[entries->count] = (struct entry_digest){0};
    return &entries->at[entries->count++];
}

static void count_entry(struct entries *entries, const struct entry_digest *entry)
{
    entries->files += strcmp(entry->path, ".") != 0;
    entries->bytes += entry->type == 'f' ? entry->size : 0;
}

/* ---- taking ---- */

struct taking {
    struct entries *entries;
    struct layertree *layer;
    struct hash *hash;
    size_t text_used, text_room;
    uint64_t read; /* bytes of content */
    void (*seen)(void *context, uint64_t bytes);
    void *context;
};

static void add_number(struct hash *hash, uint64_t number)
{
    unsigned char bytes[8]; /* the same on every machine */
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(number >> 8 * i);
    hash_add(hash, bytes, sizeof(bytes));
}

static void digest_meta(struct hash *hash, const struct layer_entry *entry, char hex[33])
{
    const struct tar_entry *shown = &entry->shown;
    const uint64_t numbers[] = {(unsigned char)entry->type,
                                shown->mode,
                                shown->uid,
                                shown->gid,
                                shown->rdev,
                                (uint64_t)shown->mtime.tv_sec,
                                (uint64_t)shown->mtime.tv_nsec,
                                shown->xattr_count};
    hash_restart(hash);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        add_number(hash, numbers[i]);
    for (size_t i = 0; i < shown->xattr_count; i++) {
        const struct tar_xattr *attr = &shown->xattrs[i];
        hash_add(hash, attr->name, strlen(attr->name) + 1);
        add_number(hash, attr->size);
        hash_add(hash, attr->value, attr->size);
    }
    hash_hex(hash, hex);
}

static int add_piece(void *context, const void *data, size_t size)
{
    struct taking *taking = context;
    hash_add(taking->hash, data, size);
    taking->read += size;
    if (taking->seen)
        taking->seen(taking->context, taking->read);
    return 0;
}

static int digest_content(struct taking *taking, const struct layer_entry *entry,
                          struct entry_digest *digest)
{
    const char *text = entry->type == 'l' ? entry->shown.target : entry->shown.link;
    int err = 0;
    strcpy(digest->content, NONE);
    if (entry->type == 'f') {
        hash_restart(taking->hash);
        digest->size = (uint64_t)entry->shown.size;
        err = layertree_content(taking->layer, add_piece, taking);
        hash_hex(taking->hash, digest->content);
    } else if (text) {
        digest->size = strlen(text);
        hash_hex_of(text, digest->size, digest->content);
    }
    return err;
}

/* Appends the path to the text, which moves: until all are taken, a path is where it begins there.
 */
static int keep_path(struct taking *taking, const char *path)
{
    size_t size = strlen(path) + 1;
    if (taking->text_used + size > taking->text_room) {
        size_t room = (taking->text_used + size) * 2;
        char *text = realloc(taking->entries->text, room);
        if (!text)
            return -ENOMEM;
        taking->entries->text = text;
        taking->text_room = room;
    }
    memcpy(taking->entries->text + taking->text_used, path, size);
    taking->text_used += size;
    return 0;
}

static int take_entry(struct taking *taking, const struct layer_entry *entry)
{
    struct entry_digest *digest = entries_add(taking->entries);
    int err = digest ? keep_path(taking, entry->shown.path) : -ENOMEM;
    if (err)
        return err;
    digest->type = entry->type;
    if (entry->type == 'w')
        strcpy(digest->meta, NONE);
    else
        digest_meta(taking->hash, entry, digest->meta);
    return digest_content(taking, entry, digest);
}

static int compare_paths(const void *left, const void *right)
{
    const struct entry_digest *a = left, *b = right;
    return strcmp(a->path, b->path);
}

/* Points every entry to its path, which follow each other in the text, and sorts. */
static void entries_settle(struct entries *entries)
{
    const char *path = entries->text;
    for (size_t i = 0; i < entries->count; i++) {
        entries->at[i].path = path;
        path += strlen(path) + 1;
        count_entry(entries, &entries->at[i]);
    }
    qsort(entries->at, entries->count, sizeof(*entries->at), compare_paths);
}

int entries_take(int tree, enum treekind kind, struct entries *entries,
                 void (*seen)(void *context, uint64_t bytes), void *context)
{
    int err = 0, more = 1;
    struct layer_entry entry;
    *entries = (struct entries){0};
    cleanup_hash struct hash *hash = hash_create();
    if (!hash)
        return -ENOMEM;
    cleanup_layertree struct layertree *layer = layertree_open(tree, kind, &err);
    if (!layer)
        return err;
    struct taking taking = {
        .entries = entries, .layer = layer, .hash = hash, .seen = seen, .context = context};
    while (!err && (more = layertree_next(layer, &entry)) == 1)
        err = take_entry(&taking, &entry);
    err = err ? err : more;
    if (err)
        entries_finish(entries);
    else
        entries_settle(entries);
    return err;
}

/* ---- the file ---- */

enum { LINE_MAX_FIXED = 33 + 33 + 24 + 4 }; /* what stands before a path, at most */

static void write_line(FILE *file, struct hash *hash, const struct entry_digest *entry)
{
    char line[LINE_MAX_FIXED];
    int length = snprintf(line, sizeof(line), "%s %s %" PRIu64 " %c ", entry->meta, entry->content,
                          entry->size, entry->type);
    size_t path = strlen(entry->path) + 1;
    hash_add(hash, line, (size_t)length);
    hash_add(hash, entry->path, path);
    fwrite(line, 1, (size_t)length, file);
    fwrite(entry->path, 1, path, file);
}

int entries_write(const struct entries *entries, int dir, const char *name, char digest[33])
{
    cleanup_hash struct hash *hash = hash_create();
    if (!hash)
        return -ENOMEM;
    cleanup_fd int fd = fd_open_name(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return fd;
    FILE *file = fdopen(fd, "w");
    if (!file)
        return -ENOMEM;
    steal_fd(&fd);
    for (size_t i = 0; i < entries->count; i++)
        write_line(file, hash, &entries->at[i]);
    errno = 0;
    bool failed = fflush(file) != 0 || ferror(file);
    int err = failed ? (errno ? -errno : -EIO) : 0;
    fclose(file);
    hash_hex(hash, digest);
    return err;
}

static int read_whole(int dir, const char *name, char **text, size_t *size)
{
    struct stat st;
    cleanup_fd int fd = fd_open_name(dir, name, O_RDONLY | O_NONBLOCK, 0);
    if (fd < 0)
        return fd;
    int err = fd_stat(fd, "", &st);
    if (err)
        return err;
    if (!S_ISREG(st.st_mode))
        return -EBADMSG;
    *text = malloc((size_t)st.st_size + 1);
    if (!*text)
        return -ENOMEM;
    ssize_t got = fd_read_all(fd, *text, (size_t)st.st_size);
    if (got < st.st_size)
        return got < 0 ? (int)got : -EBADMSG;
    *size = (size_t)got;
    (*text)[*size] = 0; /* so that the last line ends, whatever it is */
    return 0;
}

/* 32 hex digits or "-", and a blank. */
static bool take_digest(const char **at, char hex[33])
{
    size_t length = strspn(*at, "0123456789abcdef");
    if (length == 0 && **at == NONE[0])
        length = 1;
    else if (length != 32)
        return false;
    if ((*at)[length] != ' ')
        return false;
    memcpy(hex, *at, length);
    hex[length] = 0;
    *at += length + 1;
    return true;
}

static bool take_size(const char **at, uint64_t *size)
{
    const char *from = *at;
    *size = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++) {
        uint64_t digit = (uint64_t)(**at - '0');
        if (*size > (UINT64_MAX - digit) / 10)
            return false;
        *size = *size * 10 + digit;
    }
    return *at != from && *(*at)++ == ' ';
}

/* Takes the line at `at` apart; it ends in NUL. */
static bool take_line(const char *at, struct entry_digest *entry)
{
    if (!take_digest(&at, entry->meta) || !take_digest(&at, entry->content) ||
        !take_size(&at, &entry->size))
        return false;
    entry->type = *at;
    if (!entry->type || !strchr(TYPES, entry->type) || at[1] != ' ' || !at[2])
        return false;
    entry->path = at + 2;
    return true;
}

static int take_lines(struct entries *entries, size_t size)
{
    if (size > 0 && entries->text[size - 1] != 0)
        return -EBADMSG;
    for (const char *at = entries->text; at < entries->text + size; at += strlen(at) + 1) {
        struct entry_digest *entry = entries_add(entries);
        if (!entry)
            return -ENOMEM;
        if (!take_line(at, entry) || (entry > entries->at && compare_paths(entry - 1, entry) >= 0))
            return -EBADMSG;
        count_entry(entries, entry);
    }
    return 0;
}

int entries_read(int dir, const char *name, struct entries *entries, char digest[33])
{
    size_t size = 0;
    *entries = (struct entries){0};
    int err = read_whole(dir, name, &entries->text, &size);
    if (!err) {
        hash_hex_of(entries->text, size, digest);
        err = take_lines(entries, size);
    }
    if (err)
        entries_finish(entries);
    return err;
}

/* ---- comparing ---- */

static bool same(const struct entry_digest *a, const struct entry_digest *b)
{
    return a->type == b->type && a->size == b->size && strcmp(a->meta, b->meta) == 0 &&
           strcmp(a->content, b->content) == 0;
}

int entries_compare(const struct entries *a, const struct entries *b,
                    int (*each)(void *context, const struct entry_digest *a,
                                const struct entry_digest *b),
                    void *context)
{
    int err = 0;
    for (size_t i = 0, j = 0; !err && (i < a->count || j < b->count);) {
        const struct entry_digest *one = i < a->count ? &a->at[i] : NULL;
        const struct entry_digest *other = j < b->count ? &b->at[j] : NULL;
        int order = !one ? 1 : !other ? -1 : compare_paths(one, other);
        if (order != 0 || !same(one, other))
            err = each(context, order <= 0 ? one : NULL, order >= 0 ? other : NULL);
        i += order <= 0;
        j += order >= 0;
    }
    return err;
}
