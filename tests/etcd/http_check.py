#!/usr/bin/env python3
"""The API as JSON over HTTP: the same requests at Pando and at a real etcd, answers compared field by field.

    http_check.py PANDO_URL [BIN_FOLDER]

BIN_FOLDER holds etcd, which is started beside; without it Pando's answers are only looked at for their status. Where
the two differ on purpose, the table says what each answers.
"""
import base64
import http.client
import json
import signal
import socket
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from servers import WAIT_S, spawn_etcd, wait_for

# What Pando does not have: peers of a node alone, a quota.
ABSENT = {"peerURLs", "dbSizeQuota"}
# Fields that no two clusters share.
OWN = {"cluster_id", "member_id", "raft_term", "raftTerm", "raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse",
       "leader", "version", "storageVersion", "hash", "clientURLs", "name", "downgradeInfo"}


def b64(text):
    return base64.b64encode(text.encode()).decode()


FOO, BAR, DIR, DIR_END = b64("foo"), b64("bar"), b64("dir/"), b64("dir0")

# Path, body, and whether the message of an error is etcd's own (else only its code is compared).
REQUESTS = [
    ("kv/range", {"key": FOO}, True),
    ("kv/put", {"key": FOO, "value": BAR}, True),
    ("kv/put", {"key": FOO, "value": b64("\x00\xff\u00e4"), "prev_kv": True}, True),
    ("kv/range", {"key": FOO}, True),
    ("kv/range", {"key": FOO, "revision": "2"}, True),
    ("kv/range", {"key": FOO, "revision": 99}, True),
    ("kv/put", {"key": b64("dir/a"), "value": b64("1")}, True),
    ("kv/put", {"key": b64("dir/b"), "value": b64("2")}, True),
    ("kv/put", {"key": b64("dir/c"), "value": ""}, True),
    ("kv/range", {"key": DIR, "range_end": DIR_END}, True),
    ("kv/range", {"key": DIR, "rangeEnd": DIR_END, "limit": "2"}, True),
    ("kv/range", {"key": DIR, "range_end": DIR_END, "sort_order": "DESCEND", "sort_target": "KEY"}, True),
    ("kv/range", {"key": DIR, "range_end": DIR_END, "sort_order": 2, "sort_target": 4}, True),
    ("kv/range", {"key": DIR, "range_end": DIR_END, "count_only": True}, True),
    ("kv/range", {"key": DIR, "range_end": DIR_END, "keysOnly": True, "unknown": [{"a": None}]}, True),
    ("kv/range", {}, True),
    ("kv/range", b"", True),
    ("kv/put", {"value": BAR}, True),
    ("kv/put", {"key": FOO, "value": BAR, "ignore_value": True}, True),
    ("kv/put", {"key": FOO, "lease": "77"}, True),
    # Two mistakes: the same one is named.
    ("kv/put", {"value": BAR, "ignore_value": True}, True),
    ("kv/put", {"lease": 7, "ignore_lease": True}, True),
    ("kv/put", {"key": FOO, "value": BAR, "ignore_value": True, "lease": 7, "ignore_lease": True}, True),
    ("kv/range", {"sort_order": 9}, True),
    ("kv/range", {"key": FOO, "sort_order": 9}, True),
    ("kv/txn", {"success": [{"request_put": {"value": BAR, "ignore_value": True}}]}, True),
    ("kv/txn", {"compare": [{"target": "VALUE"}], "success": [{"request_range": {"key": FOO, "sort_order": 9}}]}, True),
    ("kv/txn", {"success": [{"request_delete_range": {}}, {"request_range": {"key": FOO, "sort_order": 9}}]}, True),
    ("kv/txn", {"success": [{"request_range": {"key": FOO, "sort_order": 9}}, {"request_delete_range": {}}]}, True),
    ("kv/txn", {"success": [{"request_txn": {"failure": [{"request_put": {"value": BAR}}]}}, {}]}, True),
    ("kv/txn", {"success": [{}, {"request_put": {"value": BAR}}]}, True),
    ("cluster/member/update", {"ID": "123"}, True),
    ("cluster/member/update", {"ID": "123", "peerURLs": ["nonsense"]}, True),
    ("kv/put", b'{"key":', False),
    ("kv/put", b'[]', False),
    ("kv/put", b'null', False),
    ("kv/put", b'{"key":"Zm9v","key":"Zm9v"}', False),
    ("kv/put", b'{"key":"Zm9=v"}', False),
    ("kv/put", b'{"key":5}', False),
    ("kv/put", b'{"key":"Zm9v","lease":1.5}', False),
    ("kv/put", b'{"key":"Zm9v","lease":"9223372036854775808"}', False),
    ("kv/put", b'{"key":"Zm9v","prev_kv":"true"}', False),
    ("kv/put", b'{"key":"\\u005am9v","value":"-_-_","prev_kv":null}', True),
    ("kv/txn", {"compare": [{"target": "VALUE", "key": FOO, "result": "EQUAL", "value": BAR}],
                "success": [{"request_put": {"key": FOO, "value": b64("no")}}],
                "failure": [{"requestRange": {"key": FOO}}, {"request_delete_range": {"key": b64("dir/c")}},
                            {"request_txn": {"success": [{"request_put": {"key": b64("in"), "value": BAR}}]}}]}, True),
    ("kv/txn", {"compare": [{"target": "VERSION", "key": FOO, "result": "GREATER", "version": "0"}],
                "success": [{"request_range": {"key": FOO}}]}, True),
    ("kv/txn", {"success": [{"request_put": {"key": FOO}}, {"request_put": {"key": FOO}}]}, True),
    ("kv/txn", {"compare": [{"version": 1, "lease": 2}]}, False),
    ("kv/txn", {"success": [{"request_put": {}, "request_range": {}}]}, False),
    ("kv/deleterange", {"key": DIR, "range_end": DIR_END, "prev_kv": True}, True),
    ("kv/deleterange", {"key": b64("nobody")}, True),
    ("kv/compaction", {"revision": "3"}, True),
    ("kv/compaction", {"revision": "3"}, True),
    ("kv/range", {"key": FOO, "revision": "2"}, True),
    ("lease/grant", {"TTL": "600", "ID": "7"}, True),
    ("lease/grant", {"TTL": 600, "ID": 7}, True),
    ("lease/grant", {"TTL": "9000000001"}, True),
    ("kv/put", {"key": b64("leased"), "lease": "7"}, True),
    ("lease/timetolive", {"ID": 7, "keys": True}, True),
    ("kv/lease/timetolive", {"ID": 8}, True),
    ("lease/leases", {}, True),
    ("kv/lease/leases", {}, True),
    ("lease/revoke", {"ID": "7"}, True),
    ("kv/lease/revoke", {"ID": "7"}, True),
    ("kv/range", {"key": b64("leased")}, True),
    ("cluster/member/list", {}, True),
    ("cluster/member/remove", {"ID": "18446744073709551615"}, True),
    ("maintenance/status", {}, True),
    ("maintenance/alarm", {"action": "GET"}, True),
    ("maintenance/defragment", {}, True),
    ("maintenance/downgrade", {"action": "VALIDATE", "version": "3.6.1+a-b"}, True),
    ("maintenance/downgrade", {"action": "ENABLE", "version": ""}, True),
    ("maintenance/downgrade", {"action": 2}, True),
    ("maintenance/downgrade", {"action": 7}, True),
    ("maintenance/hashkv", {}, True),
    ("auth/status", {}, True),
    ("nope", {}, True),
]

