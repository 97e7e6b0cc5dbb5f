/* SPDX-License-Identifier: MIT
 *
 * Any text as a glob, and any as the path in the line behind it: refused, or it has an answer, and
 * what names a directory names all that is beneath it.
 */
#include "fuzzkit.h"

#include "pathglob.h"
#include "policy.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[2] = {"", "/a/b"};
    cleanup_free char *text = fuzz_text(data, size);
    cleanup_free char *path = NULL, *beneath = NULL;
    fuzz_words(text, '\n', words, 2);
    cleanup_policy struct policy policy = POLICY_NONE;
    int err = pathglob_check(words[0]);
    must(err == 0 || err == -EINVAL, "a glob is taken or refused");
    must(policy_insert(&policy, 0, POLICY_DENY, words[0], POLICY_UNLIMITED) == err,
         "a rule is taken where its glob is");
    if (err || size > 512)
        return 0;
    must(asprintf(&path, "/%s", words[1]) > 0 && asprintf(&beneath, "%s/x", path) > 0, "no memory");
    bool named = pathglob_names(words[0], path, true);
    if (named)
        must(pathglob_names(words[0], beneath, false), "what is beneath is named with it");
    const struct policy_case the_case = {.path = path, .is_dir = true};
    must((policy_judge(&policy, &the_case) == POLICY_DENIED) == named, "the rule says the same");
    must(!pathglob_names(words[0], "", false), "what has no name is not named");
    return 0;
}
