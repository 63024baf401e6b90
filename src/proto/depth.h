/* depth - how deep a message's bytes nest, before anything decodes them. Pure.
 *
 * Why        protobuf-c decodes by recursion, and a transaction may hold transactions: a few
 *            megabytes of bytes could ask for a stack of gigabytes. */
#ifndef PD_PROTO_DEPTH_H
#define PD_PROTO_DEPTH_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "base/span.h"

#define PD_PROTO_DEPTH_MAX 288u

/* Whether no submessage of `descriptor`'s message lies deeper than PD_PROTO_DEPTH_MAX. Bytes that
 * are no message at all may give either answer: the decoder refuses them. */
bool pd_proto_is_shallow(const ProtobufCMessageDescriptor *descriptor, struct pd_span bytes);

#endif
