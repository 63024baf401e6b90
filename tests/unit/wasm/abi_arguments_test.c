/* Every function of lunatic::* and pando::*, with everything there that it could ask for, and one
 * bad argument at a time: ids, pointers, sizes, texts and numbers. It traps or fails in the words
 * that the reference and its table promise, nothing is lost or left behind by it, and the actor
 * that caught the trap goes on. */
#include <sys/mman.h>

#include "abi_stage.h"

/* --- All are there ---------------------------------------------------------------------------- */

static bool fits(const struct argument *argument, char type)
{
    switch (argument->role) {
    case ROLE_END:
        return false;
    case ROLE_ID:
    case ROLE_OWN_OR:
    case ROLE_QUIET:
    case ROLE_INDEX:
    case ROLE_NODE:
    case ROLE_PID:
    case ROLE_MS:
        return type == 'I';
    case ROLE_FROM:
    case ROLE_TEXT:
    case ROLE_PARTS:
    case ROLE_TO:
    case ROLE_SIZE:
    case ROLE_TYPE:
        return type == 'i';
    case ROLE_ANY:
        return true;
    }
    return false;
}

static void check_arguments(const struct row *row)
{
    size_t count = row_argument_count(row);
    for (size_t i = 0; i < count; i++) {
        if (!fits(&row->arguments[i], row->signature[i])) {
            fail_msg("%s::%s: argument %zu is not what the signature says", row->module, row->name,
                     i);
        }
    }
    if (count < PD_CALL_ARGUMENTS_MAX && row->arguments[count].role != ROLE_END) {
        fail_msg("%s::%s has more arguments than its signature", row->module, row->name);
    }
}

static void every_function_has_a_row(void **state)
{
    (void)state;
    size_t function_count = 0;
    for (size_t i = 0; i < hostile_import_count(); i++) {
        const struct pd_import *import = hostile_import(i);
        if (strncmp(import->module, "wasi_", 5) == 0) { /* they have tests of their own */
            continue;
        }
        function_count++;
        size_t found = 0;
        for (size_t j = 0; row_at(j) != NULL; j++) {
            found += strcmp(row_at(j)->module, import->module) == 0 &&
                     strcmp(row_at(j)->name, import->name) == 0 &&
                     strcmp(row_at(j)->signature, import->signature) == 0;
        }
        if (found != 1) {
            fail_msg("%s::%s (%s) has %zu rows", import->module, import->name, import->signature,
                     found);
        }
    }
    size_t row_count = 0;
    for (; row_at(row_count) != NULL; row_count++) {
        check_arguments(row_at(row_count));
    }
    assert_int_equal(row_count, function_count);
}

static void good_arguments_succeed(void **state)
{
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        begin(&stage, *state, row_at(i), row_needs(row_at(i)));
        expect_good_call(&stage, "success");
    }
    clear_house(*state);
}

/* --- Ids -------------------------------------------------------------------------------------- */

/* Of one table. */
static bool is_alike(enum thing one, enum thing other)
{
    bool is_statement = one == A_STATEMENT || one == A_STATEMENT_AT_ROW;
    bool is_supervisor = one == A_SUPERVISOR || one == A_BRANCH;
    return one == other ||
           (is_statement && (other == A_STATEMENT || other == A_STATEMENT_AT_ROW)) ||
           (is_supervisor && (other == A_SUPERVISOR || other == A_BRANCH));
}

static void try_id(struct stage *stage, size_t at, uint64_t id)
{
    char words[64];
    const struct argument *argument = &stage->row->arguments[at];
    (void)snprintf(words, sizeof words, "has the id %" PRIu64, id);
    if (argument->role != ROLE_QUIET) {
        expect_trap(stage, at, id, words);
        return;
    }
    struct outcome outcome = call_with(stage, at, id);
    bool is_query = argument->thing == A_QUERY;
    if (outcome.how != ANSWERED || outcome.result != argument->value ||
        (is_query && strstr(outcome.text, words) == NULL)) {
        blame(stage, at, id, &outcome, words);
    }
    check_nothing_changed(stage, at, id, is_query);
}

