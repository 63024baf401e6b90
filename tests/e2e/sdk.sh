#!/usr/bin/env bash
# The SDKs of Rust and Go: sdk/<lang>/tests/features uses all of each, beside a node and, for what needs none, without.
# What they count is seen at a node's /metrics. (sdk/c: tests/guests/sdk.c and store_sdk.c.) A language whose tools are missing has a SKIP line of its own.
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
    go_module() {
        built env -C "$PANDO_SOURCE_DIR/sdk/go/tests/$1" GOOS=wasip1 GOARCH=wasm GOTOOLCHAIN=local GOFLAGS=-trimpath \
            GOWORK=off GOPROXY=off go build -buildvcs=false -buildmode=c-shared -o "$2" .
    }
    go_module features "$work/go.wasm" && outside go &&
        well --profile guarded --node "$data" --allow-kv sdk-go/ --net local --dir "$work/go-files::/" "$work/go.wasm"
    # A node wants the dense profile, which takes ten seconds to compile: done here, where there is time.
    go_module metrics "$work/go-metrics.wasm" && runs 0 run "$work/go-metrics.wasm" once && go_metrics=$work/go-metrics.wasm
else
    skip e2e/sdk/go 'there is no Go 1.24 or newer'
fi

shown='pando start'
kill -TERM "$started"
wait_for_end 0

# --- What they count ------------------------------------------------------------------------------
names=
[ -z "${module-}" ] || names+=" rust"
[ -z "${go_metrics-}" ] || names+=" go"
if [ -n "$names" ]; then
    {
        printf 'name: metrics\nchildren:\n'
        [ -z "${module-}" ] || printf -- '- {id: rust, module: %s, args: [metrics]}\n' "$module"
        [ -z "${go_metrics-}" ] || printf -- '- {id: go, module: %s}\n' "$go_metrics"
    } >"$work/metrics.yaml"
    free_base
    start_pando start --listen-client "127.0.0.1:$base" --data "$data" --log-segment 16MiB --disk-low 0B --app "$work/metrics.yaml"
    wait_for_text "try "
    # Each has two refused, the last of which is the last that it does.
    refused=$(($(wc -w <<<"$names") * 2))
    counted() {
        curl -sf "http://127.0.0.1:$base/metrics" >"$work/metrics" &&
            grep -qxF "pando_guest_metrics_refused_total $refused" "$work/metrics"
    }
    eventually counted
    for name in $names; do
        while IFS= read -r line; do
            grep -qxF -- "$line" "$work/metrics" || { fail "/metrics has no $line"; grep ^pando_guest "$work/metrics"; }
        done <<METRICS
pando_guest_counter_total{name="$name.done"} 42
pando_guest_gauge{name="$name.open"} 12
pando_guest_histogram_bucket{name="$name.seconds",le="0.25"} 1
pando_guest_histogram_bucket{name="$name.seconds",le="4"} 2
pando_guest_histogram_sum{name="$name.seconds"} 3.25
pando_guest_histogram_count{name="$name.seconds"} 2
METRICS
    done
    kill -TERM "$started"
    wait_for_end 0
fi
finish
