/* pando status: what a node says of itself. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/node_client.h"
#include "cli/options.h"

#define TIMEOUT_MS 10000

/* One line for each member; what lies deeper stays JSON. */
static void print_lines(json_t *object)
{
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (json_is_string(value)) {
            (void)printf("%-22s %s\n", key, json_string_value(value));
        } else {
            char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
            (void)printf("%-22s %s\n", key, text == NULL ? "?" : text);
            free(text);
        }
    }
}

static int ask(const char *path, bool is_json)
{
    static struct pd_node_client client;
    pd_node_client_init(&client, path, TIMEOUT_MS);
    struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_STATUS};
    struct pd_replica_answer_head answer;
    int code = PD_EXIT_CODE_OK;
    if (pd_node_client_call(&client, &request, &answer) != PD_OK) {
        code = pd_command_failed("%s", client.text);
    } else if (answer.outcome != PD_REPLICA_OK) {
        code = pd_command_failed("%s", pd_replica_outcome_text(answer.outcome));
    } else if (is_json) {
        (void)printf("%.*s\n", (int)answer.body.size, (const char *)answer.body.bytes);
    } else {
        json_t *object = json_loadb((const char *)answer.body.bytes, answer.body.size, 0, NULL);
        if (object == NULL) {
            code = pd_command_failed("the node's answer is no JSON: is it of another version?");
        }
        print_lines(object);
        json_decref(object);
    }
    pd_node_client_deinit(&client);
    return code;
}

static int run_status(int count, char **words)
{
    const char *folder = PD_NODE_FOLDER;
    const char *socket = NULL;
    bool is_json = false;
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    while (cursor.at < count) {
        const char *value = NULL;
        const char *wrong = NULL;
        if (pd_option_node(&cursor, &folder, &socket, &wrong)) {
            if (wrong != NULL) {
                return pd_command_usage(&pd_command_status, "%s", wrong);
            }
        } else if (pd_option_value(&cursor, "-o", &value) ||
                   pd_option_value(&cursor, "--output", &value)) {
            is_json = value != NULL && strcmp(value, "json") == 0;
            if (value == NULL || (!is_json && strcmp(value, "text") != 0)) {
                return pd_command_usage(&pd_command_status, "-o takes text or json");
            }
        } else {
            return pd_command_usage(&pd_command_status, "no such option: '%s'", words[cursor.at]);
        }
    }
    char path[PD_NODE_PATH_MAX];
    if (!pd_node_socket_path(folder, socket, path)) {
        return pd_command_failed("the path of the socket is too long");
    }
    return ask(path, is_json);
}

const struct pd_command pd_command_status = {
    .name = "status",
    .arguments = "[-o text|json] [--data DIR] [--socket PATH]",
    .summary = "what a running node says of itself",
    .help = "  -o FORMAT        text (default) or json\n"
            "  --data DIR       the node's folder (default: " PD_NODE_FOLDER ")\n"
            "  --socket PATH    its socket (default: DIR/pando.sock)\n"
            "\n"
            "Examples:\n"
            "  pando status\n"
            "  pando status -o json --data /var/lib/pando\n",
    .run = run_status,
};
