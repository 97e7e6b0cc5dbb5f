/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "ocicommit.h"

#include <stdio.h>
#include <string.h>

#define HEX_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define HEX_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static const char BASE[] =
    "{\"architecture\":\"arm64\",\"os\":\"linux\",\"created\":\"2020-01-01T00:00:00Z\","
    "\"container\":\"older\",\"x-kept\":{\"n\":1},\"config\":{\"Env\":[\"PATH=/bin\",\"A=1\"],"
    "\"Cmd\":[\"old\"],\"WorkingDir\":\"/srv\",\"Volumes\":{\"/data\":{}},\"Healthcheck\":"
    "{\"Test\":[\"NONE\"]}},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX_A "\"]},"
    "\"history\":[{\"created_by\":\"first\"}]}";

static struct oci_config base, made;
static struct oci_fault fault;

static int read_base(void **state)
{
    (void)state;
    return oci_config_parse(BASE, strlen(BASE), &base, &fault);
}

static int finish_base(void **state)
{
    (void)state;
    oci_config_finish(&base);
    return 0;
}

static int let_go(void **state)
{
    (void)state;
    oci_config_finish(&made);
    return 0;
}

/* Makes `made` from `from` with up to four changes. */
static int commit(const struct oci_config *from, const char *a, const char *b, const char *c)
{
    const char *const changes[] = {a, b, c};
    const struct oci_commit how = {
        .base = from,
        .diff_id = HEX_B,
        .created = 1700000000123456789,
        .created_by = "hand",
        .comment = "why",
        .changes = changes,
        .change_count = !a   ? 0
                        : !b ? 1
                        : !c ? 2
                             : 3,
    };
    oci_config_finish(&made);
    return oci_config_commit(&how, &made, &fault);
}

static void assert_words(const struct oci_words *words, const char *joined)
{
    char text[512] = "";
    for (size_t i = 0; i < words->count; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? "|" : "",
                 words->at[i]);
    assert_string_equal(text, joined);
}

static void one_more_layer_and_one_more_line_of_history(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, NULL, NULL, NULL), 0);
    assert_int_equal(made.diff_ids.count, 2);
    assert_string_equal(made.diff_ids.at[0], HEX_A);
    assert_string_equal(made.diff_ids.at[1], HEX_B);
    assert_int_equal(made.history_count, 2);
    assert_string_equal(made.history[0].created_by, "first");
    assert_string_equal(made.history[1].created_by, "hand");
    assert_string_equal(made.history[1].comment, "why");
    assert_string_equal(made.history[1].created, "2023-11-14T22:13:20.123456789Z");
    assert_false(made.history[1].empty);
    assert_string_equal(made.created, "2023-11-14T22:13:20.123456789Z");
    assert_string_equal(made.platform.architecture, "arm64");
    assert_string_not_equal(made.id, base.id);
    assert_int_equal(base.diff_ids.count, 1);
}

static void what_is_not_understood_is_kept_and_what_is_stale_goes(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, NULL, NULL, NULL), 0);
    assert_non_null(strstr(made.text, "\"x-kept\":{\"n\":1}"));
    assert_non_null(strstr(made.text, "\"Healthcheck\""));
    assert_null(strstr(made.text, "\"container\""));
    assert_words(&made.cmd, "old");
}

static void an_image_may_stand_on_nothing(void **state)
{
    (void)state;
    assert_int_equal(commit(NULL, "CMD [\"/init\"]", NULL, NULL), 0);
    assert_int_equal(made.diff_ids.count, 1);
    assert_int_equal(made.history_count, 1);
    assert_string_equal(made.platform.os, "linux");
    assert_string_equal(made.platform.architecture, platform_here().architecture);
    assert_words(&made.cmd, "/init");
}

static void without_a_layer_the_line_says_so(void **state)
{
    (void)state;
    const struct oci_commit how = {.base = &base, .created_by = "hand"};
    assert_int_equal(oci_config_commit(&how, &made, &fault), 0);
    assert_int_equal(made.diff_ids.count, 1);
    assert_int_equal(made.history_count, 2);
    assert_true(made.history[1].empty);
    assert_string_equal(made.history[1].comment, "");
}

static void layers_without_a_line_of_history_get_one(void **state)
{
    (void)state;
    static const char text[] =
        "{\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:" HEX_A "\",\"sha256:" HEX_A
        "\"]},\"history\":[{\"created_by\":\"x\",\"empty_layer\":true}]}";
    cleanup_oci_config struct oci_config bare;
    assert_int_equal(oci_config_parse(text, strlen(text), &bare, &fault), 0);
    assert_int_equal(commit(&bare, NULL, NULL, NULL), 0);
    assert_int_equal(made.diff_ids.count, 3);
    size_t lines = 0;
    for (size_t i = 0; i < made.history_count; i++)
        lines += !made.history[i].empty;
    assert_int_equal(lines, 3);
    assert_string_equal(made.history[made.history_count - 1].created_by, "hand");
}

static void a_command_is_a_list_or_a_line_for_the_shell(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "CMD [\"a\", \"b c\"]", NULL, NULL), 0);
    assert_words(&made.cmd, "a|b c");
    assert_int_equal(commit(&base, "cmd  echo \"a b\" $HOME ", NULL, NULL), 0);
    assert_words(&made.cmd, "/bin/sh|-c|echo \"a b\" $HOME");
    assert_int_equal(commit(&base, "CMD=[\"a\"]", NULL, NULL), 0);
    assert_words(&made.cmd, "a");
    /* What only looks like a list is for the shell. */
    assert_int_equal(commit(&base, "CMD [ -f /x ] && y", NULL, NULL), 0);
    assert_words(&made.cmd, "/bin/sh|-c|[ -f /x ] && y");
    assert_int_equal(commit(&base, "CMD [1]", NULL, NULL), 0);
    assert_words(&made.cmd, "/bin/sh|-c|[1]");
    assert_int_equal(commit(&base, "CMD []", NULL, NULL), 0);
    assert_words(&made.cmd, "");
}

