#include "actor/exit.h"

#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

struct pd_exit_text {
    atomic_uint_least32_t references;
    uint32_t size;
    char bytes[]; /* zero-terminated */
};

const char *pd_exit_reason_text(enum pd_exit_reason reason)
{
    switch (reason) {
    case PD_EXIT_NORMAL:
        return "normal";
    case PD_EXIT_SHUTDOWN:
        return "shutdown";
    case PD_EXIT_FAILURE:
        return "failure";
    case PD_EXIT_KILLED:
        return "killed";
    case PD_EXIT_NO_PROCESS:
        return "no process";
    case PD_EXIT_FUEL:
        return "out of fuel";
    case PD_EXIT_MEMORY:
        return "out of memory";
    case PD_EXIT_DENIED:
        return "denied";
    }
    return "unknown";
}

struct pd_exit_text *pd_exit_text_create(const char *bytes, size_t size)
{
    if (size > PD_EXIT_TEXT_MAX) {
        size = PD_EXIT_TEXT_MAX;
        /* Do not cut through a UTF-8 sequence: step back over its continuation bytes. */
        while (size > 0 && ((uint8_t)bytes[size] & 0xC0) == 0x80) {
            size--;
        }
    }
    struct pd_exit_text *text = pd_alloc(sizeof *text + size + 1);
    if (text == NULL) {
        return NULL;
    }
    atomic_init(&text->references, 1);
    text->size = (uint32_t)size;
    memcpy(text->bytes, bytes, size);
    text->bytes[size] = '\0';
    return text;
}

struct pd_exit_text *pd_exit_text_share(struct pd_exit_text *text)
{
    if (text != NULL) {
        atomic_fetch_add_explicit(&text->references, 1, memory_order_relaxed);
    }
    return text;
}

void pd_exit_text_release(struct pd_exit_text *text)
{
    if (text == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&text->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        pd_free(text);
    }
}

const char *pd_exit_text_bytes(const struct pd_exit_text *text)
{
    return text == NULL ? "" : text->bytes;
}

size_t pd_exit_text_size(const struct pd_exit_text *text)
{
    return text == NULL ? 0 : text->size;
}
