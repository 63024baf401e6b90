/* Any bytes as another member's word of the directory: what is taken keeps its bounds and its
 * order, and calls nobody both a member and removed. A key makes the node of its first byte. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/directory_word.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint64_t node_of(const uint8_t key[PD_KV_MEMBER_KEY_SIZE])
{
    return key[0];
}

static void demand(bool is_so)
{
    if (!is_so) {
        abort();
    }
}

static void look(const struct pd_directory_word *word)
{
    demand(word->index > 0);
    demand(word->member_count <= PD_KV_MEMBERS_MAX);
    demand(word->removed_count <= PD_KV_MEMBERS_REMOVED_MAX);
    uint64_t last = 0;
    for (uint32_t i = 0; i < word->member_count; i++) {
        const struct pd_kv_member *member = &word->members[i];
        demand(member->node > last && node_of(member->key) == member->node);
        demand(member->role != PD_KV_MEMBER_WORKER);
        demand(pd_directory_word_standing(word, member->node) == PD_KV_MEMBER_LIVE);
        last = member->node;
    }
    last = 0;
    for (uint32_t i = 0; i < word->removed_count; i++) {
        demand(word->removed[i] > last);
        demand(pd_directory_word_standing(word, word->removed[i]) == PD_KV_MEMBER_REMOVED);
        last = word->removed[i];
    }
    demand(pd_directory_word_standing(word, 0) == PD_KV_MEMBER_UNKNOWN);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const struct pd_span span = {bytes, size};
    struct pd_directory_word *word = NULL;
    uint64_t above = 0;
    (void)pd_directory_question_get(span, &above);
    if (pd_directory_word_open(span, node_of, &word) == PD_OK) {
        look(word);
        pd_directory_word_close(word);
    }
    return 0;
}
