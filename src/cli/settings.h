/* settings - what `pando start` can be told, each thing described once.
 *
 * Model      The table has a row for each setting. A row's key is its name in the file
 *            (listen_client), and makes its flag (--listen-client) and its environment variable
 *            (PANDO_LISTEN_CLIENT). All three are read by the row's kind and bounds. The stronger
 *            source counts, whatever the order in which they are read: flag, environment, file,
 *            default.
 * Mistakes   Everything that is wrong in a file is told, with line, column, key and what to do; of
 *            flags and variables the first thing.
 * Bounds     PD_SETTINGS_LIST_MAX texts in a list, or a row's own bound; a file as app.h's.
 * Ownership  Texts of flags and variables are the caller's, and outlive the settings; those of
 *            files go with the settings. */
#ifndef PD_CLI_SETTINGS_H
#define PD_CLI_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cli/options.h"
#include "node/app.h"

#define PD_SETTINGS_MAX 64u
#define PD_SETTINGS_LIST_MAX 64u
#define PD_SETTINGS_TEXT_MAX 384u
#define PD_SETTINGS_NAME_MAX 64u /* of a flag, of a variable */

enum pd_setting_kind {
    PD_SETTING_TEXT = 0, /* const char * */
    PD_SETTING_SWITCH,   /* bool */
    PD_SETTING_NUMBER,   /* uint64_t */
    PD_SETTING_SIZE,     /* uint64_t, bytes */
    PD_SETTING_TIME,     /* uint64_t, milliseconds */
    PD_SETTING_LIST      /* struct pd_setting_list: of texts */
};

struct pd_setting_list {
    const char *texts[PD_SETTINGS_LIST_MAX];
    uint32_t count;
};

struct pd_setting {
    const char *key;
    enum pd_setting_kind kind;
    size_t offset;       /* in struct pd_settings */
    const char *initial; /* as in a file; NULL: not set */
    const char *takes;   /* "a size as 256MiB" */
    uint64_t least;
    uint64_t most;                   /* of a list: how many texts */
    uint64_t step;                   /* a value is a multiple of it; 0: any */
    bool (*judge)(const char *text); /* of texts, each of a list; NULL: all that are not empty */
};

enum pd_setting_source_kind {
    PD_SETTING_OF_NOBODY = 0, /* its initial value */
    PD_SETTING_OF_FILE,
    PD_SETTING_OF_ENVIRONMENT,
    PD_SETTING_OF_FLAG
};
struct pd_setting_source {
    enum pd_setting_source_kind kind;
    uint32_t line; /* of the file */
};

/* NULL, 0: as said nowhere. */
struct pd_settings {
    const char *data;
    const char *socket;
    const char *name;
    const char *listen_client; /* "off": nowhere */
    const char *listen_peer;
    const char *advertise_peer;
    struct pd_setting_list peers;
    uint64_t expect;
    const char *secret_file;
    bool insecure;
    const char *cert_file;
    const char *key_file;
    const char *trusted_ca_file;
    bool client_cert_auth;
    struct pd_setting_list allow_host;
    struct pd_setting_list allow_origin;
    uint64_t stop_grace;
    uint64_t disk_low;
    const char *app;
    uint64_t app_memory;
    const char *allow_kv;
    struct pd_setting_list dir;
    bool quiet;
    const char *log_format; /* "text", "json" */
    const char *log_level;  /* "info", "warning", "error" */
    uint64_t slow_request;  /* ms; 0: none */
    uint64_t retention;     /* ms; 0: for ever */
    uint64_t voters_max;
    uint64_t log_segment;
    uint64_t store_lag;
    /* Behind `--` on the command line: no setting. */
    char **app_words;
    int app_word_count;
    const char *file; /* that was read; NULL: none */
    struct pd_setting_source sources[PD_SETTINGS_MAX];
    void *arena; /* private */
};

/* The rows; ended by one without a key. The same as options of a command, with --config before
 * them: for help, completion and man pages. */
extern const struct pd_setting pd_settings_table[];
extern const struct pd_option pd_settings_options[];
/* Of `pando join`, with its own before them. */
extern const struct pd_option pd_settings_join_options[];
void pd_setting_flag(const struct pd_setting *setting, char name[PD_SETTINGS_NAME_MAX]);
void pd_setting_variable(const struct pd_setting *setting, char name[PD_SETTINGS_NAME_MAX]);

/* Nothing is said yet. PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_settings_init(struct pd_settings *settings);
void pd_settings_deinit(struct pd_settings *settings);

/* True: the word at the cursor is a setting's flag, and the cursor is past it. text: what is wrong,
 * or empty. */
bool pd_settings_take_flag(struct pd_settings *settings, struct pd_option_cursor *cursor,
                           char text[PD_SETTINGS_TEXT_MAX]);

/* variables: "NAME=VALUE", as environ. An empty value says nothing. A PANDO_ variable that is no
 * setting's is a mistake if its name is nearly one's, and else not looked at. False: text says what
 * is wrong. */
bool pd_settings_take_environment(struct pd_settings *settings, char *const *variables,
                                  char text[PD_SETTINGS_TEXT_MAX]);

/* A file's text; file is its name. PD_ERR_INVALID: the report says what is wrong with it.
 * PD_ERR_NO_MEMORY. *report_out is always to be given to pd_app_report_deinit. */
PD_NODISCARD enum pd_status pd_settings_take_text(struct pd_settings *settings, const char *file,
                                                  const char *bytes, size_t size,
                                                  struct pd_app_report *report_out);
/* Read it; a file that cannot be read is a mistake in the report, too. */
PD_NODISCARD enum pd_status pd_settings_take_file(struct pd_settings *settings, const char *file,
                                                  struct pd_app_report *report_out);

/* As a file that says the same, each line with where it came from. */
void pd_settings_print(const struct pd_settings *settings, const struct pd_app_output *output);

#endif
