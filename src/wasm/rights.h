/* rights - what a guest may do and what it starts with: limits, permissions, arguments,
 * directories.
 *
 * Model      Immutable once shared. A guest's children get a copy that was narrowed, never widened:
 *            every setter compares with the rights of the one who sets. `lunatic` calls such an
 *            object a configuration.
 * Default    Nothing is permitted; limits are the parent's.
 * Ownership  Reference counted once shared; a copy under construction belongs to who builds it. */
#ifndef PD_WASM_RIGHTS_H
#define PD_WASM_RIGHTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "wasm/net_rights.h"

#define PD_FUEL_PORTION UINT64_C(100000) /* units of fuel in one of the ABI's portions */
#define PD_MEMORY_BYTES_MAX (UINT64_C(1) << 32)
#define PD_KV_PREFIX_MAX 8192u /* bytes of a prefix that a guest hands on; a key has no more */

struct pd_files;
struct pd_wasi_config;

struct pd_rights {
    atomic_uint_least32_t references;
    bool can_compile;
    bool can_configure;
    bool can_spawn;
    uint8_t network;                  /* enum pd_network_right */
    struct pd_net_list *network_list; /* of PD_NETWORK_LIST, or NULL; a reference */
    bool can_kv; /* the store's keys that begin with kv_prefix, and no others */
    uint32_t kv_prefix_size;
    char *kv_prefix;            /* kv_prefix_size bytes; owned */
    uint64_t memory_bytes_max;  /* of the linear memory */
    uint64_t fuel_portions_max; /* 0: unlimited */
    /* a reference: arguments, environment, directories, standard streams */
    struct pd_wasi_config *wasi;
};

/* Nothing permitted, limits as given, an empty WASI configuration over `files`. One reference.
 * NULL: no memory. */
struct pd_rights *pd_rights_create(struct pd_files *files, uint64_t memory_bytes_max,
                                   uint64_t fuel_portions_max);

/* A beginning for a child of `of`: its limits, network and standard streams, none of its other
 * permissions, no arguments and directories. Lunatic's guests cannot ask for a network, so it is
 * taken away (pando::network::config_allow) and not given. NULL: no memory. */
struct pd_rights *pd_rights_create_child(struct pd_files *files, const struct pd_rights *of);

/* A copy that can be changed. NULL: no memory. */
struct pd_rights *pd_rights_copy(const struct pd_rights *of);

/* Let it touch the store's keys that begin with `prefix` (empty: all). PD_ERR_NO_MEMORY: nothing
 * changed. */
PD_NODISCARD enum pd_status pd_rights_allow_kv(struct pd_rights *rights, const char *prefix,
                                               uint32_t prefix_size);

struct pd_rights *pd_rights_share(struct pd_rights *rights);
void pd_rights_release(struct pd_rights *rights); /* NULL is allowed */

/* True: `child` asks for nothing that `parent` lacks. Directories are compared when they are
 * added. */
bool pd_rights_within(const struct pd_rights *child, const struct pd_rights *parent);

#endif