static void try_ids(struct stage *stage, size_t at)
{
    const struct argument *argument = &stage->row->arguments[at];
    uint64_t own = stage->furnished.ids[argument->thing];
    uint64_t others = stage->house->others.ids[argument->thing];
    assert_int_not_equal(own, 0);
    assert_int_not_equal(stage->furnished.dropped[argument->thing], 0);
    try_id(stage, at, stage->furnished.dropped[argument->thing]);
    try_id(stage, at, own | UINT64_C(1) << 32);
    try_id(stage, at, own + 400);
    try_id(stage, at, 0);
    try_id(stage, at, UINT64_MAX - 1);
    if (argument->role != ROLE_OWN_OR) {
        try_id(stage, at, UINT64_MAX);
    }
    if (others != 0) {
        try_id(stage, at, others);
    }
    for (int other = 0; other < THINGS; other++) {
        if (!is_alike(argument->thing, (enum thing)other)) {
            try_id(stage, at, stage->furnished.ids[other]);
        }
    }
}

static void wrong_ids_take_nothing(void **state)
{
    struct stage stage;
    uint32_t case_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        for (size_t at = 0; at < row_argument_count(row); at++) {
            enum role role = row->arguments[at].role;
            if (role != ROLE_ID && role != ROLE_OWN_OR && role != ROLE_QUIET) {
                continue;
            }
            begin(&stage, *state, row, NEEDS_ALL);
            try_ids(&stage, at);
            case_count += stage.case_count;
            stage.needs = row_needs(row);
            renew(&stage);
            expect_good_call(&stage, "success");
        }
    }
    clear_house(*state);
    print_message("%u wrong ids\n", case_count);
}

/* What a message does not carry there cannot be taken, nor what was taken. */
static void wrong_places_of_a_message_take_nothing(void **state)
{
    static const uint64_t places[] = {CARRIES_A_MODULE,
                                      CARRIES_A_STREAM,
                                      CARRIES_A_DATAGRAM_SOCKET,
                                      CARRIES_A_TLS_STREAM,
                                      CARRIES_NOTHING,
                                      255,
                                      256,
                                      65536,
                                      UINT64_C(1) << 32,
                                      UINT64_MAX};
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        if (row->arguments[0].role != ROLE_INDEX) {
            continue;
        }
        begin(&stage, *state, row, NEEDS_ALL);
        uint64_t own = row->arguments[0].value;
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            if (places[j] != own) {
                expect_trap(&stage, 0, places[j], "at index");
            }
        }
        expect_trap(&stage, 0, own | UINT64_C(1) << 32, "at index");
        expect_good_call(&stage, "success");
        stage.before = count_all(stage.house, &stage.furnished);
        expect_trap(&stage, 0, own, "at index");
    }
    clear_house(*state);
}

/* --- Pointers --------------------------------------------------------------------------------- */

static bool is_pointer(const struct argument *argument)
{
    return argument->role == ROLE_FROM || argument->role == ROLE_TEXT ||
           argument->role == ROLE_PARTS || argument->role == ROLE_TO;
}

/* How many bytes it points to. */
static uint32_t region_size(const struct stage *stage, size_t at)
{
    const struct argument *argument = &stage->row->arguments[at];
    if (argument->size != 0) {
        return argument->size;
    }
    const struct argument *size = argument + 1;
    pd_assert(size->role == ROLE_SIZE);
    return (uint32_t)furnished_number(&stage->furnished, size->value) * size->size;
}

