#include "cli/store_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "cli/command.h"

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

void pd_store_set_bytes(json_t *object, const char *name, struct pd_span bytes)
{
    static const char digits[] = "0123456789abcdef";
    json_t *text = json_stringn(bytes.size == 0 ? "" : (const char *)bytes.bytes, bytes.size);
    if (text == NULL) { /* not UTF-8 */
        char *hex = pd_alloc(2 * bytes.size + 1);
        char hex_name[32];
        for (size_t i = 0; hex != NULL && i < bytes.size; i++) {
            hex[2 * i] = digits[bytes.bytes[i] >> 4];
            hex[2 * i + 1] = digits[bytes.bytes[i] & 15];
        }
        (void)snprintf(hex_name, sizeof hex_name, "%s_hex", name);
        json_object_set_new(object, hex_name, json_stringn(hex, 2 * bytes.size));
        pd_free(hex);
        return;
    }
    json_object_set_new(object, name, text);
}

json_t *pd_store_record_json(const struct pd_kv_record *record)
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

void pd_store_print_record(const struct pd_kv_record *record, bool is_json, bool with_key)
{
    if (is_json) {
        pd_store_print_json(pd_store_record_json(record));
        return;
    }
    if (with_key) {
        (void)fwrite(record->key.bytes, 1, record->key.size, stdout);
        (void)putchar('\t');
    }
    (void)fwrite(record->value.bytes, 1, record->value.size, stdout);
    (void)putchar('\n');
}

void pd_store_print_bytes(struct pd_span bytes)
{
    json_t *text = json_stringn(bytes.size == 0 ? "" : (const char *)bytes.bytes, bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t byte = bytes.bytes[i];
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

int pd_store_failed(const struct pd_node_client *client)
{
    return pd_command_failed("%s", client->text);
}

int pd_store_ask(const struct pd_node_options *node,
                 int (*ask)(void *state, struct pd_node_client *client), void *state)
{
    static struct pd_node_client client; /* too large for a frame */
    char path[PD_NODE_PATH_MAX];
    if (!pd_node_socket_path(node->folder, node->socket, path)) {
        return pd_command_failed("the path of the socket is too long; name it with --socket");
    }
    pd_node_client_init(&client, path, node->timeout_s * 1000);
    int code = ask(state, &client);
    pd_node_client_deinit(&client);
    return code;
}
