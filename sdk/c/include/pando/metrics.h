/* metrics - figures of the program, by name, for whoever watches it. Recording never fails: what
 * finds no room is dropped. */
#ifndef PANDO_METRICS_H
#define PANDO_METRICS_H

#include "import.h"

PANDO_IMPORT("lunatic::metrics", "counter")
void pando_import_counter(const char *name, uint32_t size, uint64_t value);
PANDO_IMPORT("lunatic::metrics", "increment_counter")
void pando_import_increment_counter(const char *name, uint32_t size);
PANDO_IMPORT("lunatic::metrics", "gauge")
void pando_import_gauge(const char *name, uint32_t size, double value);
PANDO_IMPORT("lunatic::metrics", "increment_gauge")
void pando_import_increment_gauge(const char *name, uint32_t size, double value);
PANDO_IMPORT("lunatic::metrics", "decrement_gauge")
void pando_import_decrement_gauge(const char *name, uint32_t size, double value);
PANDO_IMPORT("lunatic::metrics", "histogram")
void pando_import_histogram(const char *name, uint32_t size, double value);

/* Add to a counter; it only grows. */
static inline void pando_counter_add(const char *name, uint64_t value)
{
    pando_import_counter(name, pando_text_size(name), value);
}

/* Add 1 to a counter. */
static inline void pando_counter_increment(const char *name)
{
    pando_import_increment_counter(name, pando_text_size(name));
}

/* Set a gauge, or change it by a value. */
static inline void pando_gauge_set(const char *name, double value)
{
    pando_import_gauge(name, pando_text_size(name), value);
}

static inline void pando_gauge_add(const char *name, double value)
{
    pando_import_increment_gauge(name, pando_text_size(name), value);
}

static inline void pando_gauge_subtract(const char *name, double value)
{
    pando_import_decrement_gauge(name, pando_text_size(name), value);
}

/* Record one value of a distribution. */
static inline void pando_histogram_record(const char *name, double value)
{
    pando_import_histogram(name, pando_text_size(name), value);
}

#endif
