/* Who hears no leader asks the others who is a member by now.
 *
 * Why        A node lets in whom its own directory names. One that was down or cut off while
 *            another one joined does not know its key; should just that one lead then, nobody else
 *            could bring it forward: it would stay behind for as long as that one leads.
 * Asking     After some election timeouts without a message of a leader all others that it knows
 *            are asked, and again after pauses that grow. Who has applied more than the asker
 *            answers with the directory of its state; a removed member that does not know it yet
 *            as well, for what it says was true (directory_word.h).
 * Keeping    The newest word is kept while it is newer than the own state, and counts only as to
 *            whom the node connects with and lets in (directory.h): not for votes, not for the
 *            configuration. It is not stored: after a start the others are asked anew.
 * Frame      directory_word.h. */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "node/directory_word.h"
#include "node/replica_internal.h"

#define PATIENCE 3u    /* election timeouts without a leader, before the first question */
#define PAUSE_MAX 8u   /* election timeouts between two questions: 1, 2, 4, 8, 8, … */
#define ANSWERS_MAX 8u /* of one tick */

static bool is_on(const struct pd_replica *replica)
{
    return replica->config.has_directory && replica->config.kv.version_max >= 2;
}

/* 0: the own state is not whole. */
static uint64_t own_index(const struct pd_replica *replica)
{
    return pd_replica_has_state(replica) ? pd_kv_applied_index(replica->kv) : 0;
}

/* -- Asking ------------------------------------------------------------------------------------ */

static void ask(struct pd_replica *replica)
{
    const struct pd_directory_word *kept = replica->word.kept;
    pd_raft_node nodes[PD_REPLICA_KNOWN_MAX + PD_KV_MEMBERS_MAX];
    uint32_t count = pd_replica_known(replica, nodes);
    for (uint32_t i = 0; kept != NULL && i < kept->member_count; i++) {
        pd_replica_add_nodes(nodes, &count, &kept->members[i].node, 1, replica->config.raft.id);
    }
    uint8_t question[PD_DIRECTORY_QUESTION_SIZE_MAX];
    struct pd_kv_writer writer = {.bytes = question, .bytes_max = sizeof question};
    uint64_t above = own_index(replica);
    pd_directory_question_put(&writer, kept != NULL && kept->index > above ? kept->index : above);
    pd_assert(!writer.is_full);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *bytes = pd_replica_emit_frame(replica, PD_REPLICA_FRAME_DIRECTORY_FIELDS, nodes[i],
                                               writer.size);
        memcpy(bytes, question, writer.size);
    }
}

void pd_replica_word_heard(struct pd_replica *replica)
{
    struct pd_replica_word *word = &replica->word;
    word->is_asking = false;
    word->pause = 1;
    word->ask_tick = replica->tick + PATIENCE * (uint64_t)replica->config.raft.election_ticks;
}

void pd_replica_word_tick(struct pd_replica *replica)
{
    struct pd_replica_word *word = &replica->word;
    word->answers = 0;
    if (word->kept != NULL && word->kept->index <= own_index(replica)) {
        pd_directory_word_close(word->kept);
        word->kept = NULL;
    }
    if (!is_on(replica) || replica->phase == PD_REPLICA_LOADING) {
        return;
    }
    bool is_served = replica->role == PD_RAFT_LEADER || replica->install.transfer != 0;
    if (is_served || word->pause == 0) {
        pd_replica_word_heard(replica);
    } else if (replica->tick >= word->ask_tick) {
        word->is_asking = true;
        word->ask_tick =
            replica->tick + word->pause * (uint64_t)replica->config.raft.election_ticks;
        word->pause = 2 * word->pause < PAUSE_MAX ? 2 * word->pause : PAUSE_MAX;
        ask(replica);
    }
}

/* -- What comes in ----------------------------------------------------------------------------- */

static void answer(struct pd_replica *replica, pd_raft_node to, uint64_t above)
{
    if (own_index(replica) <= above || replica->word.answers == ANSWERS_MAX) {
        return; /* it asks again */
    }
    struct pd_kv_writer writer = {.bytes = pd_alloc(PD_DIRECTORY_WORD_SIZE_MAX),
                                  .bytes_max = PD_DIRECTORY_WORD_SIZE_MAX};
    if (writer.bytes == NULL) {
        return;
    }
    replica->word.answers++;
    pd_directory_word_put(&writer, replica->kv);
    pd_assert(!writer.is_full);
    uint8_t *bytes =
        pd_replica_emit_frame(replica, PD_REPLICA_FRAME_DIRECTORY_FIELDS, to, writer.size);
    memcpy(bytes, writer.bytes, writer.size);
    pd_free(writer.bytes);
}

static void take(struct pd_replica *replica, pd_raft_node from, struct pd_directory_word *fresh)
{
    struct pd_replica_word *word = &replica->word;
    if (!word->is_asking || fresh->index <= own_index(replica) ||
        (word->kept != NULL && fresh->index <= word->kept->index)) {
        pd_directory_word_close(fresh); /* it comes late, or somebody knew more */
        return;
    }
    if (word->kept == NULL) {
        pd_replica_note(replica,
                        "no leader was heard: until this node has caught up with entry %llu, the "
                        "members that node %llu knows of may connect",
                        (unsigned long long)fresh->index, (unsigned long long)from);
    }
    pd_directory_word_close(word->kept);
    word->kept = fresh;
}

void pd_replica_word_message(struct pd_replica *replica, pd_raft_node from, struct pd_span body)
{
    struct pd_directory_word *fresh = NULL;
    uint64_t above = 0;
    bool is_known = is_on(replica); /* version 1 has no such message */
    if (is_known && pd_directory_question_get(body, &above)) {
        answer(replica, from, above);
    } else if (is_known && pd_directory_word_open(body, replica->config.node_of, &fresh) == PD_OK) {
        take(replica, from, fresh);
    } else {
        replica->counters.messages_dropped++;
    }
}

const struct pd_directory_word *pd_replica_directory_word(const struct pd_replica *replica)
{
    return replica->word.kept;
}

void pd_replica_word_free(struct pd_replica *replica)
{
    pd_directory_word_close(replica->word.kept);
    replica->word.kept = NULL;
}
