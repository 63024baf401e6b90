/* A transaction as JSON: what is wrong is named by its place, as then[1].put. */
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/store_text.h"
#include "cli/txn_text.h"

struct place {
    struct pd_txn *txn;
    const char *part; /* "if", "then", "else" */
    size_t at;
};

static bool wrong(const struct place *place, const char *format, ...) PD_PRINTF(2, 3);

static bool wrong(const struct place *place, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(place->txn->wrong, PD_TXN_WRONG_MAX, "%s[%zu]: ", place->part, place->at);
    va_start(arguments, format);
    (void)vsnprintf(place->txn->wrong + used, PD_TXN_WRONG_MAX - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

/* Every member must be one that we know. */
static bool only_has(const struct place *place, json_t *object, const char *const *names)
{
    const char *key = NULL;
    json_t *value = NULL;
    if (!json_is_object(object)) {
        return wrong(place, "this is no object");
    }
    json_object_foreach(object, key, value)
    {
        size_t i = 0;
        while (names[i] != NULL && strcmp(names[i], key) != 0) {
            i++;
        }
        if (names[i] == NULL) {
            return wrong(place, "nobody knows \"%.40s\"", key);
        }
    }
    return true;
}

/* A string, kept. False: told. */
static bool text_of(const struct place *place, const json_t *object, const char *name,
                    struct pd_span *bytes_out)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_string(value)) {
        return wrong(place, "\"%s\" must be a text", name);
    }
    *bytes_out = pd_txn_keep(place->txn, (struct pd_span){(const uint8_t *)json_string_value(value),
                                                          json_string_length(value)});
    return true;
}

static bool key_of(const struct place *place, const json_t *object, const char *name,
                   bool may_be_empty, struct pd_span *key_out)
{
    if (!text_of(place, object, name, key_out)) {
        return false;
    }
    return key_out->size > 0 || may_be_empty ? true : wrong(place, "a key is not empty");
}

/* -- if ---------------------------------------------------------------------------------------- */

static bool read_existence(const struct place *place, const json_t *object,
                           struct pd_kv_compare *compare)
{
    bool exists = json_object_get(object, "exists") != NULL;
    compare->target = PD_KV_COMPARE_VERSION;
    compare->result = exists ? PD_KV_GREATER : PD_KV_EQUAL;
    return key_of(place, object, exists ? "exists" : "missing", false, &compare->key);
}

/* "to" is a text, or a whole number. */
static bool read_operand(const struct place *place, const json_t *object,
                         struct pd_kv_compare *compare)
{
    const json_t *value = json_object_get(object, "to");
    struct pd_span word = {NULL, 0};
    bool is_number = compare->target != PD_KV_COMPARE_VALUE &&
                     compare->target != PD_KV_COMPARE_LEASE && json_is_integer(value);
    if (is_number) {
        compare->number = json_integer_value(value);
        return compare->number >= 0 ? true : wrong(place, "\"to\" is not below 0");
    }
    if (!text_of(place, object, "to", &word)) {
        return false;
    }
    return pd_txn_operand(compare, word) ? true : wrong(place, "\"to\" must be a number, or an id");
}

static bool read_compare(const struct place *place, json_t *object)
{
    static const char *const names[] = {"value",  "version", "create", "mod", "lease",
                                        "exists", "missing", "is",     "to",  NULL};
    struct pd_kv_compare *compare = pd_txn_add_compare(place->txn);
    const char *target = NULL;
    if (compare == NULL) {
        return wrong(place, "more than %u compares", PD_TXN_OPS_MAX);
    }
    if (!only_has(place, object, names)) {
        return false;
    }
    if (json_object_get(object, "exists") != NULL || json_object_get(object, "missing") != NULL) {
        return read_existence(place, object, compare);
    }
    for (size_t i = 0; i < 5 && target == NULL; i++) {
        target = json_object_get(object, names[i]) == NULL ? NULL : names[i];
    }
    if (target == NULL || !pd_txn_target(target, &compare->target)) {
        return wrong(place, "which of value, version, create, mod, lease, exists, missing?");
    }
    const char *is = json_string_value(json_object_get(object, "is"));
    if (!pd_txn_operator(is == NULL ? "" : is, &compare->result)) {
        return wrong(place, "\"is\" must be =, !=, < or >");
    }
    return key_of(place, object, target, false, &compare->key) &&
           read_operand(place, object, compare);
}

