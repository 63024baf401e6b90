#include "gateway/json_reader.h"

#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

#define SURROGATE_HIGH 0xd800u
#define SURROGATE_LOW 0xdc00u
#define SURROGATE_END 0xe000u

void pd_json_reader_init(struct pd_json_reader *reader, struct pd_span input)
{
    *reader = (struct pd_json_reader){.input = input, .wants = PD_JSON_WANTS_VALUE};
}

static enum pd_json_token bad(struct pd_json_reader *reader, const char *wrong)
{
    reader->wrong = wrong;
    return PD_JSON_BAD;
}

/* 0: the input has ended. No token begins with a zero byte. */
static uint8_t peek(const struct pd_json_reader *reader)
{
    return reader->at < reader->input.size ? reader->input.bytes[reader->at] : 0;
}

static void skip_space(struct pd_json_reader *reader)
{
    uint8_t byte = peek(reader);
    while (byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r') {
        reader->at++;
        byte = peek(reader);
    }
}

static bool is_in_object(const struct pd_json_reader *reader)
{
    uint32_t level = reader->depth - 1;
    return (reader->objects[level / 64] >> (level % 64) & 1) != 0;
}

static void value_ended(struct pd_json_reader *reader)
{
    reader->wants = reader->depth == 0 ? PD_JSON_WANTS_NOTHING : PD_JSON_WANTS_COMMA_OR_END;
}

/* -- Strings ----------------------------------------------------------------------------------- */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') {
        return byte - '0';
    }
    uint8_t lower = byte | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

