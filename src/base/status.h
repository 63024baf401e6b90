/* status - how an operation can end short of success. Pure.
 *
 * Model  Zero is success, every failure is negative. A status says what kind of failure it was;
 *        each function's header says what it means there and what the caller does next. Bugs are
 *        not statuses: they are assertions (assert.h). */
#ifndef PD_BASE_STATUS_H
#define PD_BASE_STATUS_H

#define PD_NODISCARD __attribute__((warn_unused_result))
#define PD_PRINTF(format_index, first_argument)                                                    \
    __attribute__((format(printf, format_index, first_argument)))

enum pd_status {
    PD_OK = 0,
    PD_ERR_FULL = -1,        /* a configured limit is reached: retry later or refuse */
    PD_ERR_UNKNOWN = -2,     /* no such thing, or it is gone */
    PD_ERR_EXISTS = -3,      /* the name or id is taken */
    PD_ERR_INVALID = -4,     /* the argument can never be accepted: reject it, do not retry */
    PD_ERR_RANGE = -5,       /* a number or a region lies outside of what it refers to */
    PD_ERR_DENIED = -6,      /* the caller lacks the right */
    PD_ERR_TIMEOUT = -7,     /* the time ran out */
    PD_ERR_IO = -8,          /* the operating system refused: errno says more */
    PD_ERR_NO_MEMORY = -9,   /* the system or a budget has no more memory */
    PD_ERR_CORRUPT = -10,    /* stored or received bytes are not what they claim to be */
    PD_ERR_CLOSED = -11,     /* the other side is shutting down or gone */
    PD_ERR_UNSUPPORTED = -12 /* known, but not available in this build or on this system */
};

/* A static text such as "limit reached", for messages. Never NULL. */
const char *pd_status_text(enum pd_status status);

#endif
