#!/usr/bin/env bash
# scripts/rust_examples.sh PANDO MODULES TESTS...: the examples and tests that submillisecond's package ships, on Pando.
#
# MODULES holds the examples, built as they are; TESTS are the modules of its tests. They listen on fixed ports, mostly
# 3000 on all addresses, and one test asks who listens on port 22: so rust_crates.sh runs this in a network namespace of
# its own, which nobody else reaches and which it opens for itself. Ends with 'examples: N passed, N failed', exit code 1 when one failed.
set -euo pipefail
pando=$1
modules=$2
shift 2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/rust_checks.sh
source "$root/scripts/rust_checks.sh"
port=3000
shown=0 # failures, of which the server's words were printed

# example NAME OPTION...: it runs, and is asked until it listens.
example() {
    name=$1
    shift
    "$pando" run --net all --crash-reports brief "$@" "$modules/$name.wasm" >"$work/server" 2>&1 &
    server=$!
    python3 "$root/tests/rust/client.py" listens "$port" "$server" || judge 1 "$name: nobody listens"
}

# The example is still there, has said all of LINE..., and is ended.
ends() {
    local code line
    all_run "$name: the server is there in the end" "$server"
    end "$server"
    server=
    for line; do
        code=0
        grep -qF "$line" "$work/server" || code=1
        judge "$code" "$name: it says '$line'"
    done
    if [ "$failed" -gt "$shown" ]; then
        tail -n 10 "$work/server"
        shown=$failed
    fi
}

none='404 <h1>404: Not found</h1>'
error='500 Internal Server Error'

python3 "$root/tests/rust/client.py" loopback

# --- Examples ----------------------------------------------------------------------------------------------------

example hello_world
get '200 Hello :)' /
get "$none" /other
get "$none" / --request POST
ends

example catch_all
get '200 Hello :)' /
get '200 Foo Bar' /foo/bar
get '200 Foo route not found' /foo/baz
get '200 Route not found' /baz
ends

example cookies
for count in 0 1 2; do
    get "200 $count" / --cookie "$work/jar" --cookie-jar "$work/jar"
done
get '200 0' /
# Sessions do not work in this version anywhere: their process has no handler for the one request that it is sent.
get "$error" /session
get "$error" /session-bool
ends "doesn't match any handler defined in '<submillisecond::session::SessionProcess as AbstractProcess>::Handlers'"

example custom_handler
get '200 Hello World!' /whatever
ends

example extractors
get '200 Hello :)' /
get '200 name: pando' '/queries?name=pando'
get '200 x-one: 1' /header_map --header 'User-Agent:' --header 'Accept:' --header 'Host:' --header 'X-One: 1'
get '200 127.0.0.1:3000' /host
get '200 127.0.0.1:3000' /typed_header
get '400 Header of type `host` was missing' /typed_header --header 'Host:'
get '200 Welcome, ann. You are 7 years old.' /params/ann/7
get '200 You are 7 years old' /named_param/7
get '200 Hi ann, you are 7 years old' /named_param2/ann/7
get "$error" /path/12 # in this version Path looks for the parameters where nobody puts them
get '200 any/thing' /splat-any/thing
get '200 some words' /string --data 'some words'
get '200 bytes' /vec --data 'bytes'
get '200 Email: a@b
Password: c' /json --json '{"email":"a@b","password":"c"}'
ends

example guard
get '200 foo bar' /foo --data '12345'
get '200 foo bar' /foo --data '1234567890'
get "$none" /foo --data '123456'
ends

example middleware
get '200 foo bar' /foo/bar
get '200 bar' /bar
get "$none" /foo --data '' # the route before it has the same beginning, and is not left again
ends '[GLOBAL] ENTRY' 'GET /bar' '[EXIT]' '[GLOBAL] EXIT'

example panic
for _ in 1 2 3 4 5; do get "$error" /; done
get "$none" /other
ends

example params
get "$error" /a/b/c --header 'x-request-id: 17' # Path again
get "$none" /hello/1/2/3                        # and a beginning that two routes have
ends '[ENTER] request 17'

mkdir "$work/persistence"
example queue_todo --dir "$work/persistence::/persistence"
get '200 {"status":"UP"}' /api/mgmt/alive
get '200 {"status":"UP"}' /something_different/7
ends '[ENTER] request DEFAULT_REQUEST_ID' 'Running liveness check'

example state
get '200 Count is 1' /
get '200 Count is 2' /
ends

example static
get "200 $(cat "$modules/../../../../source/static/index.html")
" /index.html
get '404 Resource not found' /other.html
ends

# Nobody waits for its ten minutes, or the five that it may take: others are answered meanwhile.
example timeout
for _ in 1 2 3; do
    curl --silent --max-time 600 --output /dev/null "http://127.0.0.1:$port/" &
    others+=("$!")
done
for _ in 1 2 3; do get "$none" /other; done
all_run 'timeout: requests that take long still wait' "${others[@]}"
end "${others[@]}"
others=()
ends

example websocket
for _ in 1 2 3; do
    code=0
    timeout -k 5 60 python3 "$root/tests/rust/client.py" websocket "$port" || code=1
    judge "$code" 'websocket: Ping is answered by Pong'
done
ends

# --- Its own tests -----------------------------------------------------------------------------------------------

python3 "$root/tests/rust/client.py" accepts 22 &
others+=("$!")
python3 "$root/tests/rust/client.py" listens 22 "$!"
for module; do
    # Most give a server 10 ms to begin, which a busy machine may not keep: some more tries for that.
    for ((try = 1; try <= 5; try++)); do
        code=0
        pando_test "$module" || code=$?
        if [ "$code" -eq 0 ]; then break; fi
    done
    if [ "$code" -ne 0 ]; then cat "$work/out"; fi
    judge "$code" "submillisecond's tests: $(basename "$module")"
    echo "its tests $(basename "$module"): $count passed, try $try"
done

summary examples
