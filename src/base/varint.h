/* varint - numbers in as few bytes as they need: seven bits a byte, low ones first (LEB128). Pure.
 *
 * Model  A number has exactly one encoding, the shortest: bytes that are stored or compared never
 *        differ for the same content.
 * Proof  Proven: put and get are each other's inverse, and get reads nothing outside for any
 *        bytes. */
#ifndef PD_BASE_VARINT_H
#define PD_BASE_VARINT_H

#include <stdint.h>

#include "base/status.h"

#define PD_VARINT_SIZE_MAX 10u

/* Bytes that `value` takes: 1 to PD_VARINT_SIZE_MAX. */
uint32_t pd_varint_size(uint64_t value);

/* Write `value` and return its size. The caller gives room for it; PD_VARINT_SIZE_MAX is always
 * enough. */
uint32_t pd_varint_put(uint8_t *to, uint64_t value);

/* Read a number from the beginning of `size` bytes, which may be anything.
 *
 * PD_OK           *value_out and *used_out are written.
 * PD_ERR_RANGE    the bytes end before the number does.
 * PD_ERR_CORRUPT  more than 64 bits, or not the shortest form. */
PD_NODISCARD enum pd_status pd_varint_get(const uint8_t *bytes, uint64_t size, uint64_t *value_out,
                                          uint32_t *used_out);

#endif
