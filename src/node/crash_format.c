#include "node/crash_format.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

#define NS_PER_US UINT64_C(1000)
#define SIZE_MIN 256u
#define BACKTRACE_ROOM 64u /* kept free behind the frames */

struct writer {
    char *text;
    size_t size;
    size_t length;
};

/* Make what a guest wrote harmless. */
static void clean(char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        if ((byte < 0x20u && byte != '\n' && byte != '\t') || byte == 0x7fu) {
            text[i] = '?';
        }
    }
}

static void write_words(struct writer *writer, const char *format, ...) PD_PRINTF(2, 3);

static void write_words(struct writer *writer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    size_t room = writer->size - writer->length;
    int wanted = vsnprintf(writer->text + writer->length, room, format, arguments);
    va_end(arguments);
    pd_assert(wanted >= 0);
    size_t written = (size_t)wanted < room ? (size_t)wanted : room - 1;
    clean(writer->text + writer->length, written);
    writer->length += written;
}

static bool has(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* A text of many lines in one: its first line. */
static int first_line(const char *text)
{
    const char *newline = strchr(text, '\n');
    return (int)(newline == NULL ? strlen(text) : (size_t)(newline - text));
}

static void write_who(struct writer *writer, const struct pd_crash_facts *facts)
{
    write_words(writer, "pando: process %llu", (unsigned long long)facts->pid);
    if (has(facts->name)) {
        write_words(writer, " \"%.*s\"", first_line(facts->name), facts->name);
    }
}

static void write_why(struct writer *writer, const struct pd_crash_facts *facts)
{
    write_words(writer, "%s %s", facts->reason == PD_EXIT_KILLED ? " was" : " crashed:",
                pd_exit_reason_text(facts->reason));
    if (has(facts->reason_text)) {
        write_words(writer, ": %.*s", first_line(facts->reason_text), facts->reason_text);
    }
}

/* Every line behind a mark, so that a guest cannot write something that looks like a report. */
static void write_lines(struct writer *writer, const char *indent, const char *lines)
{
    while (has(lines)) {
        int size = first_line(lines);
        if ((size_t)size + BACKTRACE_ROOM > writer->size - writer->length) {
            write_words(writer, "%s...\n", indent);
            return;
        }
        write_words(writer, "%s%.*s\n", indent, size, lines);
        lines += size + (lines[size] == '\n' ? 1 : 0);
    }
}

static void write_module(struct writer *writer, const struct pd_crash_facts *facts)
{
    if (facts->module_hash == NULL) {
        return;
    }
    write_words(writer, "  module     ");
    for (uint32_t i = 0; i < PD_CRASH_HASH_SHOWN; i++) {
        write_words(writer, "%02x", facts->module_hash[i]);
    }
    write_words(writer, " %s\n",
                has(facts->module_file) ? facts->module_file : "(compiled by a guest)");
    write_words(writer, "  function   %s\n", has(facts->function) ? facts->function : "(none)");
    write_words(writer, "  fuel       %llu\n  memory     %llu bytes\n",
                (unsigned long long)facts->fuel_used, (unsigned long long)facts->memory_size);
}

size_t pd_crash_format_full(const struct pd_crash_facts *facts, char *text, size_t size)
{
    pd_assert(size >= SIZE_MIN);
    struct writer writer = {.text = text, .size = size};
    write_who(&writer, facts);
    write_why(&writer, facts);
    write_words(&writer, "\n");
    if (has(facts->path)) {
        write_words(&writer, "  path       %.*s\n", first_line(facts->path), facts->path);
    }
    if (facts->parent != 0) {
        write_words(&writer, "  parent     %llu\n", (unsigned long long)facts->parent);
    }
    write_module(&writer, facts);
    write_words(&writer, "  mailbox    %u messages, %zu bytes\n", facts->message_count,
                facts->message_bytes);
    write_words(&writer, "  lived      %llu.%03llu ms\n",
                (unsigned long long)(facts->age_ns / NS_PER_US / 1000),
                (unsigned long long)(facts->age_ns / NS_PER_US % 1000));
    if (facts->is_secondhand) {
        write_words(&writer, "  cause      a linked process ended, or an exit signal\n");
    }
    if (has(facts->last_errors)) {
        write_words(&writer, "  its last lines on standard error\n");
        write_lines(&writer, "    | ", facts->last_errors);
    }
    if (has(facts->backtrace)) {
        write_words(&writer, "  backtrace\n");
        write_lines(&writer, "  ", facts->backtrace);
    }
    return writer.length;
}

size_t pd_crash_format_brief(const struct pd_crash_facts *facts, char *text, size_t size)
{
    pd_assert(size >= SIZE_MIN);
    struct writer writer = {.text = text, .size = size};
    write_who(&writer, facts);
    if (has(facts->path)) {
        write_words(&writer, " (%.*s)", first_line(facts->path), facts->path);
    }
    write_why(&writer, facts);
    return writer.length;
}

size_t pd_crash_format_outcome(const struct pd_crash_outcome *outcome, bool is_brief, char *text,
                               size_t size)
{
    struct writer writer = {.text = text, .size = size};
    const char *before = is_brief ? " (restart " : "  restart    ";
    const char *after = is_brief ? ")\n" : "\n";
    if (!outcome->is_known) {
        write_words(&writer, "%s", is_brief ? "\n" : "");
    } else if (outcome->is_restarted) {
        write_words(&writer, "%s%u of %u%s", before, outcome->restart_count, outcome->restarts_max,
                    after);
    } else if (outcome->has_given_up) {
        write_words(&writer, "%snone: its supervisor gives up%s", before, after);
    } else {
        write_words(&writer, "%snone%s", before, after);
    }
    return writer.length;
}
