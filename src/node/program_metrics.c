#include "node/program_metrics.h"

#include <inttypes.h>

#include "gateway/prometheus.h"

static uint64_t read(const atomic_uint_least64_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

/* -- The runtime ------------------------------------------------------------------------------- */

static void write_processes(struct pd_program *program, struct pd_text *text)
{
    const struct pd_runtime *runtime = &program->runtime;
    bool is_running = read(&program->main_pid) != 0 && !atomic_load(&program->is_main_over);
    pd_prometheus_gauge(text, "pando_app_is_running",
                        "Whether the main process of the node's application lives.", is_running);
    pd_prometheus_gauge(text, "pando_actors", "Actors that live.", read(&runtime->process_count));
    pd_prometheus_counter(text, "pando_actors_spawned_total", "Actors that were started.",
                          read(&runtime->started_processes));
    pd_prometheus_head(text, "pando_actors_ended_total", "counter",
                       "Actors that ended, by how they did.");
    for (uint32_t i = 0; i < PD_EXIT_REASONS; i++) {
        pd_text_format(text, "pando_actors_ended_total{reason=\"%s\"} %" PRIu64 "\n",
                       pd_exit_reason_text((enum pd_exit_reason)i),
                       read(&runtime->ended_processes[i]));
    }
}

static void write_schedulers(struct pd_program *program, struct pd_text *text)
{
    struct pd_runtime *runtime = &program->runtime;
    uint64_t turns = 0;
    uint64_t steals = 0;
    uint64_t sent = 0;
    uint64_t received = 0;
    uint64_t fuel = 0;
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        const struct pd_scheduler *scheduler = &runtime->schedulers[i];
        turns += read(&scheduler->run_count);
        steals += read(&scheduler->steal_count);
        sent += read(&scheduler->sent_count);
        received += read(&scheduler->received_count);
        fuel += read(&scheduler->fuel_count);
    }
    pd_prometheus_counter(text, "pando_actors_turns_total", "Turns that actors took.", turns);
    pd_prometheus_counter(text, "pando_actors_steals_total",
                          "Turns of actors that another scheduler had waiting.", steals);
    pd_prometheus_counter(text, "pando_actors_messages_sent_total",
                          "Messages that actors sent, by who took the turn.", sent);
    pd_prometheus_counter(text, "pando_actors_messages_received_total",
                          "Messages that actors took in.", received);
    pd_prometheus_counter(text, "pando_actors_fuel_total", "Fuel that actors used.", fuel);
    pd_prometheus_head(text, "pando_actors_run_queue_length", "gauge",
                       "Actors that wait for a turn, by scheduler; outside: woken from outside of "
                       "all.");
    for (uint32_t i = 0; i < runtime->scheduler_count; i++) {
        pd_text_format(text, "pando_actors_run_queue_length{scheduler=\"%u\"} %u\n", (unsigned)i,
                       (unsigned)pd_runqueue_count(&runtime->schedulers[i].queue));
    }
    pd_text_format(text, "pando_actors_run_queue_length{scheduler=\"outside\"} %u\n",
                   (unsigned)pd_runqueue_count(&runtime->injected));
}

static const char *use_text(enum pd_memory_use use)
{
    switch (use) {
    case PD_MEMORY_SPAWN:
        return "spawn";
    case PD_MEMORY_GROWTH:
        return "growth";
    case PD_MEMORY_MESSAGE:
        return "message";
    case PD_MEMORY_OTHER:
        return "other";
    }
    return "";
}

static void write_memory(struct pd_program *program, struct pd_text *text)
{
    const struct pd_memory_budget *budget = program->system.budget;
    if (budget != NULL) {
        pd_prometheus_gauge(
            text, "pando_actors_memory_bytes",
            "Memory that actors have: with their stacks, messages, tables and modules.",
            read(&budget->bytes));
        pd_prometheus_gauge(text, "pando_actors_memory_max_bytes", "What they may have together.",
                            budget->bytes_max);
        pd_prometheus_head(text, "pando_actors_memory_refused_total", "counter",
                           "How often they asked for more in vain, by what for.");
        for (uint32_t i = 0; i < PD_MEMORY_USES; i++) {
            pd_text_format(text, "pando_actors_memory_refused_total{use=\"%s\"} %" PRIu64 "\n",
                           use_text((enum pd_memory_use)i), read(&budget->refused[i]));
        }
    }
}

