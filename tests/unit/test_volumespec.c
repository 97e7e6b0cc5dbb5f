/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "volumespec.h"

#include <stdio.h>
#include <string.h>

enum language { SHORT, LONG, TMPFS, ANY };

static int parse(enum language language, const char *text, struct volume_spec *spec,
                 struct volume_fault *fault)
{
    *fault = (struct volume_fault){.words = ""};
    switch (language) {
    case SHORT:
        return volume_spec_parse_short(text, "/here", spec, fault);
    case LONG:
        return volume_spec_parse_long(text, "/here", spec, fault);
    case TMPFS:
        return volume_spec_parse_tmpfs(text, spec, fault);
    case ANY:
        return volume_spec_parse_any(text, "/here", spec, fault);
    }
    return -EINVAL;
}

static void check_text(const char *text, const char *field, const char *found, const char *wanted)
{
    if (!found != !wanted || (found && strcmp(found, wanted) != 0))
        fail_msg("'%s': %s is %s%s", text, field, found ? found : "NULL",
                 wanted ? "" : ", and should be NULL");
}

/* What was understood, against a specification that is written out. Texts that are not written are
 * not there, but for the mode, which is "" then. */
static void check_spec(enum language language, const char *text, const struct volume_spec *wanted)
{
    struct volume_fault fault;
    cleanup_volume_spec struct volume_spec spec;
    if (parse(language, text, &spec, &fault) != 0)
        fail_msg("'%s' was refused: %s", text, fault.words);
    assert_string_equal(spec.said, text);
    assert_int_equal(spec.kind, wanted->kind);
    check_text(text, "source", spec.source, wanted->source);
    check_text(text, "destination", spec.destination, wanted->destination);
    check_text(text, "mode", spec.mode, wanted->mode ? wanted->mode : "");
    check_text(text, "propagation", spec.propagation,
               wanted->kind == VOLUME_KIND_BIND && !wanted->propagation ? "rprivate"
                                                                        : wanted->propagation);
    check_text(text, "subpath", spec.subpath, wanted->subpath);
    check_text(text, "driver", spec.driver, wanted->driver);
    assert_int_equal(spec.size, wanted->size);
    assert_int_equal(spec.perm, wanted->perm ? wanted->perm : 01777);
    assert_int_equal(spec.read_only, wanted->read_only);
    assert_int_equal(spec.nocopy, wanted->nocopy);
    assert_int_equal(spec.make_source, wanted->make_source);
    assert_int_equal(spec.one_filesystem, wanted->one_filesystem);
}

struct row {
    enum language language;
    const char *text;
    struct volume_spec wanted;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        check_spec(rows[i].language, rows[i].text, &rows[i].wanted);
}

#define CHECK_ROWS(rows) check_rows(rows, sizeof(rows) / sizeof((rows)[0]))
#define VOLUME .kind = VOLUME_KIND_VOLUME
#define BIND .kind = VOLUME_KIND_BIND
#define TMP .kind = VOLUME_KIND_TMPFS
/* Literals that are only read. */
#define SOURCE(text) .source = (char *)(uintptr_t)(text)
#define TO(text) .destination = (char *)(uintptr_t)(text)
#define MODE(text) .mode = (char *)(uintptr_t)(text)
#define PROPAGATION(text) .propagation = (char *)(uintptr_t)(text)
#define SUBPATH(text) .subpath = (char *)(uintptr_t)(text)
#define DRIVER(text) .driver = (char *)(uintptr_t)(text)

