#include "cli/txn_text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/options.h"
#include "cli/store_text.h"

#define NUMBER_TEXT_MAX 32u

/* -- What both forms need ---------------------------------------------------------------------- */

struct pd_span pd_txn_keep(struct pd_txn *txn, struct pd_span bytes)
{
    pd_assert(bytes.size <= txn->size_max - txn->size);
    uint8_t *place = txn->bytes + txn->size;
    if (bytes.size > 0) {
        memcpy(place, bytes.bytes, bytes.size);
    }
    txn->size += bytes.size;
    return (struct pd_span){place, bytes.size};
}

struct pd_span pd_txn_prefix_end(struct pd_txn *txn, struct pd_span key)
{
    pd_assert(key.size + 1 <= txn->size_max - txn->size);
    struct pd_span end = pd_store_prefix_end(key, txn->bytes + txn->size);
    txn->size += key.size + 1;
    return end;
}

struct pd_kv_op *pd_txn_add_op(struct pd_txn *txn, bool is_else)
{
    struct pd_kv_txn *root = &txn->ops[0].as.txn;
    if (txn->op_count == 1 + PD_TXN_OPS_MAX) {
        return NULL;
    }
    if (is_else) {
        root->else_count++;
    } else {
        pd_assert(root->else_count == 0); /* preorder: `then` comes first */
        root->then_count++;
    }
    struct pd_kv_op *op = &txn->ops[txn->op_count++];
    *op = (struct pd_kv_op){0};
    return op;
}

struct pd_kv_compare *pd_txn_add_compare(struct pd_txn *txn)
{
    if (txn->compare_count == PD_TXN_OPS_MAX) {
        return NULL;
    }
    struct pd_kv_compare *compare = &txn->compares[txn->compare_count++];
    *compare = (struct pd_kv_compare){0};
    txn->ops[0].as.txn.compare_count = txn->compare_count;
    return compare;
}

bool pd_txn_target(const char *word, enum pd_kv_compare_target *target_out)
{
    static const struct {
        const char *word;
        enum pd_kv_compare_target target;
    } targets[] = {{"value", PD_KV_COMPARE_VALUE},
                   {"version", PD_KV_COMPARE_VERSION},
                   {"create", PD_KV_COMPARE_CREATE},
                   {"mod", PD_KV_COMPARE_MOD},
                   {"lease", PD_KV_COMPARE_LEASE}};
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        if (strcmp(word, targets[i].word) == 0) {
            *target_out = targets[i].target;
            return true;
        }
    }
    return false;
}

bool pd_txn_operator(const char *word, enum pd_kv_compare_result *result_out)
{
    static const struct {
        const char *word;
        enum pd_kv_compare_result result;
    } operators[] = {
        {"=", PD_KV_EQUAL}, {"!=", PD_KV_NOT_EQUAL}, {"<", PD_KV_LESS}, {">", PD_KV_GREATER}};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (strcmp(word, operators[i].word) == 0) {
            *result_out = operators[i].result;
            return true;
        }
    }
    return false;
}

bool pd_txn_operand(struct pd_kv_compare *compare, struct pd_span word)
{
    char text[NUMBER_TEXT_MAX] = "";
    uint64_t number = 0;
    if (compare->target == PD_KV_COMPARE_VALUE) {
        compare->value = word;
        return true;
    }
    if (word.size >= sizeof text) {
        return false;
    }
    if (word.size > 0) {
        memcpy(text, word.bytes, word.size);
    }
    if (compare->target == PD_KV_COMPARE_LEASE) {
        compare->number = 0; /* no lease */
        return strcmp(text, "0") == 0 || pd_store_lease_parse(text, &compare->number);
    }
    if (!pd_option_number(text, &number) || number > INT64_MAX) {
        return false;
    }
    compare->number = (int64_t)number;
    return true;
}

void pd_txn_deinit(struct pd_txn *txn)
{
    pd_free(txn->bytes);
    txn->bytes = NULL;
}

/* -- Words ------------------------------------------------------------------------------------- */

enum word_kind {
    WORD_END = 0,
    WORD_BARE,
    WORD_QUOTED,
    WORD_WRONG /* txn->wrong is set */
};

