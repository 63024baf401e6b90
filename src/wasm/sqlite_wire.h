/* sqlite_wire - what lunatic::sqlite hands over as bytes: bincode 1.3, all integers fixed and
 * little-endian, enums by a u32 tag, lengths as u64. Pure.
 *
 * Reading    A BindList from a guest: untrusted. The reader sees no byte outside of it, counts what
 *            it claims against what is there, and checks tags and UTF-8. Bytes behind the list are
 *            ignored, as bincode ignores them.
 * Writing    Into one growing buffer that has a bound; what fails once stays failed.
 * Ownership  Names and values point into the bytes that were given. */
#ifndef PD_WASM_SQLITE_WIRE_H
#define PD_WASM_SQLITE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Pairs of one list: as many parameters as a statement can have. */
#define PD_SQLITE_BINDS_MAX 32766u
/* Bytes of one list: its texts are looked at, which takes time that no fuel pays. */
#define PD_SQLITE_LIST_MAX (16u << 20)
/* Bytes of one answer: a row, above all. */
#define PD_SQLITE_ANSWER_MAX (16u << 20)

enum pd_sqlite_key {
    PD_SQLITE_KEY_NONE = 0,
    PD_SQLITE_KEY_NUMBER = 1,
    PD_SQLITE_KEY_NAME = 2
};

enum pd_sqlite_type {
    PD_SQLITE_NULL = 0,
    PD_SQLITE_BLOB = 1,
    PD_SQLITE_TEXT = 2,
    PD_SQLITE_DOUBLE = 3,
    PD_SQLITE_INTEGER = 4, /* i64 to a guest, i32 from one */
    PD_SQLITE_I64 = 5
};

struct pd_sqlite_bind {
    enum pd_sqlite_key key;
    enum pd_sqlite_type type;
    uint64_t number;
    const char *name;
    size_t name_size;
    const uint8_t *bytes; /* of a blob or a text */
    size_t size;
    double real;
    int64_t integer;
};

struct pd_sqlite_binds {
    const uint8_t *at;
    size_t size;
    uint64_t count; /* pairs to come */
};

/* PD_ERR_INVALID: it does not begin as a list does. PD_ERR_FULL: more than PD_SQLITE_BINDS_MAX
 * pairs. */
PD_NODISCARD enum pd_status pd_sqlite_binds_begin(struct pd_sqlite_binds *binds,
                                                  const uint8_t *bytes, size_t size);

/* The next pair; binds->count says whether there is one. PD_ERR_INVALID: cut short, a tag that is
 * none, or a text that is not UTF-8; then nothing more can be read. */
PD_NODISCARD enum pd_status pd_sqlite_binds_next(struct pd_sqlite_binds *binds,
                                                 struct pd_sqlite_bind *bind_out);

struct pd_sqlite_account;

struct pd_sqlite_answer {
    /* What it holds counts here; NULL: nowhere. Set with zeros before it is written; shared. */
    struct pd_sqlite_account *account;
    uint8_t *bytes; /* owned: pd_sqlite_answer_deinit */
    size_t size;
    size_t capacity;
    enum pd_status status; /* PD_OK; PD_ERR_FULL: too long; PD_ERR_NO_MEMORY */
};

void pd_sqlite_answer_deinit(struct pd_sqlite_answer *answer);
void pd_sqlite_put_raw(struct pd_sqlite_answer *answer, const void *bytes, size_t size);
void pd_sqlite_put_u8(struct pd_sqlite_answer *answer, uint8_t value);
void pd_sqlite_put_u32(struct pd_sqlite_answer *answer, uint32_t value);
void pd_sqlite_put_u64(struct pd_sqlite_answer *answer, uint64_t value);

/* The bytes alone; what is not UTF-8 of them becomes U+FFFD, since Rust's String holds nothing
 * else. */
void pd_sqlite_put_utf8(struct pd_sqlite_answer *answer, const char *text, size_t size);

/* Length and bytes. */
void pd_sqlite_put_blob(struct pd_sqlite_answer *answer, const void *bytes, size_t size);
void pd_sqlite_put_text(struct pd_sqlite_answer *answer, const char *text, size_t size);

#endif