static void a_short_text_names_a_volume_a_directory_or_neither(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {SHORT, "/data", {VOLUME, TO("/data")}},
        {SHORT, "/data//x/../y/", {VOLUME, TO("/data/y")}},
        {SHORT, "db:/data", {VOLUME, SOURCE("db"), TO("/data")}},
        {SHORT, "d_b.1-x:/data", {VOLUME, SOURCE("d_b.1-x"), TO("/data")}},
        {SHORT, "/h:/data", {BIND, SOURCE("/h"), TO("/data"), .make_source = true}},
        {SHORT, "/h/./a//..:/d", {BIND, SOURCE("/h"), TO("/d"), .make_source = true}},
        {SHORT, "./x:/d", {BIND, SOURCE("/here/x"), TO("/d"), .make_source = true}},
        {SHORT, ".:/d", {BIND, SOURCE("/here"), TO("/d"), .make_source = true}},
        {SHORT, "../x:/d", {BIND, SOURCE("/x"), TO("/d"), .make_source = true}},
        {SHORT, "/:/d", {BIND, SOURCE("/"), TO("/d"), .make_source = true}},
        {SHORT, "db:/../..//d/.", {VOLUME, SOURCE("db"), TO("/d")}},
        {SHORT, "cc:/.wh.x", {VOLUME, SOURCE("cc"), TO("/.wh.x")}},
    };
    CHECK_ROWS(ROWS);
}

static void a_mode_is_at_most_one_word_of_each_group(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {SHORT, "db:/d:rw", {VOLUME, SOURCE("db"), TO("/d"), MODE("rw")}},
        {SHORT, "db:/d:ro", {VOLUME, SOURCE("db"), TO("/d"), MODE("ro"), .read_only = true}},
        {SHORT, "db:/d:z", {VOLUME, SOURCE("db"), TO("/d"), MODE("z")}},
        {SHORT, "db:/d:Z,ro", {VOLUME, SOURCE("db"), TO("/d"), MODE("Z,ro"), .read_only = true}},
        {SHORT, "db:/d:nocopy", {VOLUME, SOURCE("db"), TO("/d"), MODE("nocopy"), .nocopy = true}},
        {SHORT, "db:/d:cached", {VOLUME, SOURCE("db"), TO("/d"), MODE("cached")}},
        {SHORT,
         "/h:/d:ro,z,rshared,delegated",
         {BIND, SOURCE("/h"), TO("/d"), MODE("ro,z,rshared,delegated"), PROPAGATION("rshared"),
          .read_only = true, .make_source = true}},
    };
    CHECK_ROWS(ROWS);
    static const char *const PROPAGATIONS[] = {"shared", "rshared", "slave",
                                               "rslave", "private", "rprivate"};
    for (size_t i = 0; i < sizeof(PROPAGATIONS) / sizeof(PROPAGATIONS[0]); i++) {
        char text[64];
        struct volume_fault fault;
        cleanup_volume_spec struct volume_spec spec;
        snprintf(text, sizeof(text), "/h:/d:%s", PROPAGATIONS[i]);
        assert_int_equal(parse(SHORT, text, &spec, &fault), 0);
        assert_string_equal(spec.propagation, PROPAGATIONS[i]);
    }
}

