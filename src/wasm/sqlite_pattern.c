#include "wasm/sqlite_pattern.h"

#include <stddef.h>

#define BYTES_PER_STEP 8u
#define BYTES_BETWEEN_CHARGES 4096u

struct match {
    const struct pd_sqlite_pattern *pattern;
    const unsigned char *rest; /* of the pattern */
    const unsigned char *text;
    /* Behind the last wildcard for any characters: where to go on when what follows it differs. */
    const unsigned char *again_rest; /* NULL: there was none */
    const unsigned char *again_text;
    uint32_t first; /* what the text has to go on with; 0: a set, which `again_rest` begins with */
    uint64_t looked_at;
};

enum verdict {
    GOES_ON,
    MATCHES,
    DIFFERS, /* here; behind the last wildcard, other places are left */
    FAILS    /* wherever else it would be tried */
};

uint32_t pd_sqlite_read_character(const unsigned char **at)
{
    uint32_t character = *(*at)++;
    if (character < 0xc0) {
        return character; /* a stray continuation byte is a character too */
    }
    if (character < 0xe0) {
        character &= 0x1f;
    } else if (character < 0xf0) {
        character &= 0x0f;
    } else if (character < 0xf8) {
        character &= 0x07;
    } else if (character < 0xfc) {
        character &= 0x03;
    } else {
        character = character < 0xfe ? character & 0x01 : 0;
    }
    while ((**at & 0xc0) == 0x80) {
        character = (character << 6) + (*(*at)++ & 0x3fu);
    }
    bool is_none = character < 0x80 || (character & 0xfffff800) == 0xd800 ||
                   (character & 0xfffffffe) == 0xfffe;
    return is_none ? 0xfffd : character;
}

static uint32_t read_counted(struct match *match, const unsigned char **at)
{
    const unsigned char *before = *at;
    if (*before < 0x80) {
        match->looked_at++;
        return *(*at)++;
    }
    uint32_t character = pd_sqlite_read_character(at);
    match->looked_at += (uint64_t)(*at - before);
    return character;
}

static uint32_t lower(uint32_t character)
{
    return character >= 'A' && character <= 'Z' ? character + ('a' - 'A') : character;
}

static bool is_same(const struct match *match, uint32_t left, uint32_t right)
{
    return left == right || (match->pattern->is_case_blind && lower(left) == lower(right));
}

/* --- Behind a wildcard ------------------------------------------------------------------------ */

/* Beyond the next character that is `first`. False: there is none. */
static bool find_first(struct match *match)
{
    uint32_t character = 0;
    while ((character = read_counted(match, &match->again_text)) != 0) {
        if (is_same(match, match->first, character)) {
            return true;
        }
    }
    return false;
}

/* Go on at the next place of the text. */
static enum verdict try_again(struct match *match)
{
    match->rest = match->again_rest;
    if (match->first != 0) {
        bool is_found = find_first(match);
        match->text = match->again_text;
        return is_found ? GOES_ON : FAILS;
    }
    match->text = match->again_text;
    return read_counted(match, &match->again_text) != 0 ? GOES_ON : FAILS;
}

static enum verdict match_any(struct match *match)
{
    const struct pd_sqlite_pattern *pattern = match->pattern;
    uint32_t next = 0;
    while ((next = read_counted(match, &match->rest)) != 0 &&
           (next == pattern->any || next == pattern->one)) {
        if (next == pattern->one && read_counted(match, &match->text) == 0) {
            return FAILS;
        }
    }
    if (next == 0) {
        return MATCHES;
    }
    match->again_text = match->text;
    match->again_rest = match->rest;
    match->first = next;
    if (pattern->has_sets && next == '[') {
        match->again_rest--;
        match->first = 0;
    } else if (next == pattern->escape) {
        match->first = read_counted(match, &match->again_rest);
        if (match->first == 0) {
            return FAILS;
        }
    }
    return try_again(match);
}

/* --- One piece of the pattern after the other ------------------------------------------------- */

/* Behind its '['. */
static enum verdict match_set(struct match *match)
{
    uint32_t character = read_counted(match, &match->text);
    uint32_t next = 0;
    uint32_t low = 0; /* of a range that may begin here; 0: none may */
    bool is_in = false;
    if (character == 0) {
        return DIFFERS;
    }
    next = read_counted(match, &match->rest);
    bool is_inverted = next == '^';
    if (is_inverted) {
        next = read_counted(match, &match->rest);
    }
    if (next == ']') { /* the first one is a member */
        is_in = character == ']';
        next = read_counted(match, &match->rest);
    }
    while (next != 0 && next != ']') {
        if (next == '-' && *match->rest != ']' && *match->rest != '\0' && low > 0) {
            next = read_counted(match, &match->rest);
            is_in = is_in || (character >= low && character <= next);
            low = 0;
        } else {
            is_in = is_in || character == next;
            low = next;
        }
        next = read_counted(match, &match->rest);
    }
    return next != 0 && is_in != is_inverted ? GOES_ON : DIFFERS;
}

static enum verdict match_next(struct match *match)
{
    const struct pd_sqlite_pattern *pattern = match->pattern;
    bool is_escaped = false;
    uint32_t wanted = read_counted(match, &match->rest);
    if (wanted == 0) {
        return *match->text == '\0' ? MATCHES : DIFFERS;
    }
    if (wanted == pattern->any) {
        return match_any(match);
    }
    if (pattern->has_sets && wanted == '[') {
        return match_set(match);
    }
    if (wanted == pattern->escape) {
        is_escaped = true;
        wanted = read_counted(match, &match->rest);
        if (wanted == 0) {
            return DIFFERS;
        }
    }
    uint32_t character = read_counted(match, &match->text);
    if (is_same(match, wanted, character)) {
        return GOES_ON;
    }
    return wanted == pattern->one && !is_escaped && character != 0 ? GOES_ON : DIFFERS;
}

/* False: the call has to end. */
static bool charge(struct match *match, struct pd_sqlite_scope *scope)
{
    uint64_t steps = match->looked_at / BYTES_PER_STEP;
    match->looked_at %= BYTES_PER_STEP;
    return pd_sqlite_charge(scope, steps);
}

enum pd_sqlite_match pd_sqlite_pattern_match(const struct pd_sqlite_pattern *pattern,
                                             const unsigned char *text,
                                             struct pd_sqlite_scope *scope)
{
    struct match match = {.pattern = pattern, .rest = pattern->text, .text = text};
    enum verdict verdict = GOES_ON;
    while (verdict == GOES_ON) {
        verdict = match_next(&match);
        if (verdict == DIFFERS && match.again_rest != NULL) {
            verdict = try_again(&match);
        }
        if (match.looked_at >= BYTES_BETWEEN_CHARGES && !charge(&match, scope)) {
            return PD_SQLITE_MATCH_ENDED;
        }
    }
    if (!charge(&match, scope)) {
        return PD_SQLITE_MATCH_ENDED;
    }
    return verdict == MATCHES ? PD_SQLITE_MATCHES : PD_SQLITE_DIFFERS;
}
