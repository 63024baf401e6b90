/* options - what a command takes: "--name VALUE" or "--name=VALUE", "-o VALUE", and flags.
 *
 * Model      A command's options are a table of struct pd_option, each with the place of its value
 *            in the command's own struct; pd_command_parse (cli/command.h) reads words by it. The
 *            cursor below is for the few that read their words themselves. */
#ifndef PD_CLI_OPTIONS_H
#define PD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pd_option_kind {
    PD_OPTION_FLAG = 0, /* bool; no value */
    PD_OPTION_TEXT,     /* const char *; may be empty when `least` is 0 */
    PD_OPTION_FILE,     /* const char *, not empty; so for FOLDER: shells complete them */
    PD_OPTION_FOLDER,
    PD_OPTION_NUMBER,  /* uint64_t, least to most */
    PD_OPTION_SIZE,    /* uint64_t, bytes: "64MiB" */
    PD_OPTION_SECONDS, /* uint64_t: "10", "90s", "30m", "24h", "7d" */
    PD_OPTION_CHOICE,  /* uint32_t: which of `value`, "a|b|c", from 0 */
    PD_OPTION_TAKE     /* `take` sees to it */
};

struct pd_option {
    const char *name;   /* "--data" */
    const char *letter; /* "-o", or NULL */
    enum pd_option_kind kind;
    const char *value; /* what help calls it: "DIR", "table|json"; NULL: a flag */
    const char *text;  /* what it does, one sentence or two; no line breaks */
    size_t offset;     /* of its value in the command's struct */
    uint64_t least;
    uint64_t most; /* 0: no bound */
    /* NULL, or what the option takes: "takes a port" */
    const char *(*take)(void *values, const char *value);
    bool is_hidden; /* for tests alone: no help names it */
};

/* How results are printed. Every -o takes "text" too, as another word for the table. */
enum pd_output_format {
    PD_OUTPUT_TABLE = 0,
    PD_OUTPUT_JSON = 1
};
#define PD_OPTION_OUTPUT(type, member)                                                             \
    {                                                                                              \
        .name = "--output", .letter = "-o", .kind = PD_OPTION_CHOICE, .value = "table|json",       \
        .text = "for people (default), or for programs: JSON", .offset = offsetof(type, member)    \
    }

/* The options of every command that asks a node. */
struct pd_node_options {
    const char *folder;
    const char *socket;
    uint64_t timeout_s;
    /* Of commands that go through the client library. */
    const char *endpoints; /* NULL: the folder's or the socket */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
};
#define PD_OPTIONS_NODE(type, member)                                                              \
    PD_OPTIONS_NODE_PLACE(type, member),                                                           \
    {                                                                                              \
        .name = "--timeout", .kind = PD_OPTION_SECONDS, .value = "TIME",                           \
        .text = "give up after that long: 10, 90s, 5m (default: 10s)",                             \
        .offset = offsetof(type, member) + offsetof(struct pd_node_options, timeout_s),            \
        .least = 1, .most = 86400                                                                  \
    }
#define PD_OPTIONS_NODE_PLACE(type, member)                                                        \
    {.name = "--data",                                                                             \
     .kind = PD_OPTION_FOLDER,                                                                     \
     .value = "DIR",                                                                               \
     .text = "the node's folder (default: pando-data)",                                            \
     .offset = offsetof(type, member) + offsetof(struct pd_node_options, folder)},                 \
    {                                                                                              \
        .name = "--socket", .kind = PD_OPTION_FILE, .value = "PATH",                               \
        .text = "its socket (default: DIR/pando.sock)",                                            \
        .offset = offsetof(type, member) + offsetof(struct pd_node_options, socket)                \
    }

/* Beside one of the two above: nodes that are reached through their client ports, too. */
#define PD_OPTIONS_ENDPOINTS(type, member)                                                         \
    {.name = "--endpoints",                                                                        \
     .kind = PD_OPTION_TEXT,                                                                       \
     .value = "LIST",                                                                              \
     .text = "nodes to try in this order, parted by commas: unix:PATH, tcp:HOST:PORT (a client "   \
             "port) or tls:HOST:PORT",                                                             \
     .offset = offsetof(type, member) + offsetof(struct pd_node_options, endpoints),               \
     .least = 1},                                                                                  \
        {.name = "--ca-file",                                                                      \
         .kind = PD_OPTION_FILE,                                                                   \
         .value = "FILE",                                                                          \
         .text = "tls: endpoints: the authority of their certificates (default: the system's)",    \
         .offset = offsetof(type, member) + offsetof(struct pd_node_options, ca_file)},            \
        {.name = "--cert-file",                                                                    \
         .kind = PD_OPTION_FILE,                                                                   \
         .value = "FILE",                                                                          \
         .text = "tls: endpoints: this client's certificate",                                      \
         .offset = offsetof(type, member) + offsetof(struct pd_node_options, cert_file)},          \
    {                                                                                              \
        .name = "--key-file", .kind = PD_OPTION_FILE, .value = "FILE",                             \
        .text = "tls: endpoints: its key",                                                         \
        .offset = offsetof(type, member) + offsetof(struct pd_node_options, key_file)              \
    }

/* Where we are in the words of a command. */
struct pd_option_cursor {
    int count;
    char **arguments;
    int at;
};

/* True: the word at the cursor is this flag, and the cursor is past it. */
bool pd_option_flag(struct pd_option_cursor *cursor, const char *name);

/* True: the word at the cursor is this option; *value_out is its value, or NULL when it is
 * missing. */
bool pd_option_value(struct pd_option_cursor *cursor, const char *name, const char **value_out);

/* "4096", "64KiB", "2MiB", "1GiB" in bytes. False: not such a size. */
bool pd_option_size(const char *text, uint64_t *bytes_out);

/* A whole decimal number. False: not one, or too large. */
bool pd_option_number(const char *text, uint64_t *number_out);

/* "10" or "10s", "30m", "24h", "7d". False: not such a time. */
bool pd_option_seconds(const char *text, uint64_t *seconds_out);

/* Take `value` (NULL: it is missing) to its place in *values. False: `wrong` says what it takes. */
#define PD_OPTION_WRONG_MAX 256u
bool pd_option_take(const struct pd_option *option, void *values, const char *value,
                    char wrong[PD_OPTION_WRONG_MAX]);

/* How far apart two words are, in letters that were added, left out, changed, or swapped with their
 * neighbour; words beyond 63 letters are far from all. */
unsigned pd_word_distance(const char *left, const char *right);

/* The nearest of words to one that nobody knows: offered one after the other. */
struct pd_nearest {
    const char *wanted;
    const char *word; /* NULL: none is near enough to be meant */
    unsigned distance;
};
void pd_nearest_offer(struct pd_nearest *nearest, const char *word);

#endif
