/* abi_stage - one function that guests import, an actor that has all it needs, and calls with
 * whatever arguments: what became of them, and what came or went by it. */
#ifndef PD_TEST_ABI_STAGE_H
#define PD_TEST_ABI_STAGE_H

#include <inttypes.h>

#include "abi_rows.h"
#include "wasm/error_text.h"

enum how {
    ANSWERED,
    TRAPPED,
    WAITING,
    GONE
};

struct outcome {
    enum how how;
    uint64_t result;
    char text[PD_GUEST_FAILURE_SIZE]; /* of the trap, or of the newest error */
};

/* One function, and the actor that calls it. */
struct stage {
    struct house *house;
    const struct row *row;
    const struct pd_import *import;
    unsigned needs;
    size_t argument_count;
    struct furnished furnished;
    struct counts before;
    uint32_t case_count;
};

#define ROUNDS_FEW 3u
#define ROUNDS_MANY 5000u

/* --- Calling ---------------------------------------------------------------------------------- */

static inline void renew(struct stage *stage)
{
    clear_house(stage->house);
    furnish(stage->house, &stage->furnished, stage->needs);
    stage->before = count_all(stage->house, &stage->furnished);
}

static inline void begin(struct stage *stage, struct house *house, const struct row *row,
                         unsigned needs)
{
    *stage = (struct stage){.house = house,
                            .row = row,
                            .import = abi_find_version(row->module, row->name, row->signature),
                            .needs = needs,
                            .argument_count = row_argument_count(row)};
    renew(stage);
}

static inline uint64_t value_of(const struct stage *stage, size_t at)
{
    const struct argument *argument = &stage->row->arguments[at];
    switch (argument->role) {
    case ROLE_ID:
    case ROLE_OWN_OR:
    case ROLE_QUIET:
        return stage->furnished.ids[argument->thing];
    case ROLE_END:
    case ROLE_INDEX:
    case ROLE_FROM:
    case ROLE_TEXT:
    case ROLE_PARTS:
    case ROLE_TO:
    case ROLE_SIZE:
    case ROLE_TYPE:
    case ROLE_NODE:
    case ROLE_PID:
    case ROLE_MS:
    case ROLE_ANY:
        break;
    }
    return furnished_number(&stage->furnished, argument->value);
}

static inline void good_arguments(const struct stage *stage, uint64_t *arguments)
{
    for (size_t i = 0; i < stage->argument_count; i++) {
        arguments[i] = value_of(stage, i);
    }
}

static inline void read_newest_error(const struct pd_wasm_process *self, struct outcome *outcome)
{
    if (self->errors.count > 0) {
        const struct pd_error_text *text = self->errors.entries[self->errors.count - 1].object;
        (void)snprintf(outcome->text, sizeof outcome->text, "%.*s", (int)text->size,
                       (const char *)text->bytes);
    }
}

/* Call, and wait for at most so many milliseconds of its time. */
static inline struct outcome call_for(struct stage *stage, const uint64_t *arguments,
                                      uint32_t rounds)
{
    struct actor *actor = &stage->furnished.actor;
    struct net_fixture *net = &stage->house->net;
    struct outcome outcome = {.how = ANSWERED};
    uint64_t given[PD_CALL_ARGUMENTS_MAX] = {0};
    for (size_t i = 0; i < stage->argument_count; i++) {
        bool is_narrow = stage->row->signature[i] == 'i';
        given[i] = is_narrow ? (uint64_t)(uint32_t)arguments[i] : arguments[i];
    }
    stage->case_count++;
    fake_has_caught = false;
    actor_begin(actor, stage->import, given, stage->argument_count);
    for (uint32_t round = 0; actor_is_waiting(actor) && round < rounds; round++) {
        (void)pd_real_sockets_poll(net->sockets, round < ROUNDS_FEW ? 0 : 1);
        world_pass(&net->world, MS);
    }
    if (!actor_lives(actor)) {
        outcome.how = GONE;
    } else if (actor_is_waiting(actor)) {
        outcome.how = WAITING;
    } else if (fake_has_caught) {
        outcome.how = TRAPPED;
        (void)snprintf(outcome.text, sizeof outcome.text, "%s", actor_guest(actor)->failure);
    } else {
        outcome.result = actor_guest(actor)->call.result;
        read_newest_error(actor_wasm(actor), &outcome);
    }
    return outcome;
}

