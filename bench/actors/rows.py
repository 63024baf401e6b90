"""The rows of the actor benchmark: what each column runs, and which goal a row has.

A row's programs print `RESULT name ns count`; a row reads the results that it names. Counts differ by
column so that a run takes about a second in each: results are per operation.
"""

from dataclasses import dataclass, field

PANDO, BARE, ERLANG, LUNATIC = "Pando", "bare Wasmtime", "Erlang", "Lunatic"
COLUMNS = (PANDO, BARE, ERLANG, LUNATIC)

KERNELS = ("matmul", "sieve", "heapsort", "tree", "hash", "fp", "fib", "counter")


@dataclass
class Goal:
    """`value` of the medians must be at most (or at least) `limit`."""

    text: str
    limit: float
    at_most: bool = True

    def met(self, value):
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass
class Row:
    name: str
    title: str
    kind: str  # "time", "compute", "memory" or "fairness": how run.py shows it
    result: str  # the RESULT line that is the row's figure
    runs: dict  # column -> list of arguments (see run.py: command)
    peer: str = ""  # the column that the ratio is taken against
    goal: Goal = None
    extra: dict = field(default_factory=dict)  # for the notes: label -> (column, arguments, result)
    timeout_s: int = 60
    turns_max: int = 99  # of each column, where more would take too long
    result_note: str = ""  # a second result of Pando's, for the notes
    count: int = 0  # memory rows: actors on Pando


def guest(name, *arguments, options=()):
    """What follows `pando run` or `lunatic run`."""
    return [*options, f"{name}.wasm", *[str(argument) for argument in arguments]]


QUIET = ("--crash-reports", "none")  # as the peers are kept from reporting deaths
GUARDED = ("--profile", "guarded")


def plain(*arguments):
    return [str(argument) for argument in arguments]


def message_row(name, title, size, counts):
    pando, erlang, lunatic, shared = counts
    return Row(
        name, title, "time", "message",
        {PANDO: guest("ping", "bytes", pando, size), ERLANG: plain("bytes", erlang, size),
         LUNATIC: guest("ping", "bytes", lunatic, size)},
        peer=ERLANG,
        extra={"Erlang, one shared binary that nobody reads": (ERLANG, plain("shared", shared, size),
                                                              "message_shared")})


def time_rows(scale):
    def n(count):
        return max(int(count * scale), 100)

    return [
        Row("spawn_serial", "spawn + message, serial", "time", "spawn_serial",
            {PANDO: guest("spawn", "serial", n(100_000)), BARE: plain("spawn", n(200_000)),
             ERLANG: plain("serial", n(500_000)), LUNATIC: guest("spawn", "serial", n(8_000))},
            peer=BARE, goal=Goal("<= 1.6 x bare", 1.6)),
        Row("spawn_guarded", "the same, profile guarded", "time", "spawn_serial",
            {PANDO: guest("spawn", "serial", n(100_000), options=GUARDED),
             BARE: plain("spawn-guarded", n(100_000))},
            peer=BARE, turns_max=3),
        Row("spawn_inflight", "spawn + message, 500 in flight", "time", "spawn_inflight",
            {PANDO: guest("spawn", "inflight", n(100_000), 500),
             ERLANG: plain("inflight", n(500_000), 500),
             LUNATIC: guest("spawn", "inflight", n(5_000), 500)},
            peer=ERLANG, goal=Goal("<= 1.0 x Erlang", 1.0)),
        Row("ping_pong", "ping-pong round trip", "time", "ping_pong",
            {PANDO: guest("ping", "numbers", n(1_000_000)), BARE: plain("resume", n(2_000_000)),
             ERLANG: plain("numbers", n(1_000_000)), LUNATIC: guest("ping", "numbers", n(300_000))},
            peer=ERLANG, goal=Goal("<= 0.5 x Erlang", 0.5)),
        message_row("message_1k", "1 KiB there and back", 1024,
                    (n(200_000), n(200_000), n(100_000), n(500_000))),
        message_row("message_1m", "1 MiB there and back", 1 << 20,
                    (n(1_000), n(1_000), n(1_000), n(500_000))),
        Row("kill", "spawn, block, kill", "time", "spawn_kill",
            {PANDO: guest("spawn", "kill", n(50_000), options=QUIET), BARE: plain("kill", n(100_000)),
             ERLANG: plain("kill", n(200_000)), LUNATIC: guest("spawn", "kill", n(5_000))},
            peer=BARE, goal=Goal("<= 1.6 x bare", 1.6)),
        Row("trap", "spawn, trap, death seen", "time", "spawn_trap",
            {PANDO: guest("spawn", "trap", n(50_000), options=QUIET), BARE: plain("trap", n(100_000)),
             ERLANG: plain("trap", n(200_000)), LUNATIC: guest("spawn", "trap", n(5_000))},
            peer=BARE, goal=Goal("<= 1.6 x bare", 1.6)),
        Row("trap_debug", "the same, with debug information", "time", "spawn_trap",
            {PANDO: guest("spawn_debug", "trap", n(50_000), options=QUIET), BARE: plain("trap", n(100_000)),
             LUNATIC: guest("spawn_debug", "trap", n(5_000))},
            peer=BARE),
    ]


