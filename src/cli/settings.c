#include "cli/settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/utf8.h"
#include "node/app_values.h"

#define VARIABLE_HEAD "PANDO_"
#define WHY_MAX 256u
#define DAY_MS (UINT64_C(24) * 3600 * 1000)

/* -- Names ------------------------------------------------------------------------------------- */

void pd_setting_flag(const struct pd_setting *setting, char name[PD_SETTINGS_NAME_MAX])
{
    int size = snprintf(name, PD_SETTINGS_NAME_MAX, "--%s", setting->key);
    pd_assert(size > 0 && (size_t)size < PD_SETTINGS_NAME_MAX);
    for (char *at = name; *at != '\0'; at++) {
        *at = (char)(*at == '_' ? '-' : *at);
    }
}

void pd_setting_variable(const struct pd_setting *setting, char name[PD_SETTINGS_NAME_MAX])
{
    int size = snprintf(name, PD_SETTINGS_NAME_MAX, VARIABLE_HEAD "%s", setting->key);
    pd_assert(size > 0 && (size_t)size < PD_SETTINGS_NAME_MAX);
    for (char *at = name; *at != '\0'; at++) {
        *at = (char)(*at >= 'a' && *at <= 'z' ? *at - ('a' - 'A') : *at);
    }
}

static uint32_t place_of(const struct pd_setting *setting)
{
    return (uint32_t)(setting - pd_settings_table);
}

/* -- Values ------------------------------------------------------------------------------------ */

/* "500ms", "5s", "2m", "1h", "7d"; 0 needs no unit. */
static bool read_time(const char *text, uint64_t *ms_out)
{
    static const struct {
        const char *unit;
        uint64_t factor;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", DAY_MS}};
    char digits[24];
    size_t size = strspn(text, "0123456789");
    if (size == 0 || size >= sizeof digits) {
        return false;
    }
    memcpy(digits, text, size);
    digits[size] = '\0';
    uint64_t number = 0;
    if (!pd_option_number(digits, &number)) {
        return false;
    }
    if (number == 0 && text[size] == '\0') {
        *ms_out = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + size, units[i].unit) == 0 && number <= UINT64_MAX / units[i].factor) {
            *ms_out = number * units[i].factor;
            return true;
        }
    }
    return false;
}

static bool is_within(const struct pd_setting *setting, uint64_t number)
{
    return number >= setting->least && number <= setting->most &&
           (setting->step == 0 || number % setting->step == 0);
}

/* A line of UTF-8 without control characters: others a file could not say, and a terminal would
 * obey. To YAML U+0085, U+2028 and U+2029 break lines; U+FEFF, U+FFFE and U+FFFF are no text. */
static bool is_line(const char *text)
{
    static const char *const apart[] = {"\xe2\x80\xa8", "\xe2\x80\xa9", "\xef\xbb\xbf",
                                        "\xef\xbf\xbe", "\xef\xbf\xbf"};
    for (const char *at = text; *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;
        const unsigned char next = (unsigned char)at[1];
        if (byte < 0x20 || byte == 0x7f || (byte == 0xc2 && next < 0xa0)) {
            return false;
        }
    }
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        if (strstr(text, apart[i]) != NULL) {
            return false;
        }
    }
    return pd_utf8_is_valid((const uint8_t *)text, strlen(text));
}

static bool is_text(const struct pd_setting *setting, const char *text)
{
    return setting->judge != NULL ? setting->judge(text) : text[0] != '\0';
}

/* Whether the text is a value of the setting; of its numbers and switches, which. */
static bool read_value(const struct pd_setting *setting, const char *text, uint64_t *number_out)
{
    *number_out = 0;
    switch (setting->kind) {
    case PD_SETTING_TEXT:
    case PD_SETTING_LIST:
        return is_text(setting, text);
    case PD_SETTING_SWITCH:
        *number_out = strcmp(text, "true") == 0;
        return *number_out != 0 || strcmp(text, "false") == 0;
    case PD_SETTING_NUMBER:
        return pd_option_number(text, number_out) && is_within(setting, *number_out);
    case PD_SETTING_SIZE:
        return pd_option_size(text, number_out) && is_within(setting, *number_out);
    case PD_SETTING_TIME:
        return read_time(text, number_out) && is_within(setting, *number_out);
    }
    return false;
}

static void *field_of(struct pd_settings *settings, const struct pd_setting *setting)
{
    return (uint8_t *)settings + setting->offset;
}

