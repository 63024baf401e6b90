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

/*@ logic integer varint_length(integer value) =
      value < 0x80 ? 1 :
      value < 0x4000 ? 2 :
      value < 0x200000 ? 3 :
      value < 0x10000000 ? 4 :
      value < 0x800000000 ? 5 :
      value < 0x40000000000 ? 6 :
      value < 0x2000000000000 ? 7 :
      value < 0x100000000000000 ? 8 :
      value < 0x8000000000000000 ? 9 : 10;
    logic integer digit{L}(uint8_t *bytes, integer i, integer count) =
      i < count ? bytes[i] % 128 : 0;
    logic integer varint_value{L}(uint8_t *bytes, integer count) =
      digit(bytes, 0, count) +
      digit(bytes, 1, count) * 0x80 +
      digit(bytes, 2, count) * 0x4000 +
      digit(bytes, 3, count) * 0x200000 +
      digit(bytes, 4, count) * 0x10000000 +
      digit(bytes, 5, count) * 0x800000000 +
      digit(bytes, 6, count) * 0x40000000000 +
      digit(bytes, 7, count) * 0x2000000000000 +
      digit(bytes, 8, count) * 0x100000000000000 +
      digit(bytes, 9, count) * 0x8000000000000000;
    predicate goes_on{L}(uint8_t *bytes, integer count) =
      \forall integer i; 0 <= i < count ==> bytes[i] >= 128;
    predicate is_varint{L}(uint8_t *bytes, integer count) =
      0 < count <= PD_VARINT_SIZE_MAX && goes_on(bytes, count - 1) && bytes[count - 1] < 128 &&
      (count > 1 ==> bytes[count - 1] != 0) &&
      (count == PD_VARINT_SIZE_MAX ==> bytes[count - 1] == 1); */

/* Bytes that `value` takes: 1 to PD_VARINT_SIZE_MAX. */
/*@ assigns \nothing;
    ensures exact: \result == varint_length(value); */
uint32_t pd_varint_size(uint64_t value);

/* Write `value` and return its size. The caller gives room for it; PD_VARINT_SIZE_MAX is always
 * enough. */
/*@ requires \valid(to + (0 .. varint_length(value) - 1));
    assigns to[0 .. varint_length(value) - 1];
    ensures size: \result == varint_length(value);
    ensures form: is_varint(to, \result);
    ensures value: varint_value(to, \result) == value; */
uint32_t pd_varint_put(uint8_t *to, uint64_t value);

/* Read a number from the beginning of `size` bytes, which may be anything.
 *
 * PD_OK           *value_out and *used_out are written.
 * PD_ERR_RANGE    the bytes end before the number does.
 * PD_ERR_CORRUPT  more than 64 bits, or not the shortest form. */
/*@ requires \valid_read(bytes + (0 .. size - 1)) && \valid(value_out) && \valid(used_out);
    requires \separated(value_out, used_out, bytes + (0 .. size - 1));
    assigns *value_out, *used_out;
    ensures refused: \result != PD_OK ==>
      \forall integer count; 0 < count <= size ==> !is_varint(bytes, count);
    ensures range: \result == PD_ERR_RANGE <==> size < PD_VARINT_SIZE_MAX && goes_on(bytes, size);
    ensures status: \result == PD_OK || \result == PD_ERR_RANGE || \result == PD_ERR_CORRUPT;
    ensures ok: \result == PD_OK ==> 0 < *used_out <= size && is_varint(bytes, *used_out) &&
      *value_out == varint_value(bytes, *used_out);
    ensures error: \result != PD_OK ==>
      *value_out == \old(*value_out) && *used_out == \old(*used_out); */
PD_NODISCARD enum pd_status pd_varint_get(const uint8_t *bytes, uint64_t size, uint64_t *value_out,
                                          uint32_t *used_out);

#endif
