/* SPDX-License-Identifier: MIT */
#include "kit.h"

#include "event.h"

#include <errno.h>

static void every_word_leads_back_to_its_number(void **state)
{
    (void)state;
    for (int kind = 0; kind < EVENT_KINDS; kind++)
        assert_int_equal(event_kind_of(event_kind_word((enum event_kind)kind)), kind);
    for (int means = 0; means < EVENT_MEANS_COUNT; means++)
        assert_int_equal(event_means_of(event_means_word((enum event_means)means)), means);
}

static void an_unknown_word_is_refused(void **state)
{
    (void)state;
    assert_int_equal(event_kind_of("copy-up"), -EINVAL);
    assert_int_equal(event_kind_of(""), -EINVAL);
    assert_int_equal(event_means_of("magic"), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_leads_back_to_its_number),
        cmocka_unit_test(an_unknown_word_is_refused),
    };
    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