static void store_value(struct pd_settings *settings, const struct pd_setting *setting,
                        const char *text, uint64_t number)
{
    void *field = field_of(settings, setting);
    switch (setting->kind) {
    case PD_SETTING_TEXT:
        memcpy(field, &text, sizeof text);
        return;
    case PD_SETTING_SWITCH:
        *(bool *)field = number != 0;
        return;
    case PD_SETTING_NUMBER:
    case PD_SETTING_SIZE:
    case PD_SETTING_TIME:
        memcpy(field, &number, sizeof number);
        return;
    case PD_SETTING_LIST: {
        struct pd_setting_list *list = field;
        list->texts[list->count++] = text;
        return;
    }
    }
}

enum taken {
    TAKEN = 0,
    NOT_ALLOWED,
    NO_LINE,
    TOO_MANY
};

/* The one place that knows which source is stronger. A weaker one is judged all the same. */
static enum taken take(struct pd_settings *settings, const struct pd_setting *setting,
                       const char *text, struct pd_setting_source source)
{
    struct pd_setting_source *present = &settings->sources[place_of(setting)];
    uint64_t number = 0;
    if (!is_line(text)) {
        return NO_LINE;
    }
    if (!read_value(setting, text, &number)) {
        return NOT_ALLOWED;
    }
    if (present->kind > source.kind) {
        return TAKEN;
    }
    if (setting->kind == PD_SETTING_LIST) {
        struct pd_setting_list *list = field_of(settings, setting);
        if (present->kind != source.kind) {
            list->count = 0; /* a list of a stronger source replaces the other one */
        }
        if (list->count >= setting->most) {
            return TOO_MANY;
        }
    }
    store_value(settings, setting, text, number);
    *present = source;
    return TAKEN;
}

/* What is wrong with it, and what is wanted. */
static void describe(enum taken taken, const struct pd_setting *setting, const char *text,
                     char out[WHY_MAX])
{
    if (taken == TOO_MANY) {
        (void)snprintf(out, WHY_MAX, "can be given %" PRIu64 " times", setting->most);
    } else if (taken == NO_LINE) { /* it is not for a terminal */
        (void)snprintf(out, WHY_MAX, "takes %s, in UTF-8 and without control characters",
                       setting->takes);
    } else {
        (void)snprintf(out, WHY_MAX, "takes %s, not `%.64s`", setting->takes, text);
    }
}

/* -- Life -------------------------------------------------------------------------------------- */

enum pd_status pd_settings_init(struct pd_settings *settings)
{
    *settings = (struct pd_settings){.arena = pd_alloc_zeroed(1, sizeof(struct pd_app_arena))};
    if (settings->arena == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        if (row->initial != NULL) {
            enum taken taken = take(settings, row, row->initial, (struct pd_setting_source){0});
            pd_assert(taken == TAKEN);
        }
    }
    return PD_OK;
}

void pd_settings_deinit(struct pd_settings *settings)
{
    if (settings->arena != NULL) {
        pd_app_arena_deinit(settings->arena);
        pd_free(settings->arena);
    }
    *settings = (struct pd_settings){0};
}

/* -- Flags ------------------------------------------------------------------------------------- */

bool pd_settings_take_flag(struct pd_settings *settings, struct pd_option_cursor *cursor,
                           char text[PD_SETTINGS_TEXT_MAX])
{
    text[0] = '\0';
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        char name[PD_SETTINGS_NAME_MAX];
        char why[WHY_MAX];
        const char *value = NULL;
        pd_setting_flag(row, name);
        bool is_bare = row->kind == PD_SETTING_SWITCH && pd_option_flag(cursor, name);
        if (!is_bare && !pd_option_value(cursor, name, &value)) {
            continue;
        }
        value = is_bare ? "true" : value;
        enum taken taken = value == NULL
                               ? NOT_ALLOWED
                               : take(settings, row, value,
                                      (struct pd_setting_source){.kind = PD_SETTING_OF_FLAG});
        if (value == NULL) {
            (void)snprintf(text, PD_SETTINGS_TEXT_MAX, "%s takes %s", name, row->takes);
        } else if (taken != TAKEN) {
            describe(taken, row, value, why);
            (void)snprintf(text, PD_SETTINGS_TEXT_MAX, "%s %s", name, why);
        }
        return true;
    }
    return false;
}

