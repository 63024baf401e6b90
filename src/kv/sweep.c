/* sweep - the removal of compacted rows: background work of this store alone.
 *
 * Not written yet: a compaction refuses reads below it, but its rows stay in the store. */
#include "kv/internal.h"

enum pd_status pd_kv_sweep_supply(struct pd_kv *kv, const struct pd_store_page *page)
{
    (void)kv;
    (void)page;
    return PD_OK;
}

enum pd_kv_progress pd_kv_background_step(struct pd_kv *kv, uint32_t budget)
{
    (void)kv;
    (void)budget;
    return PD_KV_DONE;
}