/* Of four digits; -1: they are none. */
static int32_t hex4(const uint8_t *bytes, size_t size)
{
    int32_t value = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < size ? hex_digit(bytes[i]) : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* An escape, from its backslash. Returns its size in the text, 0: it is none. */
static size_t read_escape(const uint8_t *bytes, size_t size, uint32_t *code_out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (size < 2) {
        return 0;
    }
    if (bytes[1] != 'u') {
        const char *letter = memchr(letters, bytes[1], sizeof letters - 1);
        if (letter == NULL) {
            return 0;
        }
        *code_out = (uint8_t)values[letter - letters];
        return 2;
    }
    int32_t unit = hex4(bytes + 2, size - 2);
    if (unit < 0) {
        return 0;
    }
    *code_out = (uint32_t)unit;
    if (*code_out < SURROGATE_HIGH || *code_out >= SURROGATE_END) {
        return 6;
    }
    if (*code_out >= SURROGATE_LOW || size < 12 || bytes[6] != '\\' || bytes[7] != 'u') {
        return 0;
    }
    int32_t low = hex4(bytes + 8, size - 8);
    if (low < (int32_t)SURROGATE_LOW || low >= (int32_t)SURROGATE_END) {
        return 0;
    }
    *code_out = 0x10000 + ((*code_out - SURROGATE_HIGH) << 10) + ((uint32_t)low - SURROGATE_LOW);
    return 12;
}

static bool read_string(struct pd_json_reader *reader)
{
    const uint8_t *bytes = reader->input.bytes;
    size_t begin = ++reader->at;
    reader->has_escapes = false;
    for (;;) {
        uint8_t byte = peek(reader);
        uint32_t code = 0;
        if (reader->at == reader->input.size) {
            reader->wrong = "a string does not end";
            return false;
        }
        if (byte < 0x20) {
            reader->wrong = "a control character in a string must be escaped";
            return false;
        }
        if (byte == '"') {
            break;
        }
        if (byte == '\\') {
            size_t size = read_escape(bytes + reader->at, reader->input.size - reader->at, &code);
            if (size == 0) {
                reader->wrong = "there is no such escape in a string";
                return false;
            }
            reader->has_escapes = true;
            reader->at += size;
        } else {
            reader->at++;
        }
    }
    reader->text = (struct pd_span){bytes + begin, reader->at - begin};
    reader->at++;
    if (!pd_utf8_is_valid(reader->text.bytes, reader->text.size)) {
        reader->at = begin;
        reader->wrong = "a string must be UTF-8";
        return false;
    }
    return true;
}

static size_t put_utf8(uint32_t code, uint8_t *to)
{
    if (code < 0x80) {
        to[0] = (uint8_t)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (uint8_t)(0xc0 | code >> 6);
        to[1] = (uint8_t)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        to[0] = (uint8_t)(0xe0 | code >> 12);
        to[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        to[2] = (uint8_t)(0x80 | (code & 0x3f));
        return 3;
    }
    to[0] = (uint8_t)(0xf0 | code >> 18);
    to[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
    to[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
    to[3] = (uint8_t)(0x80 | (code & 0x3f));
    return 4;
}

size_t pd_json_unescape(struct pd_span text, uint8_t *to)
{
    size_t size = 0;
    size_t at = 0;
    while (at < text.size) {
        if (text.bytes[at] == '\\') {
            uint32_t code = 0;
            size_t taken = read_escape(text.bytes + at, text.size - at, &code);
            pd_assert(taken > 0); /* the reader has looked */
            size += put_utf8(code, to + size);
            at += taken;
        } else {
            to[size++] = text.bytes[at++];
        }
    }
    return size;
}

/* -- Numbers and words ------------------------------------------------------------------------- */

static bool skip_digits(struct pd_json_reader *reader)
{
    size_t begin = reader->at;
    while (peek(reader) >= '0' && peek(reader) <= '9') {
        reader->at++;
    }
    return reader->at > begin;
}

static bool scan_number(struct pd_json_reader *reader)
{
    if (peek(reader) == '-') {
        reader->at++;
    }
    if (peek(reader) == '0') {
        reader->at++; /* a digit behind it is no part of it */
    } else if (!skip_digits(reader)) {
        return false;
    }
    if (peek(reader) == '.') {
        reader->at++;
        if (!skip_digits(reader)) {
            return false;
        }
    }
    if ((peek(reader) | 0x20) == 'e') {
        reader->at++;
        if (peek(reader) == '+' || peek(reader) == '-') {
            reader->at++;
        }
        return skip_digits(reader);
    }
    return true;
}

static enum pd_json_token read_number(struct pd_json_reader *reader)
{
    size_t begin = reader->at;
    if (!scan_number(reader)) {
        return bad(reader, "this is no number");
    }
    reader->text = (struct pd_span){reader->input.bytes + begin, reader->at - begin};
    value_ended(reader);
    return PD_JSON_NUMBER;
}

static enum pd_json_token read_word(struct pd_json_reader *reader)
{
    static const struct {
        const char *word;
        size_t size;
        enum pd_json_token token;
    } words[] = {{"true", 4, PD_JSON_TRUE}, {"false", 5, PD_JSON_FALSE}, {"null", 4, PD_JSON_NULL}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (reader->input.size - reader->at >= words[i].size &&
            memcmp(reader->input.bytes + reader->at, words[i].word, words[i].size) == 0) {
            reader->at += words[i].size;
            value_ended(reader);
            return words[i].token;
        }
    }
    return bad(reader,
               reader->at == reader->input.size ? "it ends too early" : "a value is expected here");
}

/* -- Structure --------------------------------------------------------------------------------- */

static enum pd_json_token enter(struct pd_json_reader *reader, bool is_object)
{
    if (reader->depth == PD_JSON_DEPTH_MAX) {
        return bad(reader, "it nests too deep");
    }
    uint64_t bit = UINT64_C(1) << (reader->depth % 64);
    uint64_t *levels = &reader->objects[reader->depth / 64];
    *levels = is_object ? *levels | bit : *levels & ~bit;
    reader->depth++;
    reader->at++;
    reader->wants = is_object ? PD_JSON_WANTS_KEY_OR_END : PD_JSON_WANTS_VALUE_OR_END;
    return is_object ? PD_JSON_OBJECT : PD_JSON_ARRAY;
}

static enum pd_json_token leave(struct pd_json_reader *reader)
{
    enum pd_json_token token = is_in_object(reader) ? PD_JSON_OBJECT_END : PD_JSON_ARRAY_END;
    reader->depth--;
    reader->at++;
    value_ended(reader);
    return token;
}

static enum pd_json_token read_value(struct pd_json_reader *reader)
{
    uint8_t byte = peek(reader);
    if (byte == '{' || byte == '[') {
        return enter(reader, byte == '{');
    }
    if (byte == '"') {
        if (!read_string(reader)) {
            return PD_JSON_BAD;
        }
        value_ended(reader);
        return PD_JSON_STRING;
    }
    if (byte == '-' || (byte >= '0' && byte <= '9')) {
        return read_number(reader);
    }
    return read_word(reader);
}

static enum pd_json_token read_key(struct pd_json_reader *reader)
{
    if (peek(reader) != '"') {
        return bad(reader, "a field's name in quotes is expected here");
    }
    if (!read_string(reader)) {
        return PD_JSON_BAD;
    }
    skip_space(reader);
    if (peek(reader) != ':') {
        return bad(reader, "a colon is expected here");
    }
    reader->at++;
    reader->wants = PD_JSON_WANTS_VALUE;
    return PD_JSON_KEY;
}

static uint8_t end_mark(const struct pd_json_reader *reader)
{
    return is_in_object(reader) ? '}' : ']';
}

/* Behind a value: its container ends, or goes on. */
static enum pd_json_token read_on(struct pd_json_reader *reader)
{
    if (peek(reader) == end_mark(reader)) {
        return leave(reader);
    }
    if (peek(reader) != ',') {
        return bad(reader, is_in_object(reader) ? "a comma or '}' is expected here"
                                                : "a comma or ']' is expected here");
    }
    reader->at++;
    skip_space(reader);
    return is_in_object(reader) ? read_key(reader) : read_value(reader);
}

enum pd_json_token pd_json_next(struct pd_json_reader *reader)
{
    if (reader->wrong != NULL) {
        return PD_JSON_BAD;
    }
    skip_space(reader);
    switch (reader->wants) {
    case PD_JSON_WANTS_VALUE:
        return read_value(reader);
    case PD_JSON_WANTS_VALUE_OR_END:
        return peek(reader) == ']' ? leave(reader) : read_value(reader);
    case PD_JSON_WANTS_KEY_OR_END:
        return peek(reader) == '}' ? leave(reader) : read_key(reader);
    case PD_JSON_WANTS_COMMA_OR_END:
        return read_on(reader);
    case PD_JSON_WANTS_NOTHING:
        break;
    }
    return reader->at == reader->input.size ? PD_JSON_END
                                            : bad(reader, "something follows the value");
}

bool pd_json_skip(struct pd_json_reader *reader)
{
    uint32_t depth = reader->depth;
    enum pd_json_token token = pd_json_next(reader);
    while (token != PD_JSON_BAD && token != PD_JSON_END && reader->depth > depth) {
        token = pd_json_next(reader);
    }
    return token != PD_JSON_BAD && token != PD_JSON_END;
}

bool pd_json_is_blank(struct pd_span input)
{
    struct pd_json_reader reader;
    pd_json_reader_init(&reader, input);
    skip_space(&reader);
    return reader.at == input.size;
}
