/* options - the words of the command line. */
#ifndef WORDCOUNT_OPTIONS_H
#define WORDCOUNT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    uint32_t mappers;
    uint32_t reducers;
    uint32_t chunk_size; /* 0: what suits the files */
    uint32_t top;
    uint32_t pace_ms;
    bool crashes_mapper;
    bool crashes_reducer;
    bool any_byte;
    const char *store; /* a prefix of keys; NULL: counted alone */
    const char *name;
    char **files;
    uint32_t file_count;
};

/* False: what is wrong was printed. */
bool options_parse(struct options *options, int argument_count, char **arguments);

#endif
