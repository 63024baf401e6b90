#include "node/app_yaml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "base/alloc.h"
#include "base/assert.h"

#define BLOCK_SIZE 16384u
#define NOTE_SIZE 1024u
#define KEYS_MAX 1024u /* of one mapping; each new key is compared with all */

/* --- Arena ------------------------------------------------------------------------------------ */

struct pd_app_arena_block {
    struct pd_app_arena_block *next;
    _Alignas(max_align_t) uint8_t bytes[];
};

void *pd_app_arena_take(struct pd_app_arena *arena, size_t size)
{
    size_t rounded = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    if (arena->blocks == NULL || arena->capacity - arena->used < rounded) {
        size_t capacity = rounded > BLOCK_SIZE ? rounded : BLOCK_SIZE;
        struct pd_app_arena_block *block = pd_alloc(sizeof *block + capacity);
        if (block == NULL) {
            arena->is_exhausted = true;
            return NULL;
        }
        block->next = arena->blocks;
        arena->blocks = block;
        arena->capacity = capacity;
        arena->used = 0;
    }
    void *taken = arena->blocks->bytes + arena->used;
    arena->used += rounded;
    memset(taken, 0, rounded);
    return taken;
}

char *pd_app_arena_text(struct pd_app_arena *arena, const char *text, size_t size)
{
    char *copy = pd_app_arena_take(arena, size + 1);
    if (copy != NULL && size > 0) {
        memcpy(copy, text, size);
    }
    return copy;
}

static char *format_list(struct pd_app_arena *arena, const char *format, va_list arguments)
    PD_PRINTF(2, 0);
static char *format_list(struct pd_app_arena *arena, const char *format, va_list arguments)
{
    char text[NOTE_SIZE];
    int size = vsnprintf(text, sizeof text, format, arguments);
    pd_assert(size >= 0);
    size_t kept = (size_t)size;
    if (kept >= sizeof text) {
        kept = sizeof text - 1;
        while (kept > 0 && ((uint8_t)text[kept - 1] & 0x80) != 0) {
            kept--; /* not through a UTF-8 sequence */
        }
    }
    return pd_app_arena_text(arena, text, kept);
}

char *pd_app_arena_format(struct pd_app_arena *arena, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(arena, format, arguments);
    va_end(arguments);
    return text;
}

void pd_app_arena_deinit(struct pd_app_arena *arena)
{
    while (arena->blocks != NULL) {
        struct pd_app_arena_block *next = arena->blocks->next;
        pd_free(arena->blocks);
        arena->blocks = next;
    }
}

/* --- Mistakes --------------------------------------------------------------------------------- */

/* Words of the file are repeated in mistakes: they must not speak to the terminal. */
static void make_printable(char *text)
{
    for (uint8_t *at = (uint8_t *)text; *at != 0; at++) {
        if (*at < 0x20 || *at == 0x7F) {
            *at = '?';
        } else if (at[0] == 0xC2 && at[1] >= 0x80 && at[1] < 0xA0) {
            at[0] = at[1] = '?';
        }
    }
}

static void add_note(struct pd_app_notes *notes, uint32_t line, uint32_t column, char *key,
                     char *text)
{
    if (text == NULL || key == NULL) {
        return; /* no memory: the arena remembers */
    }
    make_printable(text);
    make_printable(key);
    for (uint32_t i = 0; i < notes->count; i++) {
        const struct pd_app_mistake *known = &notes->list[i];
        if (known->line == line && known->column == column && strcmp(known->text, text) == 0) {
            return; /* a default is looked at for every child that uses it */
        }
    }
    if (notes->count == PD_APP_MISTAKES_MAX) {
        notes->is_cut = true;
        return;
    }
    notes->list[notes->count++] = (struct pd_app_mistake){line, column, key, text};
}

/* "children[1].shutdown": written from the end, since a node knows its parent only. */
static char *key_of(struct pd_app_arena *arena, const struct pd_yaml_node *at)
{
    char text[PD_YAML_KEY_TEXT_MAX];
    size_t begin = sizeof text - 1;
    text[begin] = '\0';
    for (; at->parent != NULL; at = at->parent) {
        char part[128];
        bool is_first = at->parent->parent == NULL;
        int size = at->key != NULL
                       ? snprintf(part, sizeof part, "%s%.100s", is_first ? "" : ".", at->key)
                       : snprintf(part, sizeof part, "[%u]", (unsigned)at->index);
        if ((size_t)size > begin) {
            break; /* deep enough to be found */
        }
        begin -= (size_t)size;
        memcpy(text + begin, part, (size_t)size);
    }
    const char *from = text[begin] == '.' ? text + begin + 1 : text + begin;
    return pd_app_arena_text(arena, from, strlen(from));
}