static void pointers_out_of_bounds_take_nothing(void **state)
{
    struct stage stage;
    uint32_t case_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        begin(&stage, *state, row, row_needs(row));
        for (size_t at = 0; at < stage.argument_count; at++) {
            if (!is_pointer(&row->arguments[at])) {
                continue;
            }
            uint32_t size = region_size(&stage, at);
            const uint64_t places[] = {
                FAKE_MEMORY_SIZE - size + 1,
                FAKE_MEMORY_SIZE,
                0x80000000u,
                UINT32_MAX,
                UINT32_MAX - (uint64_t)size + 1,
                UINT32_MAX - (uint64_t)size + 2,
            };
            for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
                expect_trap(&stage, at, places[j], "out of bounds");
            }
        }
        case_count += stage.case_count;
        expect_good_call(&stage, "success behind the traps");
    }
    clear_house(*state);
    print_message("%u bad pointers\n", case_count);
}

/* The arguments with a region moved, its content with it. */
static void try_place(struct stage *stage, size_t at, uint32_t place)
{
    renew(stage);
    uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
    good_arguments(stage, arguments);
    uint32_t from = (uint32_t)arguments[at];
    memmove(actor_memory(&stage->furnished.actor, place),
            actor_memory(&stage->furnished.actor, from), region_size(stage, at));
    arguments[at] = place;
    expect_success(stage, arguments, "success, at whatever place");
}

/* The beginning of memory, its very end, odd addresses. What is too long to lie before the other
 * arguments is not moved to the beginning. */
static void any_place_in_memory_will_do(void **state)
{
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        begin(&stage, *state, row, row_needs(row));
        for (size_t at = 0; at < stage.argument_count; at++) {
            if (!is_pointer(&row->arguments[at])) {
                continue;
            }
            uint32_t size = region_size(&stage, at);
            if (size <= IP_AT) {
                try_place(&stage, at, 0);
            }
            try_place(&stage, at, (uint32_t)row->arguments[at].value + 1);
            try_place(&stage, at, FAKE_MEMORY_SIZE - size);
        }
    }
    clear_house(*state);
}

/* All that is written lies at one place; and where something is read. */
static void answers_may_overlap(void **state)
{
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        uint64_t read_at = OUT_AT;
        for (size_t at = 0; at < row_argument_count(row); at++) {
            bool is_read = is_pointer(&row->arguments[at]) && row->arguments[at].role != ROLE_TO;
            read_at = is_read ? row->arguments[at].value : read_at;
        }
        const uint64_t places[] = {OUT_AT, read_at};
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
            begin(&stage, *state, row, row_needs(row));
            good_arguments(&stage, arguments);
            for (size_t at = 0; at < stage.argument_count; at++) {
                arguments[at] = row->arguments[at].role == ROLE_TO ? places[j] : arguments[at];
            }
            expect_success(&stage, arguments, "success, whatever overlaps");
        }
    }
    clear_house(*state);
}

/* Within a list of parts: the first is bad, and the second. */
static void parts_are_checked(void **state)
{
    static const uint32_t bad[][2] = {
        {FAKE_MEMORY_SIZE - 1, 2}, {UINT32_MAX, UINT32_MAX}, {1, UINT32_MAX},
        {FAKE_MEMORY_SIZE + 1, 0}, {0x80000000u, 1},
    };
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        begin(&stage, *state, row, row_needs(row));
        for (size_t at = 0; at < stage.argument_count; at++) {
            if (row->arguments[at].role != ROLE_PARTS) {
                continue;
            }
            for (size_t j = 0; j < 2 * sizeof bad / sizeof bad[0]; j++) {
                uint8_t *parts =
                    actor_memory(&stage.furnished.actor, (uint32_t)row->arguments[at].value);
                uint8_t good[8];
                memcpy(good, parts, sizeof good);
                pd_put_u32(parts + j % 2 * 8, bad[j / 2][0]);
                pd_put_u32(parts + j % 2 * 8 + 4, bad[j / 2][1]);
                expect_trap(&stage, at + 1, 1 + j % 2, "out of bounds");
                memcpy(parts, good, sizeof good);
            }
        }
        expect_good_call(&stage, "success behind the traps");
    }
    clear_house(*state);
}

/* --- Sizes and texts -------------------------------------------------------------------------- */

