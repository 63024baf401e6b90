/* timer - messages that are sent later. They outlive their sender; a receiver that is gone by then
 * is no error. The number of pending timers is bounded. */
#ifndef PANDO_TIMER_H
#define PANDO_TIMER_H

#include "import.h"

PANDO_IMPORT("lunatic::timer", "send_after")
uint64_t pando_import_send_after(uint64_t pid, uint64_t ms);
PANDO_IMPORT("lunatic::timer", "cancel_timer") uint32_t pando_import_cancel_timer(uint64_t timer);

/* Send what is at hand (message.h) in `ms` milliseconds. Returns the timer, this process's own.
 * Traps: nothing at hand, or the limit of pending timers is reached. */
static inline uint64_t pando_send_after(uint64_t pid, uint64_t ms)
{
    return pando_import_send_after(pid, ms);
}

/* True: it will not be sent. False: it has been, or there is no such timer. */
static inline bool pando_timer_cancel(uint64_t timer)
{
    return pando_import_cancel_timer(timer) != 0;
}

#endif