/* The keys, to look for the nearest one. */
static void list_keys(const char *keys[PD_SETTINGS_MAX])
{
    uint32_t count = 0;
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        keys[count++] = row->key;
    }
    keys[count] = NULL; /* the table's own end has a place, too */
}

/* -- Environment ------------------------------------------------------------------------------- */

/* A list's texts stand between commas. False: no memory, or as `taken_out` and `at_out` say. */
static bool take_variable(struct pd_settings *settings, const struct pd_setting *row,
                          const char *value, enum taken *taken_out, const char **at_out)
{
    const struct pd_setting_source source = {.kind = PD_SETTING_OF_ENVIRONMENT};
    *at_out = value;
    if (row->kind != PD_SETTING_LIST) {
        *taken_out = take(settings, row, value, source);
        return *taken_out == TAKEN;
    }
    for (const char *at = value; at != NULL;) {
        const char *comma = strchr(at, ',');
        size_t size = comma == NULL ? strlen(at) : (size_t)(comma - at);
        const char *text = pd_app_arena_text(settings->arena, at, size);
        *at_out = text;
        if (text == NULL) {
            return false;
        }
        *taken_out = take(settings, row, text, source);
        if (*taken_out != TAKEN) {
            return false;
        }
        at = comma == NULL ? NULL : comma + 1;
    }
    return true;
}

/* A variable that is no setting's, and nearly one: its name is wrong. Others may be anybody's: a
 * cluster of containers names PANDO_PORT and the like for a service of that name. */
static bool judge_variable(const char *variable, char text[PD_SETTINGS_TEXT_MAX])
{
    static const char *const others[] = {"PANDO_CONFIG", "PANDO_NODE", "PANDO_TICKET", NULL};
    char name[PD_SETTINGS_NAME_MAX];
    char names[PD_SETTINGS_MAX][PD_SETTINGS_NAME_MAX];
    const size_t head = sizeof VARIABLE_HEAD - 1;
    size_t size = strcspn(variable, "=");
    if (strncmp(variable, VARIABLE_HEAD, head) != 0 || size >= sizeof name) {
        return true;
    }
    memcpy(name, variable, size);
    name[size] = '\0';
    struct pd_nearest nearest = {.wanted = name + head};
    for (const char *const *other = others; *other != NULL; other++) {
        pd_nearest_offer(&nearest, *other + head);
    }
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        pd_setting_variable(row, names[place_of(row)]);
        pd_nearest_offer(&nearest, names[place_of(row)] + head);
    }
    if (nearest.word == NULL || strcmp(nearest.word, nearest.wanted) == 0) {
        return true;
    }
    (void)snprintf(text, PD_SETTINGS_TEXT_MAX,
                   "the variable %s is no setting's. Did you mean " VARIABLE_HEAD "%s?", name,
                   nearest.word);
    return false;
}

bool pd_settings_take_environment(struct pd_settings *settings, char *const *variables,
                                  char text[PD_SETTINGS_TEXT_MAX])
{
    text[0] = '\0';
    for (char *const *at = variables; *at != NULL; at++) {
        if (!judge_variable(*at, text)) {
            return false;
        }
    }
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        char name[PD_SETTINGS_NAME_MAX];
        pd_setting_variable(row, name);
        size_t size = strlen(name);
        for (char *const *at = variables; *at != NULL; at++) {
            enum taken taken = TAKEN;
            const char *wrong = NULL;
            char why[WHY_MAX];
            if (strncmp(*at, name, size) != 0 || (*at)[size] != '=' || (*at)[size + 1] == '\0') {
                continue;
            }
            if (!take_variable(settings, row, *at + size + 1, &taken, &wrong)) {
                describe(taken, row, wrong == NULL ? "" : wrong, why);
                (void)snprintf(text, PD_SETTINGS_TEXT_MAX, "the variable %s %s", name,
                               wrong == NULL ? "cannot be read: no memory" : why);
                return false;
            }
            break; /* the first one counts, as for getenv */
        }
    }
    return true;
}

/* -- Files ------------------------------------------------------------------------------------- */

