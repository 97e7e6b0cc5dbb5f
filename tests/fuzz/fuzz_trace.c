/* SPDX-License-Identifier: MIT
 *
 * Any lines as the filters of a trace: refused with words, or a filter that passes whatever it is
 * asked about, and wants at least what it passes.
 */
#include "fuzzkit.h"

#include "tracefilter.h"

enum { WORDS = 16 };

static void ask_about(const struct tracefilter *filter, enum trace_kind kind, enum meter_op op,
                      const char *path)
{
    const struct trace_note note = {
        .kind = kind, .op = op, .event = {.cause = "chmod", .path = path, .pid = 7, .duration = 5}};
    uint64_t bit = kind == TRACE_REQUEST ? trace_wants_request(op) : TRACE_WANTS_EVENTS;
    if (tracefilter_passes(filter, &note))
        must((tracefilter_wants(filter) & bit) != 0, "what passes is wanted");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[WORDS];
    cleanup_free char *text = fuzz_text(data, size);
    unsigned count = fuzz_words(text, '\n', words, WORDS);
    for (int all = 0; all < 2; all++) {
        char why[256] = "";
        cleanup_tracefilter struct tracefilter *filter = NULL;
        int err = tracefilter_parse(words, count, all, &filter, why);
        must(err == 0 || (err == -EINVAL && why[0]), "a filter is taken, or refused with words");
        if (err)
            continue;
        ask_about(filter, TRACE_EVENT, METER_WRITE, "/a/b");
        ask_about(filter, TRACE_ROUTE, METER_LOOKUP, "/");
        ask_about(filter, TRACE_REQUEST, METER_SETATTR, "/a/b/c.d");
        ask_about(filter, TRACE_REQUEST, METER_SETATTR, "");
    }
    return 0;
}
