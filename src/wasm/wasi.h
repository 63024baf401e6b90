/* wasi - WASI preview 1 (wasi_snapshot_preview1), all 46 functions, written against hostcall.h.
 *
 * Role       Files, clocks, arguments, environment and standard streams for guests, within what
 *            their configuration grants. docs/wasi.md lists each function with its notes and tests.
 * Model      pd_wasi_config says what a guest may see; it is shared by many guests and does not
 *            change while it is. pd_wasi is one guest's own part: descriptors, open lines. It keeps
 *            no descriptor table until the guest opens, closes, renumbers or narrows a descriptor.
 * Bounds     PD_WASI_FDS_MAX descriptors, PD_WASI_IO_MAX bytes moved by one call (shorter counts
 *            are legal), PD_WASI_IOVECS_MAX buffers looked at, PD_WASI_SUBSCRIPTIONS_MAX polled,
 *            PD_FILE_PATH_MAX bytes of path, PD_WASI_STRINGS_MAX arguments and variables with
 *            PD_WASI_STRINGS_SIZE_MAX bytes.
 * Sockets    A guest accepts connections of a listener that its configuration holds; it opens none.
 * Rights     A descriptor opened through another never has more rights than that one passes on.
 * Waiting    What may block runs as a job on owned buffers. A stream that a guest waits for is let
 *            go by pd_wasi_destroy, so call it as soon as the guest is dead.
 * Errors     To the guest: an errno, never a trap, but for proc_exit and proc_raise. */
#ifndef PD_WASM_WASI_H
#define PD_WASM_WASI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/host.h"
#include "base/host_files.h"
#include "wasm/hostcall.h"
#include "wasm/output.h"

#define PD_WASI_FDS_MAX 1024u
#define PD_WASI_IO_MAX (1u << 20)
#define PD_WASI_IOVECS_MAX 1024u
#define PD_WASI_SUBSCRIPTIONS_MAX 1024u
#define PD_WASI_STRINGS_MAX 65536u
#define PD_WASI_STRINGS_SIZE_MAX (4u << 20)
#define PD_WASI_PREOPENS_MAX 256u
#define PD_WASI_LISTENERS_MAX 8u
#define PD_WASI_TAG_MAX 64u

struct pd_wasi;
struct pd_wasi_config;

/* What a preopened directory may be used for. */
enum pd_wasi_access {
    PD_WASI_READ = 0,
    PD_WASI_READ_WRITE = 1
};

/* --- Configuration: made by one thread, then shared ------------------------------------------- */

/* Nothing granted: no argument, variable, directory or standard stream. `files` outlives it. The
 * reference is the caller's. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_config_create(struct pd_files *files,
                                                  struct pd_wasi_config **config_out);

/* A further reference, and its end. Any thread. NULL is allowed for release. */
struct pd_wasi_config *pd_wasi_config_retain(struct pd_wasi_config *config);
void pd_wasi_config_release(struct pd_wasi_config *config);

/* Make *config safe to change: when others share it, the caller's reference moves to a copy of its
 * own. Preopened directories stay shared. Call before the functions below, which assert it. PD_OK,
 * PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_config_edit(struct pd_wasi_config **config);

/* Append an argument; the first is the program's name.
 * PD_OK, PD_ERR_INVALID (inner zero byte), PD_ERR_FULL, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_config_add_argument(struct pd_wasi_config *config,
                                                        const char *text, size_t size);

/* Remove all arguments. */
void pd_wasi_config_clear_arguments(struct pd_wasi_config *config);

/* Set NAME=value; a name that is set already gets the new value.
 * PD_OK, PD_ERR_INVALID (empty name, '=' in it, zero bytes), PD_ERR_FULL, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_config_set_variable(struct pd_wasi_config *config,
                                                        const char *name, size_t name_size,
                                                        const char *value, size_t value_size);

/* Open `host_path` now and show it to guests as `guest_path`. One descriptor for all guests of all
 * copies. `why_out` (may be NULL) gets a sentence on failure.
 *
 * PD_OK
 * PD_ERR_UNKNOWN      there is no such directory.
 * PD_ERR_DENIED       the user may not open it.
 * PD_ERR_UNSUPPORTED  the kernel cannot confine paths (openat2 needs Linux 5.6).
 * PD_ERR_INVALID      an empty guest path, or a zero byte in it.
 * PD_ERR_FULL, PD_ERR_IO, PD_ERR_NO_MEMORY */
