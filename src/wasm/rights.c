#include "wasm/rights.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "wasm/wasi.h"

struct pd_rights *pd_rights_create(struct pd_files *files, uint64_t memory_bytes_max,
                                   uint64_t fuel_portions_max)
{
    struct pd_rights *rights = pd_alloc_zeroed(1, sizeof *rights);
    if (rights == NULL) {
        return NULL;
    }
    atomic_init(&rights->references, 1);
    rights->memory_bytes_max = memory_bytes_max;
    rights->fuel_portions_max = fuel_portions_max;
    if (pd_wasi_config_create(files, &rights->wasi) != PD_OK) {
        pd_free(rights);
        return NULL;
    }
    return rights;
}

struct pd_rights *pd_rights_create_child(struct pd_files *files, const struct pd_rights *of)
{
    struct pd_rights *rights = pd_rights_create(files, of->memory_bytes_max, of->fuel_portions_max);
    if (rights != NULL) {
        pd_wasi_config_set_stdio(rights->wasi, pd_wasi_config_has_stdio(of->wasi));
        rights->network = of->network;
        rights->network_list = pd_net_list_share(of->network_list);
    }
    return rights;
}

struct pd_rights *pd_rights_copy(const struct pd_rights *of)
{
    struct pd_rights *rights = pd_alloc_zeroed(1, sizeof *rights);
    if (rights == NULL) {
        return NULL;
    }
    atomic_init(&rights->references, 1);
    rights->can_compile = of->can_compile;
    rights->can_configure = of->can_configure;
    rights->can_spawn = of->can_spawn;
    rights->network = of->network;
    rights->network_list = pd_net_list_share(of->network_list);
    rights->memory_bytes_max = of->memory_bytes_max;
    rights->fuel_portions_max = of->fuel_portions_max;
    rights->wasi = pd_wasi_config_retain(of->wasi);
    if (of->can_kv && pd_rights_allow_kv(rights, of->kv_prefix, of->kv_prefix_size) != PD_OK) {
        pd_rights_release(rights);
        return NULL;
    }
    return rights;
}

enum pd_status pd_rights_allow_kv(struct pd_rights *rights, const char *prefix,
                                  uint32_t prefix_size)
{
    char *copy = pd_alloc_text(prefix, prefix_size);
    if (copy == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    pd_free(rights->kv_prefix);
    rights->kv_prefix = copy;
    rights->kv_prefix_size = prefix_size;
    rights->can_kv = true;
    return PD_OK;
}

struct pd_rights *pd_rights_share(struct pd_rights *rights)
{
    atomic_fetch_add_explicit(&rights->references, 1, memory_order_relaxed);
    return rights;
}

void pd_rights_release(struct pd_rights *rights)
{
    if (rights == NULL) {
        return;
    }
    uint32_t before = atomic_fetch_sub_explicit(&rights->references, 1, memory_order_acq_rel);
    pd_assert(before > 0);
    if (before == 1) {
        pd_wasi_config_release(rights->wasi);
        pd_net_list_release(rights->network_list);
        pd_free(rights->kv_prefix);
        pd_free(rights);
    }
}

static bool fuel_within(uint64_t child, uint64_t parent)
{
    return parent == 0 || (child != 0 && child <= parent);
}

static bool kv_within(const struct pd_rights *child, const struct pd_rights *parent)
{
    return !child->can_kv ||
           (parent->can_kv && child->kv_prefix_size >= parent->kv_prefix_size &&
            memcmp(child->kv_prefix, parent->kv_prefix, parent->kv_prefix_size) == 0);
}

bool pd_rights_within(const struct pd_rights *child, const struct pd_rights *parent)
{
    return (!child->can_compile || parent->can_compile) &&
           (!child->can_configure || parent->can_configure) &&
           (!child->can_spawn || parent->can_spawn) &&
           (!pd_wasi_config_has_stdio(child->wasi) || pd_wasi_config_has_stdio(parent->wasi)) &&
           pd_net_right_within((enum pd_network_right)child->network, child->network_list,
                               (enum pd_network_right)parent->network, parent->network_list) &&
           kv_within(child, parent) && child->memory_bytes_max <= parent->memory_bytes_max &&
           fuel_within(child->fuel_portions_max, parent->fuel_portions_max);
}