void pd_app_note(struct pd_app_notes *notes, const struct pd_yaml_node *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(notes->arena, format, arguments);
    va_end(arguments);
    add_note(notes, at->line, at->column, key_of(notes->arena, at), text);
}

void pd_app_note_key(struct pd_app_notes *notes, const struct pd_yaml_node *at, const char *format,
                     ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(notes->arena, format, arguments);
    va_end(arguments);
    uint32_t line = at->key != NULL ? at->key_line : at->line;
    uint32_t column = at->key != NULL ? at->key_column : at->column;
    add_note(notes, line, column, key_of(notes->arena, at), text);
}

void pd_app_note_at(struct pd_app_notes *notes, uint32_t line, uint32_t column, const char *key,
                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_list(notes->arena, format, arguments);
    va_end(arguments);
    add_note(notes, line, column, pd_app_arena_text(notes->arena, key, strlen(key)), text);
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* One document being built. */
struct reader {
    struct pd_app_arena *arena;
    struct pd_app_notes *notes;
    struct pd_yaml_node *root;
    struct pd_yaml_node *open; /* the innermost collection that is not closed */
    const char *key;           /* of the value to come, in a mapping */
    uint32_t key_line;
    uint32_t key_column;
    uint32_t depth;
    uint32_t node_count;
    uint32_t document_count;
    bool is_over;   /* nothing more is to be read */
    bool is_broken; /* what was read is no whole */
};

static uint32_t line_of(const yaml_mark_t *mark)
{
    return (uint32_t)mark->line + 1;
}

static uint32_t column_of(const yaml_mark_t *mark)
{
    return (uint32_t)mark->column + 1;
}

static void stop_reading(struct reader *reader, const yaml_mark_t *mark, const char *text)
{
    const char *key = reader->open == NULL ? "" : key_of(reader->arena, reader->open);
    pd_app_note_at(reader->notes, line_of(mark), column_of(mark), key == NULL ? "" : key, "%s",
                   text);
    reader->is_over = true;
    reader->is_broken = true;
}

/* Hang a value where the reader stands. */
static void attach(struct reader *reader, struct pd_yaml_node *node, const yaml_mark_t *mark)
{
    struct pd_yaml_node *parent = reader->open;
    node->parent = parent;
    if (parent == NULL) {
        reader->root = node;
        return;
    }
    if (parent->kind == PD_YAML_MAPPING) {
        node->key = reader->key;
        node->key_line = reader->key_line;
        node->key_column = reader->key_column;
        reader->key = NULL;
        if (parent->count == KEYS_MAX) {
            stop_reading(reader, mark, "more than 1024 keys in one mapping");
            return;
        }
        if (pd_yaml_find(parent, node->key) != NULL) {
            pd_app_note_key(reader->notes, node, "the key `%.100s` is here twice: keep one",
                            node->key);
            return; /* the first one counts */
        }
    }
    node->index = parent->count++;
    if (parent->first == NULL) {
        parent->first = node;
    } else {
        parent->last->next = node;
    }
    parent->last = node;
}

static struct pd_yaml_node *add_node(struct reader *reader, enum pd_yaml_kind kind,
                                     const yaml_mark_t *mark)
{
    if (reader->node_count == PD_APP_NODES_MAX) {
        stop_reading(reader, mark, "the file holds more than 200000 values: split the application");
        return NULL;
    }
    struct pd_yaml_node *node = pd_app_arena_take(reader->arena, sizeof *node);
    if (node == NULL) {
        reader->is_over = true;
        return NULL;
    }
    reader->node_count++;
    node->kind = kind;
    node->line = line_of(mark);
    node->column = column_of(mark);
    node->text = "";
    return node;
}

static void read_scalar(struct reader *reader, const yaml_event_t *event)
{
    const char *value = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    if (memchr(value, '\0', size) != NULL) {
        stop_reading(reader, &event->start_mark, "a text with a zero byte inside is not allowed");
        return;
    }
    const char *text = pd_app_arena_text(reader->arena, value, size);
    if (text == NULL) {
        reader->is_over = true;
        return;
    }
    if (reader->open != NULL && reader->open->kind == PD_YAML_MAPPING && reader->key == NULL) {
        reader->key = text;
        reader->key_line = line_of(&event->start_mark);
        reader->key_column = column_of(&event->start_mark);
        return;
    }
    struct pd_yaml_node *node = add_node(reader, PD_YAML_SCALAR, &event->start_mark);
    if (node != NULL) {
        node->text = text;
        node->is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        attach(reader, node, &event->start_mark);
    }
}

static void open_collection(struct reader *reader, enum pd_yaml_kind kind, const yaml_mark_t *mark)
{
    if (reader->open != NULL && reader->open->kind == PD_YAML_MAPPING && reader->key == NULL) {
        stop_reading(reader, mark, "a key must be a word, not a list or a mapping");
        return;
    }
    if (reader->depth == PD_YAML_DEPTH_MAX) {
        stop_reading(reader, mark, "nested more than 64 levels deep");
        return;
    }
    struct pd_yaml_node *node = add_node(reader, kind, mark);
    if (node != NULL) {
        attach(reader, node, mark);
        reader->open = node;
        reader->depth++;
    }
}

static void close_collection(struct reader *reader)
{
    pd_assert(reader->open != NULL); /* the parser's events are balanced */
    reader->open = reader->open->parent;
    reader->depth--;
}

static bool has_anchor_or_tag(struct reader *reader, const yaml_event_t *event,
                              const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor != NULL) {
        stop_reading(reader, &event->start_mark,
                     "anchors (&name) are not supported: write each value out (an application's "
                     "children share `defaults`)");
        return true;
    }
    if (tag != NULL) {
        stop_reading(reader, &event->start_mark, "tags (!name) are not supported: leave it out");
        return true;
    }
    return false;
}

