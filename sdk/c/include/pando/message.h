/* message - writing, sending, receiving and reading messages.
 *
 * Model      A process has a mailbox and ONE message at hand: the one that it is writing, or the
 *            one that it received last. create and receive replace it; send gives it away. A
 *            message is bytes, a tag, and modules that travel with it.
 * Selecting  receive takes the first message that has one of the wanted tags and leaves the others
 *            in their order. Tag 0 is "no tag": only a receive without tags finds it.
 * Bounds     A message holds up to 32 MiB, a mailbox is bounded by count and bytes. A full one
 *            makes the sender wait in pando_send; pando_try_send says so instead.
 * Traps      Reading or writing without a message at hand, or one that is the notice of a death. */
#ifndef PANDO_MESSAGE_H
#define PANDO_MESSAGE_H

#include "import.h"

/* Why a process ended. */
enum pando_reason {
    PANDO_REASON_NORMAL = 0,   /* returned, or exit code 0 */
    PANDO_REASON_SHUTDOWN = 1, /* asked to end by its supervisor or by the operator */
    PANDO_REASON_FAILURE = 2,  /* trap, non-zero exit code, or declared by itself */
    PANDO_REASON_KILLED = 3,
    PANDO_REASON_NO_PROCESS = 4, /* there was no such process */
    PANDO_REASON_FUEL = 5,       /* it used up its fuel */
    PANDO_REASON_MEMORY = 6,     /* it could not get the memory that it needs to live */
    PANDO_REASON_DENIED = 7      /* it did what it has no right to */
};

/* What a receive brought. */
enum pando_received {
    PANDO_DATA = 0,
    PANDO_LINK_DIED = 1,    /* a linked process ended, and this one traps that: process.h */
    PANDO_PROCESS_DIED = 2, /* a process that lunatic's monitor watched: pando_message_pid */
    PANDO_DOWN = 3,         /* a process that pando_monitor watched: pando_message_ref and _pid */
    PANDO_NOTHING = 9027    /* the timeout passed; the message at hand is the former one */
};

/* What became of a message that may not wait. */
enum pando_sent {
    PANDO_SENT = 0,
    PANDO_FULL = 1,   /* the mailbox is full; the message is still at hand */
    PANDO_GONE = 2,   /* nobody has this pid (any more); the message is still at hand */
    PANDO_LATE = 9027 /* of calls only: no reply came in time */
};

PANDO_IMPORT("lunatic::message", "create_data")
void pando_import_create_data(uint64_t tag, uint64_t capacity);
PANDO_IMPORT("lunatic::message", "write_data")
uint32_t pando_import_write_data(const void *bytes, uint32_t size);
PANDO_IMPORT("lunatic::message", "read_data")
uint32_t pando_import_read_data(void *to, uint32_t size);
PANDO_IMPORT("lunatic::message", "seek_data") void pando_import_seek_data(uint64_t position);
PANDO_IMPORT("lunatic::message", "get_tag") uint64_t pando_import_get_tag(void);
PANDO_IMPORT("lunatic::message", "data_size") uint64_t pando_import_data_size(void);
PANDO_IMPORT("lunatic::message", "push_module") uint64_t pando_import_push_module(uint64_t module);
PANDO_IMPORT("lunatic::message", "take_module") uint64_t pando_import_take_module(uint64_t index);
PANDO_IMPORT("lunatic::message", "send") uint32_t pando_import_message_send(uint64_t pid);
PANDO_IMPORT("lunatic::message", "send_receive_skip_search")
uint32_t pando_import_send_receive(uint64_t pid, uint64_t tag, uint64_t timeout_ms);
PANDO_IMPORT("lunatic::message", "receive")
uint32_t pando_import_receive(const uint64_t *tags, uint32_t count, uint64_t timeout_ms);
PANDO_IMPORT("pando::message", "ref") uint64_t pando_import_message_ref(void);
PANDO_IMPORT("pando::message", "pid") uint64_t pando_import_message_pid(void);
PANDO_IMPORT("pando::message", "reason") uint32_t pando_import_message_reason(void);
PANDO_IMPORT("pando::message", "reason_text")
uint32_t pando_import_message_reason_text(char *to, uint32_t room);
PANDO_IMPORT("pando::process", "send") uint32_t pando_import_process_send(uint64_t pid);

/* --- Writing ---------------------------------------------------------------------------------- */

/* Begin a message. size_hint: bytes that will come, 0 if unknown; it only saves growing. */
static inline void pando_message_create(uint64_t tag, uint64_t size_hint)
{
    pando_import_create_data(tag, size_hint);
}

/* Append. Traps: the message would pass 32 MiB, or the node has no memory for it. */
static inline void pando_message_write(const void *bytes, uint32_t size)
{
    (void)pando_import_write_data(bytes, size);
}

/* Append a number, little-endian. */
static inline void pando_message_write_u32(uint32_t number)
{
    pando_message_write(&number, sizeof number);
}

static inline void pando_message_write_u64(uint64_t number)
{
    pando_message_write(&number, sizeof number);
}