/* One more than there is, and those that pass the end of what 32 bits count. */
static void try_long_sizes(struct stage *stage, size_t at)
{
    const struct argument *size = &stage->row->arguments[at];
    uint32_t room = FAKE_MEMORY_SIZE - (uint32_t)stage->row->arguments[at - 1].value;
    const uint64_t sizes[] = {room / size->size + 1,
                              0x1FFFFFFF,
                              0x20000000,
                              0x20000001,
                              0x7FFFFFFF,
                              0x80000000,
                              0xFFFFFFF8,
                              UINT32_MAX};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        expect_failure(stage, at, sizes[i], "out of bounds", size->says);
    }
}

static void sizes_are_held_to(void **state)
{
    struct stage stage;
    uint32_t case_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        for (size_t at = 0; at < row_argument_count(row); at++) {
            const struct argument *size = &row->arguments[at];
            if (size->role != ROLE_SIZE) {
                continue;
            }
            begin(&stage, *state, row, row_needs(row));
            try_long_sizes(&stage, at);
            if (size->most != 0) {
                expect_failure(&stage, at, size->most + 1, size->says, NULL);
            }
            if (size->odd != 0) {
                expect_failure(&stage, at, size->odd, size->odd_says, NULL);
            }
            if (size->zero_says != NULL) {
                expect_failure(&stage, at, 0, size->zero_says, NULL);
            } else {
                struct outcome outcome = call_with(&stage, at, 0);
                if (!is_answer(&stage, &outcome)) {
                    blame(&stage, at, 0, &outcome, "an answer");
                }
            }
            case_count += stage.case_count;
        }
    }
    clear_house(*state);
    print_message("%u bad sizes\n", case_count);
}

/* All of 64 MiB is there. What has a bound says so, and the rest takes as much as it takes. */
static void what_is_far_too_long_is_refused(void **state)
{
    struct stage stage;
    uint8_t *far = mmap(NULL, FAKE_FAR_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(far, MAP_FAILED);
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        for (size_t at = 1; at < row_argument_count(row); at++) {
            const struct argument *size = &row->arguments[at];
            if (size->role != ROLE_SIZE) {
                continue;
            }
            uint64_t arguments[PD_CALL_ARGUMENTS_MAX];
            begin(&stage, *state, row, row_needs(row));
            good_arguments(&stage, arguments);
            arguments[at - 1] = FAKE_FAR_AT;
            arguments[at] = FAKE_FAR_SIZE / size->size;
            memset(far, 0, 4096); /* what was read there before */
            fake_far = far;
            struct outcome outcome = call_for(&stage, arguments, ROUNDS_MANY);
            fake_far = NULL;
            const char *words = size->far_says != NULL ? size->far_says : size->says;
            bool is_error = outcome.how == ANSWERED && outcome.result == 1 && row->answers_errors;
            bool is_said = words == NULL ? is_answer(&stage, &outcome) && !is_error
                                         : (outcome.how == TRAPPED || is_error) &&
                                               strstr(outcome.text, words) != NULL;
            if (!is_said) {
                blame(&stage, at, arguments[at], &outcome, words == NULL ? "an answer" : words);
            }
            if (words != NULL) {
                check_nothing_changed(&stage, at, arguments[at], is_error);
            }
        }
    }
    assert_int_equal(munmap(far, FAKE_FAR_SIZE), 0);
    clear_house(*state);
}

/* No text is what is cut short, overlong, a half of a pair, or beyond Unicode. */
static void texts_are_utf8(void **state)
{
    static const char *const bad[] = {"\xff", "\x80", "\xe2\x82", "\xc0\x80", "\xed\xa0\x80"};
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        begin(&stage, *state, row, row_needs(row));
        for (size_t at = 0; at < stage.argument_count; at++) {
            if (row->arguments[at].role != ROLE_TEXT) {
                continue;
            }
            uint32_t size = region_size(&stage, at);
            for (size_t j = 0; j < sizeof bad / sizeof bad[0]; j++) {
                uint8_t *end =
                    actor_memory(&stage.furnished.actor, (uint32_t)row->arguments[at].value + size);
                memcpy(end - strlen(bad[j]), bad[j], strlen(bad[j]));
                expect_trap(&stage, at, row->arguments[at].value, "is not valid UTF-8");
                furnish_memory(&stage.furnished);
            }
        }
        expect_good_call(&stage, "success behind the traps");
    }
    clear_house(*state);
}

