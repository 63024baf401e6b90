/* compute - kernels that never call the host while the clock runs.
 *
 *   compute NAME REPEATS   NAME is matmul, sieve, heapsort, tree, hash, fp, fib, counter, or all
 *
 * Prints the best of REPEATS runs: on a shared machine the best is the least disturbed. Each kernel
 * returns a number that depends on all of its work, and the guest fails if two runs differ. */
#include "bench.h"

#include <stdlib.h>

static struct bench_arguments arguments;

void _start(void);

enum {
    MATRIX_SIDE = 160,
    SIEVE_SIZE = 2000000,
    HEAP_SIZE = 200000,
    HASH_BYTES = 1 << 20
};

static double left[MATRIX_SIDE][MATRIX_SIDE];
static double right[MATRIX_SIDE][MATRIX_SIDE];
static double product[MATRIX_SIDE][MATRIX_SIDE];
static uint8_t bytes[SIEVE_SIZE];
static uint32_t heap[HEAP_SIZE];

static uint64_t next(uint64_t state)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^ (state << 17);
}

static uint64_t kernel_matmul(void)
{
    for (uint32_t i = 0; i < MATRIX_SIDE; i++) {
        for (uint32_t j = 0; j < MATRIX_SIDE; j++) {
            left[i][j] = (double)(i + j);
            right[i][j] = (double)i - (double)j;
            product[i][j] = 0;
        }
    }
    for (uint32_t i = 0; i < MATRIX_SIDE; i++) {
        for (uint32_t k = 0; k < MATRIX_SIDE; k++) {
            double factor = left[i][k];
            for (uint32_t j = 0; j < MATRIX_SIDE; j++) {
                product[i][j] += factor * right[k][j];
            }
        }
    }
    return (uint64_t)(int64_t)product[MATRIX_SIDE / 2][MATRIX_SIDE / 3];
}

static uint64_t kernel_sieve(void)
{
    uint64_t primes = 0;
    for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
        bytes[i] = 1;
    }
    for (uint32_t i = 2; i < SIEVE_SIZE; i++) {
        if (bytes[i] == 0) {
            continue;
        }
        primes++;
        for (uint64_t j = (uint64_t)i * i; j < SIEVE_SIZE; j += i) {
            bytes[j] = 0;
        }
    }
    return primes;
}

static void sift_down(uint32_t root, uint32_t size)
{
    for (uint32_t child = 2 * root + 1; child < size; child = 2 * root + 1) {
        if (child + 1 < size && heap[child + 1] > heap[child]) {
            child++;
        }
        if (heap[root] >= heap[child]) {
            return;
        }
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
        root = child;
    }
}

static uint64_t kernel_heapsort(void)
{
    uint64_t state = 88172645463325252u;
    for (uint32_t i = 0; i < HEAP_SIZE; i++) {
        state = next(state);
        heap[i] = (uint32_t)state;
    }
    for (uint32_t i = HEAP_SIZE / 2; i > 0; i--) {
        sift_down(i - 1, HEAP_SIZE);
    }
    for (uint32_t size = HEAP_SIZE; size > 1; size--) {
        uint32_t swap = heap[0];
        heap[0] = heap[size - 1];
        heap[size - 1] = swap;
        sift_down(0, size - 1);
    }
    return heap[HEAP_SIZE / 2];
}

/* A binary search tree on the heap: insert, look up, free. */
struct node {
    uint64_t key;
    struct node *children[2];
};

static uint64_t kernel_tree(void)
{
    enum {
        NODES = 20000
    };
    static struct node *all[NODES];
    struct node *root = NULL;
    uint64_t state = 88172645463325252u;
    uint64_t steps = 0;
    for (uint32_t i = 0; i < NODES; i++) {
        state = next(state);
        struct node *node = malloc(sizeof *node);
        if (node == NULL) {
            bench_fail("malloc returned NULL");
        }
        *node = (struct node){.key = state};
        all[i] = node;
        struct node **place = &root;
        while (*place != NULL) {
            place = &(*place)->children[(*place)->key < state];
            steps++;
        }
        *place = node;
    }
    for (uint32_t i = 0; i < NODES; i++) {
        free(all[i]);
    }
    return steps;
}

/* FNV-1a over 1 MiB, byte by byte. */
static uint64_t kernel_hash(void)
{
    for (uint32_t i = 0; i < HASH_BYTES; i++) {
        bytes[i] = (uint8_t)i;
    }
    uint64_t hash = 14695981039346656037u;
    for (uint32_t round = 0; round < 8; round++) {
        for (uint32_t i = 0; i < HASH_BYTES; i++) {
            hash = (hash ^ bytes[i]) * 1099511628211u;
        }
    }
    return hash;
}

/* The Mandelbrot set on a small grid. */
static uint64_t kernel_fp(void)
{
    enum {
        SIDE = 96,
        LIMIT = 400
    };
    uint64_t total = 0;
    for (uint32_t row = 0; row < SIDE; row++) {
        for (uint32_t column = 0; column < SIDE; column++) {
            double cr = 3.0 * column / SIDE - 2.0;
            double ci = 2.0 * row / SIDE - 1.0;
            double r = 0;
            double i = 0;
            for (uint32_t n = 0; n < LIMIT && r * r + i * i < 4.0; n++) {
                double swap = r * r - i * i + cr;
                i = 2.0 * r * i + ci;
                r = swap;
                total++;
            }
        }
    }
    return total;
}

/* Recursion is the point: it measures calls. */
static __attribute__((noinline)) uint32_t fib(uint32_t n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2); /* NOLINT(misc-no-recursion) */
}

static uint64_t kernel_fib(void)
{
    return fib(30);
}

/* A loop with almost nothing in it: the worst case for a check at each loop head. */
static uint64_t kernel_counter(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < 30000000; i++) {
        count += i;
        __asm__ volatile("" : "+r"(count)); /* or clang computes the sum itself */
    }
    return count;
}

struct kernel {
    const char *name;
    const char *result;
    uint64_t (*run)(void);
};

static const struct kernel kernels[] = {
    {"matmul", "compute_matmul", kernel_matmul},
    {"sieve", "compute_sieve", kernel_sieve},
    {"heapsort", "compute_heapsort", kernel_heapsort},
    {"tree", "compute_tree", kernel_tree},
    {"hash", "compute_hash", kernel_hash},
    {"fp", "compute_fp", kernel_fp},
    {"fib", "compute_fib", kernel_fib},
    {"counter", "compute_counter", kernel_counter},
};

static void measure(const struct kernel *kernel, uint64_t repeats)
{
    uint64_t best = UINT64_MAX;
    uint64_t first = 0;
    for (uint64_t i = 0; i < repeats; i++) {
        uint64_t begin = bench_now_ns();
        uint64_t number = kernel->run();
        uint64_t elapsed = bench_now_ns() - begin;
        if (i == 0) {
            first = number;
        } else if (number != first) {
            bench_fail("a kernel returned two different numbers");
        }
        if (elapsed < best) {
            best = elapsed;
        }
    }
    bench_result(kernel->result, best, 1);
}

BENCH_EXPORT("_start") void _start(void)
{
    bench_arguments_load(&arguments);
    const char *mode = bench_mode(&arguments);
    uint64_t repeats = bench_argument(&arguments, 2, 3);
    bool found = false;
    if (repeats == 0) {
        bench_fail("0 repeats");
    }
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        if (bench_equal(mode, kernels[i].name) || bench_equal(mode, "all")) {
            measure(&kernels[i], repeats);
            found = true;
        }
    }
    if (!found) {
        bench_fail("usage: compute NAME|all REPEATS");
    }
}
