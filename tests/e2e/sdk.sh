#!/usr/bin/env bash
# The SDKs of Rust and Go: sdk/<lang>/tests/features uses all of each, beside a node and, for what needs none, without.
# What Rust's counts is seen at a node's /metrics. (sdk/c: tests/guests/sdk.c and store_sdk.c.) A language whose tools are missing has a SKIP line of its own.
# shellcheck source=tests/e2e/lib.sh
user_cache=${XDG_CACHE_HOME-}
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/lib_cluster.sh
. "$(dirname "$0")/lib_cluster.sh"
if [ -n "$user_cache" ]; then export XDG_CACHE_HOME=$user_cache; else unset XDG_CACHE_HOME; fi # large modules: keep their code
if [ -n "${PANDO_SANITIZE-}" ]; then
    skip e2e/sdk 'what a sanitizer watches is Pando, and the same functions are called by the guests in C'
    exit 77
fi
data=$work/data
start_pando start --listen-client off --data "$data" --log-segment 16MiB --disk-low 0B
wait_for_text "try "

# built COMMAND...: it must work, silently.
built() {
    shown="$*"
    "$@" >"$work/build.log" 2>&1 || { fail "$shown"; tail -n 25 "$work/build.log"; return 1; }
}

# well ARGUMENT...: `pando run ARGUMENT...` says that all is well; else what it said last.
well() {
    local before=$failures
    runs 0 run "$@"
    output_is 'all is well'
    [ "$failures" -eq "$before" ] || tail -n 40 "$err"
}

# outside LANGUAGE: a directory of its own, with the certificate of localhost if openssl makes one.
outside() {
    mkdir "$work/$1-files"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost -keyout "$work/$1-files/key.pem" -out "$work/$1-files/cert.pem" \
        >"$work/openssl.log" 2>&1 || skip "e2e/sdk/$1/tls" 'openssl makes no certificate'
}

# --- Rust ------------------------------------------------------------------------------------------
cp -r "$PANDO_SOURCE_DIR/sdk/rust" "$work/rust" # cargo writes a lock file beside the manifest
rust() { built env -C "$work/rust/tests/features" CARGO_NET_OFFLINE=true CARGO_TARGET_DIR="$work/target" "$@"; }
if [ -d "$(rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-wasip1" ]; then
    rust cargo build --target wasm32-wasip1 && module=$work/target/wasm32-wasip1/debug/features.wasm
elif [ -d "$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/wasm32-wasi" ] && [ -x /usr/bin/cargo ]; then
    rust PATH="/usr/bin:$PATH" CARGO_HOME="$work/cargo" CARGO_TARGET_WASM32_WASI_LINKER=wasm-ld cargo build --target wasm32-wasi &&
        module=$work/target/wasm32-wasi/debug/features.wasm
else
    skip e2e/sdk/rust 'no cargo here has std for wasm32-wasip1 or wasm32-wasi'
fi
if [ -n "${module-}" ]; then
    outside rust
    well --node "$data" --allow-kv sdk-rust/ --net local --dir "$work/rust-files::/" "$module"
    well --profile guarded "$module" no-store
fi

# --- Go ---------------------------------------------------------------------------------------------
go_version=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go1\.//; s/[^0-9].*//')
if [ "${go_version:-0}" -ge 24 ]; then
    # -trimpath: the same bytes as the last time, so that their compiled code is found again.
    built env -C "$PANDO_SOURCE_DIR/sdk/go/tests/features" GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOFLAGS=-trimpath \
        GOWORK=off GOPROXY=off go build -buildvcs=false -buildmode=c-shared -o "$work/go.wasm" . && outside go &&
        well --profile guarded --node "$data" --allow-kv sdk-go/ --net local --dir "$work/go-files::/" "$work/go.wasm"
else
    skip e2e/sdk/go 'there is no Go 1.24 or newer'
fi

shown='pando start'
kill -TERM "$started"
wait_for_end 0

# --- What it counts -------------------------------------------------------------------------------
if [ -n "${module-}" ]; then # not Go's: a node wants the dense profile, which takes half a minute to compile it
    printf 'name: metrics\nchildren: [{id: rust, module: %s, args: [metrics]}]\n' "$module" >"$work/metrics.yaml"
    free_base
    start_pando start --listen-client "127.0.0.1:$base" --data "$data" --log-segment 16MiB --disk-low 0B --app "$work/metrics.yaml"
    wait_for_text "try "
    counted() {
        curl -sf "http://127.0.0.1:$base/metrics" >"$work/metrics" &&
            grep -qxF 'pando_guest_metrics_refused_total 2' "$work/metrics"
    }
    eventually counted
    while IFS= read -r line; do
        grep -qxF -- "$line" "$work/metrics" || { fail "/metrics has no $line"; grep ^pando_guest "$work/metrics"; }
    done <<'METRICS'
pando_guest_counter_total{name="rust.done"} 42
pando_guest_gauge{name="rust.open"} 12
pando_guest_histogram_bucket{name="rust.seconds",le="0.25"} 1
pando_guest_histogram_bucket{name="rust.seconds",le="4"} 2
pando_guest_histogram_sum{name="rust.seconds"} 3.25
pando_guest_histogram_count{name="rust.seconds"} 2
METRICS
    kill -TERM "$started"
    wait_for_end 0
fi
finish
