#include "base/status.h"

const char *pd_status_text(enum pd_status status)
{
    switch (status) {
    case PD_OK:
        return "success";
    case PD_ERR_FULL:
        return "limit reached";
    case PD_ERR_UNKNOWN:
        return "not found";
    case PD_ERR_EXISTS:
        return "already exists";
    case PD_ERR_INVALID:
        return "invalid";
    case PD_ERR_RANGE:
        return "out of range";
    case PD_ERR_DENIED:
        return "permission denied";
    case PD_ERR_TIMEOUT:
        return "timed out";
    case PD_ERR_IO:
        return "input/output error";
    case PD_ERR_NO_MEMORY:
        return "out of memory";
    case PD_ERR_CORRUPT:
        return "corrupt";
    case PD_ERR_CLOSED:
        return "closed";
    case PD_ERR_UNSUPPORTED:
        return "not supported here";
    }
    return "unknown status";
}
