/* command - what the commands of `pando` share, and the one table of them.
 *
 * Model      A command says once what it takes: help (cli/help.h), shell completion
 *            (cli/completion.c) and man pages (cli/man.c) are made of that, and words are read by
 *            it (cli/options.h). A command with children does nothing by itself: `pando kv` is `kv
 *            put`, `kv get`, `kv del`, and a child's name begins with its parent's.
 * Exit codes 0 done, 1 failed, 2 the words were wrong. Where a command has more, its help says
 * so. */
#ifndef PD_CLI_COMMAND_H
#define PD_CLI_COMMAND_H

#include "base/status.h"
#include "cli/options.h"

#define PD_EXIT_CODE_OK 0
#define PD_EXIT_CODE_FAILED 1
#define PD_EXIT_CODE_USAGE 2
#define PD_EXIT_CODE_LOST 3    /* watch: what was asked for is compacted */
#define PD_EXIT_CODE_ELSE 4    /* txn: a compare was false */
#define PD_EXIT_CODE_REMOVED 5 /* start: the node was removed from its cluster, for good */

/* What others call one of its commands. */
struct pd_command_hint {
    const char *word;
    const char *instead; /* behind "pando " */
};

struct pd_command {
    const char *name;                /* "kv put" */
    const char *arguments;           /* its words, "KEY VALUE", "[NODE]"; "" when there are none */
    const char *summary;             /* one line */
    const char *help;                /* paragraphs, lines; NULL: the summary says it all */
    const struct pd_option *options; /* ended by one without a name; NULL: none */
    const char *examples;            /* lines of a shell; NULL: they stand in help */
    const struct pd_command *const *children; /* ended by a NULL; NULL: run is there */
    const struct pd_command_hint *hints; /* of children; ended by one without a word; NULL: none */
    int words_min;
    int words_max;
    bool rest_is_words; /* what follows the first word is not for us: no option either */
    int (*run)(int count, char **words); /* after the command's name */
};

/* Print "pando: ..." to stderr, and how to get help with this command; returns
 * PD_EXIT_CODE_USAGE. */
int pd_command_usage(const struct pd_command *command, const char *format, ...) PD_PRINTF(2, 3);

/* Print "pando: ..." to stderr; returns PD_EXIT_CODE_FAILED. */
int pd_command_failed(const char *format, ...) PD_PRINTF(1, 2);

/* Read the words of a command by its options: each option's value goes to its place in *values,
 * other words to the front of `words`, *count of them. False: help was printed, or told what is
 * wrong, and *code_out is what to exit with. */
bool pd_command_parse(const struct pd_command *command, int *count, char **words, void *values,
                      int *code_out);

/* Tell that there is no such option, and which one may be meant; returns PD_EXIT_CODE_USAGE. */
int pd_command_unknown_option(const struct pd_command *command, const char *word);

/* The last word of its name. */
const char *pd_command_word(const struct pd_command *command);

/* The table, ended by a NULL. */
extern const struct pd_command *const pd_commands[];

/* Every command of the table, parents before their children. NULL: there is none behind `at`. */
const struct pd_command *pd_command_at(unsigned at);

/* Find and run what `pando WORD...` asks for. */
int pd_command_main(int count, char **words);

extern const struct pd_command pd_command_check;
extern const struct pd_command pd_command_cluster;
extern const struct pd_command pd_command_completion;
extern const struct pd_command pd_command_dev;
extern const struct pd_command pd_command_join;
extern const struct pd_command pd_command_new;
extern const struct pd_command pd_command_run;
extern const struct pd_command pd_command_sim;
extern const struct pd_command pd_command_test;
extern const struct pd_command pd_command_ps;
extern const struct pd_command pd_command_info;
extern const struct pd_command pd_command_kill;
extern const struct pd_command pd_command_trace;
extern const struct pd_command pd_command_version;
extern const struct pd_command pd_command_wal;
extern const struct pd_command pd_command_start;
extern const struct pd_command pd_command_kv;
extern const struct pd_command pd_command_lease;
extern const struct pd_command pd_command_man;
extern const struct pd_command pd_command_top;
extern const struct pd_command pd_command_txn;
extern const struct pd_command pd_command_watch;
extern const struct pd_command pd_command_status;

#endif
