/* pando::network - which part of its own network right an actor hands on to a child. Lunatic's ABI
 * knows no such right: a configuration begins with its maker's, and this narrows it. */
#include <string.h>

#include "base/alloc.h"
#include "wasm/net.h"
#include "wasm/net_calls.h"

#define TEXT_MAX 8192u

/* "none", "local", "all", or a list. */
static enum pd_status read_right(const char *text, enum pd_network_right *kind_out,
                                 struct pd_net_list **list_out, char *why, size_t why_size)
{
    static const char *const words[] = {"none", "local", "all"};
    static const enum pd_network_right kinds[] = {PD_NETWORK_NONE, PD_NETWORK_LOCAL,
                                                  PD_NETWORK_ALL};
    *list_out = NULL;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(text, words[i]) == 0) {
            *kind_out = kinds[i];
            return PD_OK;
        }
    }
    *kind_out = PD_NETWORK_LIST;
    return pd_net_list_parse(text, list_out, why, why_size);
}

/* config_allow(config, text, size, id) -> 0, or 1 and an error. */
enum pd_call_result pd_net_config_allow(struct pd_call *call)
{
    uint32_t size = pd_call_u32(call, 2);
    if (size > TEXT_MAX) { /* before all of it is looked at: that takes time */
        return pd_call_bytes(call, pd_call_u32(call, 1), size, "network right") == NULL
                   ? PD_CALL_TRAP
                   : pd_call_error(call, pd_call_u32(call, 3), "at most %u bytes are allowed",
                                   TEXT_MAX);
    }
    const char *bytes = pd_call_text(call, pd_call_u32(call, 1), size, TEXT_MAX, "network right");
    if (bytes == NULL ||
        pd_call_bytes(call, pd_call_u32(call, 3), sizeof(uint64_t), "result pointer") == NULL) {
        return PD_CALL_TRAP;
    }
    struct pd_rights *config = pd_call_config_for_change(call);
    if (config == NULL) {
        return PD_CALL_TRAP;
    }
    char *text = pd_alloc_text(bytes, size);
    if (text == NULL) {
        return pd_call_error(call, pd_call_u32(call, 3), "no memory");
    }
    char why[512] = "";
    enum pd_network_right kind = PD_NETWORK_NONE;
    struct pd_net_list *list = NULL;
    enum pd_status status = read_right(text, &kind, &list, why, sizeof why);
    pd_free(text);
    if (status != PD_OK) {
        return pd_call_error(call, pd_call_u32(call, 3), "%s", why);
    }
    const struct pd_rights *own = pd_call_process(call)->rights;
    if (!pd_net_right_within(kind, list, (enum pd_network_right)own->network, own->network_list)) {
        pd_net_list_release(list);
        return pd_call_error(call, pd_call_u32(call, 3),
                             "permission denied: a child's right 'network' beyond its parent's");
    }
    pd_net_list_release(config->network_list);
    config->network = (uint8_t)kind;
    config->network_list = list;
    return pd_call_done(call, 0);
}