/* -- then, else -------------------------------------------------------------------------------- */

static bool read_put(const struct place *place, json_t *object, struct pd_kv_op *op)
{
    static const char *const names[] = {"put", "value", "lease", NULL};
    const json_t *lease = json_object_get(object, "lease");
    op->kind = PD_KV_OP_PUT;
    if (!only_has(place, object, names) || !key_of(place, object, "put", false, &op->as.put.key) ||
        !text_of(place, object, "value", &op->as.put.value)) {
        return false;
    }
    if (lease == NULL) {
        return true;
    }
    return json_is_string(lease) &&
                   pd_store_lease_parse(json_string_value(lease), &op->as.put.lease)
               ? true
               : wrong(place, "\"lease\" must be the id of one, a hexadecimal text");
}

static bool read_range(const struct place *place, json_t *object, const char *verb,
                       struct pd_span *key_out, struct pd_span *end_out)
{
    const char *const names[] = {verb, "prefix", NULL};
    bool is_prefix = json_is_true(json_object_get(object, "prefix"));
    if (!only_has(place, object, names) || !key_of(place, object, verb, is_prefix, key_out)) {
        return false;
    }
    if (is_prefix) {
        *end_out = pd_txn_prefix_end(place->txn, *key_out);
    }
    if (key_out->size == 0) {
        *key_out = (struct pd_span){(const uint8_t *)"", 1}; /* all keys */
    }
    return true;
}

static bool read_op(const struct place *place, json_t *object, bool is_else)
{
    struct pd_kv_op *op = pd_txn_add_op(place->txn, is_else);
    if (op == NULL) {
        return wrong(place, "more than %u operations", PD_TXN_OPS_MAX);
    }
    if (json_object_get(object, "put") != NULL) {
        return read_put(place, object, op);
    }
    if (json_object_get(object, "get") != NULL) {
        op->kind = PD_KV_OP_RANGE;
        return read_range(place, object, "get", &op->as.range.key, &op->as.range.range_end);
    }
    if (json_object_get(object, "del") != NULL) {
        op->kind = PD_KV_OP_DELETE;
        return read_range(place, object, "del", &op->as.delete_range.key,
                          &op->as.delete_range.range_end);
    }
    return wrong(place, "which of put, get, del?");
}

/* -- All --------------------------------------------------------------------------------------- */

static bool read_part(struct pd_txn *txn, const json_t *root, const char *part)
{
    json_t *list = json_object_get(root, part);
    struct place place = {.txn = txn, .part = part};
    if (list == NULL) {
        return true;
    }
    if (!json_is_array(list)) {
        (void)snprintf(txn->wrong, sizeof txn->wrong, "\"%s\" must be a list", part);
        return false;
    }
    for (; place.at < json_array_size(list); place.at++) {
        json_t *item = json_array_get(list, place.at);
        bool is_good = strcmp(part, "if") == 0 ? read_compare(&place, item)
                                               : read_op(&place, item, strcmp(part, "else") == 0);
        if (!is_good) {
            return false;
        }
    }
    return true;
}

enum pd_status pd_txn_read_json(struct pd_txn *txn, struct pd_span text)
{
    json_error_t error;
    const char *key = NULL;
    json_t *value = NULL;
    json_t *root = json_loadb((const char *)text.bytes, text.size,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (root == NULL) {
        (void)snprintf(txn->wrong, sizeof txn->wrong, "line %d, column %d: %.160s", error.line,
                       error.column, error.text);
        return PD_ERR_INVALID;
    }
    bool is_good = true;
    json_object_foreach(root, key, value)
    {
        if (strcmp(key, "if") != 0 && strcmp(key, "then") != 0 && strcmp(key, "else") != 0) {
            (void)snprintf(txn->wrong, sizeof txn->wrong,
                           "nobody knows \"%.40s\": only if, then and else", key);
            is_good = false;
        }
    }
    is_good = is_good && read_part(txn, root, "if") && read_part(txn, root, "then") &&
              read_part(txn, root, "else");
    json_decref(root);
    return is_good ? PD_OK : PD_ERR_INVALID;
}
