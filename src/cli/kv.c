/* pando kv put|get|del: keys of a running node. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "cli/command.h"
#include "cli/node_client.h"
#include "cli/options.h"

#define VALUE_MAX (UINT32_C(8) << 20)
#define WORDS_MAX 2
#define TIMEOUT_S 10

enum verb {
    VERB_NONE = 0,
    VERB_PUT,
    VERB_GET,
    VERB_DEL
};

struct arguments {
    enum verb verb;
    const char *folder;
    const char *socket;
    uint64_t timeout_s;
    const char *words[WORDS_MAX]; /* key, value */
    int word_count;
    bool is_prefix;
    bool is_serializable;
    bool is_json;
};

static struct pd_span span_of(const char *text)
{
    return (struct pd_span){(const uint8_t *)text, strlen(text)};
}

/* The end of the keys that begin with `prefix`: its last byte that can be raised, raised. */
static struct pd_span prefix_end(struct pd_span prefix, uint8_t *room)
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

/* -- Words for people, and for programs -------------------------------------------------------- */

static void set_bytes(json_t *object, const char *name, struct pd_span bytes)
{
    static const char digits[] = "0123456789abcdef";
    json_t *text = json_stringn((const char *)bytes.bytes, bytes.size);
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

static void print_json(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    (void)printf("%s\n", text == NULL ? "{}" : text);
    free(text);
    json_decref(object);
}

static void print_record(const struct arguments *arguments, const struct pd_kv_record *record)
{
    if (arguments->is_json) {
        json_t *object = json_object();
        set_bytes(object, "key", record->key);
        set_bytes(object, "value", record->value);
        json_object_set_new(object, "create_revision", json_integer(record->create_revision));
        json_object_set_new(object, "mod_revision", json_integer(record->mod_revision));
        json_object_set_new(object, "version", json_integer(record->version));
        json_object_set_new(object, "lease", json_integer(record->lease));
        print_json(object);
        return;
    }
    if (arguments->is_prefix) {
        (void)fwrite(record->key.bytes, 1, record->key.size, stdout);
        (void)putchar('\t');
    }
    (void)fwrite(record->value.bytes, 1, record->value.size, stdout);
    (void)putchar('\n');
}

/* -- The verbs --------------------------------------------------------------------------------- */

static int get(const struct arguments *arguments, struct pd_node_client *client,
               struct pd_kv_writer *writer)
{
    uint8_t *end = pd_alloc(strlen(arguments->words[0]) + 1);
    struct pd_kv_range range = {.key = span_of(arguments->words[0])};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    struct pd_kv_record record;
    bool is_any = false;
    if (end == NULL) {
        return pd_command_failed("no memory");
    }
    if (arguments->is_prefix) {
        range.range_end = prefix_end(range.key, end);
    }
    if (range.key.size == 0) {
        range.key = (struct pd_span){(const uint8_t *)"", 1}; /* all keys */
    }
    pd_kv_encode_range(writer, &range);
    enum pd_status status =
        pd_node_client_read(client, (struct pd_span){writer->bytes, writer->size},
                            arguments->is_serializable, &head, &reader);
    pd_free(end);
    if (status != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    while (pd_kv_answer_record(&reader, &record)) {
        print_record(arguments, &record);
        is_any = true;
    }
    if (reader.is_bad) {
        return pd_command_failed("the node's answer cannot be read: is it of another version?");
    }
    if (!is_any && !arguments->is_prefix) {
        return pd_command_failed("there is no key '%s'", arguments->words[0]);
    }
    return PD_EXIT_CODE_OK;
}

static int del(const struct arguments *arguments, struct pd_node_client *client,
               struct pd_kv_writer *writer)
{
    uint8_t *end = pd_alloc(strlen(arguments->words[0]) + 1);
    struct pd_kv_delete del_range = {.key = span_of(arguments->words[0])};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    struct pd_kv_record record;
    if (end == NULL) {
        return pd_command_failed("no memory");
    }
    if (arguments->is_prefix) {
        del_range.range_end = prefix_end(del_range.key, end);
    }
    pd_kv_encode_delete(writer, &del_range);
    enum pd_status status =
        pd_node_client_write(client, (struct pd_span){writer->bytes, writer->size}, &head, &reader);
    pd_free(end);
    if (status != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    while (pd_kv_answer_record(&reader, &record)) {
    }
    int64_t count = pd_kv_answer_delete_tail(&reader);
    if (arguments->is_json) {
        json_t *object = json_object();
        json_object_set_new(object, "deleted", json_integer(count));
        json_object_set_new(object, "revision", json_integer(head.revision));
        print_json(object);
    } else {
        (void)printf("%" PRId64 " deleted, revision %" PRId64 "\n", count, head.revision);
    }
    return PD_EXIT_CODE_OK;
}

static int put(const struct arguments *arguments, struct pd_node_client *client,
               struct pd_kv_writer *writer, struct pd_span value)
{
    struct pd_kv_put new_record = {.key = span_of(arguments->words[0]), .value = value};
    struct pd_kv_answer_head head;
    struct pd_kv_reader reader;
    pd_kv_encode_put(writer, &new_record);
    enum pd_status status =
        pd_node_client_write(client, (struct pd_span){writer->bytes, writer->size}, &head, &reader);
    if (status != PD_OK) {
        return pd_command_failed("%s", client->text);
    }
    if (arguments->is_json) {
        json_t *object = json_object();
        json_object_set_new(object, "revision", json_integer(head.revision));
        print_json(object);
    } else {
        (void)printf("revision %" PRId64 "\n", head.revision);
    }
    return PD_EXIT_CODE_OK;
}

/* The word, or with "-" all of standard input. False: too long, or it cannot be read. */
static bool value_of(const struct arguments *arguments, uint8_t *room, struct pd_span *value_out)
{
    if (strcmp(arguments->words[1], "-") != 0) {
        *value_out = span_of(arguments->words[1]);
        return true;
    }
    size_t size = fread(room, 1, VALUE_MAX, stdin);
    *value_out = (struct pd_span){room, size};
    return ferror(stdin) == 0 && feof(stdin) != 0;
}

static int run_verb(const struct arguments *arguments, struct pd_node_client *client,
                    uint8_t *value_room, struct pd_kv_writer *writer)
{
    struct pd_span value = {NULL, 0};
    if (arguments->verb == VERB_GET) {
        return get(arguments, client, writer);
    }
    if (arguments->verb == VERB_PUT && !value_of(arguments, value_room, &value)) {
        return pd_command_failed("cannot read the value from standard input, or it is longer than "
                                 "%u bytes",
                                 (unsigned)VALUE_MAX);
    }
    enum pd_status status = pd_node_client_open_session(client);
    /* A disk that is nearly full takes deletes, and no new sessions. */
    bool goes_without = arguments->verb == VERB_DEL && status == PD_ERR_DENIED &&
                        client->outcome == PD_REPLICA_DISK_LOW;
    if (status != PD_OK && !goes_without) {
        return pd_command_failed("%s", client->text);
    }
    int code = arguments->verb == VERB_PUT ? put(arguments, client, writer, value)
                                           : del(arguments, client, writer);
    pd_node_client_close_session(client);
    return code;
}

static int run(const struct arguments *arguments)
{
    static struct pd_node_client client;
    char path[PD_NODE_PATH_MAX];
    if (!pd_node_socket_path(arguments->folder, arguments->socket, path)) {
        return pd_command_failed("the path of the socket is too long");
    }
    pd_assert(arguments->words[0] != NULL); /* parse has seen to it */
    size_t room_size = VALUE_MAX + 2 * strlen(arguments->words[0]) + 1024;
    uint8_t *value_room = pd_alloc(VALUE_MAX);
    uint8_t *room = pd_alloc(room_size);
    int code = PD_EXIT_CODE_FAILED;
    if (value_room == NULL || room == NULL) {
        code = pd_command_failed("no memory");
    } else {
        struct pd_kv_writer writer = {.bytes = room, .bytes_max = room_size};
        pd_node_client_init(&client, path, arguments->timeout_s * 1000);
        code = run_verb(arguments, &client, value_room, &writer);
        pd_node_client_deinit(&client);
    }
    pd_free(value_room);
    pd_free(room);
    return code;
}

/* -- Arguments --------------------------------------------------------------------------------- */

static enum verb verb_of(const char *word)
{
    static const struct {
        const char *word;
        enum verb verb;
    } verbs[] = {{"put", VERB_PUT}, {"get", VERB_GET}, {"del", VERB_DEL}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(word, verbs[i].word) == 0) {
            return verbs[i].verb;
        }
    }
    return VERB_NONE;
}

static int take_word(struct arguments *arguments, const char *word)
{
    if (arguments->verb == VERB_NONE) {
        arguments->verb = verb_of(word);
        return arguments->verb != VERB_NONE
                   ? PD_EXIT_CODE_OK
                   : pd_command_usage(&pd_command_kv, "put, get or del, not '%s'", word);
    }
    int wanted = arguments->verb == VERB_PUT ? 2 : 1;
    if (arguments->word_count == wanted) {
        return pd_command_usage(&pd_command_kv, "one word too many: '%s'", word);
    }
    arguments->words[arguments->word_count++] = word;
    return PD_EXIT_CODE_OK;
}

/* False: the word at the cursor is no option. */
static bool take_option(struct arguments *arguments, struct pd_option_cursor *cursor, int *code_out)
{
    const char *value = NULL;
    const char *wrong = NULL;
    if (pd_option_node(cursor, &arguments->folder, &arguments->socket, &wrong) ||
        pd_option_timeout(cursor, &arguments->timeout_s, &wrong)) {
        if (wrong != NULL) {
            *code_out = pd_command_usage(&pd_command_kv, "%s", wrong);
        }
    } else if (pd_option_value(cursor, "-o", &value) ||
               pd_option_value(cursor, "--output", &value)) {
        arguments->is_json = value != NULL && strcmp(value, "json") == 0;
        if (value == NULL || (!arguments->is_json && strcmp(value, "text") != 0)) {
            *code_out = pd_command_usage(&pd_command_kv, "-o takes text or json");
        }
    } else if (pd_option_flag(cursor, "--prefix")) {
        arguments->is_prefix = true;
    } else if (pd_option_flag(cursor, "--serializable")) {
        arguments->is_serializable = true;
    } else {
        return false;
    }
    return true;
}

static int parse(int count, char **words, struct arguments *arguments)
{
    struct pd_option_cursor cursor = {.count = count, .arguments = words};
    int code = PD_EXIT_CODE_OK;
    bool only_words = false;
    while (cursor.at < count && code == PD_EXIT_CODE_OK) {
        const char *word = words[cursor.at];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
            cursor.at++;
        } else if (!only_words && take_option(arguments, &cursor, &code)) {
            continue;
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            return pd_command_usage(&pd_command_kv, "no such option: '%s'", word);
        } else {
            code = take_word(arguments, word);
            cursor.at++;
        }
    }
    if (code != PD_EXIT_CODE_OK) {
        return code;
    }
    if (arguments->verb == VERB_NONE) {
        return pd_command_usage(&pd_command_kv, "put, get or del?");
    }
    if (arguments->word_count == 0) {
        return pd_command_usage(&pd_command_kv, "which key?");
    }
    if (arguments->verb == VERB_PUT && arguments->word_count < 2) {
        return pd_command_usage(&pd_command_kv, "which value? '-' reads it from standard input");
    }
    if (arguments->words[0][0] == '\0' && !arguments->is_prefix) {
        return pd_command_usage(&pd_command_kv, "a key is not empty");
    }
    return PD_EXIT_CODE_OK;
}

static int run_kv(int count, char **words)
{
    struct arguments arguments = {.folder = PD_NODE_FOLDER, .timeout_s = TIMEOUT_S};
    if (count == 1 && strcmp(words[0], "--help") == 0) {
        pd_command_help(&pd_command_kv);
        return PD_EXIT_CODE_OK;
    }
    int code = parse(count, words, &arguments);
    return code == PD_EXIT_CODE_OK ? run(&arguments) : code;
}

const struct pd_command pd_command_kv = {
    .name = "kv",
    .arguments = "put KEY VALUE | get KEY | del KEY [--prefix] [-o text|json] [--data DIR]",
    .summary = "put, get and delete keys of a running node",
    .help =
        "A write is answered when it is durable, and applies once, also when the node restarts\n"
        "meanwhile. A read sees every write that was answered before it.\n"
        "\n"
        "  --prefix         get, del: all keys that begin with KEY; '' is all\n"
        "  --serializable   get: what this node has applied, however old\n"
        "  -o FORMAT        text (default) or json, one object a line; _hex: not UTF-8\n"
        "  --timeout S      give up after that many seconds (default: 10)\n"
        "  --data DIR       the node's folder (default: " PD_NODE_FOLDER ")\n"
        "  --socket PATH    its socket (default: DIR/pando.sock)\n"
        "\n"
        "Exit code 1 when there is no such key.\n"
        "\n"
        "Examples:\n"
        "  pando kv put greeting hello\n"
        "  pando kv get greeting\n"
        "  pando kv put photo - < photo.jpg\n"
        "  pando kv del --prefix users/\n",
    .run = run_kv,
};