static void read_event(struct reader *reader, const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        if (!has_anchor_or_tag(reader, event, event->data.scalar.anchor, event->data.scalar.tag)) {
            read_scalar(reader, event);
        }
        return;
    case YAML_SEQUENCE_START_EVENT:
        if (!has_anchor_or_tag(reader, event, event->data.sequence_start.anchor,
                               event->data.sequence_start.tag)) {
            open_collection(reader, PD_YAML_SEQUENCE, &event->start_mark);
        }
        return;
    case YAML_MAPPING_START_EVENT:
        if (!has_anchor_or_tag(reader, event, event->data.mapping_start.anchor,
                               event->data.mapping_start.tag)) {
            open_collection(reader, PD_YAML_MAPPING, &event->start_mark);
        }
        return;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        close_collection(reader);
        return;
    case YAML_ALIAS_EVENT:
        stop_reading(reader, &event->start_mark,
                     "aliases (*name) are not supported: write each value out (an application's "
                     "children share `defaults`)");
        return;
    case YAML_DOCUMENT_START_EVENT:
        if (reader->document_count++ > 0) {
            stop_reading(reader, &event->start_mark,
                         "a second document begins here: one application, one file");
        }
        return;
    case YAML_STREAM_END_EVENT:
        reader->is_over = true;
        return;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return;
    }
}

/* Of what is seen most often; libyaml says what it stumbled over, not what to do. */
static const char *syntax_remedy(const char *problem)
{
    return strstr(problem, "tab character") != NULL ? ". Indent with spaces"
           : strstr(problem, "<document start>") != NULL || strstr(problem, "<block end>") != NULL
               ? ". Begin the lines of one mapping or list in the same column"
               : "";
}

static void note_syntax(struct reader *reader, const yaml_parser_t *parser)
{
    const char *problem = parser->problem == NULL ? "cannot be read" : parser->problem;
    const yaml_mark_t *mark = &parser->problem_mark;
    if (parser->error == YAML_MEMORY_ERROR) {
        reader->arena->is_exhausted = true;
        return;
    }
    if (parser->error == YAML_READER_ERROR) {
        /* It counts bytes, not lines; the parser's own mark is near. */
        pd_app_note_at(reader->notes, line_of(&parser->mark), column_of(&parser->mark), "",
                       "not readable as YAML: %s (byte %zu of the file)", problem,
                       parser->problem_offset);
        return;
    }
    pd_app_note_at(reader->notes, line_of(mark), column_of(mark), "",
                   "not readable as YAML: %s%s%s%s", problem, parser->context == NULL ? "" : ", ",
                   parser->context == NULL ? "" : parser->context, syntax_remedy(problem));
}

struct pd_yaml_node *pd_yaml_parse(const char *text, size_t size, struct pd_app_arena *arena,
                                   struct pd_app_notes *notes)
{
    struct reader reader = {.arena = arena, .notes = notes};
    uint32_t mistakes_before = notes->count;
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        arena->is_exhausted = true;
        return NULL;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    while (!reader.is_over) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            note_syntax(&reader, &parser);
            reader.is_broken = true;
            break;
        }
        read_event(&reader, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (reader.root == NULL && !reader.is_broken && notes->count == mistakes_before) {
        pd_app_note_at(notes, 0, 0, "",
                       "the file is empty: an application has a name and children");
    }
    /* A tree that was cut off would only lead to mistakes that are none. */
    bool is_whole = !reader.is_broken && reader.open == NULL && !arena->is_exhausted;
    return is_whole ? reader.root : NULL;
}

struct pd_yaml_node *pd_yaml_find(const struct pd_yaml_node *mapping, const char *key)
{
    for (struct pd_yaml_node *node = mapping->first; node != NULL; node = node->next) {
        if (strcmp(node->key, key) == 0) {
            return node;
        }
    }
    return NULL;
}
