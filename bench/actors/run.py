#!/usr/bin/env python3
"""Runs the actor benchmark and prints its table; see run.sh, which builds everything first.

Within a row the columns take turns (Pando, bare, Erlang, Lunatic, Pando, ...), so that a slow moment of
the machine strikes all of them; a cell is the median of its column's turns. Memory is sampled from
/proc/PID when a guest prints READY. Every run is bounded in time, and in memory by what is free.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from functools import partial

from rows import BARE, COLUMNS, ERLANG, LUNATIC, PANDO, all_rows

MARKS = re.compile(rb"\b(?:RESULT|READY|FAILED) ")
RESULT = re.compile(r"\bRESULT (\w+) ([\d.]+) (\d+)")
READY = re.compile(r"\bREADY (\w+) (\d+)")
FAILED = re.compile(r"\bFAILED (.*)")

KIB_EACH_EXPECTED = 19  # admits a memory run; one that takes more is ended by the watch
EXTRA_TIMEOUT_S = 15  # for what only the notes show: Lunatic may hang where it runs out of mappings
FREE_KIB_MIN = 1 << 20  # a run that leaves the machine less than this is ended


def free_kib():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"MemAvailable:\s+(\d+)", file.read()).group(1))


def sample(pid):
    """Memory of a process in KiB: resident, page tables; and its number of mappings. None if it is gone."""
    try:
        return read_sample(pid)
    except (OSError, KeyError):  # it ended meanwhile: its exit code tells the rest
        return None


def read_sample(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        status = file.read()
    with open(f"/proc/{pid}/maps", "rb") as file:
        maps = sum(1 for _ in file)
    fields = dict(re.findall(r"^(VmRSS|VmPTE):\s+(\d+)", status, re.MULTILINE))
    return {"rss_kib": int(fields["VmRSS"]), "pte_kib": int(fields["VmPTE"]), "maps": maps,
            "free_kib": free_kib()}


class Run:
    """One program's run: its results, its memory samples, and why it failed if it did."""

    def __init__(self):
        self.results = {}
        self.samples = {}
        self.error = None

    def as_json(self):
        return {"results": self.results, "samples": self.samples, "error": self.error}


class Programs:
    """Where each column's program is, and why a column cannot run."""

    def __init__(self, build, pando):
        self.folder = os.path.join(build, "bench", "actors", "programs")
        self.paths = {
            PANDO: pando or os.path.join(build, "bin", "pando"),
            BARE: os.path.join(build, "bin", "bare_wasmtime"),
            ERLANG: shutil.which("erl"),
            LUNATIC: shutil.which("lunatic"),
        }
        self.missing = {}
        for column, advice in ((PANDO, "not built"), (BARE, "not built"),
                               (ERLANG, "no erl in PATH: apt-get install erlang-base"),
                               (LUNATIC, "no lunatic in PATH: run with --install-lunatic")):
            path = self.paths[column]
            if path is None or not os.access(path, os.X_OK):
                self.missing[column] = advice

    def command(self, column, arguments):
        path = self.paths[column]
        if column == ERLANG:
            return [path, "+P", "2000000", "-noshell", "-pa", self.folder, "-run", "bench_actors",
                    "main", *arguments]
        if column == BARE:
            return [path, self.folder, *arguments]
        return [path, "run", *[os.path.join(self.folder, argument) if argument.endswith(".wasm")
                               else argument for argument in arguments]]

    def lacks(self, column, arguments):
        """Why this run cannot be, or None."""
        if column in self.missing:
            return self.missing[column]
        needed = "bench_actors.beam" if column == ERLANG else next(
            (argument for argument in arguments if argument.endswith(".wasm")), "")
        if column != BARE and not os.path.exists(os.path.join(self.folder, needed)):
            return f"{needed} is not built (clang, wasi-libc or erlc is missing)"
        return None

    def version(self, column):
        asks = {PANDO: ["version"], BARE: ["version"], LUNATIC: ["--version"],
                ERLANG: ["-noshell", "-eval",
                         "io:format(\"OTP ~s, ~s, ~b schedulers~n\", [erlang:system_info(otp_release),"
                         " erlang:system_info(emu_flavor), erlang:system_info(schedulers_online)]), halt()."]}
        if column in self.missing:
            return f"could not run: {self.missing[column]}"
        answer = subprocess.run([self.paths[column], *asks[column]], capture_output=True, text=True,
                                timeout=30, check=False)
        lines = answer.stdout.strip().splitlines()
        return lines[0] if lines else "?"


