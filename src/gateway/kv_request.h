/* kv_request - the API's requests on keys as commands of the store. Private to src/gateway.
 *
 * Trust      Requests may be anything that decodes. What only the API can say (a number outside of
 *            its enum, an operation without a kind) is refused here; the rest where the command is
 *            decoded, by the store.
 * Ownership  The bytes lie in the arena. */
#ifndef PD_GATEWAY_KV_REQUEST_H
#define PD_GATEWAY_KV_REQUEST_H

#include "kv/command.h"
#include "proto/arena.h"
#include "proto/rpc.pb-c.h"

/* Each writes the encoded command. PD_KV_ERR_TOO_LARGE also when the arena is full. */
PD_NODISCARD enum pd_kv_error pd_kv_request_range(struct pd_arena *arena,
                                                  const Etcdserverpb__RangeRequest *request,
                                                  struct pd_span *bytes_out);
/* What no client of etcd can ask for: with `uncounted`. */
PD_NODISCARD enum pd_kv_error pd_kv_request_page(struct pd_arena *arena,
                                                 const struct pd_kv_range *range,
                                                 struct pd_span *bytes_out);
PD_NODISCARD enum pd_kv_error pd_kv_request_put(struct pd_arena *arena,
                                                const Etcdserverpb__PutRequest *request,
                                                struct pd_span *bytes_out);
PD_NODISCARD enum pd_kv_error pd_kv_request_delete(struct pd_arena *arena,
                                                   const Etcdserverpb__DeleteRangeRequest *request,
                                                   struct pd_span *bytes_out);
/* is_read_out: it has no put and no delete, in no branch. */
PD_NODISCARD enum pd_kv_error pd_kv_request_txn(struct pd_arena *arena,
                                                const Etcdserverpb__TxnRequest *request,
                                                const struct pd_kv_limits *limits,
                                                struct pd_span *bytes_out, bool *is_read_out);
/* A command that is not a tree of operations. Its bytes; empty: the arena is full. */
struct pd_span pd_kv_request_simple(struct pd_arena *arena, const struct pd_kv_command *command);
struct pd_span pd_kv_request_of(struct pd_arena *arena, const struct pd_kv_command *command,
                                size_t key_bytes);

#endif
