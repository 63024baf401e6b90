#include "cli/node_log.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"
#include "host/output.h"

#define MESSAGE_MAX 2048u
#define TIME_MAX 40u

static const char *const levels[] = {"info", "warning", "error"};

static bool is_json_wanted;
static enum pd_log_level level_least;

void pd_node_log_use_json(bool is_json)
{
    is_json_wanted = is_json;
}

bool pd_node_log_is_json(void)
{
    return is_json_wanted;
}

void pd_node_log_use_level(enum pd_log_level least)
{
    level_least = least;
}

bool pd_node_log_level_parse(const char *text, enum pd_log_level *level_out)
{
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(text, levels[i]) == 0) {
            *level_out = (enum pd_log_level)i;
            return true;
        }
    }
    return false;
}

/* "2026-11-27T00:36:01.123Z" */
static void time_text(char room[TIME_MAX])
{
    struct timespec now;
    struct tm parts;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &parts);
    size_t size = strftime(room, TIME_MAX, "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(room + size, TIME_MAX - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

/* Whoever speaks does not wait for whoever reads: the core may be among them. What cannot be said
 * is counted, and told when somebody reads again. */
static atomic_uint unsaid;

static bool has_reader(void)
{
    return pd_host_output(STDERR_FILENO, NULL, 0) != PD_FILE_AGAIN;
}

/* One write, so that lines of several threads do not mix. */
static void put_line(const char *text)
{
    char line[2 * MESSAGE_MAX];
    int size = snprintf(line, sizeof line, "%s\n", text);
    size_t length = size < (int)sizeof line ? (size_t)size : sizeof line - 1;
    line[length - 1] = '\n';
    /* Who does not listen misses it. */
    (void)pd_host_output(STDERR_FILENO, (const uint8_t *)line, length);
}

/* The object as a line; takes it. */
static void put_object(json_t *object)
{
    char *line = object == NULL ? NULL : json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    put_line(line == NULL ? "{\"level\":\"error\",\"message\":\"no memory for a message\"}" : line);
    free(line);
    json_decref(object);
}

static void put_json(enum pd_log_level level, char *message)
{
    char now[TIME_MAX];
    json_t *text = json_string(message);
    if (text == NULL) { /* a file's name need not be UTF-8 */
        for (char *at = message; *at != '\0'; at++) {
            *at = (char)((unsigned char)*at >= 0x80 ? '?' : *at);
        }
        text = json_string(message);
    }
    time_text(now);
    put_object(json_pack("{s:s, s:s, s:o}", "time", now, "level", levels[level], "message", text));
}

static void say(enum pd_log_level level, char *message)
{
    char line[MESSAGE_MAX + 16];
    if (is_json_wanted) {
        put_json(level, message);
        return;
    }
    (void)snprintf(line, sizeof line, "pando: %s", message);
    put_line(line);
}

static void log_line(enum pd_log_level level, const char *format, va_list arguments)
    PD_PRINTF(2, 0);

static void log_line(enum pd_log_level level, const char *format, va_list arguments)
{
    char message[MESSAGE_MAX];
    if (level < level_least) {
        return;
    }
    if (!has_reader()) {
        (void)atomic_fetch_add(&unsaid, 1);
        return;
    }
    unsigned missed = atomic_exchange(&unsaid, 0);
    if (missed > 0) {
        (void)snprintf(message, sizeof message,
                       "%u messages are missing here: nobody read what was said", missed);
        say(PD_LOG_WARNING, message);
    }
    (void)vsnprintf(message, sizeof message, format, arguments);
    say(level, message);
}

void pd_node_log(enum pd_log_level level, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(level, format, arguments);
    va_end(arguments);
}

static void put_fields_json(enum pd_log_level level, const char *message,
                            const struct pd_log_field *fields, size_t count)
{
    char now[TIME_MAX];
    time_text(now);
    json_t *object =
        json_pack("{s:s, s:s, s:s}", "time", now, "level", levels[level], "message", message);
    for (size_t i = 0; object != NULL && i < count; i++) {
        json_t *value =
            fields[i].text != NULL ? json_string(fields[i].text) : json_real(fields[i].number);
        if (json_object_set_new(object, fields[i].name, value) != 0) {
            json_decref(object);
            object = NULL;
        }
    }
    put_object(object);
}

static void put_fields_text(const char *message, const struct pd_log_field *fields, size_t count)
{
    char line[MESSAGE_MAX];
    size_t size = (size_t)snprintf(line, sizeof line, "pando: %s", message);
    for (size_t i = 0; i < count && size < sizeof line; i++) {
        const char *quote = fields[i].is_quoted ? "\"" : "";
        size += (size_t)(fields[i].text != NULL
                             ? snprintf(line + size, sizeof line - size, " %s=%s%s%s",
                                        fields[i].name, quote, fields[i].text, quote)
                             : snprintf(line + size, sizeof line - size, " %s=%.3f", fields[i].name,
                                        fields[i].number));
    }
    put_line(line);
}

bool pd_node_log_fields(enum pd_log_level level, const char *message,
                        const struct pd_log_field *fields, size_t count)
{
    if (level < level_least) {
        return true;
    }
    if (!has_reader()) {
        return false;
    }
    if (is_json_wanted) {
        put_fields_json(level, message, fields, count);
    } else {
        put_fields_text(message, fields, count);
    }
    return true;
}

int pd_node_log_failed(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line(PD_LOG_ERROR, format, arguments);
    va_end(arguments);
    return PD_EXIT_CODE_FAILED;
}
