/* store_text - what the commands that ask a node's store share: keys and records for people and as
 * JSON, and the way to the node.
 *
 * JSON       A text that is not UTF-8 is given as NAME_hex. One object a line. */
#ifndef PD_CLI_STORE_TEXT_H
#define PD_CLI_STORE_TEXT_H

#include <jansson.h>
#include <pando/client.h>

#include "base/span.h"
#include "cli/options.h"
#include "client/node_client.h"

#define PD_STORE_TIMEOUT_S 10

struct pd_span pd_store_span(const char *text);

/* The keys that begin with `prefix`: the range's end in `room`, of prefix.size + 1 bytes. */
struct pd_span pd_store_prefix_end(struct pd_span prefix, uint8_t *room);

/* The key, or all that begin with it. */
struct pando_keys pd_store_keys(const char *key, bool is_prefix);

void pd_store_set_bytes(json_t *object, const char *name, struct pando_bytes bytes);
json_t *pd_store_record_json(const struct pando_record *record);

/* Print and give back. */
void pd_store_print_json(json_t *object);

/* As JSON, or its value as it is; when `with_key`, as a line of a table: key, tab, value, both by
 * pd_store_print_bytes. */
void pd_store_print_record(const struct pando_record *record, bool is_json, bool with_key);

/* Bytes for a terminal: those that are no printable text as \xNN. */
void pd_store_print_bytes(struct pando_bytes bytes);

/* The id of a lease as etcd's tools show it: hexadecimal. False: none, or 0. */
bool pd_store_lease_parse(const char *text, int64_t *id_out);

/* Where the node that the options name listens. An exit code: that of `pando dev` alone runs where
 * none is named, and that was said. */
int pd_store_socket(const struct pd_node_options *node, char path[PD_NODE_PATH_MAX]);

/* Call `ask` with a client of the node that the options name; an exit code, of a message that was
 * printed. */
int pd_store_ask(const struct pd_node_options *node,
                 int (*ask)(void *state, struct pando_client *client), void *state);
/* Likewise, for what the library does not do: a node's own affairs. */
int pd_store_ask_node(const struct pd_node_options *node,
                      int (*ask)(void *state, struct pd_node_client *client), void *state);

/* The end of one that names a lease that is gone. */
int pd_store_no_lease(int64_t id);
/* The end of every other one that fails: what the client says. */
int pd_store_failed(const struct pando_client *client);

#endif
