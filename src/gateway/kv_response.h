/* kv_response - answers of the store as the API's responses. Private to src/gateway.
 *
 * Ownership  Responses lie in the arena, keys and values where the answer's bytes lie.
 * Errors     NULL: the arena is full. An answer that is not sound gives zeros; the reader tells. */
#ifndef PD_GATEWAY_KV_RESPONSE_H
#define PD_GATEWAY_KV_RESPONSE_H

#include "kv/answer.h"
#include "proto/arena.h"
#include "proto/rpc.pb-c.h"

/* `header` is the response's; the reader stands behind the answer's head. */
Etcdserverpb__RangeResponse *pd_kv_response_range(struct pd_arena *arena,
                                                  struct pd_kv_reader *reader,
                                                  Etcdserverpb__ResponseHeader *header);
Etcdserverpb__PutResponse *pd_kv_response_put(struct pd_arena *arena, struct pd_kv_reader *reader,
                                              Etcdserverpb__ResponseHeader *header);
Etcdserverpb__DeleteRangeResponse *pd_kv_response_delete(struct pd_arena *arena,
                                                         struct pd_kv_reader *reader,
                                                         Etcdserverpb__ResponseHeader *header);
/* Inner responses carry a revision alone: that of the moment between the transaction's writes. */
Etcdserverpb__TxnResponse *pd_kv_response_txn(struct pd_arena *arena, struct pd_kv_reader *reader,
                                              Etcdserverpb__ResponseHeader *header);
/* One record; what it points to is borrowed from the record's. */
void pd_kv_response_fill(Mvccpb__KeyValue *kv, const struct pd_kv_record *record);

#endif
