/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "bubble.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char CONFIG[] =
    "{\"architecture\": \"amd64\", \"os\": \"linux\", \"rootfs\": {\"type\": \"layers\","
    " \"diff_ids\": []}, \"config\": {\"Entrypoint\": [\"/entry\", \"-e\"], \"Cmd\": [\"cmd\"],"
    " \"Env\": [\"A=1=2\", \"LD_PRELOAD=/x\"], \"WorkingDir\": \"/work\","
    " \"Volumes\": {\"/data\": {}}}}";

static struct oci_config parsed(void)
{
    struct oci_config config;
    struct oci_fault fault = {""};
    int err = oci_config_parse(CONFIG, strlen(CONFIG), &config, &fault);
    if (err)
        fail_msg("%s", fault.words);
    return config;
}

/* The words from the first `word` on, with blanks. */
static void assert_holds(const struct bubble *bubble, const char *words)
{
    char line[4096] = " ";
    for (size_t i = 0; i < bubble->count; i++) {
        strcat(line, bubble->argv[i]);
        strcat(line, " ");
    }
    if (!strstr(line, words))
        fail_msg("'%s' is not in:%s", words, line);
}

static struct bubble_wish wish_in(const char *root)
{
    return (struct bubble_wish){
        .root = kit_open(root, O_RDONLY | O_DIRECTORY), .path = "/at", .user = {.home = "/"}};
}

static void assert_made(struct bubble_wish wish, const char *words)
{
    struct bubble bubble;
    assert_int_equal(bubble_make(&wish, &bubble), 0);
    assert_null(bubble.argv[bubble.count]);
    assert_holds(&bubble, words);
    bubble_finish(&bubble);
}

static void the_tree_is_the_root_and_a_shell_the_program(void **state)
{
    (void)state;
    kit_dir("root");
    struct bubble_wish wish = wish_in("root");
    assert_made(wish, " --bind /at / --proc /proc --dev /dev --clearenv ");
    assert_made(wish, " --chdir / -- /bin/sh ");
    close(wish.root);
}

static void the_config_says_what_runs_and_words_replace_its_cmd(void **state)
{
    (void)state;
    static const char *const WORDS[] = {"other", "-x"};
    kit_dir("root");
    struct oci_config config = parsed();
    struct bubble_wish wish = wish_in("root");
    wish.config = &config;
    assert_made(wish, " --chdir /work -- /entry -e cmd ");
    wish.words = WORDS;
    wish.count = 2;
    assert_made(wish, " -- /entry -e other -x ");
    close(wish.root);
    oci_config_finish(&config);
}

static void the_environment_is_handed_over_in_words(void **state)
{
    (void)state;
    kit_dir("root");
    struct oci_config config = parsed();
    struct bubble_wish wish = wish_in("root");
    wish.config = &config;
    assert_made(wish, " --setenv A 1=2 --setenv LD_PRELOAD /x ");
    close(wish.root);
    oci_config_finish(&config);
}

static void a_user_of_a_user_namespace_is_mapped(void **state)
{
    (void)state;
    kit_dir("root");
    struct bubble_wish wish = wish_in("root");
    wish.user.uid = 1000;
    wish.user.gid = 1001;
    wish.map_user = true;
    assert_made(wish, " --unshare-user --uid 1000 --gid 1001 ");
    close(wish.root);
}

static void assert_refused(struct bubble_wish wish)
{
    struct bubble bubble;
    assert_int_equal(bubble_make(&wish, &bubble), -EINVAL);
    assert_null(bubble.argv);
}

static void a_place_that_leads_out_of_the_image_is_refused(void **state)
{
    (void)state;
    kit_dir("outside");
    kit_symlink("one/proc", "/oldroot");
    kit_symlink("two/dev", "../outside");
    kit_file("three/proc", "no directory");
    static const char *const ROOTS[] = {"one", "two", "three"};
    for (size_t i = 0; i < 3; i++) {
        struct bubble_wish wish = wish_in(ROOTS[i]);
        assert_refused(wish);
        close(wish.root);
    }
}

