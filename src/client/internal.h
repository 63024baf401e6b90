/* internal - what the files of the client library share. Private to src/client. */
#ifndef PD_CLIENT_INTERNAL_H
#define PD_CLIENT_INTERNAL_H

#include <pando/client.h>

#include "client/node_client.h"

/* What a request may be at most: the node takes frames of 9 MiB. */
#define PD_CLIENT_REQUEST_MAX ((size_t)(8u << 20) + ((size_t)64 << 10))

struct pd_client_config {
    char *endpoints[PANDO_ENDPOINTS_MAX];
    size_t endpoint_count;
    struct pd_link_config link; /* its texts are owned, too */
    uint64_t timeout_ms;
};

struct pando_client {
    struct pd_client_config config;
    struct pd_node_client node;
};

struct pando_result {
    int64_t revision;
    int64_t total;
    uint8_t *bytes; /* that records point into; NULL: they are another's */
    struct pando_record *records;
    size_t count;
    size_t capacity;
};

/* Everything of `from` anew. PD_ERR_NO_MEMORY: nothing is left behind. */
PD_NODISCARD enum pd_status pd_client_config_copy(struct pd_client_config *config,
                                                  const struct pd_client_config *from);
void pd_client_config_free(struct pd_client_config *config);
void pd_client_node_init(struct pd_node_client *node, const struct pd_client_config *config);

/* Words of the library's own. Returns `status`. */
enum pando_status pd_client_fail(struct pando_client *client, enum pando_status status,
                                 const char *text);
/* What a call of the node's client comes to. is_write: it may have happened. head: of the answer,
 * when there is one. */
enum pando_status pd_client_status(const struct pd_node_client *node, enum pd_status status,
                                   const struct pd_kv_answer_head *head, bool is_write);
/* A write that happens once. frees_space: it is taken from a disk that is nearly full, which opens
 * no sessions; then without one. */
enum pando_status pd_client_write(struct pando_client *client, struct pd_span command,
                                  bool frees_space, struct pd_kv_answer_head *head_out,
                                  struct pd_kv_reader *reader_out);

struct pd_span pd_client_span(struct pando_bytes bytes);
/* key and range_end of the keys, those that are no key's own bytes in `room` (of keys->key.size + 1
 * bytes). False: an empty key, or no end. */
bool pd_client_range(const struct pando_keys *keys, uint8_t *room, struct pd_span *key_out,
                     struct pd_span *end_out);

struct pando_record pd_client_record(const struct pd_kv_record *record);
/* False: no memory. */
bool pd_client_add_record(struct pando_result *result, const struct pd_kv_record *record);
/* The records of a list, up to its end. False: no memory. */
bool pd_client_take_records(struct pando_result *result, struct pd_kv_reader *reader);
/* A result over a copy of the answer's bytes; *reader moves over to that. NULL: no memory. */
struct pando_result *pd_client_result_new(struct pd_kv_reader *reader, int64_t revision);

#endif
