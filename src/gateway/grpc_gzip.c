/* A request's message that came packed ("grpc-encoding: gzip", RFC 1952). It is unpacked into the
 * stream's input, so within what a plain message may be, and what all of them may hold: the bytes
 * that a few others swell to are refused at the first one too many. */
#include <zlib.h>

#include "base/alloc.h"
#include "gateway/grpc_internal.h"

#define GZIP_ONLY (16 + MAX_WBITS) /* zlib.h: neither zlib's own wrapper nor none */

static void *get_memory(void *unused, uInt count, uInt size)
{
    (void)unused;
    return pd_alloc_zeroed(count, size);
}

static void give_memory_back(void *unused, void *memory)
{
    (void)unused;
    pd_free(memory);
}

/* Whether all of it was unpacked; else the call has ended. */
static bool unpack(struct pd_grpc_stream *stream, z_stream *gzip)
{
    size_t most = stream->grpc->config->message_bytes_max;
    int result = Z_OK;
    while (result == Z_OK) {
        if (!pd_grpc_grow_input(stream, stream->input_size + 1, most + 1)) {
            pd_grpc_end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
            return false;
        }
        gzip->next_out = stream->input + stream->input_size;
        gzip->avail_out = (uInt)(stream->input_capacity - stream->input_size);
        result = inflate(gzip, Z_NO_FLUSH);
        stream->input_size = stream->input_capacity - gzip->avail_out;
        if (stream->input_size > most) {
            pd_grpc_end_call(stream, PD_CODE_INVALID_ARGUMENT, "etcdserver: request is too large");
            return false;
        }
    }
    if (result == Z_MEM_ERROR) {
        pd_grpc_end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return false;
    }
    if (result != Z_STREAM_END || gzip->avail_in > 0) {
        pd_grpc_end_call(stream, PD_CODE_INTERNAL,
                         "grpc: failed to decompress the received message: it is no gzip, or not "
                         "one whole");
        return false;
    }
    return true;
}

bool pd_grpc_unpack(struct pd_grpc_stream *stream, struct pd_span packed)
{
    z_stream gzip = {.zalloc = get_memory,
                     .zfree = give_memory_back,
                     .next_in = (Bytef *)(uintptr_t)packed.bytes, /* which zlib does not write to */
                     .avail_in = (uInt)packed.size};
    if (inflateInit2(&gzip, GZIP_ONLY) != Z_OK) {
        pd_grpc_end_call(stream, PD_CODE_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
        return false;
    }
    bool is_whole = unpack(stream, &gzip);
    (void)inflateEnd(&gzip);
    return is_whole;
}