def watch(process, deadline, run):
    """End the program when its time is up or the machine's memory runs out."""
    while process.poll() is None:
        if time.monotonic() > deadline:
            run.error = "timed out"
        elif free_kib() < FREE_KIB_MIN:
            run.error = "ended: the machine ran out of memory"
        if run.error is not None:
            os.killpg(process.pid, signal.SIGKILL)
            return
        time.sleep(0.1)


def execute(command, timeout_s):
    run = Run()
    environment = {**os.environ, "RUST_LOG": "error"}  # Lunatic logs each death otherwise
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=environment, start_new_session=True) as process:
        watcher = threading.Thread(target=watch, args=(process, time.monotonic() + timeout_s, run))
        watcher.start()
        last = b""
        for raw in process.stdout:
            if not MARKS.search(raw):
                last = raw  # crash reports: thousands of lines, so nothing else is done with them
                continue
            line = raw.decode(errors="replace").strip()
            if match := RESULT.search(line):
                run.results[match.group(1)] = float(match.group(2))
            elif match := READY.search(line):
                if memory := sample(process.pid):
                    run.samples[match.group(1)] = {"count": int(match.group(2)), **memory}
            elif (match := FAILED.search(line)) and run.error is None:
                run.error = match.group(1)
        code = process.wait()
        watcher.join()
    if code != 0 and run.error is None:
        run.error = f"exit code {code}: {last.decode(errors='replace').strip()[:100]}"
    return run


def memory_needed_kib(row, column):
    count = row.count if column != LUNATIC else min(row.count, 10_000)
    return count * (4 if column == ERLANG else KIB_EACH_EXPECTED * (2 if "libc" in row.name else 1))


def measure(programs, row, rounds, progress):
    """All turns of one row: {column or label: [Run]}."""
    runs = {}
    turns = [(column, column, row.runs[column]) for column in COLUMNS if column in row.runs]
    turns += [(label, column, arguments) for label, (column, arguments, _) in row.extra.items()]
    for turn in range(min(rounds, row.turns_max)):
        for label, column, arguments in turns:
            earlier = runs.setdefault(label, [])
            if earlier and earlier[-1].error is not None:
                continue  # it would fail again, perhaps after its whole timeout
            progress(f"{row.name}: {label}, round {turn + 1}")
            run = Run()
            run.error = programs.lacks(column, arguments)
            if run.error is None and row.kind == "memory":
                needed = memory_needed_kib(row, column) + FREE_KIB_MIN
                if needed > free_kib():
                    run.error = f"needs {needed >> 20} GiB free, {free_kib() >> 20} are"
            if run.error is None:
                run = execute(programs.command(column, arguments),
                              row.timeout_s if label == column else min(row.timeout_s, EXTRA_TIMEOUT_S))
            earlier.append(run)
    return runs


def median(runs, result):
    values = [run.results[result] for run in runs if result in run.results]
    return statistics.median(values) if values else None


def error(runs):
    return next((run.error for run in runs if run.error is not None), None)