/* --- Numbers ---------------------------------------------------------------------------------- */

/* What is no kind of address, and what is no node, traps. */
static void types_and_nodes_are_known(void **state)
{
    static const uint64_t types[] = {0, 1, 3, 5, 7, 0x104, 0x80000004u, UINT32_MAX};
    static const uint64_t nodes[] = {1, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX};
    struct stage stage;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        for (size_t at = 0; at < row_argument_count(row); at++) {
            bool is_type = row->arguments[at].role == ROLE_TYPE;
            if (!is_type && row->arguments[at].role != ROLE_NODE) {
                continue;
            }
            begin(&stage, *state, row, row_needs(row));
            for (size_t j = 0; j < (is_type ? 8 : 4); j++) {
                expect_trap(&stage, at, is_type ? types[j] : nodes[j],
                            is_type ? "is no type of address" : "no node has the id");
            }
            expect_good_call(&stage, "success behind the traps");
        }
    }
    clear_house(*state);
}

static void try_number(struct stage *stage, size_t at, uint64_t value)
{
    const struct argument *argument = &stage->row->arguments[at];
    bool is_own = argument->role == ROLE_PID && value == OWN_PID;
    renew(stage);
    value = argument->role == ROLE_PID && !is_own ? value
            : is_own                              ? stage->furnished.actor.pid | UINT64_C(1) << 32
                                                  : value;
    struct outcome outcome = call_with(stage, at, value);
    bool is_said = outcome.how == TRAPPED && argument->says != NULL &&
                   strstr(outcome.text, argument->says) != NULL;
    bool is_over = outcome.how == GONE && !stage->row->ends;
    if (is_over || (outcome.how == TRAPPED && !is_said)) {
        blame(stage, at, value, &outcome, "an answer");
    }
    /* The end of ages is not in the past. */
    bool is_early = argument->role == ROLE_MS && value >= UINT64_MAX / 1000000 &&
                    outcome.how == ANSWERED && outcome.result == TIMED_OUT;
    if (is_early) {
        blame(stage, at, value, &outcome, "a wait");
    }
    if (outcome.how == TRAPPED) {
        check_nothing_changed(stage, at, value, 0);
    }
}

/* Numbers, pids and times have no wrong values: nobody is there, nothing is waited for, or it is
 * waited for ever, and killed amid it. */
static void no_number_is_too_odd(void **state)
{
    static const uint64_t numbers[] = {
        0,
        1,
        2,
        255,
        256,
        65536,
        0x7FFFFFFF,
        0x80000000,
        0xFFFFFFFF,
        OWN_PID,
        1ull << 32,
        1ull << 63,
        INT64_MAX,
        0x7FF0000000000000,
        0x7FF8000000000001,
        UINT64_MAX / 1000000,
        UINT64_MAX - 1,
        UINT64_MAX,
    };
    struct stage stage;
    uint32_t case_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        for (size_t at = 0; at < row_argument_count(row); at++) {
            enum role role = row->arguments[at].role;
            if (role != ROLE_ANY && role != ROLE_PID && role != ROLE_MS) {
                continue;
            }
            begin(&stage, *state, row, row_needs(row));
            for (size_t j = 0; j < sizeof numbers / sizeof numbers[0]; j++) {
                try_number(&stage, at, numbers[j]);
            }
            case_count += stage.case_count;
        }
    }
    clear_house(*state);
    print_message("%u odd numbers\n", case_count);
}

