/* assert - a broken invariant stops the program at once, in release builds too.
 *
 * Role  pd_assert is for bugs of this program only: never for input from a peer, a disk or a guest.
 *       pd_fatal is for state that can no longer be trusted (a failed sync), and says what to
 *       do. */
#ifndef PD_BASE_ASSERT_H
#define PD_BASE_ASSERT_H

#include <stdbool.h>

#include "base/status.h"

/* Print the message to stderr and abort. Never returns. */
_Noreturn void pd_assert_failed(const char *condition, const char *file, int line);
_Noreturn void pd_fatal(const char *format, ...) PD_PRINTF(1, 2);

/* Tests and the simulator: called with the message before the process would abort, so that the
 * failure of one simulated node is an event and not the end. It may leave by longjmp; when it
 * returns, the process aborts as always. NULL in production. `is_bug`: an assertion, else
 * pd_fatal. */
extern void (*pd_last_words)(bool is_bug, const char *text);

#define pd_assert(condition)                                                                       \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            pd_assert_failed(#condition, __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)

#endif