/* Append the bytes of a text, without its zero. */
static inline void pando_message_write_text(const char *text)
{
    pando_message_write(text, pando_text_size(text));
}

/* Let a module travel with the message; the sender keeps it too. Returns its index there.
 * Traps: no such module, or 256 travel already. */
static inline uint64_t pando_message_push_module(uint64_t module)
{
    return pando_import_push_module(module);
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Send what is at hand; nothing is at hand then. Waits while the receiver's mailbox is full. A pid
 * that nobody has drops the message silently. Traps: nothing at hand, or one's own mailbox is
 * full. */
static inline void pando_send(uint64_t pid)
{
    (void)pando_import_message_send(pid);
}

/* Send without waiting. Traps: nothing at hand. */
static inline enum pando_sent pando_try_send(uint64_t pid)
{
    return (enum pando_sent)pando_import_process_send(pid);
}

/* Send one number under a tag. */
static inline void pando_send_u64(uint64_t pid, uint64_t tag, uint64_t number)
{
    pando_message_create(tag, sizeof number);
    pando_message_write_u64(number);
    pando_send(pid);
}

/* Send, then wait for a message with `tag` (not 0) that arrives from now on; what is in the mailbox
 * already is not looked at. For replies prefer pando_call (process.h), which sees a death too.
 * PANDO_NOTHING: the timeout passed, and nothing is at hand. */
static inline enum pando_received pando_send_receive(uint64_t pid, uint64_t tag,
                                                     uint64_t timeout_ms)
{
    return (enum pando_received)pando_import_send_receive(pid, tag, timeout_ms);
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* The first message that has one of `count` tags (0: any message), waiting up to timeout_ms.
 * Untagged messages and notices of monitors never match tags. Traps: more than 65,536 tags. */
static inline enum pando_received pando_receive_tags(const uint64_t *tags, uint32_t count,
                                                     uint64_t timeout_ms)
{
    return (enum pando_received)pando_import_receive(tags, count, timeout_ms);
}

/* The first message of all. */
static inline enum pando_received pando_receive(uint64_t timeout_ms)
{
    return pando_receive_tags(NULL, 0, timeout_ms);
}

/* The first message with this tag (not 0). */
static inline enum pando_received pando_receive_tag(uint64_t tag, uint64_t timeout_ms)
{
    return pando_receive_tags(&tag, 1, timeout_ms);
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* The tag, 0 if it has none; of PANDO_LINK_DIED the link's. */
static inline uint64_t pando_message_tag(void)
{
    return pando_import_get_tag();
}

/* Bytes of data. */
static inline uint64_t pando_message_size(void)
{
    return pando_import_data_size();
}

/* Copy the next bytes. Returns how many there were, up to `size`. */
static inline uint32_t pando_message_read(void *to, uint32_t size)
{
    return pando_import_read_data(to, size);
}

/* The next number, little-endian. False: fewer bytes are left; what *to holds is unspecified. */
static inline bool pando_message_read_u32(uint32_t *to)
{
    return pando_message_read(to, sizeof *to) == sizeof *to;
}

static inline bool pando_message_read_u64(uint64_t *to)
{
    return pando_message_read(to, sizeof *to) == sizeof *to;
}

/* Go on reading at this byte. The next read traps if that is behind the end. */
static inline void pando_message_seek(uint64_t position)
{
    pando_import_seek_data(position);
}

/* Take the module that travels at `index`; the id is this process's own. Traps: none is there. */
static inline uint64_t pando_message_take_module(uint64_t index)
{
    return pando_import_take_module(index);
}

/* The reference of a call that waits for a reply (0: none), or of the monitor that fired. */
static inline uint64_t pando_message_ref(void)
{
    return pando_import_message_ref();
}

/* Who called and waits for a reply, or whose death this is; 0 of other messages. */
static inline uint64_t pando_message_pid(void)
{
    return pando_import_message_pid();
}

/* Why it died, of a notice. */
static inline enum pando_reason pando_message_reason(void)
{
    return (enum pando_reason)pando_import_message_reason();
}

/* Copy what it said when it died into `to` (room bytes, at least 1), ended by a zero and cut if it
 * has to be. Returns the whole size. */
static inline uint32_t pando_message_reason_text(char *to, uint32_t room)
{
    uint32_t size = pando_import_message_reason_text(to, room - 1);
    to[size < room ? size : room - 1] = '\0';
    return size;
}

/* A reason as one word. */
static inline const char *pando_reason_text(enum pando_reason reason)
{
    switch (reason) {
    case PANDO_REASON_NORMAL:
        return "normal";
    case PANDO_REASON_SHUTDOWN:
        return "shutdown";
    case PANDO_REASON_FAILURE:
        return "failure";
    case PANDO_REASON_KILLED:
        return "killed";
    case PANDO_REASON_NO_PROCESS:
        return "no process";
    case PANDO_REASON_FUEL:
        return "fuel";
    case PANDO_REASON_MEMORY:
        return "memory";
    case PANDO_REASON_DENIED:
        return "denied";
    }
    return "unknown";
}

#endif
