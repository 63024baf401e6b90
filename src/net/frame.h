/* frame - messages on a stream. Pure but for the heap; any bytes may come in.
 *
 * Layout  A frame is {size u32, correlation u64} and `size` bytes, little endian. A lane's stream
 *         begins with {enum pd_transport_lane u8, the sender's life u64}, and its frames have
 *         correlation 0.
 * Bounds  A frame's memory grows with the bytes that have come, never with what it claims. */
#ifndef PD_NET_FRAME_H
#define PD_NET_FRAME_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/span.h"
#include "base/status.h"

#define PD_NET_FRAME_HEAD_SIZE 12u

/* -- Going out --------------------------------------------------------------------------------- */

/* What waits for somebody, counted by any thread. */
struct pd_net_account {
    atomic_uint_least32_t references;
    atomic_uint_least64_t bytes;
};
/* With one reference; NULL: no memory. */
struct pd_net_account *pd_net_account_create(void);
void pd_net_account_acquire(struct pd_net_account *account);
void pd_net_account_release(struct pd_net_account *account);

/* A frame that is not acknowledged yet. Holds a reference to its account, and counts there. */
struct pd_net_buffer {
    struct pd_net_buffer *next;
    struct pd_net_account *account;
    size_t size; /* with the head */
    uint8_t bytes[];
};
/* NULL: no memory. */
struct pd_net_buffer *pd_net_buffer_make(struct pd_net_account *account, uint64_t correlation,
                                         struct pd_span bytes);
void pd_net_buffer_free(struct pd_net_buffer *buffer);

/* -- Coming in --------------------------------------------------------------------------------- */

/* A frame that is not whole yet; all zero: nothing has come. */
struct pd_net_assembly {
    uint8_t head[PD_NET_FRAME_HEAD_SIZE];
    uint32_t head_size;
    uint8_t *body;
    size_t size;
    size_t capacity;
};

struct pd_net_frame {
    uint64_t correlation;
    uint8_t *bytes; /* the taker frees it; NULL when size is 0 */
    size_t size;
};

/* Take bytes from the front of *input until they end or a frame is whole.
 *
 * PD_OK            a frame, *is_whole_out true: call again. Or the input has ended, false.
 * PD_ERR_RANGE     a frame claims more than bytes_max.
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_net_assembly_take(struct pd_net_assembly *assembly,
                                                 struct pd_span *input, size_t bytes_max,
                                                 bool *is_whole_out,
                                                 struct pd_net_frame *frame_out);
/* Nothing of a frame has come. */
bool pd_net_assembly_is_empty(const struct pd_net_assembly *assembly);
void pd_net_assembly_deinit(struct pd_net_assembly *assembly);

#endif