static void a_record_says_each_thing_by_its_key(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {LONG, "dst=/d", {VOLUME, TO("/d")}},
        {LONG, "TYPE=Volume,Source=db,Target=/d/", {VOLUME, SOURCE("db"), TO("/d")}},
        {LONG, "destination=/d,src=db,ro", {VOLUME, SOURCE("db"), TO("/d"), .read_only = true}},
        {LONG, "dst=/d,readonly=true", {VOLUME, TO("/d"), .read_only = true}},
        {LONG, "dst=/d,readonly=F,consistency=cached", {VOLUME, TO("/d")}},
        {LONG, "dst=/d,volume-nocopy", {VOLUME, TO("/d"), .nocopy = true}},
        {LONG, "dst=/d,volume-nocopy=0", {VOLUME, TO("/d")}},
        {LONG,
         "src=db,dst=/d,volume-subpath=a/./b/../c,volume-driver=rclone",
         {VOLUME, SOURCE("db"), TO("/d"), SUBPATH("a/c"), DRIVER("rclone")}},
        {LONG, "src=db,dst=/d,volume-subpath=.", {VOLUME, SOURCE("db"), TO("/d")}},
        {LONG, "type=bind,src=/h,dst=/d", {BIND, SOURCE("/h"), TO("/d")}},
        {LONG, "src=./h,dst=/d,type=bind", {BIND, SOURCE("/here/h"), TO("/d")}},
        {LONG,
         "type=bind,src=/h,dst=/d,bind-propagation=rslave,bind-create-src",
         {BIND, SOURCE("/h"), TO("/d"), PROPAGATION("rslave"), .make_source = true}},
        {LONG,
         "type=bind,src=/h,dst=/d,bind-recursive=disabled",
         {BIND, SOURCE("/h"), TO("/d"), .one_filesystem = true}},
        {LONG, "type=bind,src=/h,dst=/d,bind-recursive=enabled", {BIND, SOURCE("/h"), TO("/d")}},
        {LONG,
         "type=bind,src=/h,dst=/d,bind-nonrecursive",
         {BIND, SOURCE("/h"), TO("/d"), .one_filesystem = true}},
        {LONG, "type=bind,\"src=/h,1\",\"dst=/a\"\"b\"", {BIND, SOURCE("/h,1"), TO("/a\"b")}},
        {LONG, "type=tmpfs,dst=/t", {TMP, TO("/t")}},
        {LONG,
         "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=0700",
         {TMP, TO("/t"), .size = 64 << 20, .perm = 0700}},
        {LONG,
         "type=image,src=debian:12,dst=/i,image-subpath=etc",
         {.kind = VOLUME_KIND_IMAGE,
          SOURCE("debian:12"),
          TO("/i"),
          SUBPATH("etc"),
          .read_only = true}},
    };
    CHECK_ROWS(ROWS);
}

static void options_and_labels_of_a_record_are_kept_by_key(void **state)
{
    (void)state;
    struct volume_fault fault;
    cleanup_volume_spec struct volume_spec spec;
    assert_int_equal(parse(LONG,
                           "dst=/d,volume-opt=type=none,\"volume-opt=o=bind,ro\",volume-label=k,"
                           "volume-label=a=1,volume-opt=type=tmpfs",
                           &spec, &fault),
                     0);
    assert_int_equal(spec.options.count, 2);
    assert_string_equal(volume_pairs_get(&spec.options, "type"), "tmpfs");
    assert_string_equal(volume_pairs_get(&spec.options, "o"), "bind,ro");
    assert_int_equal(spec.labels.count, 2);
    assert_string_equal(spec.labels.at[0].key, "a");
    assert_string_equal(volume_pairs_get(&spec.labels, "k"), "");
    assert_null(volume_pairs_get(&spec.labels, "x"));
}

static void a_tmpfs_takes_size_and_mode(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {TMPFS, "/t", {TMP, TO("/t")}},
        {TMPFS, "/t/:rw,nosuid,nodev,noexec", {TMP, TO("/t")}},
        {TMPFS, "/t:size=1g,mode=755", {TMP, TO("/t"), .size = 1 << 30, .perm = 0755}},
        {TMPFS, "/t:ro,size=4096", {TMP, TO("/t"), .size = 4096, .read_only = true}},
    };
    CHECK_ROWS(ROWS);
}

static void a_tmpfs_takes_what_only_the_kernel_has_to_know(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *value;
    } ROWS[] = {
        {"/t:uid=0", "uid", "0"},
        {"/t:uid=4294967294,gid=7", "uid", "4294967294"},
        {"/t:uid=1,uid=2", "uid", "2"},
        {"/t:nr_inodes=5k", "nr_inodes", "5k"},
        {"/t:nr_blocks=0", "nr_blocks", "0"},
        {"/t:suid", "suid", "yes"},
        {"/t:dev,nodev", "dev", "no"},
        {"/t:noexec,exec", "exec", "yes"},
        {"/t:rw", "exec", NULL},
    };
    for (unsigned i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        cleanup_volume_spec struct volume_spec spec = {0};
        struct volume_fault fault;
        assert_int_equal(volume_spec_parse_tmpfs(ROWS[i].text, &spec, &fault), 0);
        const char *value = volume_pairs_get(&spec.options, ROWS[i].key);
        assert_int_equal(value != NULL, ROWS[i].value != NULL);
        if (value)
            assert_string_equal(value, ROWS[i].value);
    }
}

