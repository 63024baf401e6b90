"""Pando for the runner of the public WASI test suite, as a file for its adapters/ folder.

The suite is https://github.com/WebAssembly/wasi-testsuite. The program is taken from PANDO, which may hold
options too ("pando run" is added behind them), or else from the path:

    python3 test-runner/wasi_test_runner.py -t tests/c/testsuite/wasm32-wasip1 -r .../pando.py
"""
import os
import shlex
import subprocess

PANDO = shlex.split(os.getenv("PANDO", "pando"))


def get_name():
    return "pando"


def get_version():
    answer = subprocess.run(PANDO[:1] + ["--version"], capture_output=True, check=True, text=True)
    return answer.stdout.split()[1]


def get_wasi_versions():
    return ["wasm32-wasip1"]


def get_wasi_worlds():
    return ["wasi:cli/command"]


def compute_argv(test_path, args, env, dirs=None, *_more, **_named):
    """The command for a test.

    Arguments, variables and directories come as one, with other things behind it, or, from earlier runners, one by one.
    Directories are pairs of names, or the one that is the root.
    """
    if not isinstance(env, dict):
        args, env, dirs = args
    if dirs is None or isinstance(dirs, (str, os.PathLike)):
        dirs = [] if dirs is None else [(dirs, "/")]
    argv = PANDO + ["run"]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    for host, guest in dirs:
        argv += ["--dir", f"{host}::{guest}"]
    return argv + [test_path] + args
