#include "cli/store_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cli/command.h"
#include "cli/dev_cluster.h"

struct pd_span pd_store_span(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

struct pd_span pd_store_prefix_end(struct pd_span prefix, uint8_t *room)
{
    size_t size = prefix.size;
    memcpy(room, prefix.bytes, size);
    while (size > 0 && room[size - 1] == 0xff) {
        size--;
    }
    if (size == 0) {
        room[0] = 0;
        return (struct pd_span){room, 1}; /* all keys from there on */
    }
    room[size - 1]++;
    return (struct pd_span){room, size};
}

struct pando_keys pd_store_keys(const char *key, bool is_prefix)
{
    return is_prefix ? pando_prefix(pando_text(key)) : pando_key(pando_text(key));
}

void pd_store_set_bytes(json_t *object, const char *name, struct pando_bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *at = bytes.data;
    json_t *text = json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    if (text == NULL) { /* not UTF-8 */
        char *hex = pd_alloc(2 * bytes.size + 1);
        char hex_name[32];
        for (size_t i = 0; hex != NULL && i < bytes.size; i++) {
            hex[2 * i] = digits[at[i] >> 4];
            hex[2 * i + 1] = digits[at[i] & 15];
        }
        (void)snprintf(hex_name, sizeof hex_name, "%s_hex", name);
        json_object_set_new(object, hex_name, json_stringn(hex, 2 * bytes.size));
        pd_free(hex);
        return;
    }
    json_object_set_new(object, name, text);
}

json_t *pd_store_record_json(const struct pando_record *record)
{
    json_t *object = json_object();
    pd_store_set_bytes(object, "key", record->key);
    pd_store_set_bytes(object, "value", record->value);
    json_object_set_new(object, "create_revision", json_integer(record->create_revision));
    json_object_set_new(object, "mod_revision", json_integer(record->mod_revision));
    json_object_set_new(object, "version", json_integer(record->version));
    json_object_set_new(object, "lease", json_integer(record->lease));
    return object;
}

void pd_store_print_json(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    (void)printf("%s\n", text == NULL ? "{}" : text);
    free(text);
    json_decref(object);
}

void pd_store_print_record(const struct pando_record *record, bool is_json, bool with_key)
{
    if (is_json) {
        pd_store_print_json(pd_store_record_json(record));
        return;
    }
    if (with_key) {
        pd_store_print_bytes(record->key);
        (void)putchar('\t');
        pd_store_print_bytes(record->value);
    } else {
        (void)fwrite(record->value.data, 1, record->value.size, stdout);
    }
    (void)putchar('\n');
}

void pd_store_print_bytes(struct pando_bytes bytes)
{
    const uint8_t *at = bytes.data;
    json_t *text = json_stringn(bytes.size == 0 ? "" : bytes.data, bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = at[i];
        bool is_plain = byte >= 0x20 && byte != 0x7f && (byte < 0x80 || text != NULL);
        if (is_plain) {
            (void)putchar(byte);
        } else {
            (void)printf("\\x%02x", byte);
        }
    }
    json_decref(text);
}

bool pd_store_lease_parse(const char *text, int64_t *id_out)
{
    uint64_t id = 0;
    size_t size = strlen(text);
    if (size == 0 || size > 16 || strspn(text, "0123456789abcdefABCDEF") != size) {
        return false;
    }
    id = strtoull(text, NULL, 16);
    *id_out = (int64_t)id;
    return id > 0 && id <= INT64_MAX;
}

int pd_store_no_lease(int64_t id)
{
    return pd_command_failed("there is no lease %016" PRIx64
                             ": it was revoked, or its time ran out; `pando lease list` shows "
                             "those that live",
                             (uint64_t)id);
}

int pd_store_failed(const struct pando_client *client)
{
    return pd_command_failed("%s", pando_client_message(client));
}

static bool has_dev_node(const char *folder)
{
    char path[PD_NODE_PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/node-0/pando.sock", folder);
    return (size_t)size < sizeof path && access(path, F_OK) == 0;
}

int pd_store_socket(const struct pd_node_options *node, char path[PD_NODE_PATH_MAX])
{
    if (!pd_node_socket_path(node->folder, node->socket, path)) {
        return pd_command_failed("the path of the socket is too long; name it with --socket");
    }
    if (node->socket != NULL || access(path, F_OK) == 0) {
        return PD_EXIT_CODE_OK;
    }
    if (has_dev_node(node->folder)) {
        return pd_command_failed("'%s' is a folder of `pando dev`: name one of its nodes, as "
                                 "--data %s/node-0",
                                 node->folder, node->folder);
    }
    if (strcmp(node->folder, PD_NODE_FOLDER) == 0 && has_dev_node(PD_DEV_FOLDER)) {
        return pd_command_failed("no node listens on '%s', but those of `pando dev` are here: name "
                                 "one, as --data " PD_DEV_FOLDER "/node-0",
                                 path);
    }
    return PD_EXIT_CODE_OK; /* whoever connects says what is wrong */
}

int pd_store_ask_node(const struct pd_node_options *node,
                      int (*ask)(void *state, struct pd_node_client *client), void *state)
{
    static struct pd_node_client client; /* too large for a frame */
    char path[PD_NODE_PATH_MAX];
    int code = pd_store_socket(node, path);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    pd_node_client_init(&client, path, node->timeout_s * 1000);
    code = ask(state, &client);
    pd_node_client_deinit(&client);
    return code;
}

static int ask_at(const struct pd_node_options *node, const char *const *endpoints,
                  size_t endpoint_count, int (*ask)(void *state, struct pando_client *client),
                  void *state)
{
    struct pando_client *client = NULL;
    struct pando_config config = PANDO_CONFIG_INIT;
    config.endpoints = endpoints;
    config.endpoint_count = endpoint_count;
    config.timeout_ms = node->timeout_s * 1000;
    config.ca_file = node->ca_file;
    config.cert_file = node->cert_file;
    config.key_file = node->key_file;
    enum pando_status status = pando_client_open(&config, &client);
    int code = status == PANDO_OK ? ask(state, client) : pd_store_failed(client);
    if (status == PANDO_INVALID) {
        code = PD_EXIT_CODE_USAGE; /* an endpoint that is none, a certificate without its key */
    }
    pando_client_close(client);
    return code;
}

/* Of a list, whose commas are cut. */
static int ask_list(const struct pd_node_options *node, char *list,
                    int (*ask)(void *state, struct pando_client *client), void *state)
{
    const char *endpoints[PANDO_ENDPOINTS_MAX];
    size_t count = 0;
    char *rest = list;
    for (const char *one = strtok_r(list, ",", &rest); one != NULL;
         one = strtok_r(NULL, ",", &rest)) {
        if (count == PANDO_ENDPOINTS_MAX) {
            (void)pd_command_failed("--endpoints: at most %d", PANDO_ENDPOINTS_MAX);
            return PD_EXIT_CODE_USAGE;
        }
        endpoints[count++] = one;
    }
    return ask_at(node, endpoints, count, ask, state);
}

int pd_store_ask(const struct pd_node_options *node,
                 int (*ask)(void *state, struct pando_client *client), void *state)
{
    char path[PD_NODE_PATH_MAX];
    char endpoint[PD_NODE_PATH_MAX + 8];
    const char *const endpoints[] = {endpoint};
    if (node->endpoints != NULL) {
        char *list = pd_alloc_text(node->endpoints, strlen(node->endpoints));
        if (list == NULL) {
            return pd_command_failed("no memory");
        }
        int code = ask_list(node, list, ask, state);
        pd_free(list);
        return code;
    }
    int code = pd_store_socket(node, path);
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    (void)snprintf(endpoint, sizeof endpoint, "unix:%s", path);
    return ask_at(node, endpoints, 1, ask, state);
}
