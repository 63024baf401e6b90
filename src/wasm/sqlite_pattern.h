/* sqlite_pattern - the patterns of LIKE and GLOB, matched in counted steps.
 *
 * Model      Answers what SQLite's own matching (3.40) does, also in what is no UTF-8. Of the
 *            wildcards for any characters only the last is ever tried again, as there: what came
 *            before it cannot match better further on.
 * Bounds     Pattern times text, at the worst. Each 8 bytes that are looked at are a step; the call
 *            ends when its scope has had its steps, or is cancelled.
 * Threads    Pure, but for the scope's count. */
#ifndef PD_WASM_SQLITE_PATTERN_H
#define PD_WASM_SQLITE_PATTERN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wasm/sqlite_engine.h"

struct pd_sqlite_pattern {
    const unsigned char *text; /* ends with a zero byte */
    uint32_t any;              /* stands for any characters; 0: nothing does */
    uint32_t one;              /* for any one; 0: nothing does */
    uint32_t escape;           /* what follows it stands for itself; 0: nothing does */
    bool has_sets;             /* "[a-z]" and "[^a-z]" */
    bool is_case_blind;        /* to the letters of ASCII */
};

enum pd_sqlite_match {
    PD_SQLITE_MATCHES,
    PD_SQLITE_DIFFERS,
    PD_SQLITE_MATCH_ENDED /* too long, or cancelled */
};

/* The character at `*at`, as SQLite decodes it, and go beyond it. */
uint32_t pd_sqlite_read_character(const unsigned char **at);

/* The text ends with a zero byte. */
PD_NODISCARD enum pd_sqlite_match pd_sqlite_pattern_match(const struct pd_sqlite_pattern *pattern,
                                                          const unsigned char *text,
                                                          struct pd_sqlite_scope *scope);

#endif