static void an_equals_sign_before_any_colon_makes_a_record(void **state)
{
    (void)state;
    static const struct row ROWS[] = {
        {ANY, "db:/d=1", {VOLUME, SOURCE("db"), TO("/d=1")}},
        {ANY, "/d", {VOLUME, TO("/d")}},
        {ANY, "type=bind,src=/a:b,dst=/d", {BIND, SOURCE("/a:b"), TO("/d")}},
        {ANY,
         "\"src=d:b\",type=image,dst=/d",
         {.kind = VOLUME_KIND_IMAGE, SOURCE("d:b"), TO("/d"), .read_only = true}},
        {ANY, "ro,dst=/d", {VOLUME, TO("/d"), .read_only = true}},
    };
    CHECK_ROWS(ROWS);
}

static void what_makes_no_sense_is_refused_with_its_words(void **state)
{
    (void)state;
    static const struct {
        enum language language;
        const char *text, *words;
    } ROWS[] = {
        {SHORT, "", "invalid empty volume spec"},
        {SHORT, "rel", "invalid mount path: 'rel' mount path must be absolute"},
        {SHORT, "db:rel", "invalid mount path: 'rel' mount path must be absolute"},
        {SHORT, "/", "invalid specification: destination can't be '/'"},
        {SHORT, "db:/a/..", "invalid specification: destination can't be '/'"},
        {SHORT, "/h::ro", "invalid spec: /h::ro: empty section between colons"},
        {SHORT, ":/d", "invalid spec: :/d: empty section between colons"},
        {SHORT, "db:/d:", "invalid spec: db:/d:: empty section between colons"},
        {SHORT, "a:b:c:d", "invalid spec: a:b:c:d: too many colons"},
        {SHORT, "/d:ro", "invalid volume specification: '/d:ro'"},
        {SHORT, "db:/d:ro,rw", "invalid mode: ro,rw"},
        {SHORT, "db:/d:ro,ro", "invalid mode: ro,ro"},
        {SHORT, "db:/d:z,Z", "invalid mode: z,Z"},
        {SHORT, "/h:/d:shared,rslave", "invalid mode: shared,rslave"},
        {SHORT, "db:/d:cached,delegated", "invalid mode: cached,delegated"},
        {SHORT, "db:/d:ro,", "invalid mode: ro,"},
        {SHORT, "db:/d:RO", "invalid mode: RO"},
        {SHORT, "db:/d:O", "invalid mode: O"},
        {SHORT, "db:/d:rshared", "invalid mode: rshared: propagation"},
        {SHORT, "/h:/d:nocopy", "invalid mode: nocopy: nothing is ever copied"},
        {SHORT, "a:/d",
         "create a: volume name is too short, names should be at least two "
         "alphanumeric characters"},
        {SHORT, "ab$:/d",
         "create ab$: \"ab$\" includes invalid characters for a local volume name, only "
         "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
         "absolute path"},
        {SHORT, "~/x:/d", "create ~/x: \"~/x\" includes invalid characters"},
        {SHORT, "a/b:/d", "create a/b: \"a/b\" includes invalid characters"},
        {SHORT, "_a:/d", "create _a: \"_a\" includes invalid characters"},
        {LONG, "", "invalid field '' must be a key=value pair"},
        {LONG, "dst=/d,", "invalid field '' must be a key=value pair"},
        {LONG, "dst", "invalid field 'dst' must be a key=value pair"},
        {LONG, "dst=/d,wat=1", "unknown option 'wat' in 'wat=1'"},
        {LONG, "dst=/d,type=npipe", "mount type unknown"},
        {LONG, "dst=/d,ro=maybe", "invalid value for ro: maybe"},
        {LONG, "type=bind,dst=/d",
         "invalid mount config for type \"bind\": field Source must not "
         "be empty"},
        {LONG, "type=image,dst=/d", "field Source must not be empty"},
        {LONG, "type=bind,src=,dst=/d", "field Source must not be empty"},
        {LONG, "type=tmpfs,src=ab,dst=/d",
         "invalid mount config for type \"tmpfs\": field Source "
         "must not be specified"},
        {LONG, "src=db", "field Target must not be empty"},
        {LONG, "dst=rel", "invalid mount path: 'rel' mount path must be absolute"},
        {LONG, "dst=/", "invalid specification: destination can't be '/'"},
        {LONG, "type=bind,src=rel,dst=/d", "invalid mount path: 'rel' mount path must be absolute"},
        {LONG, "src=a,dst=/d", "create a: volume name is too short"},
        {LONG, "type=bind,src=/h,dst=/d,volume-nocopy",
         "cannot mix 'volume-*' options with mount type 'bind'"},
        {LONG, "dst=/d,tmpfs-size=1", "cannot mix 'tmpfs-*' options with mount type 'volume'"},
        {LONG, "dst=/d,bind-propagation=shared", "cannot mix 'bind-*' options with mount type"},
        {LONG, "type=bind,src=/h,dst=/d,bind-propagation=wide",
         "invalid value for bind-propagation: wide"},
        {LONG, "type=bind,src=/h,dst=/d,bind-recursive=x", "invalid value for bind-recursive: x"},
        {LONG, "type=bind,src=/h,dst=/d,bind-recursive=writable",
         "invalid value for bind-recursive: writable"},
        {LONG, "src=db,dst=/d,volume-subpath=/x", "subpath must be a relative path"},
        {LONG, "src=db,dst=/d,volume-subpath=a/../..", "subpath must be a relative path"},
        {LONG, "dst=/d,volume-subpath=x", "must not set Subpath when using anonymous volumes"},
        {LONG, "type=tmpfs,dst=/d,tmpfs-size=1x", "invalid value for tmpfs-size: 1x"},
        {LONG, "type=tmpfs,dst=/d,tmpfs-mode=9", "invalid value for tmpfs-mode: 9"},
        {LONG, "dst=/d,volume-opt==x", "invalid value for volume-opt: =x"},
        {LONG, "\"dst=/d", "quotes must end"},
        {LONG, "\"dst=/d\"x", "quotes must end"},
        {LONG, "dst=/\"d", "bare \""},
        {TMPFS, "t", "invalid mount path: 't' mount path must be absolute"},
        {TMPFS, "/", "invalid specification: destination can't be '/'"},
        {TMPFS, "/t:uid=1x", "invalid tmpfs option \"uid=1x\""},
        {TMPFS, "/t:uid=", "invalid tmpfs option \"uid=\""},
        {TMPFS, "/t:gid=-1", "invalid tmpfs option \"gid=-1\""},
        {TMPFS, "/t:gid=4294967295", "invalid tmpfs option \"gid=4294967295\""},
        {TMPFS, "/t:nr_inodes=5x", "invalid tmpfs option \"nr_inodes=5x\""},
        {TMPFS, "/t:nr_blocks=k", "invalid tmpfs option \"nr_blocks=k\""},
        {TMPFS, "/t:mpol=default", "invalid tmpfs option \"mpol=default\""},
        {TMPFS, "/t:noexe", "invalid tmpfs option \"noexe\""},
        {TMPFS, "/t:size=50%", "invalid tmpfs option \"size=50%\""},
        {TMPFS, "/t:", "invalid tmpfs option \"\""},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct volume_spec spec;
        struct volume_fault fault;
        if (parse(ROWS[i].language, ROWS[i].text, &spec, &fault) != -EINVAL)
            fail_msg("'%s' was taken", ROWS[i].text);
        if (!strstr(fault.words, ROWS[i].words))
            fail_msg("'%s': %s", ROWS[i].text, fault.words);
        assert_null(spec.destination);
    }
}

