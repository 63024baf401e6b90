#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "wordcount.h"

static const char usage[] =
    "usage: wordcount [OPTION...] FILE...\n"
    "  --mappers N      processes that read and count (4)\n"
    "  --reducers N     processes that add up (2)\n"
    "  --chunk BYTES    work that is given out at a time (what suits the files)\n"
    "  --top N          how many of the most frequent words to print (10)\n"
    "  --no-crash       let no mapper crash\n"
    "  --crash-reducer  let a reducer crash too\n"
    "  --pace MS        wait before each chunk, to have time to watch\n"
    "  --any-byte       words need no printable byte: as GNU wc 9.5 and later has it\n"
    "  --store PREFIX   together with others that count the same text: below these keys\n";

struct number_option {
    const char *name;
    uint32_t *to;
    uint32_t min;
    uint32_t max;
};

struct flag_option {
    const char *name;
    bool *to;
    bool value;
};

static bool fail(const char *what, const char *word)
{
    fprintf(stderr, "wordcount: %s%s\n%s", what, word, usage);
    return false;
}

static bool parse_number(const struct number_option *option, const char *text)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(text == NULL ? "" : text, &end, 10);
    if (text == NULL || text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 ||
        number < option->min || number > option->max) {
        fprintf(stderr, "wordcount: %s wants a number from %u to %u\n", option->name, option->min,
                option->max);
        return false;
    }
    *option->to = (uint32_t)number;
    return true;
}

/* The prefix, and who we are among others: a node has a name. */
static bool parse_store(struct options *options, const char *text)
{
    const char *name = getenv("PANDO_NODE");
    size_t size = text == NULL ? 0 : strlen(text);
    if (size == 0 || size > LEDGER_PREFIX_SIZE_MAX) {
        fprintf(stderr, "wordcount: --store wants a prefix of at most %u bytes, such as words/\n",
                LEDGER_PREFIX_SIZE_MAX);
        return false;
    }
    options->store = text;
    options->name = name != NULL ? name : "somebody";
    options->top = 0; /* each has a share of the words alone */
    return true;
}

bool options_parse(struct options *options, int argument_count, char **arguments)
{
    *options = (struct options){.mappers = 4, .reducers = 2, .top = 10, .crashes_mapper = true};
    const struct number_option numbers[] = {
        {"--mappers", &options->mappers, 1, MAPPERS_MAX},
        {"--reducers", &options->reducers, 1, REDUCERS_MAX},
        {"--chunk", &options->chunk_size, 1, CHUNK_SIZE_MAX},
        {"--top", &options->top, 0, TOP_MAX},
        {"--pace", &options->pace_ms, 0, 60000},
    };
    const struct flag_option flags[] = {
        {"--no-crash", &options->crashes_mapper, false},
        {"--crash-reducer", &options->crashes_reducer, true},
        {"--any-byte", &options->any_byte, true},
    };
    int i = 1;
    for (; i < argument_count && strncmp(arguments[i], "--", 2) == 0; i++) {
        bool is_known = false;
        if (strcmp(arguments[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(arguments[i], "--store") == 0) {
            if (!parse_store(options, arguments[i + 1])) {
                return false;
            }
            is_known = true;
            i++;
        }
        for (size_t j = 0; j < sizeof flags / sizeof flags[0] && !is_known; j++) {
            if (strcmp(arguments[i], flags[j].name) == 0) {
                *flags[j].to = flags[j].value;
                is_known = true;
            }
        }
        for (size_t j = 0; j < sizeof numbers / sizeof numbers[0] && !is_known; j++) {
            if (strcmp(arguments[i], numbers[j].name) == 0) {
                if (!parse_number(&numbers[j], arguments[i + 1])) { /* NULL behind the last */
                    return false;
                }
                is_known = true;
                i++;
            }
        }
        if (!is_known) {
            return fail("unknown option ", arguments[i]);
        }
    }
    options->files = arguments + i;
    options->file_count = (uint32_t)(argument_count - i);
    return options->file_count > 0 || fail("no files", "");
}
