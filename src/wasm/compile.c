#include "wasm/compile.h"

#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"

void pd_compile_budget_init(struct pd_compile_budget *budget, struct pd_linker *linker,
                            struct pd_cache *cache, uint32_t jobs_max, uint64_t bytes_max,
                            size_t wasm_bytes_max)
{
    memset(budget, 0, sizeof *budget);
    budget->linker = linker;
    budget->cache = cache;
    budget->jobs_max = jobs_max;
    budget->bytes_max = bytes_max;
    budget->wasm_bytes_max = wasm_bytes_max;
}

static enum pd_status reserve(struct pd_compile_budget *budget, size_t size)
{
    pd_spin_lock(&budget->lock);
    bool has_room =
        budget->job_count < budget->jobs_max && size <= budget->bytes_max - budget->byte_count;
    if (has_room) {
        budget->job_count++;
        budget->byte_count += size;
    }
    pd_spin_unlock(&budget->lock);
    return has_room ? PD_OK : PD_ERR_FULL;
}

static void unreserve(struct pd_compile_budget *budget, size_t size)
{
    pd_spin_lock(&budget->lock);
    pd_assert(budget->job_count > 0);
    pd_assert(budget->byte_count >= size);
    budget->job_count--;
    budget->byte_count -= size;
    pd_spin_unlock(&budget->lock);
}

static struct pd_compile_job *job_of(struct pd_blocking *blocking)
{
    return pd_container_of(blocking, struct pd_compile_job, blocking);
}

static void work(struct pd_blocking *blocking)
{
    struct pd_compile_job *job = job_of(blocking);
    struct pd_module_source source = {
        .bytes = job->bytes,
        .size = job->size,
        .wasm_bytes_max = job->budget->wasm_bytes_max,
        .cache = job->budget->cache,
    };
    job->status = pd_module_load(job->budget->linker, &source, &job->module, &job->message);
    if (job->status == PD_OK && job->budget->memory != NULL) {
        job->status = pd_module_count_on(job->module, job->budget->memory);
    }
    if (job->status == PD_ERR_NO_MEMORY && job->module != NULL) {
        static const char text[] = "no memory for the module: all guests together have as much as "
                                   "they may";
        memcpy(job->message.text, text, sizeof text);
        pd_module_release(job->module);
        job->module = NULL;
    }
}

static void release(struct pd_blocking *blocking)
{
    struct pd_compile_job *job = job_of(blocking);
    pd_module_release(job->module);
    unreserve(job->budget, job->size);
    pd_free(job);
}

enum pd_status pd_compile_job_open(struct pd_compile_budget *budget, const uint8_t *bytes,
                                   size_t size, struct pd_compile_job **job_out)
{
    if (size > budget->wasm_bytes_max) {
        return PD_ERR_RANGE;
    }
    enum pd_status status = reserve(budget, size);
    if (status != PD_OK) {
        return status;
    }
    struct pd_compile_job *job = pd_alloc(sizeof *job + size);
    if (job == NULL) {
        unreserve(budget, size);
        return PD_ERR_NO_MEMORY;
    }
    memset(job, 0, sizeof *job);
    job->blocking.work = work;
    job->blocking.release = release;
    job->blocking.name = "compile_module";
    job->budget = budget;
    job->size = size;
    job->status = PD_ERR_CLOSED;
    if (size > 0) {
        memcpy(job->bytes, bytes, size);
    }
    *job_out = job;
    return PD_OK;
}
