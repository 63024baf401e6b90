/* txn_check - no key may be put twice on one path through a transaction, or put where it is
 * deleted, as etcd's checkIntervals decides it. Pure; private to kv.
 *
 * Model  Two writes are compared at the innermost txn around both. Under `then` and `else` of it
 *        only one of them can happen: they never meet. Else they meet when both put one key, or
 *        when one deletes a range that holds the key that the other puts; but a put inside one
 *        nested txn and a delete inside a later one may stand together. Two deletes never meet.
 * Bounds n log n comparisons of keys for n operations; a delete then passes the puts in its range,
 *        by their places alone. */
#ifndef PD_KV_TXN_CHECK_H
#define PD_KV_TXN_CHECK_H

#include "kv/command.h"

/* What decode sets must be set; ops[].sorted is overwritten. false: some key is written twice. */
bool pd_kv_txn_check_duplicates(const struct pd_kv_command *command);

#endif
