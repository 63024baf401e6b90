/* options - long options of the subcommands: "--name VALUE" or "--name=VALUE", and flags. */
#ifndef PD_CLI_OPTIONS_H
#define PD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

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

/* The options of every command that asks a node: --data and --socket, and --timeout. True: the word
 * at the cursor was one of them; *wrong_out says what is wrong with it, or stays as it is. */
bool pd_option_node(struct pd_option_cursor *cursor, const char **folder, const char **socket,
                    const char **wrong_out);
bool pd_option_timeout(struct pd_option_cursor *cursor, uint64_t *seconds, const char **wrong_out);

/* "4096", "64KiB", "2MiB", "1GiB" in bytes. False: not such a size. */
bool pd_option_size(const char *text, uint64_t *bytes_out);

/* A whole decimal number. False: not one, or too large. */
bool pd_option_number(const char *text, uint64_t *number_out);

#endif