static void an_entrypoint_takes_the_inherited_command_away(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "ENTRYPOINT [\"/e\"]", NULL, NULL), 0);
    assert_words(&made.entrypoint, "/e");
    assert_words(&made.cmd, "");
    assert_int_equal(commit(&base, "CMD [\"new\"]", "ENTRYPOINT [\"/e\"]", NULL), 0);
    assert_words(&made.cmd, "new");
    assert_int_equal(commit(&base, "ENTRYPOINT [\"/e\"]", "CMD [\"new\"]", NULL), 0);
    assert_words(&made.cmd, "new");
}

static void variables_are_replaced_where_they_stand_or_added(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "ENV A=2 B=\"two words\" C='x\\y' D=a\\ b", NULL, NULL), 0);
    assert_words(&made.env, "PATH=/bin|A=2|B=two words|C=x\\y|D=a b");
    assert_int_equal(commit(&base, "ENV A all  the rest", NULL, NULL), 0);
    assert_words(&made.env, "PATH=/bin|A=all  the rest");
    assert_int_equal(commit(&base, "ENV=A=", "ENV AB=1", NULL), 0);
    assert_words(&made.env, "PATH=/bin|A=|AB=1");
    assert_int_equal(commit(NULL, "ENV A=1", NULL, NULL), 0);
    assert_words(&made.env, "A=1");
}

static void labels_are_set(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "LABEL a=1 b=\"x=y\"", "LABEL a=2", "LABEL c d e"), 0);
    assert_int_equal(made.labels.count, 3);
    assert_string_equal(made.labels.at[0].key, "a");
    assert_string_equal(made.labels.at[0].value, "2");
    assert_string_equal(made.labels.at[1].value, "x=y");
    assert_string_equal(made.labels.at[2].value, "d e");
}

static void ports_have_a_protocol_and_may_be_ranges(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "EXPOSE 80 53/udp 8000-8002/sctp 65535", NULL, NULL), 0);
    assert_words(&made.ports, "80/tcp|53/udp|8000/sctp|8001/sctp|8002/sctp|65535/tcp");
}

static void users_volumes_and_directories_are_set(void **state)
{
    (void)state;
    assert_int_equal(commit(&base, "USER www:www", "VOLUME /log /a\\ b", "WORKDIR app"), 0);
    assert_string_equal(made.user, "www:www");
    assert_words(&made.volumes, "/data|/log|/a b");
    assert_string_equal(made.working_dir, "/srv/app");
    assert_int_equal(commit(&base, "VOLUME [\"/x\", \"/y z\"]", "WORKDIR /new", "WORKDIR in"), 0);
    assert_words(&made.volumes, "/data|/x|/y z");
    assert_string_equal(made.working_dir, "/new/in");
    assert_int_equal(commit(NULL, "WORKDIR app", NULL, NULL), 0);
    assert_string_equal(made.working_dir, "/app");
}

static void what_makes_no_sense_is_refused_with_words(void **state)
{
    (void)state;
    static const struct {
        const char *change, *words;
    } bad[] = {
        {"", "not one of"},
        {"RUN make", "not one of"},
        {"CMDS x", "not one of"},
        {"CM x", "not one of"},
        {"CMD", "says nothing"},
        {"ENV   ", "says nothing"},
        {"ENV A", "no value"},
        {"ENV =x y", "not NAME=VALUE"},
        {"ENV A=1 B", "not NAME=VALUE"},
        {"ENV A=\"open", "not closed"},
        {"LABEL a=1 =2", "not NAME=VALUE"},
        {"EXPOSE 0", "no port"},
        {"EXPOSE 65536", "no port"},
        {"EXPOSE 80/icmp", "no port"},
        {"EXPOSE 90-80", "no port"},
        {"EXPOSE +80", "no port"},
        {"EXPOSE 80-", "no port"},
        {"EXPOSE http", "no port"},
        {"VOLUME data", "no absolute path"},
        {"VOLUME [\"data\"]", "no absolute path"},
        {"USER \xff", "not UTF-8"},
        {"CMD \xff", "not UTF-8"},
        {"ENV A=\xff", "not UTF-8"},
        {"LABEL \xff=1", "not UTF-8"},
        {"VOLUME /\xff", "not UTF-8"},
        {"WORKDIR \xff", "not UTF-8"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int err = commit(&base, bad[i].change, NULL, NULL);
        if (err != -EINVAL || !strstr(fault.words, bad[i].words))
            fail_msg("'%s': %d '%s', not '%s'", bad[i].change, err, fault.words, bad[i].words);
        assert_null(made.text);
    }
}

int main(void)
{
#define claim(function) cmocka_unit_test_teardown(function, let_go)
    const struct CMUnitTest tests[] = {
        claim(one_more_layer_and_one_more_line_of_history),
        claim(what_is_not_understood_is_kept_and_what_is_stale_goes),
        claim(an_image_may_stand_on_nothing),
        claim(without_a_layer_the_line_says_so),
        claim(layers_without_a_line_of_history_get_one),
        claim(a_command_is_a_list_or_a_line_for_the_shell),
        claim(an_entrypoint_takes_the_inherited_command_away),
        claim(variables_are_replaced_where_they_stand_or_added),
        claim(labels_are_set),
        claim(ports_have_a_protocol_and_may_be_ranges),
        claim(users_volumes_and_directories_are_set),
        claim(what_makes_no_sense_is_refused_with_words),
    };
    return cmocka_run_group_tests_name("ocicommit", tests, read_base, finish_base);
}
