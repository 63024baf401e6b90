/* Majorities: `committed` and `vote` over cfg=(ids) cfgj=(ids) idx=(indexes) votes=(y,n,_). */
#include <inttypes.h>
#include <string.h>

#include "raft-conformance/modes.h"
#include "raft/quorum.h"

#define IDS_MAX 64u

struct half {
    uint64_t ids[IDS_MAX];
    uint32_t count;
};

struct ack {
    uint64_t id;
    uint64_t value; /* index, or vote: 1 no, 2 yes */
    bool is_known;
};

struct question {
    struct half half[2];
    struct half listed[2]; /* in the order of the script, with repeats */
    bool is_joint;
    uint64_t values[IDS_MAX];
    uint32_t value_count;
    struct ack acks[2 * IDS_MAX]; /* of both halves, sorted by id */
    uint32_t ack_count;
};

static void half_add(struct half *half, uint64_t id)
{
    uint32_t at = 0;
    while (at < half->count && half->ids[at] < id) {
        at++;
    }
    if ((at < half->count && half->ids[at] == id) || half->count == IDS_MAX) {
        return;
    }
    memmove(&half->ids[at + 1], &half->ids[at], (half->count - at) * sizeof half->ids[0]);
    half->ids[at] = id;
    half->count++;
}

static bool read_id(struct question *question, uint32_t which, const char *value)
{
    uint64_t id = 0;
    struct half *listed = &question->listed[which];
    if (!read_u64(value, &id) || listed->count == IDS_MAX) {
        return false;
    }
    listed->ids[listed->count++] = id;
    half_add(&question->half[which], id);
    return true;
}

static bool read_value(struct question *question, const char *key, const char *value)
{
    uint64_t *slot = &question->values[question->value_count];
    *slot = 0;
    if (question->value_count == IDS_MAX) {
        return false;
    }
    question->value_count++;
    if (strcmp(value, "_") == 0) {
        return true;
    }
    if (strcmp(key, "votes") == 0) {
        *slot = strcmp(value, "y") == 0 ? 2 : 1;
        return strcmp(value, "y") == 0 || strcmp(value, "n") == 0;
    }
    return read_u64(value, slot) && *slot != 0;
}

static bool read_question(struct question *question, const struct command *command,
                          struct text *output)
{
    const char *wanted = strcmp(command->name, "vote") == 0 ? "votes" : "idx";
    for (uint32_t i = 0; i < command->argument_count; i++) {
        const struct argument *argument = &command->arguments[i];
        for (uint32_t v = 0; v < argument->value_count; v++) {
            const char *value = argument->values[v];
            bool is_read = false;
            if (strcmp(argument->key, "cfg") == 0) {
                is_read = read_id(question, 0, value);
            } else if (strcmp(argument->key, "cfgj") == 0) {
                question->is_joint = true;
                bool is_zero = strcmp(value, "zero") == 0 && argument->value_count == 1;
                is_read = is_zero || read_id(question, 1, value);
            } else if (strcmp(argument->key, wanted) == 0) {
                is_read = read_value(question, argument->key, value);
            }
            if (!is_read) {
                text_add(output, "cannot use %s=%s\n", argument->key, value);
                return false;
            }
        }
    }
    return true;
}

static struct ack *find_ack(struct question *question, uint64_t id)
{
    for (uint32_t i = 0; i < question->ack_count; i++) {
        if (question->acks[i].id == id) {
            return &question->acks[i];
        }
    }
    return NULL;
}

/* Values belong to the ids in the order in which the script names them first. */
static void assign_values(struct question *question)
{
    uint32_t used = 0;
    for (uint32_t h = 0; h < 2; h++) {
        for (uint32_t i = 0; i < question->listed[h].count; i++) {
            uint64_t id = question->listed[h].ids[i];
            if (find_ack(question, id) == NULL) {
                uint64_t value = used < question->value_count ? question->values[used] : 0;
                used++;
                uint32_t at = question->ack_count++;
                for (; at > 0 && question->acks[at - 1].id > id; at--) {
                    question->acks[at] = question->acks[at - 1];
                }
                question->acks[at] = (struct ack){.id = id, .value = value, .is_known = value != 0};
            }
        }
    }
}

static uint64_t committed(const struct question *question, uint32_t first, uint32_t second)
{
    uint64_t match[2][IDS_MAX];
    const uint32_t which[2] = {first, second};
    for (uint32_t h = 0; h < 2; h++) {
        const struct half *half = &question->half[which[h]];
        for (uint32_t i = 0; i < half->count; i++) {
            match[h][i] = 0;
            for (uint32_t a = 0; a < question->ack_count; a++) {
                if (question->acks[a].id == half->ids[i]) {
                    match[h][i] = question->acks[a].value;
                }
            }
        }
    }
    return pd_quorum_joint_committed(match[0], question->half[first].count, match[1],
                                     question->half[second].count);
}

