/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "layertree.h"
#include "override.h"
#include "xattr.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

static struct layertree *open_layer(const char *path)
{
    int err;
    cleanup_fd int tree = kit_open(path, O_PATH | O_DIRECTORY);
    struct layertree *layer = layertree_open(tree, TREEKIND_LAYER, &err);
    assert_non_null(layer);
    return layer;
}

static void say(char *text, size_t room, const struct layer_entry *entry)
{
    const struct tar_entry *shown = &entry->shown;
    size_t used = strlen(text);
    snprintf(text + used, room - used, "%s%c %s%s%s%s%s", used ? ", " : "", entry->type,
             shown->path, shown->target ? " -> " : "", shown->target ? shown->target : "",
             shown->link ? " = " : "", shown->link ? shown->link : "");
}

/* Makes the layer "top" from the words and compares what is told of it; its root is left out. */
static void assert_layer(const char *words, const char *expected)
{
    char text[4096] = "";
    struct layer_entry entry;
    int more;
    kit_dir("top");
    kit_tree(words);
    cleanup_layertree struct layertree *layer = open_layer("top");
    assert_int_equal(layertree_next(layer, &entry), 1);
    assert_string_equal(entry.shown.path, ".");
    while ((more = layertree_next(layer, &entry)) == 1)
        say(text, sizeof(text), &entry);
    assert_int_equal(more, 0);
    assert_string_equal(text, expected);
}

static struct layer_entry next_of(struct layertree *layer, const char *path)
{
    struct layer_entry entry;
    do
        assert_int_equal(layertree_next(layer, &entry), 1);
    while (strcmp(entry.shown.path, path) != 0);
    return entry;
}

static void every_kind_of_object_is_told(void **state)
{
    (void)state;
    kit_dir("top");
    assert_int_equal(mknodat(kit_root(), "top/pipe", S_IFIFO | 0600, 0), 0);
    assert_int_equal(mknodat(kit_root(), "top/socket", S_IFSOCK | 0600, 0), 0);
    assert_layer("f top/file text, l top/link ../away, f top/dir/in",
                 "d dir, f dir/in, f file, l link -> ../away, p pipe, s socket");
}

static void every_kind_of_whiteout_is_told_as_one(void **state)
{
    (void)state;
    assert_layer("w top/device, f top/dir/.wh.file, o top/x x, e top/x/attribute, f top/x/plain",
                 "w device, d dir, w dir/file, d x, w x/attribute, f x/plain");
}

static void a_whiteout_attribute_counts_in_a_directory_marked_for_it_alone(void **state)
{
    (void)state;
    assert_layer("e top/dir/attribute, o top/y y, e top/y/attribute",
                 "d dir, f dir/attribute, o y, f y/attribute");
}

static void every_kind_of_opaque_mark_is_told_as_one(void **state)
{
    (void)state;
    kit_tree("d top/fuse");
    assert_int_equal(xattr_set(kit_root(), "top/fuse", "user.fuseoverlayfs.opaque", "y", 1, 0), 0);
    assert_layer("o top/attribute, f top/file/.wh..wh..opq, f top/file/in, o top/x x",
                 "o attribute, o file, f file/in, o fuse, d x");
}

static void the_root_may_be_opaque(void **state)
{
    (void)state;
    struct layer_entry entry;
    kit_file("top/.wh..wh..opq", "");
    cleanup_layertree struct layertree *layer = open_layer("top");
    assert_int_equal(layertree_next(layer, &entry), 1);
    assert_int_equal(entry.type, 'o');
    assert_int_equal(layertree_next(layer, &entry), 0);
}

static void a_whiteout_beside_its_name_closes_a_directory(void **state)
{
    (void)state;
    assert_layer("f top/dir/in, f top/.wh.dir, f top/file, f top/.wh.file, w top/gone,"
                 "f top/.wh.gone",
                 "o dir, f dir/in, f file, w gone");
}

static void books_of_other_filesystems_are_left_out(void **state)
{
    (void)state;
    assert_layer("f top/.wh..wh.plnk/1.2, f top/.wh., f top/.wh..., f top/.wh..wh.aufs, f top/x",
                 "f x");
}

static void names_of_one_inode_are_told_by_the_first(void **state)
{
    (void)state;
    assert_layer("f top/b/one text, h top/c top/b/one, h top/a top/b/one, f away, h top/d away",
                 "f a, d b, h b/one = a, h c = a, f d");
}

static void linked_whiteouts_are_whiteouts(void **state)
{
    (void)state;
    assert_layer("w top/a, h top/b top/a, o top/x x, e top/x/c, h top/plain top/x/c, h top/z "
                 "top/x/c",
                 "w a, w b, f plain, d x, w x/c, h z = plain");
}

