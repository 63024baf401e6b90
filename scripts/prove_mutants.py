#!/usr/bin/env python3
"""scripts/prove_mutants.py [--jobs N] [--list] [SOURCE...]

Shows that the proofs notice: every mutant of every proven function must leave a goal open.

Made here, for every function of every module in proofs/goals.txt (or of SOURCE...):
  - the body does nothing, or only returns a constant: for a bool both, for an enum each enumerator (of enum
    pd_status those that the module names), for a number 0, 1 and the largest
  - one statement that writes through a pointer or calls for an effect is left out
Written by hand, at least one in every function: the subtle slips of proofs/mutants.txt.

Only the mutated function is proven again: callers rest on its contract, not on its body. Provers stop after twice
the steps that the hardest goal of the function, as it is, has needed: a count that the machine's load does not
change. A goal that stays open then kills the mutant, and the rest of its goals are not tried. Ends with
"killed K of T proof mutants"; exits with 1 unless all are. About an hour on a quiet machine.
"""
import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What they do is not in any contract: memory is not part of what is proven. The sanitizers watch it.
UNSEEN = {"pd_free"}
STEPS_LEAST = 50000
OPEN_GOAL = re.compile(r"^\[wp\] \[(Failed|Timeout|Unknown|Stepout)\]|^\[wp\] \[.*\] Goal .* : (Failed|Timeout|Unknown)")
FUNCTION = re.compile(r"^(?P<head>(?:static )?(?:inline )?(?P<type>(?:const )?(?:enum |struct )?\w+(?: \*)?) ?"
                      r"\b(?P<name>\w+)\([^;{}]*\)\n)\{\n(?P<body>.*?)^\}\n", re.M | re.S)
WRITE = re.compile(r"^\s+(\*\w+|\w+(?:->\w+|\[[^\]]*\]|\.\w+)+)\s*(?:[-+*/]?=[^=]|\+\+;|--;)")
CALL = re.compile(r"^\s+(?:\(void\))?([a-z_]\w*)\(")
KEYWORDS = {"if", "while", "for", "switch", "return", "sizeof"}


def blank_comments(text):
    """The text with comments blanked, so that nothing is found in them; lengths and lines stay."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def enumerators(name, module_text):
    for folder, _, files in os.walk(os.path.join(ROOT, "src")):
        for file in files:
            if not file.endswith(".h"):
                continue
            with open(os.path.join(folder, file)) as handle:
                text = blank_comments(handle.read())
            match = re.search(r"\benum %s\s*\{([^}]*)\}" % name, text)
            if match:
                found = re.findall(r"\b([A-Z]\w+)\b\s*(?:=[^,]*)?(?:,|\Z|\s*$)", match.group(1), re.M)
                return [e for e in found if name != "pd_status" or re.search(r"\b%s\b" % e, module_text)]
    sys.exit("no enum %s" % name)


def constants(kind, module_text):
    if kind == "void":
        return [None]
    if kind.endswith("*"):
        return ["0"]
    if kind.startswith("enum "):
        return enumerators(kind[5:], module_text)
    if kind == "bool":
        return ["0", "1"]
    largest = {"uint8_t": "255u", "uint32_t": "UINT32_MAX", "uint64_t": "UINT64_MAX", "size_t": "UINT64_MAX",
               "int32_t": "INT32_MAX", "int64_t": "INT64_MAX"}
    return ["0", "1", largest[kind]]


def statements(lines):
    """(first, last) of statements that have an effect beyond the function's own variables."""
    at, before = 0, "{"
    while at < len(lines):
        call = CALL.match(lines[at])
        begins = before.endswith((";", "{", "}", ":"))
        before = lines[at].rstrip() or before
        if begins and (WRITE.match(lines[at]) or (call and call.group(1) not in KEYWORDS | UNSEEN)):
            end = at
            while not lines[end].rstrip().endswith(";"):
                end += 1
            yield at, end
            at, before = end, lines[end].rstrip()
        at += 1


def generate(source, text):
    with open(os.path.join(ROOT, source[:-2] + ".h")) as handle:
        module_text = handle.read() + text
    code = blank_comments(text)
    for match in FUNCTION.finditer(code):
        name, begin, end = match.group("name"), match.start("body"), match.end("body")
        for constant in constants(match.group("type").replace("const ", ""), module_text):
            body = "" if constant is None else "    return %s;\n" % constant
            what = "does nothing" if constant is None else "returns %s" % constant
            yield name, what, text[:begin] + body + text[end:]
        lines = text[begin:end].split("\n")
        for first, last in statements(code[begin:end].split("\n")):
            left = lines[:first] + [";"] + lines[last + 1:]
            what = "without: %s" % " ".join(line.strip() for line in lines[first:last + 1])
            yield name, what, text[:begin] + "\n".join(left) + text[end:]


