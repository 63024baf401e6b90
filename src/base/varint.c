#include "base/varint.h"

/*@ logic integer weight_of(integer i) =
      i == 0 ? 0x1 :
      i == 1 ? 0x80 :
      i == 2 ? 0x4000 :
      i == 3 ? 0x200000 :
      i == 4 ? 0x10000000 :
      i == 5 ? 0x800000000 :
      i == 6 ? 0x40000000000 :
      i == 7 ? 0x2000000000000 :
      i == 8 ? 0x100000000000000 : 0x8000000000000000;
    logic integer scaled(integer i, integer value) =
      i == 0 ? 0x1 * value :
      i == 1 ? 0x80 * value :
      i == 2 ? 0x4000 * value :
      i == 3 ? 0x200000 * value :
      i == 4 ? 0x10000000 * value :
      i == 5 ? 0x800000000 * value :
      i == 6 ? 0x40000000000 * value :
      i == 7 ? 0x2000000000000 * value :
      i == 8 ? 0x100000000000000 * value : 0x8000000000000000 * value;
    logic integer most_left(integer i) =
      i == 0 ? 0xffffffffffffffff :
      i == 1 ? 0x1ffffffffffffff :
      i == 2 ? 0x3ffffffffffff :
      i == 3 ? 0x7ffffffffff :
      i == 4 ? 0xfffffffff :
      i == 5 ? 0x1fffffff :
      i == 6 ? 0x3fffff :
      i == 7 ? 0x7fff :
      i == 8 ? 0xff : 1; */

uint32_t pd_varint_size(uint64_t value)
{
    uint32_t size = 1;
    /*@ loop invariant 1 <= size <= PD_VARINT_SIZE_MAX && value <= most_left(size - 1);
        loop invariant size - 1 + varint_length(value) == varint_length(\at(value, Pre));
        loop assigns size, value;
        loop variant value; */
    while (value >= 128) {
        value /= 128;
        size++;
    }
    return size;
}

uint32_t pd_varint_put(uint8_t *to, uint64_t value)
{
    uint32_t i = 0;
    /*@ loop invariant 0 <= i < PD_VARINT_SIZE_MAX && value <= most_left(i);
        loop invariant i + varint_length(value) == varint_length(\at(value, Pre));
        loop invariant goes_on(to, i) && (i > 0 ==> value > 0);
        loop invariant varint_value(to, i) + scaled(i, value) == \at(value, Pre);
        loop assigns i, value, to[0 .. varint_length(\at(value, Pre)) - 1];
        loop variant value; */
    while (value >= 128) {
        to[i] = (uint8_t)(128 + value % 128);
        /*@ assert low: to[i] % 128 == value % 128; */
        /*@ assert same: varint_value(to, i) == \at(varint_value(to, i), LoopCurrent); */
        /*@ assert more: varint_value(to, i + 1) == varint_value(to, i) + scaled(i, to[i] % 128); */
        /*@ assert carried: scaled(i, value) ==
              scaled(i, value % 128) + scaled(i + 1, value / 128); */
        value /= 128;
        i++;
    }
    to[i] = (uint8_t)value;
    return i + 1;
}

enum pd_status pd_varint_get(const uint8_t *bytes, uint64_t size, uint64_t *value_out,
                             uint32_t *used_out)
{
    uint64_t value = 0;
    uint64_t weight = 1;
    uint32_t i = 0;
    /* Nine bytes carry 63 bits, so neither sum nor weight can wrap here. */
    /*@ loop invariant 0 <= i < PD_VARINT_SIZE_MAX && i <= size && goes_on(bytes, i);
        loop invariant weight == weight_of(i);
        loop invariant value == varint_value(bytes, i) && value < weight;
        loop assigns i, value, weight;
        loop variant size - i; */
    while (i < PD_VARINT_SIZE_MAX - 1 && i < size && bytes[i] >= 128) {
        value += weight * (bytes[i] - 128u);
        weight *= 128;
        i++;
    }
    /*@ assert only: \forall integer count; 0 < count <= size && is_varint(bytes, count) ==>
          count == i + 1; */
    if (i == size) {
        return PD_ERR_RANGE;
    }
    /* The tenth byte has room for one bit; a last byte of 0 would be a longer form. */
    if ((i == PD_VARINT_SIZE_MAX - 1 && bytes[i] > 1) || (i > 0 && bytes[i] == 0)) {
        return PD_ERR_CORRUPT;
    }
    *value_out = value + weight * bytes[i];
    *used_out = i + 1;
    return PD_OK;
}