# Streams that end by themselves.
STREAMS = [
    ("lease/grant", {"TTL": "600", "ID": "9"}),
    ("lease/keepalive", {"ID": "9"}),
    ("lease/keepalive", b'{"ID":9} {"ID":"10"}\n'),
]


def fail(text):
    print(f"FAIL {text}")
    sys.exit(1)


def post(url, path, body, headers=None):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/v3/{path}", data=data, method="POST", headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def get(url, path, method="GET", headers=None):
    request = urllib.request.Request(f"{url}{path}", method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrub(value):
    if isinstance(value, dict):
        if "grantedTTL" in value:  # time has passed, but not much of ten minutes
            value["TTL"] = int(value["TTL"]) > 500
        return {key: "OWN" if key in OWN or (key == "ID" and len(str(part)) > 9) else scrub(part)
                for key, part in value.items() if key not in ABSENT}
    if isinstance(value, list):
        return [scrub(part) for part in value]
    return value


def lines(raw):
    return [scrub(json.loads(line)) for line in raw.decode().splitlines() if line]


def start_etcd(folder, work):
    url, process = spawn_etcd(work, folder)

    def is_healthy():
        try:
            return get(url, "/health")[0] == 200
        except OSError:
            return False
    wait_for(is_healthy)
    return url, process


def compare(pando, etcd):
    for path, body, is_own in REQUESTS:
        status, raw = post(pando, path, body)
        answer = scrub(json.loads(raw))
        if "message" in answer and status < 400:
            fail(f"{path} {body}: an error under {status}")
        if etcd is None:
            continue
        wanted_status, wanted_raw = post(etcd, path, body)
        wanted = scrub(json.loads(wanted_raw))
        if not is_own:
            answer.pop("message"), wanted.pop("message")
        if status != wanted_status or answer != wanted:
            fail(f"{path} {body}:\n  etcd  {wanted_status} {wanted}\n  pando {status} {answer}")
    for path, body in STREAMS:
        status, raw = post(pando, path, body)
        if status != 200 or (etcd and lines(raw) != lines(post(etcd, path, body)[1])):
            fail(f"{path} {body}: {status} {raw}")


def watch_lines(url, body, count, then):
    """The first lines of a watch; then() runs once the first is there."""
    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=WAIT_S)
    connection.request("POST", "/v3/watch", json.dumps(body))
    answer = connection.getresponse()
    got = [scrub(json.loads(answer.readline()))]
    then()
    while len(got) < count:
        got.append(scrub(json.loads(answer.readline())))
    connection.sock.close() if connection.sock else answer.close()
    return got


