/* assert - a broken invariant stops the program at once, in release builds too.
 *
 * Role  pd_assert is for bugs of this program only: never for input from a peer, a disk or a guest.
 *       pd_fatal is for state that can no longer be trusted (a failed sync), and says what to
 *       do. */
#ifndef PD_BASE_ASSERT_H
#define PD_BASE_ASSERT_H

#include "base/status.h"

/* Print the message to stderr and abort. Never returns. */
_Noreturn void pd_assert_failed(const char *condition, const char *file, int line);
_Noreturn void pd_fatal(const char *format, ...) PD_PRINTF(1, 2);

#define pd_assert(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            pd_assert_failed(#condition, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)

#endif
