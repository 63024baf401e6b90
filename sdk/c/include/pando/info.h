/* info - what a process may know about itself and its world. None of these waits or fails. */
#ifndef PANDO_INFO_H
#define PANDO_INFO_H

#include "import.h"

/* Units of fuel used, about one an instruction, as of the end of the last slice. */
PANDO_IMPORT("pando::info", "fuel_used") uint64_t pando_fuel_used(void);

/* Units of fuel that it may use; 0 is unlimited. */
PANDO_IMPORT("pando::info", "fuel_limit") uint64_t pando_fuel_limit(void);

/* Bytes of its linear memory, and what they may grow to. */
PANDO_IMPORT("pando::info", "memory_size") uint64_t pando_memory_size(void);
PANDO_IMPORT("pando::info", "memory_limit") uint64_t pando_memory_limit(void);

/* Messages in its mailbox that were not received yet. */
PANDO_IMPORT("pando::info", "message_count") uint64_t pando_message_count(void);

/* Messages that ever arrived. */
PANDO_IMPORT("pando::info", "received") uint64_t pando_received_count(void);

/* Live processes of the environment, this one included. */
PANDO_IMPORT("pando::info", "process_count") uint64_t pando_process_count(void);

/* Monotonic time in nanoseconds, from an arbitrary beginning; virtual under `pando run --seed`. */
PANDO_IMPORT("pando::info", "now_ns") uint64_t pando_now_ns(void);

#endif