def compare_watch(pando, etcd):
    def change(url):
        post(url, "kv/put", {"key": b64("watched"), "value": BAR})
        post(url, "kv/deleterange", {"key": b64("watched")})

    body = {"create_request": {"key": b64("watched"), "prev_kv": True}}
    got = watch_lines(pando, body, 3, lambda: change(pando))
    if etcd and got != watch_lines(etcd, body, 3, lambda: change(etcd)):
        fail(f"watch: {got}")
    if [line["result"]["events"][0].get("type") for line in got[1:]] != [None, "DELETE"]:
        fail(f"watch: {got}")
    compacted = {"create_request": {"key": b64("watched"), "start_revision": "1"}}
    got = watch_lines(pando, compacted, 2, lambda: None)
    wanted = watch_lines(etcd, compacted, 2, lambda: None) if etcd else got
    got[1]["result"]["header"].pop("revision", None)  # which etcd does not tell with the end
    if got != wanted or got[1]["result"].get("compact_revision") != "3":
        fail(f"a compacted watch: {got} instead of {wanted}")


def many_watches(pando):
    """A hundred watches on a connection each see the same write."""
    seen = []
    ready = threading.Barrier(101)

    def one():
        got = watch_lines(pando, {"create_request": {"key": b64("many")}}, 2, ready.wait)
        seen.append(got[1]["result"]["events"][0]["kv"]["value"])

    threads = [threading.Thread(target=one) for _ in range(100)]
    for thread in threads:
        thread.start()
    ready.wait(WAIT_S)
    post(pando, "kv/put", {"key": b64("many"), "value": BAR})
    for thread in threads:
        thread.join(WAIT_S)
    if seen != [BAR] * 100:
        fail(f"many watches: {len(seen)}")


def raw(pando, data, until=None):
    """What comes back for these bytes until the connection ends, or until a text is there."""
    host, port = pando.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), WAIT_S) as connection:
        connection.sendall(data)
        got = b""
        while until is None or until not in got:
            part = connection.recv(65536)
            if not part:
                break
            got += part
        return got