static void add_index(struct text *output, uint64_t index)
{
    if (index == UINT64_MAX) {
        text_add(output, "∞");
    } else {
        text_add(output, "%" PRIu64, index);
    }
}

static void add_index_line(struct text *output, uint64_t index, const char *remark)
{
    add_index(output, index);
    text_add(output, "%s\n", remark);
}

/* How many acks lie below each. */
static void describe(const struct question *question, struct text *output)
{
    uint32_t count = question->ack_count;
    if (count == 0) {
        text_add(output, "<empty majority quorum>");
        return;
    }
    text_add(output, "%*s    idx\n", (int)count, "");
    for (uint32_t i = 0; i < count; i++) {
        const struct ack *ack = &question->acks[i];
        uint32_t bar = 0;
        for (uint32_t j = 0; j < count; j++) {
            bar += question->acks[j].value < ack->value ? 1 : 0;
        }
        if (!ack->is_known) {
            text_add(output, "?%*s", (int)count, "");
        } else {
            for (uint32_t x = 0; x < bar; x++) {
                text_add(output, "x");
            }
            text_add(output, ">%*s", (int)(count - bar), "");
        }
        text_add(output, " %5" PRIu64 "    (id=%" PRIx64 ")\n", ack->value, ack->id);
    }
}

static void run_committed(struct question *question, struct text *output)
{
    describe(question, output);
    if (question->is_joint) {
        uint64_t index = committed(question, 0, 1);
        if (committed(question, 1, 0) != index) {
            add_index_line(output, committed(question, 1, 0), " <-- via symmetry");
        }
        add_index_line(output, index, "");
        return;
    }
    uint64_t index = committed(question, 0, 1); /* the other half is empty */
    if (committed(question, 0, 0) != index) {
        add_index_line(output, committed(question, 0, 0), " <-- self-joint quorum");
    }
    /* Who is behind the result does not decide it: neither one less nor nothing at all changes
     * it. */
    for (uint32_t i = 0; i < question->ack_count; i++) {
        struct ack *ack = &question->acks[i];
        uint64_t value = ack->value;
        for (uint32_t down = 0; down < 2 && value > 0 && value < index; down++) {
            ack->value = down == 0 ? value - 1 : 0;
            uint64_t other = committed(question, 0, 1);
            if (other != index) {
                text_add(output, "%" PRIu64 " <-- overlaying %" PRIu64 "->%" PRIu64 "\n", other,
                         ack->id, ack->value);
            }
        }
        ack->value = value;
    }
    add_index_line(output, index, "");
}

static enum pd_vote_result half_vote(struct question *question, uint32_t which)
{
    uint32_t granted = 0;
    uint32_t refused = 0;
    const struct half *half = &question->half[which];
    for (uint32_t i = 0; i < half->count; i++) {
        const struct ack *ack = find_ack(question, half->ids[i]);
        granted += ack->value == 2 ? 1 : 0;
        refused += ack->value == 1 ? 1 : 0;
    }
    return pd_quorum_vote(granted, refused, half->count);
}

static const char *vote_text(enum pd_vote_result result)
{
    switch (result) {
    case PD_VOTE_PENDING:
        return "VotePending";
    case PD_VOTE_LOST:
        return "VoteLost";
    case PD_VOTE_WON:
        return "VoteWon";
    }
    return "?";
}

static void run_vote(struct question *question, struct text *output)
{
    enum pd_vote_result first = half_vote(question, 0);
    enum pd_vote_result second = half_vote(question, 1);
    enum pd_vote_result result = pd_quorum_joint_vote(first, second);
    if (pd_quorum_joint_vote(second, first) != result) {
        text_add(output, "%s <-- via symmetry\n", vote_text(pd_quorum_joint_vote(second, first)));
    }
    text_add(output, "%s\n", vote_text(result));
}

static void run(void *state, const struct command *command, struct text *output)
{
    (void)state;
    struct question question = {0};
    if (!read_question(&question, command, output)) {
        return;
    }
    assign_values(&question);
    if (question.value_count != question.ack_count) {
        text_add(output, "error: mismatched input (explicit or _) for voters map[");
        for (uint32_t i = 0; i < question.ack_count; i++) {
            text_add(output, "%s%" PRIu64 ":{}", i == 0 ? "" : " ", question.acks[i].id);
        }
        text_add(output, "]: [");
        for (uint32_t i = 0; i < question.value_count; i++) {
            text_add(output, i == 0 ? "" : " ");
            add_index(output, question.values[i]);
        }
        text_add(output, "]\n");
    } else if (strcmp(command->name, "committed") == 0) {
        run_committed(&question, output);
    } else if (strcmp(command->name, "vote") == 0) {
        run_vote(&question, output);
    } else {
        text_add(output, "unknown command: %s\n", command->name);
    }
}

static void *begin(void)
{
    return NULL;
}

static void end(void *state)
{
    (void)state;
}

const struct mode quorum_mode = {.name = "quorum", .begin = begin, .run = run, .end = end};
