/* Settings as a file that says the same. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/settings.h"

#define LINE_MAX_SIZE 4096u

/* -- Showing ----------------------------------------------------------------------------------- */

static void write_text(const struct pd_app_output *output, const char *text)
{
    output->write(output->context, text, strlen(text));
}

static const char *unit_of(enum pd_setting_kind kind, uint64_t *number)
{
    static const struct {
        enum pd_setting_kind kind;
        const char *unit;
        uint64_t factor;
    } units[] = {{PD_SETTING_SIZE, "GiB", UINT64_C(1) << 30},
                 {PD_SETTING_SIZE, "MiB", 1u << 20},
                 {PD_SETTING_SIZE, "KiB", 1u << 10},
                 {PD_SETTING_TIME, "h", 3600000},
                 {PD_SETTING_TIME, "m", 60000},
                 {PD_SETTING_TIME, "s", 1000},
                 {PD_SETTING_TIME, "ms", 1}};
    for (size_t i = 0; i < sizeof units / sizeof units[0] && *number != 0; i++) {
        if (units[i].kind == kind && *number % units[i].factor == 0) {
            *number /= units[i].factor;
            return units[i].unit;
        }
    }
    return "";
}

/* 'a text', with its quotes doubled: any text is whole again when it is read. */
static size_t quote(char *to, size_t room, const char *text)
{
    size_t size = 0;
    to[size++] = '\'';
    for (; *text != '\0' && size + 4 < room; text++) {
        to[size++] = *text;
        if (*text == '\'') {
            to[size++] = '\'';
        }
    }
    to[size++] = '\'';
    to[size] = '\0';
    return size;
}

/* False: it is not set. */
static bool show_value(const struct pd_settings *settings, const struct pd_setting *row, char *to,
                       size_t room)
{
    const void *field = (const uint8_t *)settings + row->offset;
    uint64_t number = 0;
    switch (row->kind) {
    case PD_SETTING_TEXT: {
        const char *text = NULL;
        memcpy(&text, field, sizeof text);
        if (text == NULL) {
            return false;
        }
        (void)quote(to, room, text);
        return true;
    }
    case PD_SETTING_SWITCH:
        (void)snprintf(to, room, "%s", *(const bool *)field ? "true" : "false");
        return true;
    case PD_SETTING_NUMBER:
    case PD_SETTING_SIZE:
    case PD_SETTING_TIME: {
        memcpy(&number, field, sizeof number);
        const char *unit = unit_of(row->kind, &number);
        (void)snprintf(to, room, "%" PRIu64 "%s", number, unit);
        return row->initial != NULL || settings->sources[row - pd_settings_table].kind != 0;
    }
    case PD_SETTING_LIST: {
        const struct pd_setting_list *list = field;
        size_t size = 0;
        to[size++] = '[';
        for (uint32_t i = 0; i < list->count && size + 4 < room; i++) {
            size += (size_t)snprintf(to + size, room - size, "%s", i > 0 ? ", " : "");
            size += quote(to + size, room - size, list->texts[i]);
        }
        (void)snprintf(to + size, room - size, "]");
        return list->count > 0;
    }
    }
    return false;
}

void pd_settings_print(const struct pd_settings *settings, const struct pd_app_output *output)
{
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        char value[LINE_MAX_SIZE];
        char source[PD_SETTINGS_TEXT_MAX] = "default";
        char name[PD_SETTINGS_NAME_MAX];
        char line[LINE_MAX_SIZE + PD_SETTINGS_TEXT_MAX + PD_SETTINGS_NAME_MAX];
        const struct pd_setting_source *from = &settings->sources[row - pd_settings_table];
        bool is_set = show_value(settings, row, value, sizeof value);
        if (from->kind == PD_SETTING_OF_FILE) {
            (void)snprintf(source, sizeof source, "%s:%" PRIu32, settings->file, from->line);
        } else if (from->kind == PD_SETTING_OF_ENVIRONMENT) {
            pd_setting_variable(row, name);
            (void)snprintf(source, sizeof source, "%s", name);
        } else if (from->kind == PD_SETTING_OF_FLAG) {
            pd_setting_flag(row, name);
            (void)snprintf(source, sizeof source, "%s", name);
        }
        if (is_set) {
            (void)snprintf(line, sizeof line, "%s: %s  # %s\n", row->key, value, source);
        } else {
            (void)snprintf(line, sizeof line, "# %s: not set\n", row->key);
        }
        write_text(output, line);
    }
}