PD_NODISCARD enum pd_status pd_wasi_config_add_directory(struct pd_wasi_config *config,
                                                         const char *host_path,
                                                         const char *guest_path,
                                                         enum pd_wasi_access access, char *why_out,
                                                         size_t why_size);

/* Share a directory of `from` that covers `path` (equal to its guest path, or beneath it), with no
 * more access than it has there: how a guest hands a directory on. PD_ERR_DENIED: none covers
 * it. */
PD_NODISCARD enum pd_status pd_wasi_config_inherit_directory(struct pd_wasi_config *config,
                                                             const struct pd_wasi_config *from,
                                                             const char *path, size_t path_size,
                                                             char *why_out, size_t why_size);

/* Listen at "HOST:PORT" now and let guests accept there: the descriptors behind the directories',
 * shared by all guests of all copies. *port_out is the port, which is another one for port 0.
 * `why_out` gets a sentence on failure.
 *
 * PD_OK
 * PD_ERR_INVALID, PD_ERR_UNKNOWN  no address, or one that is not there.
 * PD_ERR_DENIED                   the user may not listen there.
 * PD_ERR_FULL, PD_ERR_IO, PD_ERR_NO_MEMORY */
PD_NODISCARD enum pd_status pd_wasi_config_add_listener(struct pd_wasi_config *config,
                                                        const char *address, uint16_t *port_out,
                                                        char *why_out, size_t why_size);

/* Whether descriptors 0, 1 and 2 are there. Without, they answer badf and their numbers stay
 * unused. */
void pd_wasi_config_set_stdio(struct pd_wasi_config *config, bool is_allowed);
bool pd_wasi_config_has_stdio(const struct pd_wasi_config *config);

/* The directory in which a guest finds `path`, as wasi-libc would: whether the path begins with a
 * slash or not, the longest guest path that covers it wins. For what opens files by name outside of
 * WASI (SQLite). *dir_out is borrowed from `config`, *rest_out from `path`: what to resolve beneath
 * the directory, "." when it is the directory itself. PD_ERR_DENIED: none covers it.
 * PD_ERR_INVALID: empty. */
PD_NODISCARD enum pd_status pd_wasi_config_find(const struct pd_wasi_config *config,
                                                const char *path, struct pd_file **dir_out,
                                                const char **rest_out, bool *is_writable_out);

/* The first directory in which files may be made, or NULL. Borrowed. */
struct pd_file *pd_wasi_config_writable(const struct pd_wasi_config *config);

/* What opens its files. */
struct pd_files *pd_wasi_config_files(const struct pd_wasi_config *config);

/* Send lines to `sink` (borrowed, outlives the guests) instead of the host's streams; NULL undoes
 * it. */
void pd_wasi_config_set_sink(struct pd_wasi_config *config, struct pd_output_sink *sink);

/* Begin each line with "[TAG] "; cut to PD_WASI_TAG_MAX - 1 bytes; "" is none. */
void pd_wasi_config_set_tag(struct pd_wasi_config *config, const char *tag);

/* --- One guest -------------------------------------------------------------------------------- */

/* Cheap: a small allocation. Holds a reference to `config`. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_create(struct pd_wasi_config *config,
                                           struct pd_wasi **wasi_out);

/* A tag for this guest alone, over the configuration's. PD_OK, PD_ERR_NO_MEMORY. */
PD_NODISCARD enum pd_status pd_wasi_set_tag(struct pd_wasi *wasi, const char *tag);

/* Write the open lines of output, as at an exit. */
void pd_wasi_flush(struct pd_wasi *wasi, struct pd_host *host);

/* What it wrote last to its standard error, as whole lines where they fit, zero-terminated: a
 * panic's message, most likely. Returns the length; 0: nothing. */
size_t pd_wasi_last_errors(const struct pd_wasi *wasi, char *text, size_t text_size);

/* The guest is dead: flush, end waits for streams, let go of descriptors (open files are closed by
 * a job). Jobs still under way finish alone. NULL is allowed. Any thread, once, never within a call
 * of the guest. */
void pd_wasi_destroy(struct pd_wasi *wasi, struct pd_host *host);

/* Descriptors that are open, standard streams and preopens included; for `pando info`. */
uint32_t pd_wasi_fd_count(const struct pd_wasi *wasi);

/* Implemented by the guest: its WASI part, created at the first call. NULL: no memory. */
struct pd_wasi *pd_guest_wasi(struct pd_guest *guest);

/* --- What modules import ---------------------------------------------------------------------- */

extern const struct pd_import pd_wasi_imports[];
extern const size_t pd_wasi_import_count;

#endif