struct word {
    enum word_kind kind;
    struct pd_span bytes; /* kept */
    uint32_t line;
    uint32_t column;
};

struct scan {
    struct pd_txn *txn;
    struct pd_span text;
    size_t at;
    uint32_t line;
    uint32_t column;  /* in bytes, from 1 */
    struct word word; /* the one that is looked at */
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n' || byte == ';';
}

static uint8_t peek(const struct scan *scan)
{
    return scan->at < scan->text.size ? scan->text.bytes[scan->at] : 0;
}

static void step(struct scan *scan)
{
    if (scan->text.bytes[scan->at] == '\n') {
        scan->line++;
        scan->column = 0;
    }
    scan->at++;
    scan->column++;
}

static bool wrong_at(struct scan *scan, uint32_t line, uint32_t column, const char *format, ...)
    PD_PRINTF(4, 5);

static bool wrong_at(struct scan *scan, uint32_t line, uint32_t column, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(scan->txn->wrong, PD_TXN_WRONG_MAX,
                        "line %" PRIu32 ", column %" PRIu32 ": ", line, column);
    va_start(arguments, format);
    (void)vsnprintf(scan->txn->wrong + used, PD_TXN_WRONG_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

static void skip_blanks(struct scan *scan)
{
    bool is_comment = false;
    while (scan->at < scan->text.size) {
        uint8_t byte = peek(scan);
        if (byte == '#') {
            is_comment = true;
        } else if (byte == '\n') {
            is_comment = false;
        } else if (!is_comment && !is_blank(byte)) {
            return;
        }
        step(scan);
    }
}

static int hex_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

/* What follows a backslash. False: told. */
static bool take_escape(struct scan *scan, uint8_t *byte_out)
{
    uint32_t line = scan->line;
    uint32_t column = scan->column;
    step(scan);
    uint8_t byte = peek(scan);
    if (scan->at == scan->text.size) {
        return wrong_at(scan, line, column, "the text ends within quotes");
    }
    step(scan);
    if (byte == '"' || byte == '\\') {
        *byte_out = byte;
    } else if (byte == 'n') {
        *byte_out = '\n';
    } else if (byte == 't') {
        *byte_out = '\t';
    } else if (byte == 'x') {
        int high = hex_digit(peek(scan));
        int low = high < 0 || scan->at + 1 >= scan->text.size
                      ? -1
                      : hex_digit(scan->text.bytes[scan->at + 1]);
        if (low < 0) {
            return wrong_at(scan, line, column, "\\x wants two hexadecimal digits");
        }
        step(scan);
        step(scan);
        *byte_out = (uint8_t)(high * 16 + low);
    } else {
        return wrong_at(scan, line, column, "within quotes a \\ stands before one of \" \\ n t x");
    }
    return true;
}

static bool take_quoted(struct scan *scan)
{
    struct pd_txn *txn = scan->txn;
    uint8_t *begin = txn->bytes + txn->size;
    size_t size = 0;
    step(scan);
    while (scan->at < scan->text.size && peek(scan) != '"') {
        uint8_t byte = peek(scan);
        if (byte != '\\') {
            step(scan);
        } else if (!take_escape(scan, &byte)) {
            return false;
        }
        begin[size++] = byte; /* never more than the text has */
    }
    if (scan->at == scan->text.size) {
        return wrong_at(scan, scan->word.line, scan->word.column, "these quotes are never closed");
    }
    step(scan);
    txn->size += size;
    scan->word.kind = WORD_QUOTED;
    scan->word.bytes = (struct pd_span){begin, size};
    if (scan->at < scan->text.size && !is_blank(peek(scan))) {
        return wrong_at(scan, scan->line, scan->column, "a blank is missing behind the quotes");
    }
    return true;
}

/* Look at the next word. False: told. */
static bool next(struct scan *scan)
{
    skip_blanks(scan);
    scan->word = (struct word){.kind = WORD_END, .line = scan->line, .column = scan->column};
    if (scan->at == scan->text.size) {
        return true;
    }
    if (peek(scan) == '"') {
        return take_quoted(scan);
    }
    size_t begin = scan->at;
    while (scan->at < scan->text.size && !is_blank(peek(scan))) {
        step(scan);
    }
    scan->word.kind = WORD_BARE;
    scan->word.bytes =
        pd_txn_keep(scan->txn, (struct pd_span){scan->text.bytes + begin, scan->at - begin});
    return true;
}

static bool is_word(const struct scan *scan, const char *text)
{
    size_t size = strlen(text);
    return scan->word.kind == WORD_BARE && scan->word.bytes.size == size &&
           memcmp(scan->word.bytes.bytes, text, size) == 0;
}

static bool wrong_word(struct scan *scan, const char *wanted)
{
    if (scan->word.kind == WORD_END) {
        return wrong_at(scan, scan->word.line, scan->word.column, "%s is missing at the end",
                        wanted);
    }
    int size = (int)(scan->word.bytes.size < 40 ? scan->word.bytes.size : 40);
    return wrong_at(scan, scan->word.line, scan->word.column, "%s instead of '%.*s'", wanted, size,
                    size == 0 ? "" : (const char *)scan->word.bytes.bytes);
}

/* A word of any kind, and on to the one behind it. False: told. */
static bool take_word(struct scan *scan, const char *wanted, struct pd_span *bytes_out)
{
    if (scan->word.kind == WORD_END) {
        return wrong_word(scan, wanted);
    }
    *bytes_out = scan->word.bytes;
    return next(scan);
}

static bool take_key(struct scan *scan, struct pd_span *key_out)
{
    if (scan->word.kind != WORD_END && scan->word.bytes.size == 0) {
        return wrong_at(scan, scan->word.line, scan->word.column, "a key is not empty");
    }
    return take_word(scan, "a key", key_out);
}

/* The word as a string; "" when it is longer than any keyword. */
static const char *short_word(const struct scan *scan, char room[NUMBER_TEXT_MAX])
{
    size_t size = scan->word.kind == WORD_BARE ? scan->word.bytes.size : 0;
    size = size < NUMBER_TEXT_MAX ? size : 0;
    if (size > 0) {
        memcpy(room, scan->word.bytes.bytes, size);
    }
    room[size] = '\0';
    return room;
}

/* -- Sentences --------------------------------------------------------------------------------- */

/* exists KEY is: its version is more than 0. */
static bool read_existence(struct scan *scan, struct pd_kv_compare *compare)
{
    compare->target = PD_KV_COMPARE_VERSION;
    compare->result = is_word(scan, "exists") ? PD_KV_GREATER : PD_KV_EQUAL;
    compare->number = 0;
    return next(scan) && take_key(scan, &compare->key);
}

static bool read_compare(struct scan *scan)
{
    char room[NUMBER_TEXT_MAX];
    struct pd_kv_compare *compare = pd_txn_add_compare(scan->txn);
    if (compare == NULL) {
        return wrong_at(scan, scan->word.line, scan->word.column, "more than %u compares",
                        PD_TXN_OPS_MAX);
    }
    if (is_word(scan, "exists") || is_word(scan, "missing")) {
        return read_existence(scan, compare);
    }
    if (!pd_txn_target(short_word(scan, room), &compare->target)) {
        return wrong_word(scan, "value, version, create, mod, lease, exists or missing");
    }
    if (!next(scan) || !take_key(scan, &compare->key)) {
        return false;
    }
    if (!pd_txn_operator(short_word(scan, room), &compare->result)) {
        return wrong_word(scan, "=, !=, < or >");
    }
    if (!next(scan)) {
        return false;
    }
    struct word operand = scan->word;
    if (!take_word(scan, "what it is compared with", &operand.bytes)) {
        return false;
    }
    return pd_txn_operand(compare, operand.bytes)
               ? true
               : wrong_at(scan, operand.line, operand.column, "%s is compared with %s",
                          compare->target == PD_KV_COMPARE_LEASE ? "a lease" : "that",
                          compare->target == PD_KV_COMPARE_LEASE ? "an id, hexadecimal, or 0"
                                                                 : "a number");
}

static bool read_put(struct scan *scan, struct pd_kv_op *op)
{
    char room[NUMBER_TEXT_MAX];
    op->kind = PD_KV_OP_PUT;
    if (!take_key(scan, &op->as.put.key) || !take_word(scan, "a value", &op->as.put.value)) {
        return false;
    }
    if (!is_word(scan, "lease")) {
        return true;
    }
    if (!next(scan)) {
        return false;
    }
    return pd_store_lease_parse(short_word(scan, room), &op->as.put.lease)
               ? next(scan)
               : wrong_word(scan, "the id of a lease, hexadecimal,");
}

static bool read_range(struct scan *scan, struct pd_span *key_out, struct pd_span *end_out)
{
    bool is_prefix = is_word(scan, "prefix");
    if (is_prefix && !next(scan)) {
        return false;
    }
    if (!is_prefix) {
        return take_key(scan, key_out);
    }
    if (!take_word(scan, "a prefix of keys", key_out)) {
        return false;
    }
    *end_out = pd_txn_prefix_end(scan->txn, *key_out);
    if (key_out->size == 0) {
        *key_out = (struct pd_span){(const uint8_t *)"", 1}; /* all keys */
    }
    return true;
}

static bool is_op(const struct scan *scan)
{
    return is_word(scan, "put") || is_word(scan, "get") || is_word(scan, "del");
}

static bool read_op(struct scan *scan, bool is_else)
{
    struct pd_kv_op *op = pd_txn_add_op(scan->txn, is_else);
    bool is_put = is_word(scan, "put");
    bool is_get = is_word(scan, "get");
    if (op == NULL) {
        return wrong_at(scan, scan->word.line, scan->word.column, "more than %u operations",
                        PD_TXN_OPS_MAX);
    }
    if (!next(scan)) {
        return false;
    }
    if (is_put) {
        return read_put(scan, op);
    }
    op->kind = is_get ? PD_KV_OP_RANGE : PD_KV_OP_DELETE;
    return is_get ? read_range(scan, &op->as.range.key, &op->as.range.range_end)
                  : read_range(scan, &op->as.delete_range.key, &op->as.delete_range.range_end);
}

static bool read_ops(struct scan *scan, bool is_else)
{
    while (is_op(scan)) {
        if (!read_op(scan, is_else)) {
            return false;
        }
    }
    return true;
}

static bool read_text(struct scan *scan)
{
    bool has_if = false;
    bool is_and = true;
    if (!next(scan)) {
        return false;
    }
    if (is_word(scan, "if")) {
        has_if = true;
        while (is_and) {
            if (!next(scan) || !read_compare(scan)) {
                return false;
            }
            is_and = is_word(scan, "and");
        }
    }
    bool has_then = is_word(scan, "then");
    if (has_then && !next(scan)) {
        return false;
    }
    if ((has_then || !has_if) && !read_ops(scan, false)) {
        return false;
    }
    bool has_else = is_word(scan, "else");
    if (has_else && (!next(scan) || !read_ops(scan, true))) {
        return false;
    }
    if (scan->word.kind == WORD_END) {
        return true;
    }
    return wrong_word(scan, has_else              ? "put, get, del or the end"
                            : has_then || !has_if ? "put, get, del, else or the end"
                                                  : "and, then, else or the end");
}

enum pd_status pd_txn_read(struct pd_txn *txn, struct pd_span text)
{
    struct scan scan = {.txn = txn, .text = text, .line = 1, .column = 1};
    *txn = (struct pd_txn){.op_count = 1};
    txn->ops[0].kind = PD_KV_OP_TXN;
    /* Each word once, and each prefix's end beside it. */
    txn->size_max = 2 * text.size + 2 * PD_TXN_OPS_MAX;
    txn->bytes = pd_alloc(txn->size_max);
    if (txn->bytes == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    skip_blanks(&scan);
    if (peek(&scan) == '{') {
        return pd_txn_read_json(txn, text);
    }
    if (scan.at == text.size) {
        (void)wrong_at(&scan, scan.line, scan.column,
                       "there is no transaction; see `pando txn "
                       "--help`");
        return PD_ERR_INVALID;
    }
    return read_text(&scan) ? PD_OK : PD_ERR_INVALID;
}