static void volumes_from_a_mount_can_only_be_made_read_only(void **state)
{
    (void)state;
    static const struct {
        const char *text, *mount;
        bool read_only;
    } FINE[] = {
        {"web", "web", false},   {"web:rw", "web", false},  {"web:ro", "web", true},
        {"web:z", "web", false}, {"web:ro,Z", "web", true},
    };
    static const char *const REFUSED[][2] = {
        {"", "invalid volumes-from specification"},
        {":ro", "invalid volumes-from specification"},
        {"web:", "invalid mode: "},
        {"web:nocopy", "invalid mode: nocopy"},
        {"web:rshared", "invalid mode: rshared"},
        {"web:ro,rw", "invalid mode: ro,rw"},
        {"web:cached", "invalid mode: cached"},
        {"web:ro:z", "invalid mode: ro:z"},
    };
    for (size_t i = 0; i < sizeof(FINE) / sizeof(FINE[0]); i++) {
        struct volume_fault fault;
        cleanup_free char *mount = NULL;
        bool read_only;
        assert_int_equal(volume_spec_parse_from(FINE[i].text, &mount, &read_only, &fault), 0);
        assert_string_equal(mount, FINE[i].mount);
        assert_int_equal(read_only, FINE[i].read_only);
    }
    for (size_t i = 0; i < sizeof(REFUSED) / sizeof(REFUSED[0]); i++) {
        struct volume_fault fault;
        char *mount;
        bool read_only;
        assert_int_equal(volume_spec_parse_from(REFUSED[i][0], &mount, &read_only, &fault),
                         -EINVAL);
        assert_non_null(strstr(fault.words, REFUSED[i][1]));
        assert_null(mount);
    }
}

