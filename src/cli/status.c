/* pando status: what a node says of itself. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "cli/store_text.h"

struct arguments {
    struct pd_node_options node;
    uint32_t output;
};

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

static int ask(void *state, struct pd_node_client *client)
{
    const struct arguments *arguments = state;
    struct pd_replica_request_head request = {.kind = PD_REPLICA_REQUEST_STATUS};
    struct pd_replica_answer_head answer;
    if (pd_node_client_call(client, &request, &answer) != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    if (answer.outcome != PD_REPLICA_OK) {
        (void)pd_node_client_refused(client, &answer);
        return pd_command_failed("%s", client->text);
    }
    if (arguments->output == PD_OUTPUT_JSON) {
        (void)printf("%.*s\n", (int)answer.body.size, (const char *)answer.body.bytes);
        return PD_EXIT_CODE_OK;
    }
    json_t *object = json_loadb((const char *)answer.body.bytes, answer.body.size, 0, NULL);
    if (object == NULL) {
        return pd_command_failed("the node's answer is no JSON: is it of another version?");
    }
    print_lines(object);
    json_decref(object);
    return PD_EXIT_CODE_OK;
}

static int run_status(int count, char **words)
{
    struct arguments arguments = {
        .node = {.folder = PD_NODE_FOLDER, .timeout_s = PD_STORE_TIMEOUT_S}};
    int code = PD_EXIT_CODE_OK;
    return pd_command_parse(&pd_command_status, &count, words, &arguments, &code)
               ? pd_store_ask_node(&arguments.node, ask, &arguments)
               : code;
}

static const struct pd_option options[] = {
    PD_OPTION_OUTPUT(struct arguments, output),
    PD_OPTIONS_NODE(struct arguments, node),
    {.name = NULL},
};

const struct pd_command pd_command_status = {
    .name = "status",
    .arguments = "",
    .summary = "what a running node says of itself",
    .options = options,
    .examples = "pando status\n"
                "pando status -o json --data /var/lib/pando\n",
    .run = run_status,
};