/* With one argument other than good. */
static inline struct outcome call_with(struct stage *stage, size_t at, uint64_t value)
{
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
    good_arguments(stage, arguments);
    arguments[at] = value;
    return call_for(stage, arguments, ROUNDS_FEW);
}

/* --- Judging ---------------------------------------------------------------------------------- */

static inline void blame(const struct stage *stage, size_t at, uint64_t value,
                         const struct outcome *outcome, const char *words)
{
    static const char *const hows[] = {"answered", "trapped", "waits", "is gone"};
    fail_msg("%s::%s: argument %zu is %" PRIu64 ": it %s with %" PRIu64 " (\"%s\"), not: %s",
             stage->row->module, stage->row->name, at, value, hows[outcome->how], outcome->result,
             outcome->text, words);
}

/* As good arguments are answered. */
static inline bool is_answer(const struct stage *stage, const struct outcome *outcome)
{
    return outcome->how == (stage->row->ends ? GONE : ANSWERED);
}

/* Nothing came or went but `errors_more` errors, and what the row says is lost. */
static inline void check_nothing_changed(struct stage *stage, size_t at, uint64_t value,
                                         uint64_t errors_more)
{
    struct counts after = count_all(stage->house, &stage->furnished);
    for (size_t i = 0; i < COUNTS; i++) {
        uint64_t more = i == COUNT_ERRORS ? errors_more : 0;
        bool is_lost = (stage->row->loses >> i & 1u) != 0;
        if (!is_lost && after.of[i] != stage->before.of[i] + more) {
            fail_msg("%s::%s: argument %zu is %" PRIu64 ": %s: %" PRIu64 ", then %" PRIu64,
                     stage->row->module, stage->row->name, at, value, count_names[i],
                     stage->before.of[i], after.of[i]);
        }
    }
    stage->before = after;
    if (stage->row->loses != 0) {
        renew(stage);
    }
}

/* It traps with these words, and nothing else happens. */
static inline void expect_trap(struct stage *stage, size_t at, uint64_t value, const char *words)
{
    struct outcome outcome = call_with(stage, at, value);
    if (outcome.how != TRAPPED || strstr(outcome.text, words) == NULL) {
        blame(stage, at, value, &outcome, words);
    }
    check_nothing_changed(stage, at, value, 0);
}

/* Or it answers with an error of these words (`words` or `or_words`). */
static inline void expect_failure(struct stage *stage, size_t at, uint64_t value, const char *words,
                                  const char *or_words)
{
    struct outcome outcome = call_with(stage, at, value);
    bool is_error = outcome.how == ANSWERED && outcome.result == 1 && stage->row->answers_errors;
    bool is_said = strstr(outcome.text, words) != NULL ||
                   (or_words != NULL && strstr(outcome.text, or_words) != NULL);
    if ((outcome.how != TRAPPED && !is_error) || !is_said) {
        blame(stage, at, value, &outcome, words);
    }
    check_nothing_changed(stage, at, value, is_error);
}

/* The good call does what it should: after what was caught, too. */
static inline void expect_success(struct stage *stage, const uint64_t *arguments, const char *when)
{
    struct outcome outcome = call_for(stage, arguments, ROUNDS_MANY);
    uint64_t wanted = furnished_number(&stage->furnished, stage->row->result);
    bool is_right =
        is_answer(stage, &outcome) && (!stage->row->has_result || outcome.result == wanted);
    if (!is_right) {
        blame(stage, 0, arguments[0], &outcome, when);
    }
}

static inline void expect_good_call(struct stage *stage, const char *when)
{
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
    good_arguments(stage, arguments);
    expect_success(stage, arguments, when);
}

#endif
