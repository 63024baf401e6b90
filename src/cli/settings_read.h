/* settings_read - what a node is told by the words of a command, the environment and a file, as one
 * whole: `pando start`, and `pando join`, which becomes a node.
 *
 * What goes wrong is told to a person, as the command's mistake; the result is an exit code. */
#ifndef PD_CLI_SETTINGS_READ_H
#define PD_CLI_SETTINGS_READ_H

#include "cli/command.h"
#include "cli/settings.h"

/* Words that a command takes besides. */
struct pd_settings_more {
    /* True: the word at the cursor is the command's own, and the cursor is past it. *wrong_out:
     * what is wrong with it; empty: nothing. */
    bool (*take)(void *state, struct pd_option_cursor *cursor,
                 char wrong_out[PD_SETTINGS_TEXT_MAX]);
    void *state;
};

/* Read, and look whether all goes together. more: NULL for none. *is_done_out: they were to be
 * printed (--print-config) and are, and nothing else is to happen. */
int pd_settings_read(const struct pd_command *command, const struct pd_settings_more *more,
                     int count, char **words, struct pd_settings *settings, bool *is_done_out);

/* Clients are not served: listen_client is "off". */
bool pd_settings_has_no_clients(const struct pd_settings *settings);

/* What other members tell clients of this node; NULL: nothing. */
const char *pd_settings_client_url(const struct pd_settings *settings, char *url, size_t size);

#endif