def slips(source, text):
    """Of proofs/mutants.txt: a line with the source, then '@ function' where lines repeat, '- line' and '+ line'."""
    functions = list(FUNCTION.finditer(blank_comments(text)))
    current, before, within = None, None, None
    with open(os.path.join(ROOT, "proofs/mutants.txt")) as handle:
        for number, line in enumerate(handle, 1):
            line = line.rstrip("\n")
            if not line or line.startswith("#"):
                continue
            if line.startswith("@ "):
                within = line[2:]
            elif line.startswith("- "):
                before = line[2:]
            elif line.startswith("+ "):
                if current == source:
                    places = [(f.group("name"), m.start(1)) for f in functions
                              for m in re.finditer(r"^[ ]*(%s)$" % re.escape(before), text[:f.end()][f.start():], re.M)
                              if within in (None, f.group("name"))]
                    starts = {f.group("name"): f.start() for f in functions}
                    if len(places) != 1:
                        sys.exit("proofs/mutants.txt:%d: in %s are %d lines '%s'" %
                                 (number, source, len(places), before))
                    name, offset = places[0]
                    at = starts[name] + offset
                    yield name, "%s  ->  %s" % (before, line[2:]), text[:at] + line[2:] + text[at + len(before):]
                within = None
            else:
                current = line


def frama_c(path, more):
    return ["nice", "-n", "15", "frama-c", "-machdep", "gcc_x86_64", "-cpp-extra-args=-I%s/src" % ROOT,
            "-warn-unsigned-overflow", "-wp", "-wp-rte", "-wp-prover", "z3,cvc4", "-wp-timeout", "300",
            "-wp-par", "1", "-wp-session", os.path.join(ROOT, "proofs/session")] + more + [path]


def step_limits(module, functions):
    """By function: twice the steps of its hardest goal, from a replay of the committed session."""
    run = subprocess.run(frama_c(os.path.join(ROOT, module), ["-wp-cache", "offline"]), cwd=ROOT, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    summary = re.search(r"Proved goals: +(\d+) / (\d+)", run.stdout)
    if run.returncode != 0 or summary is None or summary.group(1) != summary.group(2):
        sys.exit("%s is not proven as it is: run scripts/prove.sh" % module)
    limits = dict.fromkeys(functions, STEPS_LEAST)
    for goal, steps in re.findall(r"Goal typed_(\w+) : Valid .*\((\d+)\)", run.stdout):
        names = [name for name in functions if goal.startswith(name + "_")]
        if names:
            name = max(names, key=len)
            limits[name] = max(limits[name], 2 * int(steps))
    return limits


def prove(path, function, steps):
    """The first line that says that a goal stays open; None: all are proven."""
    more = ["-wp-cache", "replay", "-wp-steps", str(steps), "-wp-fct", function]
    with subprocess.Popen(frama_c(path, more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          cwd=ROOT, start_new_session=True) as process:
        told = []
        for line in process.stdout:
            told.append(line)
            if OPEN_GOAL.match(line):
                os.killpg(process.pid, signal.SIGTERM)
                return line.strip()
        if process.wait() != 0:
            sys.exit("%s: Frama-C failed:\n%s" % (path, "".join(told[-20:])))
    summary = re.search(r"Proved goals: +(\d+) / (\d+)", "".join(told))
    proven, total = summary.groups()
    return None if proven == total != "0" else "only %s of %s goals proved" % (proven, total)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the mutants only")
    parser.add_argument("sources", nargs="*")
    options = parser.parse_args()
    with open(os.path.join(ROOT, "proofs/goals.txt")) as handle:
        modules = [line.split()[0] for line in handle if line.strip() and not line.startswith("#")]
    modules = [m for m in modules if not options.sources or m in options.sources]
    work = tempfile.mkdtemp()
    totals, killed, survivors = 0, 0, []
    try:
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for module in modules:
                with open(os.path.join(ROOT, module)) as handle:
                    text = handle.read()
                mutants = list(generate(module, text)) + list(slips(module, text))
                if options.list:
                    for name, what, _ in mutants:
                        print("%s: %s: %s" % (module, name, what))
                    totals += len(mutants)
                    continue
                limits = step_limits(module, sorted({name for name, _, _ in mutants}))
                jobs = []
                for number, (name, what, mutated) in enumerate(mutants):
                    path = os.path.join(work, "%d_%s" % (number, os.path.basename(module)))
                    with open(path, "w") as handle:
                        handle.write(mutated)
                    jobs.append(pool.submit(prove, path, name, limits[name]))
                dead = 0
                for (name, what, _), job in zip(mutants, jobs):
                    if job.result() is None:
                        survivors.append("%s: %s: %s" % (module, name, what))
                    else:
                        dead += 1
                print("%-28s killed %3d of %3d" % (module, dead, len(mutants)), flush=True)
                totals, killed = totals + len(mutants), killed + dead
    finally:
        shutil.rmtree(work)
    if options.list:
        print("%d proof mutants" % totals)
        return 0
    for survivor in survivors:
        print("survived: %s" % survivor)
    print("killed %d of %d proof mutants" % (killed, totals))
    return 1 if survivors or totals == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
