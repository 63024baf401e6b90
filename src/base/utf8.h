/* utf8 - strict UTF-8 validation (RFC 3629: shortest form, no surrogates, up to U+10FFFF). Pure. */
#ifndef PD_BASE_UTF8_H
#define PD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool pd_utf8_is_valid(const uint8_t *bytes, size_t size);

#endif