/* -- What guests count ------------------------------------------------------------------------- */

bool pd_program_metric_is_shown(const char *name, size_t size)
{
    bool is_good = size > 0 && size <= PD_PROGRAM_METRIC_NAME_MAX && name[0] != '.';
    for (size_t i = 0; i < size && is_good; i++) {
        char letter = name[i];
        bool is_digit = letter >= '0' && letter <= '9';
        is_good = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                  letter == '_' || letter == ':' || letter == '.' || (is_digit && i > 0);
    }
    return is_good;
}

static void write_histogram(const struct pd_metric *metric, struct pd_text *text)
{
    static const char family[] = "pando_guest_histogram";
    const struct pd_metric_histogram *histogram = &metric->value.histogram;
    uint64_t count = 0;
    for (uint32_t i = 0; i < PD_METRIC_BUCKETS; i++) {
        count += histogram->buckets[i];
        pd_text_format(text, "%s_bucket{name=\"%s\",le=\"", family, metric->name);
        pd_prometheus_number(text, pd_metric_bucket_bound(i));
        pd_text_format(text, "\"} %" PRIu64 "\n", count);
    }
    pd_text_format(text, "%s_sum{name=\"%s\"} ", family, metric->name);
    pd_prometheus_number(text, histogram->sum);
    pd_text_format(text, "\n%s_count{name=\"%s\"} %" PRIu64 "\n", family, metric->name, count);
}

static void write_metric(const struct pd_metric *metric, struct pd_text *text)
{
    switch (metric->kind) {
    case PD_METRIC_COUNTER:
        pd_text_format(text, "pando_guest_counter_total{name=\"%s\"} %" PRIu64 "\n", metric->name,
                       metric->value.counter);
        return;
    case PD_METRIC_GAUGE:
        pd_text_format(text, "pando_guest_gauge{name=\"%s\"} ", metric->name);
        pd_prometheus_number(text, metric->value.gauge);
        pd_text_puts(text, "\n");
        return;
    case PD_METRIC_HISTOGRAM:
        write_histogram(metric, text);
        return;
    }
}

/* Those of one kind are one family, and stand together. */
static void write_kind(const struct pd_metrics_snapshot *snapshot, enum pd_metric_kind kind,
                       struct pd_text *text)
{
    for (uint32_t i = 0; i < snapshot->count; i++) {
        const struct pd_metric *metric = &snapshot->metrics[i];
        if (metric->kind == kind && pd_program_metric_is_shown(metric->name, metric->name_size)) {
            write_metric(metric, text);
        }
    }
}

static void write_guests(struct pd_program *program, struct pd_text *text)
{
    struct pd_metrics_snapshot snapshot;
    uint64_t hidden = 0;
    if (pd_metrics_snapshot(program->system.metrics, &snapshot) != PD_OK) {
        return; /* no memory: the next look may find some */
    }
    for (uint32_t i = 0; i < snapshot.count; i++) {
        hidden +=
            !pd_program_metric_is_shown(snapshot.metrics[i].name, snapshot.metrics[i].name_size);
    }
    pd_prometheus_gauge(text, "pando_guest_metrics", "Metrics that guests have recorded.",
                        snapshot.count);
    pd_prometheus_gauge(text, "pando_guest_metrics_hidden", "Of these, not shown for their names.",
                        hidden);
    pd_prometheus_counter(text, "pando_guest_metrics_refused_total",
                          "Recordings for which there was no room, or that were no numbers.",
                          snapshot.refused_count);
    pd_prometheus_head(text, "pando_guest_counter_total", "counter", "Counters of guests.");
    write_kind(&snapshot, PD_METRIC_COUNTER, text);
    pd_prometheus_head(text, "pando_guest_gauge", "gauge", "Gauges of guests.");
    write_kind(&snapshot, PD_METRIC_GAUGE, text);
    pd_prometheus_head(text, "pando_guest_histogram", "histogram", "Histograms of guests.");
    write_kind(&snapshot, PD_METRIC_HISTOGRAM, text);
    pd_metrics_snapshot_deinit(&snapshot);
}

void pd_program_metrics_write(struct pd_program *program, struct pd_text *text)
{
    write_processes(program, text);
    write_schedulers(program, text);
    write_memory(program, text);
    write_guests(program, text);
}