static void a_name_may_have_255_bytes(void **state)
{
    (void)state;
    char name[257];
    struct volume_fault fault;
    memset(name, 'n', sizeof(name));
    name[256] = 0;
    assert_int_equal(volume_name_check(name, &fault), -EINVAL);
    name[255] = 0;
    assert_int_equal(volume_name_check(name, &fault), 0);
    assert_int_equal(volume_name_check("", &fault), -EINVAL);
    assert_int_equal(volume_name_check("a\xc3\xa4", &fault), -EINVAL);
    assert_int_equal(volume_name_check("a\n", &fault), -EINVAL);
}

static void a_path_of_any_length_is_refused_or_kept_whole(void **state)
{
    (void)state;
    char text[6001];
    struct volume_spec spec;
    struct volume_fault fault;
    memset(text, 'a', sizeof(text));
    text[0] = '/';
    text[6000] = 0;
    assert_int_equal(parse(SHORT, text, &spec, &fault), -EINVAL);
    text[4095] = 0;
    assert_int_equal(parse(SHORT, text, &spec, &fault), 0);
    assert_string_equal(spec.destination, text);
    volume_spec_finish(&spec);
}

static void a_size_is_bytes_or_has_a_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int err;
        uint64_t bytes;
    } ROWS[] = {
        {"0", 0, 0},
        {"512", 0, 512},
        {"64b", 0, 64},
        {"1k", 0, 1024},
        {"20M", 0, 20 << 20},
        {"20MiB", 0, 20 << 20},
        {"1gb", 0, 1 << 30},
        {"2T", 0, UINT64_C(2) << 40},
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"1x", -EINVAL, 0},
        {"1kk", -EINVAL, 0},
        {"1ib", -EINVAL, 0},
        {"k", -EINVAL, 0},
        {"99999999999999999999", -ERANGE, 0},
        {"99999999999p", -ERANGE, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        uint64_t bytes;
        if (volume_size_parse(ROWS[i].text, &bytes) != ROWS[i].err)
            fail_msg("'%s'", ROWS[i].text);
        if (ROWS[i].err == 0)
            assert_int_equal(bytes, ROWS[i].bytes);
    }
}