/* What YAML calls null, in its core schema; in quotes it is a text. */
static bool is_nothing(const struct pd_yaml_node *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; node->is_plain && i < sizeof nulls / sizeof nulls[0]; i++) {
        if (strcmp(node->text, nulls[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void take_scalar(struct pd_settings *settings, struct pd_app_notes *notes,
                        const struct pd_setting *row, const struct pd_yaml_node *node)
{
    const struct pd_setting_source source = {.kind = PD_SETTING_OF_FILE, .line = node->line};
    char why[WHY_MAX];
    if (node->kind != PD_YAML_SCALAR) {
        pd_app_note(notes, node, "takes %s, not a %s", row->takes,
                    node->kind == PD_YAML_SEQUENCE ? "list" : "mapping");
        return;
    }
    if (is_nothing(node)) {
        pd_app_note(notes, node,
                    "takes %s, and there is nothing: leave the key out to have the "
                    "default",
                    row->takes);
        return;
    }
    /* The file's own texts go with its report. */
    const char *text = pd_app_arena_text(settings->arena, node->text, strlen(node->text));
    if (text == NULL) {
        return; /* the arena remembers */
    }
    enum taken taken = take(settings, row, text, source);
    if (taken != TAKEN) {
        describe(taken, row, text, why);
        pd_app_note(notes, node, "%s", why);
    }
}

static void take_node(struct pd_settings *settings, struct pd_app_notes *notes,
                      const struct pd_setting *row, const struct pd_yaml_node *node)
{
    if (row->kind != PD_SETTING_LIST || node->kind != PD_YAML_SEQUENCE) {
        take_scalar(settings, notes, row, node);
        return;
    }
    for (const struct pd_yaml_node *item = node->first; item != NULL; item = item->next) {
        take_scalar(settings, notes, row, item);
    }
}

/* Nothing but comments: a file to begin with. */
static bool is_blank(const char *bytes, size_t size)
{
    bool is_comment = false;
    for (size_t i = 0; i < size; i++) {
        is_comment = bytes[i] != '\n' && (is_comment || bytes[i] == '#');
        if (!is_comment && bytes[i] != '\n' && bytes[i] != ' ') {
            return false;
        }
    }
    return true;
}

static void take_document(struct pd_settings *settings, struct pd_app_notes *notes,
                          const struct pd_yaml_node *document)
{
    const char *keys[PD_SETTINGS_MAX];
    list_keys(keys);
    if (document->kind == PD_YAML_SCALAR && document->text[0] == '\0') {
        return; /* comments alone: everything has its default */
    }
    if (!pd_app_is_mapping(notes, document, "a setting on each line, as `data: /var/lib/pando`")) {
        return;
    }
    pd_app_check_keys(notes, document, "The file", keys);
    for (const struct pd_yaml_node *node = document->first; node != NULL; node = node->next) {
        for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
            if (strcmp(node->key, row->key) == 0) {
                take_node(settings, notes, row, node);
            }
        }
    }
}

enum pd_status pd_settings_take_text(struct pd_settings *settings, const char *file,
                                     const char *bytes, size_t size,
                                     struct pd_app_report *report_out)
{
    struct pd_app_notes notes = {0};
    enum pd_status status = pd_app_report_begin(report_out, &notes);
    if (status != PD_OK) {
        return status;
    }
    settings->file = file;
    if (size > PD_APP_FILE_SIZE_MAX) {
        pd_app_note_at(&notes, 0, 0, "", "the file is larger than 1 MiB");
    } else if (!is_blank(bytes, size)) {
        const struct pd_yaml_node *document = pd_yaml_parse(bytes, size, notes.arena, &notes);
        if (document != NULL) {
            take_document(settings, &notes, document);
        }
    }
    const struct pd_app_arena *arena = settings->arena;
    status = pd_app_report_finish(report_out, &notes);
    return arena->is_exhausted ? PD_ERR_NO_MEMORY : status;
}

enum pd_status pd_settings_take_file(struct pd_settings *settings, const char *file,
                                     struct pd_app_report *report_out)
{
    const size_t room = PD_APP_FILE_SIZE_MAX + 1; /* one more shows that it is too large */
    uint8_t *bytes = pd_alloc(room);
    size_t size = 0;
    *report_out = (struct pd_app_report){0};
    if (bytes == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    enum pd_status status = pd_app_real_files.read(NULL, file, bytes, room, &size);
    if (status == PD_OK) {
        status = pd_settings_take_text(settings, file, (const char *)bytes, size, report_out);
    } else if (status != PD_ERR_NO_MEMORY) {
        status = pd_app_report_unread(report_out, status);
    }
    pd_free(bytes);
    return status;
}