static void the_resolver_is_the_hosts_only_where_the_image_has_a_file_for_it(void **state)
{
    (void)state;
    kit_file("file/etc/resolv.conf", "");
    kit_symlink("link/etc/resolv.conf", "/run/resolv.conf");
    struct bubble_wish file = wish_in("file"), link = wish_in("link");
    struct bubble bubble;
    assert_made(file, " --ro-bind-try /etc/resolv.conf /etc/resolv.conf ");
    assert_int_equal(bubble_make(&link, &bubble), 0);
    for (size_t i = 0; i < bubble.count; i++)
        assert_string_not_equal(bubble.argv[i], "--ro-bind-try");
    bubble_finish(&bubble);
    close(file.root);
    close(link.root);
}

/* ---- users ---- */

static void assert_user(int root, const char *text, uid_t uid, gid_t gid, const char *home)
{
    struct bubble_user user;
    assert_int_equal(bubble_find_user(root, text, &user), 0);
    assert_int_equal(user.uid, uid);
    assert_int_equal(user.gid, gid);
    assert_string_equal(user.home, home);
}

static void a_user_is_a_number_or_a_name_of_the_image(void **state)
{
    (void)state;
    kit_file("root/etc/passwd", "root:x:0:0::/root:/bin/sh\nweb:x:33:34::/var/www:/bin/sh\n");
    kit_file("root/etc/group", "root:x:0:\nstaff:x:50:\n");
    int root = kit_open("root", O_RDONLY | O_DIRECTORY);
    assert_user(root, "", 0, 0, "/root");
    assert_user(root, "web", 33, 34, "/var/www");
    assert_user(root, "33", 33, 34, "/var/www");
    assert_user(root, "web:staff", 33, 50, "/var/www");
    assert_user(root, "web:7", 33, 7, "/var/www");
    assert_user(root, "1000", 1000, 0, "/");
    assert_user(root, "1000:staff", 1000, 50, "/");
    close(root);
}

static void a_user_that_the_image_does_not_know_is_refused(void **state)
{
    (void)state;
    kit_file("root/etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    int root = kit_open("root", O_RDONLY | O_DIRECTORY);
    struct bubble_user user;
    assert_int_equal(bubble_find_user(root, "web", &user), -ENOENT);
    assert_int_equal(bubble_find_user(root, "root:web", &user), -ENOENT);
    assert_int_equal(bubble_find_user(root, "-1", &user), -ENOENT);
    assert_int_equal(bubble_find_user(root, "4294967295", &user), -ENOENT);
    assert_int_equal(bubble_find_user(root, "4294967296", &user), -ENOENT);
    close(root);
}

static void a_passwd_that_is_a_symlink_or_a_pipe_is_not_read(void **state)
{
    (void)state;
    kit_file("outside", "web:x:33:34::/:/bin/sh\n");
    kit_symlink("link/etc/passwd", "../../outside");
    kit_dir("pipe/etc");
    int root = kit_open("link", O_RDONLY | O_DIRECTORY);
    struct bubble_user user;
    assert_int_equal(bubble_find_user(root, "web", &user), -ENOENT);
    close(root);
    root = kit_open("pipe", O_RDONLY | O_DIRECTORY);
    assert_int_equal(mkfifoat(root, "etc/passwd", 0600), 0);
    assert_int_equal(bubble_find_user(root, "web", &user), -ENOENT);
    close(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(the_tree_is_the_root_and_a_shell_the_program),
        kit_test(the_config_says_what_runs_and_words_replace_its_cmd),
        kit_test(the_environment_is_handed_over_in_words),
        kit_test(a_user_of_a_user_namespace_is_mapped),
        kit_test(a_place_that_leads_out_of_the_image_is_refused),
        kit_test(the_resolver_is_the_hosts_only_where_the_image_has_a_file_for_it),
        kit_test(a_user_is_a_number_or_a_name_of_the_image),
        kit_test(a_user_that_the_image_does_not_know_is_refused),
        kit_test(a_passwd_that_is_a_symlink_or_a_pipe_is_not_read),
    };
    return kit_run("bubble", tests, sizeof(tests) / sizeof(tests[0]));
}
