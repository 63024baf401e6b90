/* message_call - what lunatic::message does with the scratch message, for lunatic::distributed too:
 * on its own node a message goes the same way. */
#ifndef PD_WASM_MESSAGE_CALL_H
#define PD_WASM_MESSAGE_CALL_H

#include "wasm/wasm_process.h"

/* The scratch message if it is data; else NULL, and a trap was set. */
struct pd_message *pd_message_call_data(struct pd_call *call);

/* send(pid): send the scratch message, waiting for room if need be. */
enum pd_call_result pd_message_call_send(struct pd_call *call);

/* send_receive_skip_search(pid, tag, timeout): send it, and wait for the next message of that
 * tag. */
enum pd_call_result pd_message_call_send_receive(struct pd_call *call);

/* The same as it was before Lunatic 0.13, (pid, timeout): the answer has the tag of the request. A
 * request without a tag is answered by whatever comes next. */
enum pd_call_result pd_message_call_send_receive_former(struct pd_call *call);

#endif
