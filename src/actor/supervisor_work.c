#include "actor/supervisor_work.h"

#include "base/alloc.h"
#include "base/assert.h"

#define REQUEST_BIT UINT32_C(0x80000000)
#define NONE PD_CHILD_NONE
#define CAPACITY_MIN 4u

_Static_assert(PD_CHILDREN_MAX < REQUEST_BIT, "a slot never looks like a request");
_Static_assert((REQUEST_BIT | PD_SUPERVISOR_REQUESTS_MAX) < NONE, "nor a request like none");

void pd_supervisor_request_deinit(struct pd_supervisor_request *request)
{
    pd_child_spec_release(request->spec);
    pd_free(request->id);
    request->spec = NULL;
    request->id = NULL;
}

void pd_work_init(struct pd_supervisor_work *work, struct pd_children *children,
                  uint32_t requests_max)
{
    *work = (struct pd_supervisor_work){
        .children = children,
        .free = NONE,
        .requests_max = requests_max,
        .first = NONE,
        .last = NONE,
    };
}

void pd_work_deinit(struct pd_supervisor_work *work)
{
    uint32_t slot;
    struct pd_supervisor_request request;
    while (pd_work_take(work, &slot, &request)) {
        if (slot == NONE) {
            pd_supervisor_request_deinit(&request);
        }
    }
    pd_free(work->requests);
    work->requests = NULL;
}

static uint32_t *before_of(struct pd_supervisor_work *work, uint32_t item)
{
    return item & REQUEST_BIT ? &work->requests[item & ~REQUEST_BIT].before
                              : &pd_children_at(work->children, item)->work_before;
}

static uint32_t *after_of(struct pd_supervisor_work *work, uint32_t item)
{
    return item & REQUEST_BIT ? &work->requests[item & ~REQUEST_BIT].after
                              : &pd_children_at(work->children, item)->work_after;
}

static void append(struct pd_supervisor_work *work, uint32_t item)
{
    *before_of(work, item) = work->last;
    *after_of(work, item) = NONE;
    if (work->last == NONE) {
        work->first = item;
    } else {
        *after_of(work, work->last) = item;
    }
    work->last = item;
}

static void detach(struct pd_supervisor_work *work, uint32_t item)
{
    uint32_t before = *before_of(work, item);
    uint32_t after = *after_of(work, item);
    if (before == NONE) {
        work->first = after;
    } else {
        *after_of(work, before) = after;
    }
    if (after == NONE) {
        work->last = before;
    } else {
        *before_of(work, after) = before;
    }
}

void pd_work_add_child(struct pd_supervisor_work *work, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(work->children, slot);
    pd_assert(!record->is_queued);
    record->is_queued = true;
    append(work, slot);
}

void pd_work_remove_child(struct pd_supervisor_work *work, uint32_t slot)
{
    struct pd_child_record *record = pd_children_at(work->children, slot);
    if (record->is_queued) {
        record->is_queued = false;
        detach(work, slot);
    }
}

static enum pd_status grow(struct pd_supervisor_work *work)
{
    uint32_t capacity = work->capacity == 0 ? CAPACITY_MIN : work->capacity * 2;
    struct pd_waiting_request *requests = pd_realloc(work->requests, capacity * sizeof *requests);
    if (requests == NULL) {
        return PD_ERR_NO_MEMORY;
    }
    for (uint32_t i = capacity; i-- > work->capacity;) {
        requests[i].after = work->free;
        work->free = i;
    }
    work->requests = requests;
    work->capacity = capacity;
    return PD_OK;
}

enum pd_status pd_work_add_request(struct pd_supervisor_work *work,
                                   const struct pd_supervisor_request *request)
{
    if (work->request_count == work->requests_max) {
        return PD_ERR_FULL;
    }
    if (work->free == NONE) {
        enum pd_status status = grow(work);
        if (status != PD_OK) {
            return status;
        }
    }
    uint32_t index = work->free;
    work->free = work->requests[index].after;
    work->requests[index].request = *request;
    work->request_count++;
    append(work, index | REQUEST_BIT);
    return PD_OK;
}

bool pd_work_take(struct pd_supervisor_work *work, uint32_t *slot_out,
                  struct pd_supervisor_request *request_out)
{
    uint32_t item = work->first;
    if (item == NONE) {
        return false;
    }
    detach(work, item);
    if (!(item & REQUEST_BIT)) {
        pd_children_at(work->children, item)->is_queued = false;
        *slot_out = item;
        return true;
    }
    uint32_t index = item & ~REQUEST_BIT;
    *slot_out = NONE;
    *request_out = work->requests[index].request;
    work->requests[index].after = work->free;
    work->free = index;
    work->request_count--;
    return true;
}
