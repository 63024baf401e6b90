"""Pando for the first runners of the public WASI test suite, which start their adapter as a program.

Those of today take pando.py beside this, and refuse what answers --version by itself; hence two files.
"""
import argparse
import os

import pando


def main():
    parser = argparse.ArgumentParser(description="Runs one test in Pando.")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--test-file")
    for option in ("--arg", "--env", "--dir"):
        parser.add_argument(option, action="append", default=[])
    given = parser.parse_args()
    if given.version:
        print(pando.get_name(), pando.get_version())
        return
    env = dict(pair.split("=", 1) for pair in given.env)
    argv = pando.compute_argv(given.test_file, given.arg, env, [(name, name) for name in given.dir])
    os.execvp(argv[0], argv)  # a signal to the adapter has to reach the test


if __name__ == "__main__":
    main()
