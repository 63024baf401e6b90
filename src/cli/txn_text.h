/* txn_text - a transaction as a person writes it, or a program as JSON. Pure but for its memory.
 *
 * Text       [if COMPARE {and COMPARE}] [then OP...] [else OP...], or OP... alone: always done.
 *              COMPARE  value|version|create|mod|lease KEY =|!=|<|> OPERAND
 *                       exists KEY, missing KEY
 *              OP       put KEY VALUE [lease ID], get [prefix] KEY, del [prefix] KEY
 *            A word is bare, or in double quotes, where \" \\ \n \t \xNN stand for bytes. Line
 *            breaks and ';' part words like blanks; '#' begins a comment. Ids are hexadecimal.
 * JSON       {"if":[{"value":KEY,"is":"=","to":OPERAND}, {"exists":KEY}],
 *             "then":[{"put":KEY,"value":VALUE,"lease":ID}, {"get":KEY,"prefix":true},
 *                     {"del":KEY}],
 *             "else":[...]}. Text that begins with '{' is taken for it.
 * Bounds     PD_TXN_OPS_MAX operations and as many compares; the node has its own bounds.
 * Ownership  Spans point into the txn. */
#ifndef PD_CLI_TXN_TEXT_H
#define PD_CLI_TXN_TEXT_H

#include "kv/command.h"

#define PD_TXN_OPS_MAX 1024u
#define PD_TXN_WRONG_MAX 256u

struct pd_txn {
    struct pd_kv_op ops[1 + PD_TXN_OPS_MAX]; /* preorder: the root, `then`, `else` */
    struct pd_kv_compare compares[PD_TXN_OPS_MAX];
    uint32_t op_count;
    uint32_t compare_count;
    uint8_t *bytes; /* of keys and values */
    size_t size;
    size_t size_max;
    char wrong[PD_TXN_WRONG_MAX]; /* "line 2, column 5: ..." */
};

/* PD_ERR_INVALID: txn->wrong says what and where; PD_ERR_NO_MEMORY. Deinit in any case. */
PD_NODISCARD enum pd_status pd_txn_read(struct pd_txn *txn, struct pd_span text);
void pd_txn_deinit(struct pd_txn *txn);

/* -- For the two that read --------------------------------------------------------------------- */

/* Bytes that stay with the txn; there is room for all of the text twice. */
struct pd_span pd_txn_keep(struct pd_txn *txn, struct pd_span bytes);
/* The end of the keys that begin with `key`, kept. */
struct pd_span pd_txn_prefix_end(struct pd_txn *txn, struct pd_span key);
/* NULL: there are too many. In the branch that is being read. */
struct pd_kv_op *pd_txn_add_op(struct pd_txn *txn, bool is_else);
struct pd_kv_compare *pd_txn_add_compare(struct pd_txn *txn);
bool pd_txn_target(const char *word, enum pd_kv_compare_target *target_out);
bool pd_txn_operator(const char *word, enum pd_kv_compare_result *result_out);
/* What is compared with: bytes of a value, an id, a number. False: not such a one. */
bool pd_txn_operand(struct pd_kv_compare *compare, struct pd_span word);

PD_NODISCARD enum pd_status pd_txn_read_json(struct pd_txn *txn, struct pd_span text);

#endif