static void what_stands_on_another_layer_is_refused(void **state)
{
    (void)state;
    const char *const trees[] = {"d one/dir, r one/dir /other", "m two/file"};
    for (size_t i = 0; i < 2; i++) {
        struct layer_entry entry;
        kit_tree(trees[i]);
        cleanup_layertree struct layertree *layer = open_layer(i ? "two" : "one");
        assert_int_equal(layertree_next(layer, &entry), 1);
        assert_int_equal(layertree_next(layer, &entry), -EINVAL);
    }
}

static void metadata_are_those_that_were_recorded(void **state)
{
    (void)state;
    kit_tree("f top/null, f top/text content");
    const char record[] = "0:5:0666:char-1-3";
    assert_int_equal(xattr_set(kit_root(), "top/null", OVERRIDE_ATTR, record, strlen(record), 0),
                     0);
    cleanup_layertree struct layertree *layer = open_layer("top");
    struct layer_entry entry = next_of(layer, "null");
    assert_int_equal(entry.type, 'c');
    assert_int_equal(entry.shown.mode, S_IFCHR | 0666);
    assert_int_equal(entry.shown.gid, 5);
    assert_int_equal(entry.shown.rdev, makedev(1, 3));
    assert_int_equal(entry.shown.size, 0);
    entry = next_of(layer, "text");
    struct stat st = kit_stat("top/text");
    assert_int_equal(entry.shown.mode, st.st_mode);
    assert_int_equal(entry.shown.uid, st.st_uid);
    assert_int_equal(entry.shown.mtime.tv_nsec, st.st_mtim.tv_nsec);
    assert_int_equal(entry.shown.rdev, 0);
    assert_int_equal(entry.shown.size, strlen("content"));
}

struct pieces {
    size_t size, calls;
    uint64_t sum;
};

static int take(void *context, const void *data, size_t size)
{
    struct pieces *pieces = context;
    for (size_t i = 0; i < size; i++)
        pieces->sum += ((const unsigned char *)data)[i] * (pieces->size + i + 1);
    pieces->size += size;
    pieces->calls++;
    return 0;
}

static int refuse(void *context, const void *data, size_t size)
{
    (void)context, (void)data, (void)size;
    return -ENOSPC;
}

static void content_comes_whole_and_in_order(void **state)
{
    (void)state;
    kit_tree("f top/big, f top/empty");
    static char data[700001];
    struct pieces all = {0}, got = {0};
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (char)(i * 7 >> 4);
    take(&all, data, sizeof(data));
    {
        cleanup_fd int fd = kit_open("top/big", O_WRONLY);
        assert_int_equal(write(fd, data, sizeof(data)), sizeof(data));
    }
    cleanup_layertree struct layertree *layer = open_layer("top");
    next_of(layer, "big");
    assert_int_equal(layertree_content(layer, take, &got), 0);
    assert_int_equal(got.size, sizeof(data));
    assert_true(got.sum == all.sum && got.calls > 1);
    assert_int_equal(layertree_content(layer, refuse, NULL), -ENOSPC);
    next_of(layer, "empty");
    assert_int_equal(layertree_content(layer, refuse, NULL), 0);
}

static void a_file_that_grew_or_shrank_is_no_content(void **state)
{
    (void)state;
    struct pieces got = {0};
    kit_tree("f top/file text");
    cleanup_layertree struct layertree *layer = open_layer("top");
    next_of(layer, "file");
    kit_file("top/file", "longer");
    assert_int_equal(layertree_content(layer, take, &got), -ESTALE);
    kit_file("top/file", "t");
    assert_int_equal(layertree_content(layer, take, &got), -ESTALE);
}

static void a_pipe_put_in_place_of_a_file_is_not_waited_for(void **state)
{
    (void)state;
    struct pieces got = {0};
    kit_tree("f top/file text");
    cleanup_layertree struct layertree *layer = open_layer("top");
    next_of(layer, "file");
    assert_int_equal(unlinkat(kit_root(), "top/file", 0), 0);
    assert_int_equal(mknodat(kit_root(), "top/file", S_IFIFO | 0600, 0), 0);
    assert_int_equal(layertree_content(layer, take, &got), -ESTALE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(every_kind_of_object_is_told),
        kit_test(every_kind_of_whiteout_is_told_as_one),
        kit_test(a_whiteout_attribute_counts_in_a_directory_marked_for_it_alone),
        kit_test(every_kind_of_opaque_mark_is_told_as_one),
        kit_test(the_root_may_be_opaque),
        kit_test(a_whiteout_beside_its_name_closes_a_directory),
        kit_test(books_of_other_filesystems_are_left_out),
        kit_test(names_of_one_inode_are_told_by_the_first),
        kit_test(linked_whiteouts_are_whiteouts),
        kit_test(what_stands_on_another_layer_is_refused),
        kit_test(metadata_are_those_that_were_recorded),
        kit_test(content_comes_whole_and_in_order),
        kit_test(a_file_that_grew_or_shrank_is_no_content),
        kit_test(a_pipe_put_in_place_of_a_file_is_not_waited_for),
    };
    return kit_run("layertree", tests, sizeof(tests) / sizeof(tests[0]));
}
