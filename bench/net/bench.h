/* bench - what is measured of a network, and TCP's half of it. */
#ifndef PD_BENCH_NET_BENCH_H
#define PD_BENCH_NET_BENCH_H

#include "base/host.h"

/* One way of carrying messages. */
struct result {
    double p50_us;        /* of one round trip of 100 bytes, one at a time */
    double cpu_us;        /* both sides, of one of them */
    double busy_per_s;    /* round trips, 64 in flight */
    double busy_cpu_us;   /* both sides, of one of them */
    double bulk_mb_per_s; /* in messages of 1 MiB */
    double bulk_cpu_ns;   /* both sides, of one byte */
};

#define ECHO_BYTES 100u
#define BUSY_IN_FLIGHT 64u
#define BULK_BYTES (1u << 20)

struct rounds {
    uint32_t echoes;
    uint32_t busy;
    uint32_t bulk;
};

double median_us(uint64_t *times_ns, uint32_t count);

/* Plaintext, NODELAY, one thread that polls at the other end. */
void measure_tcp(struct pd_host *host, const struct rounds *rounds, struct result *result_out);

#endif
