/* txn_check - no key may be written twice on one path through a transaction. Pure; private to kv.
 *
 * Model  Two writes meet when a put's key is the other's key or lies in the other's range, unless
 *        one is under `then` and the other under `else` of the same txn: only one of them can
 *        happen. Two deletes never meet. */
#ifndef PD_KV_TXN_CHECK_H
#define PD_KV_TXN_CHECK_H

#include "kv/command.h"

/* ops[].end must be set. false: some key is written twice. */
bool pd_kv_txn_check_duplicates(const struct pd_kv_command *command);

#endif
