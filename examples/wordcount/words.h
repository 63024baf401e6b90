/* words - what a word is: a maximal run of bytes that are no white space, as GNU wc has it in the C
 * locale.
 *
 * Until coreutils 9.4 wc counts a run only if it has a printable byte (of ASCII, in the C locale);
 * from 9.5 on any byte will do (any_byte). scripts/run.sh asks the wc at hand which of the two it
 * is.
 *
 * The key of a word is what it is counted under by the reducers: lower case, without punctuation
 * at its ends, cut to KEY_SIZE_MAX bytes. It is empty for a word of punctuation alone. */
#ifndef WORDCOUNT_WORDS_H
#define WORDCOUNT_WORDS_H

#include "wordcount.h"

struct word {
    bool is_open;      /* within a run */
    bool is_foreign;   /* ... that began before the chunk */
    bool is_printable; /* ... that has a printable byte */
    uint32_t key_size;
    uint8_t key[KEY_SIZE_MAX];
};

static inline bool is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static inline bool is_letter(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte >= 0x80;
}

/* Take a byte that is no white space. */
static inline void word_add(struct word *word, uint8_t byte)
{
    if (!word->is_open) {
        word->is_open = true;
        word->is_foreign = false;
        word->is_printable = false;
        word->key_size = 0;
    }
    word->is_printable |= byte > ' ' && byte < 0x7F;
    if (byte >= 'A' && byte <= 'Z') {
        byte = (uint8_t)(byte - 'A' + 'a');
    }
    if (word->key_size < KEY_SIZE_MAX && (word->key_size > 0 || is_letter(byte))) {
        word->key[word->key_size++] = byte;
    }
}

/* The run is over. True: it was a word of this chunk, and its key is ready. */
static inline bool word_end(struct word *word, bool any_byte)
{
    bool is_counted = word->is_open && !word->is_foreign && (word->is_printable || any_byte);
    word->is_open = false;
    while (word->key_size > 0 && !is_letter(word->key[word->key_size - 1])) {
        word->key_size--;
    }
    return is_counted;
}

#endif
