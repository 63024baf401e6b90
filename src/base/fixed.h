/* fixed - little-endian integers in the headers that strangers send and disks keep. Pure.
 *
 * Model  What bytes.h does with shifts, which the compiler makes one load of and the prover makes
 *        nothing of. Here the sum is written as one: decoders that are proven over any bytes read
 *        with these, a few numbers a header.
 * Proof  Proven: what put writes, get reads. */
#ifndef PD_BASE_FIXED_H
#define PD_BASE_FIXED_H

#include <stdint.h>

/*@ logic integer fixed32{L}(uint8_t *bytes) =
      bytes[0] + 0x100 * bytes[1] + 0x10000 * bytes[2] + 0x1000000 * bytes[3];
    logic integer fixed64{L}(uint8_t *bytes) =
      fixed32(bytes) + 0x100000000 * fixed32(bytes + 4); */

/*@ requires \valid_read(from + (0 .. 3));
    assigns \nothing;
    ensures value: \result == fixed32(from); */
uint32_t pd_fixed_get32(const uint8_t *from);

/*@ requires \valid_read(from + (0 .. 7));
    assigns \nothing;
    ensures value: \result == fixed64(from); */
uint64_t pd_fixed_get64(const uint8_t *from);

/*@ requires \valid(to + (0 .. 3));
    assigns to[0 .. 3];
    ensures value: fixed32(to) == value; */
void pd_fixed_put32(uint8_t *to, uint32_t value);

/*@ requires \valid(to + (0 .. 7));
    assigns to[0 .. 7];
    ensures value: fixed64(to) == value; */
void pd_fixed_put64(uint8_t *to, uint64_t value);

#endif
