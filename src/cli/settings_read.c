#include "cli/settings_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/gateway_thread.h"

static void write_to(void *context, const char *bytes, size_t size)
{
    (void)!fwrite(bytes, 1, size, context);
}

/* An exit code. */
static int read_file(struct pd_settings *settings, const char *file)
{
    struct pd_app_report report;
    enum pd_status status = pd_settings_take_file(settings, file, &report);
    int code = PD_EXIT_CODE_OK;
    if (status == PD_ERR_INVALID) {
        pd_app_report_print(&report, file,
                            &(struct pd_app_output){.context = stderr, .write = write_to});
        code = PD_EXIT_CODE_USAGE;
    } else if (status != PD_OK) {
        code = pd_command_failed("%s: %s", file, pd_status_text(status));
    }
    pd_app_report_deinit(&report);
    return code;
}

/* One word, with what belongs to it. An exit code. */
static int take_word(const struct pd_command *command, const struct pd_settings_more *more,
                     struct pd_option_cursor *cursor, struct pd_settings *settings,
                     const char **file)
{
    const char *word = cursor->arguments[cursor->at];
    char text[PD_SETTINGS_TEXT_MAX] = "";
    if (pd_option_value(cursor, "--config", file)) {
        if (*file == NULL || (*file)[0] == '\0') {
            return pd_command_usage(command, "--config takes a file");
        }
    } else if (!(more != NULL && more->take(more->state, cursor, text)) &&
               !pd_settings_take_flag(settings, cursor, text)) {
        if (word[0] != '-') {
            return pd_command_usage(command, "one word too many: '%s'", word);
        }
        return pd_command_unknown_option(command, word);
    }
    return text[0] == '\0' ? PD_EXIT_CODE_OK : pd_command_usage(command, "%s", text);
}

/* The words, then what the environment and the file say as well. */
static int read_settings(const struct pd_command *command, const struct pd_settings_more *more,
                         int count, char **words, struct pd_settings *settings, bool *prints_out)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    char text[PD_SETTINGS_TEXT_MAX];
    const char *file = getenv("PANDO_CONFIG");
    while (cursor.at < count && !pd_option_flag(&cursor, "--")) {
        if (pd_option_flag(&cursor, "--print-config")) {
            *prints_out = true;
            continue;
        }
        int code = take_word(command, more, &cursor, settings, &file);
        if (code != PD_EXIT_CODE_OK) {
            return code;
        }
    }
    settings->app_words = words + cursor.at;
    settings->app_word_count = count - cursor.at;
    if (!pd_settings_take_environment(settings, environ, text)) {
        return pd_command_usage(command, "%s", text);
    }
    return file == NULL || file[0] == '\0' ? PD_EXIT_CODE_OK : read_file(settings, file);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

/* NULL, or what does not go together. */
static const char *judge_certificates(const struct pd_settings *settings)
{
    if ((settings->cert_file == NULL) != (settings->key_file == NULL)) {
        return "--cert-file and --key-file go together";
    }
    if (settings->trusted_ca_file != NULL && settings->cert_file == NULL) {
        return "--trusted-ca-file is for TLS: --cert-file and --key-file, too";
    }
    if (settings->client_cert_auth && settings->trusted_ca_file == NULL) {
        return "--client-cert-auth needs --trusted-ca-file: whose clients are let in";
    }
    return NULL;
}

static const char *judge_peers(const struct pd_settings *settings)
{
    uint64_t count = settings->peers.count;
    if (count == 0) {
        return settings->expect == 0 ? NULL : "--expect is for --peers: which nodes are expected";
    }
    if (settings->secret_file == NULL) {
        return "--peers needs --secret-file: how they know each other";
    }
    if (settings->expect > count) {
        return "--expect is more than there are --peers: name each first member";
    }
    if (settings->expect != 0 && 2 * settings->expect <= count) {
        return "--expect must be more than half of --peers: else two clusters could begin";
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(settings->peers.texts[i], settings->peers.texts[j]) == 0) {
                return "--peers names an address twice: name each node once";
            }
        }
    }
    return NULL;
}

/* What no setting can know by itself. */
static int judge_settings(const struct pd_command *command, const struct pd_settings *settings)
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (!pd_settings_has_no_clients(settings) && !settings->insecure &&
        settings->cert_file == NULL &&
        pd_gateway_parse_address(settings->listen_client, address, &port) &&
        !is_loopback(address)) {
        return pd_command_usage(command,
                                "clients on %s without TLS: everybody who reaches that may read "
                                "and change everything. Give --cert-file and --key-file, "
                                "listen on 127.0.0.1, or say --insecure",
                                settings->listen_client);
    }
    const char *wrong = judge_certificates(settings);
    if (wrong != NULL) {
        return pd_command_usage(command, "%s", wrong);
    }
    wrong = judge_peers(settings);
    if (wrong != NULL) {
        return pd_command_usage(command, "%s", wrong);
    }
    const char *lost = settings->app != NULL          ? NULL
                       : settings->allow_kv != NULL   ? "--allow-kv"
                       : settings->dir.count > 0      ? "--dir"
                       : settings->app_word_count > 0 ? "what follows --"
                                                      : NULL;
    return lost == NULL ? PD_EXIT_CODE_OK
                        : pd_command_usage(command, "%s is for an application: --app FILE", lost);
}

int pd_settings_read(const struct pd_command *command, const struct pd_settings_more *more,
                     int count, char **words, struct pd_settings *settings, bool *is_done_out)
{
    *is_done_out = false;
    int code = read_settings(command, more, count, words, settings, is_done_out);
    if (code == PD_EXIT_CODE_OK) {
        code = judge_settings(command, settings);
    }
    if (code == PD_EXIT_CODE_OK && *is_done_out) {
        pd_settings_print(settings, &(struct pd_app_output){.context = stdout, .write = write_to});
    }
    return code;
}

bool pd_settings_has_no_clients(const struct pd_settings *settings)
{
    return strcmp(settings->listen_client, "off") == 0;
}

const char *pd_settings_client_url(const struct pd_settings *settings, char *url, size_t size)
{
    char address[PD_GATEWAY_URL_MAX];
    uint16_t port = 0;
    if (pd_settings_has_no_clients(settings) ||
        !pd_gateway_parse_address(settings->listen_client, address, &port) || port == 0) {
        return NULL;
    }
    int length = snprintf(url, size, "%s://%s", settings->cert_file == NULL ? "http" : "https",
                          settings->listen_client);
    return (size_t)length < size ? url : NULL;
}
