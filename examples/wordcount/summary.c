#include "summary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool take_top(struct summary *summary)
{
    struct top top;
    if (pando_message_read(&top, sizeof top) != sizeof top) {
        return false;
    }
    summary->reduced_words += top.words;
    summary->different += top.different;
    summary->is_exact &= top.is_exact != 0;
    for (uint32_t i = 0; i < top.key_count && i < TOP_MAX; i++) {
        struct top_word *word = &summary->top_words[summary->top_count];
        uint8_t size = 0;
        if (pando_message_read(&size, sizeof size) != sizeof size || size > KEY_SIZE_MAX ||
            !pando_message_read_u64(&word->count) || pando_message_read(word->key, size) != size) {
            return false;
        }
        word->key_size = size;
        summary->top_count++;
    }
    return true;
}

bool summary_gather(struct summary *summary, const uint64_t *reducers, uint32_t reducer_count,
                    uint32_t top)
{
    memset(summary, 0, sizeof *summary);
    summary->is_exact = true;
    summary->top = top;
    for (uint32_t i = 0; i < reducer_count; i++) {
        pando_message_create(TAG_TOP, sizeof top);
        pando_message_write_u32(top);
        if (pando_call(reducers[i], CALL_TIMEOUT_MS) != PANDO_SENT || !take_top(summary)) {
            pando_kill(
                reducers[i]); /* what does not answer is as good as dead; then be sure of it */
            return false;
        }
    }
    return true;
}

static int compare(const void *left, const void *right)
{
    const struct top_word *a = left;
    const struct top_word *b = right;
    if (a->count != b->count) {
        return a->count > b->count ? -1 : 1;
    }
    uint32_t size = a->key_size < b->key_size ? a->key_size : b->key_size;
    int order = memcmp(a->key, b->key, size);
    return order != 0 ? order : a->key_size < b->key_size ? -1 : 1;
}

/* Input may be anything: a terminal gets printable ASCII only. */
static void print_word(const struct top_word *word)
{
    printf("%12" PRIu64 "  ", word->count);
    if (word->key_size == 0) {
        printf("(without letters)");
    }
    for (uint32_t i = 0; i < word->key_size; i++) {
        uint8_t byte = word->key[i];
        putchar(byte > ' ' && byte < 0x7F ? byte : '?');
    }
    putchar('\n');
}

bool summary_print(struct summary *summary)
{
    qsort(summary->top_words, summary->top_count, sizeof summary->top_words[0], compare);
    uint32_t count = summary->top_count < summary->top ? summary->top_count : summary->top;
    if (count > 0) {
        printf("the most frequent words%s:\n",
               summary->is_exact ? "" : " (about: there are more different ones than is room for)");
    }
    for (uint32_t i = 0; i < count; i++) {
        print_word(&summary->top_words[i]);
    }
    printf("different words: %s%" PRIu64 "\n", summary->is_exact ? "" : "more than ",
           summary->different);
    printf("counted by mappers: %" PRIu64 "\n", summary->mapped_words);
    printf("added up by reducers: %" PRIu64 "\n", summary->reduced_words);
    if (summary->mapped_words != summary->reduced_words ||
        summary->mapped_words != summary->applied_words) {
        printf("THE SUMS DIFFER: words were lost or counted twice\n");
        return false;
    }
    return true;
}
