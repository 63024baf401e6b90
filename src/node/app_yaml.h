/* app_yaml - a YAML document as a tree that knows where everything stands, and mistakes that say
 * so. Of app*.c, and of cli/settings.c, which reads pando.yaml in the same way.
 *
 * Model      Mappings keep their order. Anchors, aliases, tags and further documents are mistakes:
 *            so a tree is never larger than its text.
 * Bounds     PD_APP_NODES_MAX values, PD_YAML_DEPTH_MAX deep.
 * Ownership  Everything comes from an arena and goes with it. */
#ifndef PD_NODE_APP_YAML_H
#define PD_NODE_APP_YAML_H

#include "node/app.h"

#define PD_YAML_DEPTH_MAX 64u
#define PD_YAML_KEY_TEXT_MAX 512u

struct pd_app_arena_block;

/* Grows in blocks, freed at once. */
struct pd_app_arena {
    struct pd_app_arena_block *blocks;
    size_t used; /* of the first block */
    size_t capacity;
    bool is_exhausted; /* an allocation failed: the outcome is PD_ERR_NO_MEMORY */
};

/* Zeroed; NULL: no memory, and the arena remembers. */
void *pd_app_arena_take(struct pd_app_arena *arena, size_t size);
char *pd_app_arena_text(struct pd_app_arena *arena, const char *text, size_t size);
char *pd_app_arena_format(struct pd_app_arena *arena, const char *format, ...) PD_PRINTF(2, 3);
void pd_app_arena_deinit(struct pd_app_arena *arena);

enum pd_yaml_kind {
    PD_YAML_SCALAR = 0,
    PD_YAML_SEQUENCE,
    PD_YAML_MAPPING
};

struct pd_yaml_node {
    enum pd_yaml_kind kind;
    uint32_t line; /* from 1 */
    uint32_t column;
    const char *text; /* of a scalar; without zero bytes inside */
    bool is_plain;    /* a scalar without quotes */
    struct pd_yaml_node *parent;
    const char *key; /* in a mapping; else NULL */
    uint32_t key_line;
    uint32_t key_column;
    uint32_t index; /* in a sequence, from 0 */
    struct pd_yaml_node *first;
    struct pd_yaml_node *last;
    struct pd_yaml_node *next;
    uint32_t count; /* of members */
};

/* Where mistakes are gathered. */
struct pd_app_notes {
    struct pd_app_arena *arena;
    struct pd_app_mistake *list; /* PD_APP_MISTAKES_MAX */
    uint32_t count;
    bool is_cut;
};

/* Note a mistake at the value (or, for a node that is missing, at its mapping). The same one is
 * noted once. */
void pd_app_note(struct pd_app_notes *notes, const struct pd_yaml_node *at, const char *format, ...)
    PD_PRINTF(3, 4);

/* At the key of a member. */
void pd_app_note_key(struct pd_app_notes *notes, const struct pd_yaml_node *at, const char *format,
                     ...) PD_PRINTF(3, 4);

/* Anywhere, under a key of the caller's. */
void pd_app_note_at(struct pd_app_notes *notes, uint32_t line, uint32_t column, const char *key,
                    const char *format, ...) PD_PRINTF(5, 6);

/* An empty report, and notes that go into it; PD_ERR_NO_MEMORY. What was noted is the report's:
 * PD_OK when that is nothing, else PD_ERR_INVALID; or PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_app_report_begin(struct pd_app_report *report,
                                                struct pd_app_notes *notes);
PD_NODISCARD enum pd_status pd_app_report_finish(struct pd_app_report *report,
                                                 const struct pd_app_notes *notes);

/* The report of a file that could not be read, as pd_app_files tells. */
PD_NODISCARD enum pd_status pd_app_report_unread(struct pd_app_report *report,
                                                 enum pd_status status);

/* The document's one value, or NULL: mistakes were noted, or there was no memory. */
struct pd_yaml_node *pd_yaml_parse(const char *text, size_t size, struct pd_app_arena *arena,
                                   struct pd_app_notes *notes);

/* A mapping's member, or NULL. */
struct pd_yaml_node *pd_yaml_find(const struct pd_yaml_node *mapping, const char *key);

#endif