/* --- What the guest allocates ----------------------------------------------------------------- */

static void expect_no_room(struct stage *stage, const char *words)
{
    expect_trap(stage, 0, value_of(stage, 0), words);
    memset(&fake_nested, 0, sizeof fake_nested);
    fake_nested.is_ok = true;
    fake_nested.value = ALLOCATED_AT;
}

/* lunatic_alloc gives what is not memory, traps, or is not there. */
static void what_is_allocated_is_checked(void **state)
{
    static const uint32_t places[] = {FAKE_MEMORY_SIZE - 1, FAKE_MEMORY_SIZE + 1, 0x80000000u,
                                      UINT32_MAX};
    struct stage stage;
    size_t row_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        const struct row *row = row_at(i);
        if (!row->allocates) {
            continue;
        }
        begin(&stage, *state, row, row_needs(row));
        for (size_t j = 0; j < sizeof places / sizeof places[0]; j++) {
            fake_nested.value = places[j];
            expect_no_room(&stage, "out of bounds");
        }
        fake_nested.is_ok = false;
        expect_no_room(&stage, "lunatic_alloc");
        fake_nested.is_missing = true;
        expect_no_room(&stage, "must export lunatic_alloc");
        expect_good_call(&stage, "success behind the traps");
        row_count++;
    }
    assert_int_equal(row_count, 8);
    clear_house(*state);
}

/* --- Everything else -------------------------------------------------------------------------- */

/* Nothing that is counted came or went. */
static bool is_as_before(const struct stage *stage)
{
    struct counts after = count_all(stage->house, &stage->furnished);
    return memcmp(&after, &stage->before, sizeof after) == 0;
}

static void try_hostile_number(struct stage *stage, size_t at, uint64_t value)
{
    struct outcome outcome = call_with(stage, at, value);
    bool is_error = outcome.how == ANSWERED && outcome.result == 1 && stage->row->answers_errors;
    if (outcome.how == TRAPPED || is_error) {
        check_nothing_changed(stage, at, value, is_error);
    } else if (outcome.how != ANSWERED || !is_as_before(stage)) {
        renew(stage);
    }
}

/* Every argument of every function, with every hostile number: a trap or an error takes nothing and
 * leaves nothing. */
static void what_fails_changes_nothing(void **state)
{
    struct stage stage;
    uint32_t case_count = 0;
    for (size_t i = 0; row_at(i) != NULL; i++) {
        begin(&stage, *state, row_at(i), row_needs(row_at(i)));
        for (size_t at = 0; at < stage.argument_count; at++) {
            for (size_t j = 0; j < HOSTILE_NUMBER_COUNT; j++) {
                try_hostile_number(&stage, at, hostile_numbers[j]);
            }
        }
        case_count += stage.case_count;
    }
    clear_house(*state);
    print_message("%u hostile numbers\n", case_count);
}

int main(void)
{
#define HOUSE_TEST(test) cmocka_unit_test_setup_teardown(test, open_house, close_house)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_function_has_a_row),
        HOUSE_TEST(good_arguments_succeed),
        HOUSE_TEST(wrong_ids_take_nothing),
        HOUSE_TEST(wrong_places_of_a_message_take_nothing),
        HOUSE_TEST(pointers_out_of_bounds_take_nothing),
        HOUSE_TEST(any_place_in_memory_will_do),
        HOUSE_TEST(answers_may_overlap),
        HOUSE_TEST(parts_are_checked),
        HOUSE_TEST(sizes_are_held_to),
        HOUSE_TEST(what_is_far_too_long_is_refused),
        HOUSE_TEST(texts_are_utf8),
        HOUSE_TEST(types_and_nodes_are_known),
        HOUSE_TEST(no_number_is_too_odd),
        HOUSE_TEST(what_is_allocated_is_checked),
        HOUSE_TEST(what_fails_changes_nothing),
    };
    return cmocka_run_group_tests(tests, make_house_certificates, NULL);
}
