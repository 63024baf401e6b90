# Pando's front door. `make run` and `make test` do all the set-up themselves.
#
# `make help` is made of the comments that begin with two number signs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
DESTDIR ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 60
ROUNDS ?=
PANDO_WASMTIME_DIR ?=
export PANDO_WASMTIME_DIR

.PHONY: help build run test asan tsan bench bench-actors bench-store bench-net bench-http bench-cluster soak prove prove-mutants sim \
	kill9 torture mutants rust-crates \
	power-loss fuzz tidy format install package clean deps

help: ## list the targets
	@echo "Pando. The first call of any target sets the machine up; later calls take seconds."
	@echo
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | \
		while IFS=$$'\t' read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done
	@echo
	@echo "Settings: FILES=... (run), JOBS=N, FUZZ_SECONDS=N, ROUNDS=N, PREFIX= and DESTDIR= (install),"
	@echo "PANDO_WASMTIME_DIR=DIR (a released Wasmtime C API instead of building one)"

deps: ## install the Debian packages that the build needs
	@scripts/deps.sh build

build: deps ## build the program, its guests and its tests into build/
	@scripts/build.sh release $(JOBS)

run: build ## three nodes count words with actors, and their leader is killed midway; FILES=... for your own text
	@FILES="$(FILES)" scripts/run.sh

test: ## the quick set of tests; ends with 'N passed, N failed'
	@scripts/deps.sh build test prove
	@scripts/build.sh release $(JOBS)
	@scripts/test.sh release $(JOBS)

asan: ## the same tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/deps.sh build test
	@scripts/build.sh debug $(JOBS)
	@scripts/test.sh debug $(JOBS)

tsan: ## the same tests under ThreadSanitizer
	@scripts/deps.sh build test
	@scripts/build.sh tsan $(JOBS)
	@scripts/test.sh tsan $(JOBS)

bench: bench-actors bench-store bench-net ## all benchmarks

bench-actors: ## Pando, bare Wasmtime, Erlang and Lunatic side by side; BENCH_ARGS=--install-lunatic
	@scripts/deps.sh build bench
	@scripts/build.sh release $(JOBS)
	@bench/actors/run.sh $(BENCH_ARGS)

bench-store: ## durable puts beside raw fdatasync, hot reads, growth, recovery; STORE_BENCH_ARGS="--keys 10000000"
	@scripts/deps.sh build
	@scripts/build.sh release $(JOBS)
	@bench/store/run.sh $(STORE_BENCH_ARGS)

bench-net: ## messages between two nodes beside TCP over the loopback; NET_BENCH_ARGS=3 takes three times as long
	@scripts/deps.sh build
	@scripts/build.sh release $(JOBS)
	@cmake --build build --target net-bench -j $(JOBS)
	@build/bin/net-bench $(NET_BENCH_ARGS)

bench-http: ## an HTTP service in C and Rust beside Lunatic and Erlang, under wrk; HTTP_BENCH_ARGS="SECONDS ROUNDS CONNECTIONS"
	@scripts/deps.sh build test bench
	@scripts/build.sh release $(JOBS)
	@bench/http/run.sh $(HTTP_BENCH_ARGS)

bench-cluster: ## beside etcd, with etcd's own benchmark: minutes; CLUSTER_BENCH_ARGS="--keys 1000000 --kills 30"
	@scripts/deps.sh build
	@scripts/build.sh release $(JOBS)
	@bench/cluster/run.sh $(CLUSTER_BENCH_ARGS)

soak: build ## the long searches of tests/soak: minutes to hours
	@scripts/soak.sh build/tests/soak

prove: ## the proofs of the pure leaves, on the code that ships; ends with 'proved P of T goals in M modules'
	@scripts/deps.sh prove
	@scripts/prove.sh

prove-mutants: ## slips in every proven function, each of which must leave a goal open; about an hour
	@scripts/deps.sh prove
	@scripts/prove_mutants.py

sim: build ## the long search of the simulator: SEEDS=10000 of one simulated minute each
	@scripts/sim.sh

kill9: build ## kill -9 a node under load, ROUNDS=500 times: nothing acknowledged is lost, no read is wrong
	@scripts/kill9.sh $(or $(ROUNDS),500)

torture: build ## real nodes killed, paused, cut off, slowed, replaced, disks full: ROUNDS=10 SEED=N NODES=3 DURATION=S
	@scripts/deps.sh test
	@python3 tests/torture/torture.py $(if $(DURATION),--seconds $(DURATION)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SEED),--seed $(SEED)) --nodes $(or $(NODES),3) $(TORTURE_OPTIONS)

mutants: ## break the consensus, log, store and node code on purpose: some test must notice each
	@scripts/deps.sh build test
	@scripts/mutants.sh

rust-crates: ## published Rust crates, unmodified, on Pando: lunatic 0.12 to 0.14, submillisecond; fetches them
	@scripts/deps.sh build test
	@scripts/build.sh release $(JOBS)
	@scripts/rust_crates.sh

power-loss: build ## cut the power of a running node ROUNDS=200 times: nothing acknowledged may be lost
	@scripts/power_loss.sh $(or $(ROUNDS),200)

fuzz: ## every fuzzer for FUZZ_SECONDS, from the corpus that is kept in tests/fuzz/corpus
	@scripts/deps.sh build test
	@scripts/build.sh fuzz $(JOBS)
	@scripts/fuzz.sh build-fuzz/tests/fuzz $(FUZZ_SECONDS)

tidy: ## include rule, format, both compilers, aarch64, clang-tidy
	@scripts/deps.sh build tidy
	@scripts/tidy.sh $(JOBS)

format: ## format every C file in place
	@scripts/deps.sh tidy
	@scripts/format.sh

install: build ## install under $(DESTDIR)$(PREFIX)
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)" --strip

package: ## a .tar.gz and a .deb in build/package
	@scripts/deps.sh build package
	@scripts/build.sh release $(JOBS)
	@cd build && cpack

clean: ## remove every build folder; Wasmtime stays in the user's cache
	@rm -rf build build-clang build-debug build-tsan build-fuzz compile_commands.json