def bytes_on_the_wire(pando):
    head = b"POST /v3/kv/put HTTP/1.1\r\nHost: localhost\r\n"
    body = json.dumps({"key": FOO, "value": BAR}).encode()
    whole = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    last = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    got = raw(pando, whole * 500 + last)
    if got.count(b"HTTP/1.1 200 OK") != 501 or b"etcdserver" not in got:
        fail(f"pipelined: {got.count(b'HTTP/1.1 200 OK')} answers")
    large = json.dumps({"key": FOO, "value": base64.b64encode(b"x" * 1000000).decode()}).encode()
    got = raw(pando, head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(large) + large + last)
    if not got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"):
        fail(f"a large value: {got[:200]}")
    status, answer = post(pando, "kv/range", {"key": FOO})
    if status != 200 or len(json.loads(answer)["kvs"][0]["value"]) != 1333336:
        fail("a large value did not come back")
    for data, wanted in ((b"\x16\x03\x01\x00\xa5\x01" + bytes(200), b"HTTP/1.1 400"),
                         (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200000, b"HTTP/1.1 431"),
                         (head + b"Content-Length: 99999999999\r\n\r\n", b"HTTP/1.1 413"),
                         (b"GET /version HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", b"HTTP/1.1 403"),
                         (head + b"Origin: http://evil.example\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 403")):
        if not raw(pando, data, b"\r\n\r\n").startswith(wanted):
            fail(f"{data[:60]}: {raw(pando, data, wanted)[:100]}")


def pages(pando):
    checks = (("/version", 200, "etcdserver"), ("/health", 200, '{"health":"true","reason":""}'),
              ("/health?serializable=true", 200, "true"), ("/livez", 200, "ok\n"),
              ("/readyz?verbose", 200, "[+]linearizable_read ok\n"), ("/", 200, "This node leads."),
              ("/nope", 404, "/metrics"), ("/v3/nope", 404, '"code":5'), ("/v3/kv/put", 405, '"code":12'))
    for path, status, text in checks:
        got = get(pando, path)
        if got[0] != status or text not in got[1]:
            fail(f"{path}: {got}")
    if get(pando, "/", "HEAD") != (200, ""):
        fail("HEAD")
    if "<script" in get(pando, "/")[1]:
        fail("a script in the page")
    values = {}
    for line in get(pando, "/metrics")[1].splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            if name in values:
                fail(f"/metrics tells {name} twice")
            values[name] = float(value)
    for name in ("etcd_server_has_leader", "etcd_server_leader_changes_seen_total", "etcd_server_is_leader",
                 "etcd_disk_wal_fsync_duration_seconds_count", "etcd_server_apply_duration_seconds_count",
                 "etcd_server_proposals_applied_total", "etcd_mvcc_db_total_size_in_bytes", "pando_http_requests_total",
                 "process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                 'etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"}'):
        if not values.get(name, 0) > 0:
            fail(f"/metrics: {name} is {values.get(name)}")
    if values["etcd_server_proposals_applied_total"] > values["etcd_server_proposals_committed_total"]:
        fail("/metrics: more is applied than committed")
    if abs(values["process_start_time_seconds"] - time.time()) > 3600:
        fail(f"/metrics: the process began at {values['process_start_time_seconds']}")


def main():
    pando = sys.argv[1]
    with tempfile.TemporaryDirectory() as work:
        etcd, process = start_etcd(sys.argv[2], work) if len(sys.argv) > 2 else (None, None)
        try:
            compare(pando, etcd)
            compare_watch(pando, etcd)
            pages(pando)
            bytes_on_the_wire(pando)
            many_watches(pando)
        finally:
            if process is not None:
                process.send_signal(signal.SIGKILL)
                process.wait()
    print(f"{len(REQUESTS) + len(STREAMS)} requests, watches, pages and bytes: as {'etcd' if etcd else 'expected'}")


if __name__ == "__main__":
    main()