def compute_rows(repeats):
    return [
        Row(f"compute_{kernel}", f"compute: {kernel}", "compute", f"compute_{kernel}",
            {PANDO: guest("compute", kernel, repeats), BARE: plain("compute", "fuel", kernel, repeats),
             LUNATIC: guest("compute", kernel, repeats)},
            peer=BARE, goal=Goal(">= 0.95 x bare", 0.95, at_most=False),
            turns_max=3,
            extra={"guarded": (PANDO, guest("compute", kernel, repeats, options=GUARDED),
                               f"compute_{kernel}"),
                   "guards and fuel": (BARE, plain("compute", "guarded", kernel, repeats),
                                       f"compute_{kernel}"),
                   "no fuel": (BARE, plain("compute", "dense", kernel, repeats), f"compute_{kernel}"),
                   "fastest": (BARE, plain("compute", "fastest", kernel, repeats), f"compute_{kernel}")})
        for kernel in KERNELS
    ]


def bulk_rows(sizes, rounds):
    """One scheduler thread, so that the pair that is measured shares it with the worker."""
    return [
        Row(f"bulk_{mode}_{size >> 20}m", f"worst pause: memory.{mode} of {text}", "pause", "bulk_pause",
            {PANDO: guest("bulk", mode, size, rounds, options=("--threads", "1"))},
            turns_max=1, result_note="bulk_work")
        for mode in ("fill", "copy", "grow")
        for size, text in sizes
    ]


def fairness_row(loops, rounds, peer_rounds):
    return Row(
        "fairness", f"hop p99 beside {loops:,} endless loops", "fairness", "fairness_p99",
        {PANDO: guest("fairness", loops, rounds), ERLANG: plain("fairness", loops, peer_rounds),
         LUNATIC: guest("fairness", loops, peer_rounds)},
        goal=Goal("<= 1.5 x (R/T+1) slices", 1.5), timeout_s=60, count=loops,
        turns_max=1)


def memory_rows(mass, pause_ms):
    few = min(mass, 10_000)  # Lunatic holds about 11,000 under the default vm.max_map_count
    return [
        Row("mass", f"{mass:,} blocked actors: KiB each", "memory", "mass_spawn",
            {PANDO: guest("mass", mass, pause_ms), BARE: plain("mass", mass, pause_ms),
             ERLANG: plain("mass", mass, pause_ms), LUNATIC: guest("mass", few, pause_ms)},
            goal=Goal("<= 18 KiB all in", 18.0), timeout_s=240, turns_max=1, count=mass,
            extra={"Lunatic, 20,000": (LUNATIC, guest("mass", 20_000, pause_ms), "mass_spawn")}),
        Row("libc_mass", f"{few:,} libc guests: KiB each", "memory", "libc_mass_spawn",
            {PANDO: guest("libc_mass", few, pause_ms), LUNATIC: guest("libc_mass", few // 2, pause_ms)},
            timeout_s=120, turns_max=1, count=few),
    ]


def all_rows(quick):
    sizes = [(1 << 20, "1 MiB"), (64 << 20, "64 MiB"), (1 << 30, "1 GiB")]
    return [
        *time_rows(0.15 if quick else 0.6),
        *compute_rows(3 if quick else 10),
        fairness_row(1_000, 1_000 if quick else 3_000, 20 if quick else 60),
        *bulk_rows(sizes[:2] if quick else sizes, 3),
        *memory_rows(50_000 if quick else 1_000_000, 1_000 if quick else 2_000),
    ]
