/* Settings as a file that says the same. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/settings.h"

#define NUMBER_MAX_SIZE 32u

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
static void write_quoted(const struct pd_app_output *output, const char *text)
{
    write_text(output, "'");
    for (; *text != '\0'; text++) {
        output->write(output->context, text, 1);
        if (*text == '\'') {
            output->write(output->context, text, 1);
        }
    }
    write_text(output, "'");
}

static const void *field_of(const struct pd_settings *settings, const struct pd_setting *row)
{
    return (const uint8_t *)settings + row->offset;
}

static bool is_set(const struct pd_settings *settings, const struct pd_setting *row)
{
    const char *text = NULL;
    switch (row->kind) {
    case PD_SETTING_TEXT:
        memcpy(&text, field_of(settings, row), sizeof text);
        return text != NULL;
    case PD_SETTING_SWITCH:
        return true;
    case PD_SETTING_NUMBER:
    case PD_SETTING_SIZE:
    case PD_SETTING_TIME:
        return row->initial != NULL || settings->sources[row - pd_settings_table].kind != 0;
    case PD_SETTING_LIST:
        return ((const struct pd_setting_list *)field_of(settings, row))->count > 0;
    }
    return false;
}

/* Of one that is set. */
static void write_value(const struct pd_settings *settings, const struct pd_setting *row,
                        const struct pd_app_output *output)
{
    const void *field = field_of(settings, row);
    switch (row->kind) {
    case PD_SETTING_TEXT: {
        const char *text = NULL;
        memcpy(&text, field, sizeof text);
        write_quoted(output, text);
        return;
    }
    case PD_SETTING_SWITCH:
        write_text(output, *(const bool *)field ? "true" : "false");
        return;
    case PD_SETTING_NUMBER:
    case PD_SETTING_SIZE:
    case PD_SETTING_TIME: {
        uint64_t number = 0;
        char value[NUMBER_MAX_SIZE];
        memcpy(&number, field, sizeof number);
        const char *unit = unit_of(row->kind, &number);
        (void)snprintf(value, sizeof value, "%" PRIu64 "%s", number, unit);
        write_text(output, value);
        return;
    }
    case PD_SETTING_LIST: {
        const struct pd_setting_list *list = field;
        for (uint32_t i = 0; i < list->count; i++) {
            write_text(output, i == 0 ? "[" : ", ");
            write_quoted(output, list->texts[i]);
        }
        write_text(output, "]");
        return;
    }
    }
}

/* A file's name may be of any bytes; those that would end the comment are left out of it. */
static void write_file_name(const struct pd_app_output *output, const char *file)
{
    for (; *file != '\0'; file++) {
        const unsigned char byte = (unsigned char)*file;
        output->write(output->context, byte >= 0x20 && byte < 0x7f ? file : "?", 1);
    }
}

static void write_source(const struct pd_settings *settings, const struct pd_setting *row,
                         const struct pd_app_output *output)
{
    const struct pd_setting_source *from = &settings->sources[row - pd_settings_table];
    char name[PD_SETTINGS_NAME_MAX] = "default";
    switch (from->kind) {
    case PD_SETTING_OF_NOBODY:
        break;
    case PD_SETTING_OF_FILE:
        write_file_name(output, settings->file);
        (void)snprintf(name, sizeof name, ":%" PRIu32, from->line);
        break;
    case PD_SETTING_OF_ENVIRONMENT:
        pd_setting_variable(row, name);
        break;
    case PD_SETTING_OF_FLAG:
        pd_setting_flag(row, name);
        break;
    }
    write_text(output, name);
}

void pd_settings_print(const struct pd_settings *settings, const struct pd_app_output *output)
{
    for (const struct pd_setting *row = pd_settings_table; row->key != NULL; row++) {
        bool is_said = is_set(settings, row);
        write_text(output, is_said ? "" : "# ");
        write_text(output, row->key);
        write_text(output, ": ");
        if (is_said) {
            write_value(settings, row, output);
            write_text(output, "  # ");
            write_source(settings, row, output);
        } else {
            write_text(output, "not set");
        }
        write_text(output, "\n");
    }
}
