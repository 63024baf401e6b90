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


def compute_argv(test_path, args_env_dirs, *_):
    """The command for a test. Its directories come as pairs of names, or as the one that is the root."""
    args, env, dirs = args_env_dirs
    if dirs is None or isinstance(dirs, (str, os.PathLike)):
        dirs = [] if dirs is None else [(dirs, "/")]
    argv = PANDO + ["run"]
    for name, value in env.items():
        argv += ["--env", f"{name}={value}"]
    for host, guest in dirs:
        argv += ["--dir", f"{host}::{guest}"]
    return argv + [test_path] + args
