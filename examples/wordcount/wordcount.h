/* wordcount - what its actors have in common: the protocol, and the limits.
 *
 *   main (coordinator) ── plan of chunks, who works on what, totals
 *   └── wordcount (supervisor)
 *       ├── reducers (supervisor): reducer.0, reducer.1, ...   add up their share of the words
 *       └── mappers (supervisor): mapper.0, mapper.1, ...      read chunks and count words in them
 *
 * Input     The files one after the other are one stream of bytes, as `cat` would give it. It is
 *           cut into chunks; a word belongs to the chunk in which it begins, and its mapper reads
 *           on to its end, into the next files if need be. So chunks are independent of each other,
 *           and no word is counted twice, whatever boundaries it crosses.
 * Exactness Everybody may die at any time, and no one but the coordinator remembers what is done.
 *           - A mapper sends the words of a chunk to each reducer in one message, then its result
 *             to the coordinator. The reducer adds a chunk once, notes its number, and
 *             acknowledges it each time.
 *           - A chunk is done when its result and all acknowledgements are there.
 *           - A mapper's death puts its chunk back into the queue. Reducers that had got it
 *             acknowledge again, and do not add again.
 *           - A reducer's death puts all chunks back, for this reducer alone.
 * Together  With --store several of these trees, on several nodes, count one text: ledger.h. A
 *           chunk that others have recorded is done; what a node leaves behind that dies, the
 *           others count.
 *
 *   coordinator                 mapper                      reducer
 *        │ ◄──────── HELLO ────────┤                            │
 *        │ ◄──────────────────── HELLO ─────────────────────────┤
 *        ├───── ORDER(chunk) ─────►│                            │
 *        │ ◄──── NEXT(file) ───────┤ (call: what follows this   │
 *        ├─────── reply ──────────►│  file, for a long word)    │
 *        │                         ├───── COUNTS(chunk) ───────►│ (one message a reducer)
 *        │ ◄───── RESULT(chunk) ───┤                            │
 *        │ ◄─────────────────── APPLIED(chunk) ─────────────────┤
 *        ├─────────────────────── TOP (call) ──────────────────►│ (at the end) */
#ifndef WORDCOUNT_H
#define WORDCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include <pando/pando.h>

#define MAPPERS_MAX 64u
#define REDUCERS_MAX 8u
#define PIECES_MAX 256u             /* files that one chunk touches */
#define CHUNK_SIZE_MIN 4096u        /* unless asked for otherwise */
#define CHUNK_SIZE_MAX (128u << 10) /* what a mapper works on at a time bounds its memory */
#define CHUNKS_MAX (1u << 20)
#define KEY_SIZE_MAX 40u /* longer words count by their first bytes */
#define KEYS_MAX 65536u  /* different words that a reducer remembers */
#define TOP_MAX 100u
#define CALL_TIMEOUT_MS 60000u

enum tag {
    TAG_HELLO = 1,   /* u32 role, u32 number */
    TAG_ORDER = 2,   /* struct order, a pid for each reducer, then pieces with their names */
    TAG_NEXT = 3,    /* call. u32 file -> u64 size, name; empty behind the last */
    TAG_COUNTS = 4,  /* struct counts, then keys: u8 size, u32 count, bytes */
    TAG_RESULT = 5,  /* struct result */
    TAG_APPLIED = 6, /* struct applied */
    TAG_FAILED = 7,  /* text: a file cannot be read, or changed */
    TAG_TOP = 8,     /* call. u32 how many -> struct top, then keys: u8 size, u64 count, bytes */
    TAG_CRASH = 9,   /* to a reducer: crash */
    TAG_STORE = 10   /* events of the store: ledger.h */
};

enum role {
    ROLE_MAPPER = 0,
    ROLE_REDUCER = 1
};

#define ORDER_CRASH 1u     /* crash when half of the chunk is delivered */
#define ORDER_LOOK_BACK 2u /* the first byte is the one before the chunk */
#define ORDER_ANY_BYTE 4u  /* a word needs no printable byte: GNU wc 9.5 and later */

struct hello {
    uint32_t role;
    uint32_t number;
    uint64_t pid;
};

/* Reducers that need no counts of this chunk have pid 0. */
struct order {
    uint32_t chunk;
    uint32_t flags;
    uint32_t pace_ms; /* to be watched: wait this long */
    uint32_t reducer_count;
    uint32_t piece_count;
};

/* Part of a file that belongs to a chunk. */
struct piece {
    uint64_t offset;
    uint64_t size;
    uint64_t file_size;
    uint32_t file;
    uint32_t name_size; /* the name follows */
};

struct counts {
    uint32_t chunk;
    uint32_t words;
    uint32_t key_count;
};

struct result {
    uint64_t pid;
    uint32_t chunk;
    uint32_t words;
};

struct applied {
    uint64_t pid;
    uint32_t chunk;
    uint32_t words;
};

struct top {
    uint64_t words;
    uint64_t different;
    uint32_t is_exact; /* it never had to forget a word */
    uint32_t key_count;
};

/* FNV-1a: which reducer a word belongs to, and its place in tables. */
static inline uint32_t key_hash(const uint8_t *key, uint32_t size)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < size; i++) {
        hash = (hash ^ key[i]) * 16777619u;
    }
    return hash ^ (hash >> 15);
}

/* Tell the coordinator who is there; and what `pando ps` shows. */
void say_hello(uint64_t coordinator, enum role role, uint32_t number);

#endif