static void add(struct volume_specs *specs, enum language language, const char *text, int wanted)
{
    struct volume_fault fault;
    struct volume_spec spec;
    assert_int_equal(parse(language, text, &spec, &fault), 0);
    int err = volume_specs_add(specs, &spec, &fault);
    if (err)
        assert_non_null(strstr(fault.words, "Duplicate mount point: /"));
    volume_spec_finish(&spec);
    assert_int_equal(err, wanted);
}

static void one_destination_is_asked_for_once(void **state)
{
    (void)state;
    cleanup_volume_specs struct volume_specs specs = {0};
    add(&specs, SHORT, "db:/d", 0);
    add(&specs, SHORT, "db:/d", 0);
    assert_int_equal(specs.count, 1);
    add(&specs, SHORT, "db:/d/", -EINVAL);
    add(&specs, SHORT, "other:/d", -EINVAL);
    add(&specs, SHORT, "/h:/x/../d", -EINVAL);
    add(&specs, LONG, "src=db,dst=/d", -EINVAL);
    add(&specs, TMPFS, "/d", -EINVAL);
    add(&specs, SHORT, "/e", 0);
    add(&specs, TMPFS, "/e", -EINVAL);
    add(&specs, TMPFS, "/d/e", 0);
    assert_int_equal(specs.count, 3);
}

static void destinations_are_ordered_by_depth_and_then_by_bytes(void **state)
{
    (void)state;
    const char *paths[] = {"/b/a", "/b", "/a/z/z", "/a/b", "/a", "/z"};
    static const char *const ORDERED[] = {"/a", "/b", "/z", "/a/b", "/b/a", "/a/z/z"};
    qsort(paths, 6, sizeof(paths[0]), volume_destination_order);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(paths[i], ORDERED[i]);
}

static void a_clean_path_says_nothing_twice(void **state)
{
    (void)state;
    static const char *const ROWS[][2] = {
        {"/", "/"},         {"//", "/"},         {"/.", "/"},        {"/..", "/"},
        {"/a/", "/a"},      {"/a//b", "/a/b"},   {"/a/./b", "/a/b"}, {"/a/../b", "/b"},
        {"/../../a", "/a"}, {"/a/b/../..", "/"}, {"/...", "/..."},   {"/a/..b", "/a/..b"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        cleanup_free char *clean = volume_path_clean(ROWS[i][0]);
        assert_string_equal(clean, ROWS[i][1]);
    }
    assert_null(volume_path_clean("a/b"));
    assert_null(volume_path_clean(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_text_names_a_volume_a_directory_or_neither),
        cmocka_unit_test(a_mode_is_at_most_one_word_of_each_group),
        cmocka_unit_test(a_record_says_each_thing_by_its_key),
        cmocka_unit_test(options_and_labels_of_a_record_are_kept_by_key),
        cmocka_unit_test(a_tmpfs_takes_size_and_mode),
        cmocka_unit_test(a_tmpfs_takes_what_only_the_kernel_has_to_know),
        cmocka_unit_test(an_equals_sign_before_any_colon_makes_a_record),
        cmocka_unit_test(what_makes_no_sense_is_refused_with_its_words),
        cmocka_unit_test(volumes_from_a_mount_can_only_be_made_read_only),
        cmocka_unit_test(a_name_may_have_255_bytes),
        cmocka_unit_test(a_path_of_any_length_is_refused_or_kept_whole),
        cmocka_unit_test(a_size_is_bytes_or_has_a_unit),
        cmocka_unit_test(one_destination_is_asked_for_once),
        cmocka_unit_test(destinations_are_ordered_by_depth_and_then_by_bytes),
        cmocka_unit_test(a_clean_path_says_nothing_twice),
    };
    return cmocka_run_group_tests_name("volumespec", tests, NULL, NULL);
}
