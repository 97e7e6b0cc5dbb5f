/* SPDX-License-Identifier: MIT
 *
 * Duty: judge. A glob is matched name by name, so that no wildcard reaches over a slash; where a
 * later name does not fit, the last `**` takes one more, which finds a way if there is one, and
 * costs at most the product of both lengths.
 */
#include "policy.h"

#include <fnmatch.h>
#include <limits.h>
#include <string.h>

static const char *const WORDS[POLICY_ACTS] = {
    [POLICY_ALLOW] = "allow", [POLICY_WARN] = "warn", [POLICY_DENY] = "deny"};

const char *policy_act_word(enum policy_act act)
{
    return WORDS[act];
}

int policy_act_of(const char *word)
{
    for (int act = 0; act < POLICY_ACTS; act++) {
        if (strcmp(WORDS[act], word) == 0)
            return act;
    }
    return -EINVAL;
}

/* ---- globs ---- */

/* A name between slashes. */
struct part {
    const char *at;
    size_t length; /* 0: there are no more */
};

/* The first name of `text`, which moves behind it. */
static struct part take_part(const char **text)
{
    const char *at = *text + strspn(*text, "/");
    const struct part part = {.at = at, .length = strcspn(at, "/")};
    *text = at + part.length;
    return part;
}

static bool part_is(const struct part *part, const char *word)
{
    return part->length == strlen(word) && memcmp(part->at, word, part->length) == 0;
}

static bool ends_here(const char *text)
{
    return text[strspn(text, "/")] == 0;
}

static bool part_fits(const struct part *glob, const struct part *name)
{
    char pattern[PATH_MAX], text[PATH_MAX];
    if (glob->length >= sizeof(pattern) || name->length >= sizeof(text))
        return false;
    memcpy(pattern, glob->at, glob->length);
    pattern[glob->length] = 0;
    memcpy(text, name->at, name->length);
    text[name->length] = 0;
    return fnmatch(pattern, text, 0) == 0;
}

/* Where a `**` began: the glob behind it, and what of the path it has not taken yet. */
struct stars {
    const char *glob, *path; /* glob NULL: there was none */
};

/* Whether the rest of the glob names the rest of the path, or a directory that it lies in. */
static bool names_from(const char *glob, const char *path, bool is_dir)
{
    const bool dirs_only = glob[strlen(glob) - 1] == '/';
    struct stars stars = {0};
    for (;;) {
        struct part want = take_part(&glob);
        if (part_is(&want, "**")) {
            if (ends_here(glob))
                return !ends_here(path);
            stars = (struct stars){.glob = glob, .path = path};
            continue;
        }
        if (want.length == 0)
            return !dirs_only || is_dir || !ends_here(path);
        struct part name = take_part(&path);
        if (name.length > 0 && part_fits(&want, &name))
            continue;
        if (!stars.glob || take_part(&stars.path).length == 0)
            return false;
        glob = stars.glob;
        path = stars.path;
    }
}

/* Whether it is to be looked for in every directory: a name and nothing else. */
static bool is_name(const char *glob)
{
    return strcspn(glob, "/") > 0 && ends_here(glob + strcspn(glob, "/"));
}

bool policy_names(const char *glob, const char *path, bool is_dir)
{
    if (*path == 0)
        return false;
    if (!is_name(glob))
        return names_from(glob, path, is_dir);
    const char *at = path;
    while (!ends_here(at)) {
        if (names_from(glob, at, is_dir))
            return true;
        (void)take_part(&at);
    }
    return false;
}

static int check(const char *glob)
{
    if (*glob == 0 || strlen(glob) >= PATH_MAX)
        return -EINVAL;
    struct part part;
    while ((part = take_part(&glob)).length > 0) {
        if (part_is(&part, ".") || part_is(&part, ".."))
            return -EINVAL;
    }
    return 0;
}

/* ---- rules ---- */

int policy_insert(struct policy *policy, unsigned at, enum policy_act act, const char *glob,
                  int64_t above)
{
    int err = check(glob);
    if (err)
        return err;
    struct policy_rule *rules =
        reallocarray(policy->rules, policy->count + 1, sizeof(*policy->rules));
    if (!rules)
        return -ENOMEM;
    policy->rules = rules;
    if (at > policy->count)
        at = policy->count;
    struct policy_rule rule = {.act = act, .above = above};
    err = own_copy(&rule.glob, glob);
    if (err)
        return err;
    memmove(rules + at + 1, rules + at, (policy->count - at) * sizeof(*rules));
    rules[at] = rule;
    policy->count++;
    return 0;
}

void policy_remove(struct policy *policy, unsigned at)
{
    struct policy_rule *rules = policy->rules;
    free(rules[at].glob);
    policy->count--;
    memmove(rules + at, rules + at + 1, (policy->count - at) * sizeof(*rules));
}

void policy_finish(struct policy *policy)
{
    for (unsigned i = 0; i < policy->count; i++)
        free(policy->rules[i].glob);
    free(policy->rules);
    *policy = POLICY_NONE;
}

/* ---- the verdict ---- */

static bool speaks_of(const struct policy_rule *rule, const struct policy_case *the_case)
{
    bool large = rule->above < 0 || the_case->size > (uint64_t)rule->above;
    return large && policy_names(rule->glob, the_case->path, the_case->is_dir);
}

/* What the rules alone say. */
static enum policy_act find_act(const struct policy *policy, const struct policy_case *the_case)
{
    for (unsigned i = 0; i < policy->count; i++) {
        if (speaks_of(&policy->rules[i], the_case))
            return policy->rules[i].act;
    }
    return POLICY_ALLOW;
}

static bool is_affordable(const struct policy *policy, const struct policy_case *the_case)
{
    if (policy->budget < 0 || the_case->bytes == 0)
        return true;
    uint64_t budget = (uint64_t)policy->budget;
    return the_case->moved <= budget && the_case->bytes <= budget - the_case->moved;
}

enum policy_verdict policy_judge(const struct policy *policy, const struct policy_case *the_case)
{
    enum policy_act act = find_act(policy, the_case);
    if (act == POLICY_DENY)
        return POLICY_DENIED;
    if (!is_affordable(policy, the_case))
        return POLICY_SPENT;
    return act == POLICY_WARN ? POLICY_WARNED : POLICY_ALLOWED;
}