def nanoseconds(value):
    if value is None:
        return "-"
    for unit, size in (("ms", 1e6), ("us", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 100 * size else f"{value / size:.0f} {unit}"
    return f"{value:.0f} ns"


class Line:
    """One line of the table."""

    def __init__(self, row, runs, missing):
        self.row = row
        self.runs = runs
        self.cells = {}
        self.ratio = "-"
        self.goal = row.goal.text if row.goal else "-"
        self.met = "-"
        self.notes = []
        for column in COLUMNS:
            mine = runs.get(column, [])
            value = median(mine, row.result)
            self.cells[column] = "-" if value is None else nanoseconds(value)
            if mine and (why := error(mine)) is not None:
                self.cells[column] = "could not run" if column in missing else "FAILED"
                if column not in missing:  # those are named once, above the table
                    self.notes.append(f"{column}: {why}")
        {"time": self.fill_time, "compute": self.fill_compute, "memory": partial(self.fill_memory, missing),
         "fairness": self.fill_fairness, "pause": self.fill_pause}[row.kind]()
        if row.goal and self.met == "-":
            self.met = "not measured"

    def of(self, label, result=None):
        return median(self.runs.get(label, []), result or self.row.result)

    def judge(self, value, text):
        self.ratio = text
        if self.row.goal and error(self.runs.get(PANDO, [])) is None:
            goal = self.row.goal
            self.met = "yes" if goal.met(value) else f"NO, {abs(value / goal.limit - 1):.0%} off"

    def fill_time(self):
        mine, peer = self.of(PANDO), self.of(self.row.peer)
        if mine and peer:
            self.judge(mine / peer, f"{mine / peer:.2f} x {self.row.peer.split()[0]}")
        for label, (_, _, result) in self.row.extra.items():
            if self.of(label, result):
                self.notes.append(f"{label}: {nanoseconds(self.of(label, result))}")

    def fill_compute(self):
        mine, peer = self.of(PANDO), self.of(BARE)
        if mine and peer:  # speed, not time: bare's time over ours
            self.judge(peer / mine, f"{peer / mine:.2f} x bare")
        free, fastest = self.of("no fuel"), self.of("fastest")
        guarded, guards = self.of("guarded"), self.of("guards and fuel")
        if guarded and guards:
            self.notes.append(f"Pando, profile guarded: {nanoseconds(guarded)}, {guards / guarded:.2f} x "
                              f"bare with guards and fuel ({nanoseconds(guards)})")
        if peer and free and fastest:
            self.notes.append(f"fuel costs {peer / free:.2f} x (dense without fuel {nanoseconds(free)}), "
                              f"fuel and checks {peer / fastest:.2f} x (guards, no fuel "
                              f"{nanoseconds(fastest)})")

    def fill_memory(self, missing):
        name = self.row.result.removesuffix("_spawn")
        for label, runs in self.runs.items():
            at = runs[-1].samples.get(name) if runs else None
            base = runs[-1].samples.get(f"{name}_base") if runs else None
            if not at or not base:
                if label not in COLUMNS and runs and self.row.extra[label][0] not in missing:
                    self.notes.append(f"{label}: {error(runs)}")
                continue
            count = at["count"]
            total = (at["rss_kib"] + at["pte_kib"]) / count
            each = total - (base["rss_kib"] + base["pte_kib"]) / count
            maps = at["maps"] / count
            if error(runs) is None:
                self.cells[label] = f"{each:.1f} KiB"
            run = runs[-1].results
            self.notes.append(
                f"{label}: {count:,} x {each:.2f} KiB ({total:.2f} with the program itself; page tables "
                f"{at['pte_kib'] / count:.2f}), {at['maps']:,} mappings ({maps:.2g} each), spawn "
                f"{nanoseconds(run.get(f'{name}_spawn'))}, wake and end "
                f"{nanoseconds(run.get(f'{name}_wake'))} each")
            if label == PANDO:
                self.judge(total, "-")
        # A result without a sample would be shown as a time.
        for column in COLUMNS:
            if not self.cells[column].endswith(("KiB", "run", "-", "FAILED")):
                self.cells[column] = "-"

    def fill_pause(self):
        work = self.of(PANDO, self.row.result_note)
        if work:
            self.notes.append(f"the operation itself took at most {nanoseconds(work)}")

    def fill_fairness(self):
        threads = os.cpu_count() or 1
        for column in COLUMNS:
            runs = self.runs.get(column, [])
            slice_ns, p99 = median(runs, "fairness_slice"), median(runs, "fairness_p99")
            if not slice_ns or not p99:
                continue
            bound = ((self.row.count + 2) / threads + 1) * slice_ns
            longest = median(runs, "fairness_max")
            self.notes.append(
                f"{column}: slice {nanoseconds(slice_ns)}, (R/T+1) slices are {nanoseconds(bound)}; of "
                f"{median(runs, 'fairness_hops'):.0f} hops p50 "
                f"{nanoseconds(median(runs, 'fairness_p50'))}, p99 {nanoseconds(p99)} "
                f"({p99 / bound:.2g} x), longest {nanoseconds(longest)} ({longest / bound:.2g} x)")
            if waited := median(runs, "fairness_waited"):
                waited_ns = median(runs, "fairness_waited_p50")
                self.notes.append(f"{column}: {waited:.0f} hops waited for longer than a slice, half of them "
                                  f"at most {nanoseconds(waited_ns)} ({waited_ns / bound:.2g} x)")
            if column == PANDO:
                self.judge(p99 / bound, f"{p99 / bound:.2g} x (R/T+1)")

    def columns(self):
        return [self.row.title, *[self.cells[column] for column in COLUMNS], self.ratio, self.goal,
                self.met]


def table_text(lines):
    table = [["work", *COLUMNS, "ratio", "goal", "met?"], *[line.columns() for line in lines]]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    table.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |"
                     for cells in table)


def notes_of(lines):
    return [f"{line.row.name}: {note}" for line in lines for note in line.notes]


def write_markdown(path, about, rounds, took_s, lines):
    """For the README: the table, and on what it was measured."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"Measured {about['date']} on {about['machine']}; the median of at most {rounds} turns "
                   f"of each column, {took_s / 60:.1f} minutes in all.\n\n")
        for column in COLUMNS:
            file.write(f"- {column}: {about[column]}\n")
        file.write(f"\n{table_text(lines)}\n\n")
        for note in notes_of(lines):
            file.write(f"- {note}\n")


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        match = re.search(r"model name\s*:\s*(.*)", file.read())
    return match.group(1) if match else platform.machine()


def describe(programs):
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1))
    with open("/proc/sys/vm/max_map_count", encoding="ascii") as file:
        maps = int(file.read())
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} x {processor()}, {total / (1 << 20):.0f} GiB, Linux "
                   f"{platform.release()}, vm.max_map_count {maps}",
        **{column: programs.version(column) for column in COLUMNS},
    }


def parse_arguments():
    parser = argparse.ArgumentParser(
        prog="bench/actors/run.sh",
        description="Pando's actors beside bare Wasmtime, Erlang/OTP and Lunatic. run.sh also takes "
                    "--install-lunatic: build Lunatic into the user's cache folder first.")
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="smaller counts, 2 rounds, 50,000 actors")
    parser.add_argument("--rows", help="comma-separated names, or beginnings of names")
    parser.add_argument("--columns", help="comma-separated: pando, bare, erlang, lunatic")
    parser.add_argument("--rounds", type=int, help="turns of each column (default 5; quick: 2)")
    parser.add_argument("--markdown", metavar="FILE", help="also write the table and its notes to FILE")
    parser.add_argument("--json", metavar="FILE", help="also write every sample to FILE")
    parser.add_argument("--pando", metavar="PATH", help="the pando to measure (default: the build's)")
    return parser.parse_args()


def select(rows, names, columns):
    if names:
        wanted = [name.strip() for name in names.split(",")]
        unknown = [name for name in wanted if not any(row.name.startswith(name) for row in rows)]
        if unknown:
            sys.exit(f"no row begins with {', '.join(unknown)}; rows: {', '.join(row.name for row in rows)}")
        rows = [row for row in rows if any(row.name.startswith(name) for name in wanted)]
    if columns:
        wanted = [name.strip().lower() for name in columns.split(",")]
        for row in rows:
            row.runs = {column: run for column, run in row.runs.items()
                        if column.split()[0].lower() in wanted}
            row.extra = {label: extra for label, extra in row.extra.items()
                         if extra[0].split()[0].lower() in wanted}
    return rows


def main():
    options = parse_arguments()
    rounds = options.rounds or (2 if options.quick else 5)
    rows = select(all_rows(options.quick), options.rows, options.columns)
    programs = Programs(options.build, options.pando)
    about = describe(programs)
    for key, value in about.items():
        print(f"{key}: {value}")
    print()

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

    began = time.monotonic()
    lines = [Line(row, measure(programs, row, rounds, progress), programs.missing) for row in rows]
    progress("")
    took_s = time.monotonic() - began
    print(table_text(lines))
    print()
    print(*notes_of(lines), sep="\n")
    print(f"took {took_s / 60:.1f} minutes")
    if options.markdown:
        write_markdown(options.markdown, about, rounds, took_s, lines)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"about": about, "rounds": rounds, "rows": {
                line.row.name: {"title": line.row.title, "cells": line.cells, "ratio": line.ratio,
                                "goal": line.goal, "met": line.met, "notes": line.notes,
                                "runs": {label: [run.as_json() for run in runs]
                                         for label, runs in line.runs.items()}}
                for line in lines}}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
