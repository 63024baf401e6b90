#!/usr/bin/env python3
"""etcd3, the client for Python on PyPI, unmodified, against a server.

    python_client.py HOST:PORT

Each check has keys of its own and says what failed; the exit code tells how many did. Every one holds for etcd 3.6 too.
"""
import queue
import sys
import threading
import time

import etcd3
import grpc

WAIT_S = 120


def expect(is_so, what):
    if not is_so:
        raise AssertionError(what)


def refused(call, code):
    """The words of a call that must fail with this code."""
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code() == code, f"{error.code()} instead of {code}: {error.details()}")
        return error.details()
    except etcd3.exceptions.Etcd3Exception as error:
        kinds = {grpc.StatusCode.UNAVAILABLE: etcd3.exceptions.ConnectionFailedError,
                 grpc.StatusCode.DEADLINE_EXCEEDED: etcd3.exceptions.ConnectionTimeoutError,
                 grpc.StatusCode.FAILED_PRECONDITION: etcd3.exceptions.PreconditionFailedError}
        expect(isinstance(error, kinds.get(code, ())), f"{error!r} instead of {code}")
        return ""
    raise AssertionError(f"it succeeded instead of {code}")


def keys(client):
    client.put("kv/a", "1")
    put = client.put("kv/a", "2", prev_kv=True)
    expect(put.prev_kv.value == b"1", f"what was before: {put.prev_kv}")
    value, about = client.get("kv/a")
    expect((value, about.version) == (b"2", 2) and about.mod_revision == put.header.revision, f"{value} {about}")
    expect(about.create_revision < about.mod_revision and about.lease_id == 0, "its revisions")
    expect(client.get("kv/none") == (None, None), "a key that is not there")
    for number in range(50):
        client.put(f"kv/n/{number:02}", str(50 - number))
    found = [(about.key, value) for value, about in client.get_prefix("kv/n/")]
    expect(found == [(b"kv/n/%02d" % n, b"%d" % (50 - n)) for n in range(50)], "a prefix")
    found = [about.key for _, about in client.get_prefix("kv/n/", sort_order="descend", sort_target="key")]
    expect(found == [b"kv/n/%02d" % n for n in reversed(range(50))], "downwards")
    found = [int(value) for value, _ in client.get_prefix("kv/n/", sort_order="ascend", sort_target="mod")]
    expect(found == [50 - n for n in range(50)], "by revision")
    expect(len(list(client.get_range("kv/n/10", "kv/n/20"))) == 10, "a range")
    expect(len(list(client.get_prefix("kv/n/", keys_only=True))) == 50, "keys alone")
    expect(len(list(client.get_all())) >= 51, "all keys")
    expect(client.get("kv/a", serializable=True)[0] == b"2", "a serializable read")
    expect(client.delete("kv/a") and not client.delete("kv/a"), "delete, again")
    deleted = client.delete("kv/n/07", prev_kv=True, return_response=True)
    expect(deleted.deleted == 1 and deleted.prev_kvs[0].value == b"43", f"{deleted}")
    expect(client.delete_prefix("kv/n/").deleted == 49, "delete a prefix")
    large = bytes(range(256)) * 4000
    client.put("kv/large", large)
    expect(client.get("kv/large")[0] == large, "a value of a megabyte")
    refused(lambda: client.put("", "x"), grpc.StatusCode.INVALID_ARGUMENT)


def transactions(client):
    tx = client.transactions
    client.put("txn/a", "1")
    done, answers = client.transaction(
        compare=[tx.value("txn/a") == "1", tx.version("txn/a") > 0, tx.create("txn/b") == 0, tx.mod("txn/a") < 1 << 60],
        success=[tx.put("txn/a", "2"), tx.put("txn/b", "x"), tx.get("txn/a"), tx.delete("txn/c")],
        failure=[tx.get("txn/a")])
    expect(done and answers[2][0][0] == b"2" and len(answers) == 4, f"{done} {answers}")
    done, answers = client.transaction(compare=[tx.value("txn/a") != "2"], success=[tx.put("txn/a", "3")],
                                       failure=[tx.get("txn/a"), tx.get("txn/b")])
    expect(not done and answers[0][0][0] == b"2" and answers[1][0][0] == b"x", f"{done} {answers}")
    inner = tx.txn(compare=[tx.version("txn/b") == 1], success=[tx.put("txn/c", "inner")], failure=[])
    expect(client.transaction(compare=[], success=[inner], failure=[])[0], "one inside of another")
    expect(client.get("txn/c")[0] == b"inner", "what the inner one did")
    expect(client.put_if_not_exists("txn/d", "1") and not client.put_if_not_exists("txn/d", "2"), "put if there is none")
    expect(client.replace("txn/d", "1", "3") and not client.replace("txn/d", "1", "4"), "replace")
    refused(lambda: client.transaction(compare=[], success=[tx.put("txn/e", "1"), tx.put("txn/e", "2")], failure=[]),
            grpc.StatusCode.INVALID_ARGUMENT)
    refused(lambda: client.transaction(compare=[], success=[tx.get("x")] * 129, failure=[]),
            grpc.StatusCode.INVALID_ARGUMENT)


def watches(client):
    first = client.put("watch/first", "").header.revision
    events, cancel = client.watch_prefix("watch/n/", prev_kv=True)
    called = queue.Queue()
    watch_id = client.add_watch_prefix_callback("watch/n/", called.put)
    for number in range(100):
        client.put(f"watch/n/{number % 10}", str(number))
    client.delete("watch/n/3")
    revision = first
    for number in range(100):
        event = next(events)
        expect(isinstance(event, etcd3.events.PutEvent) and event.value == str(number).encode(), f"event {number}: {event}")
        expect(event.mod_revision > revision, "out of order")
        expect(event.prev_value == (str(number - 10).encode() if number >= 10 else b""), "what was before")
        revision = event.mod_revision
    event = next(events)
    expect(isinstance(event, etcd3.events.DeleteEvent) and event.key == b"watch/n/3", f"{event}")
    cancel()
    expect(next(events, None) is None, "events after it was cancelled")
    count = 0
    while count < 101:
        count += len(called.get(timeout=WAIT_S).events)
    client.cancel_watch(watch_id)
    old, cancel = client.watch_prefix("watch/n/", start_revision=first)
    expect([next(old).value for _ in range(100)] == [str(n).encode() for n in range(100)], "from a revision of before")
    cancel()
    # Again and again: nobody tells when it watches.
    seen = threading.Event()

    def put_until_seen():
        while not seen.wait(0.05):
            client.put("watch/once", "x")
    writer = threading.Thread(target=put_until_seen)
    writer.start()
    try:
        expect(client.watch_once("watch/once", timeout=WAIT_S).value == b"x", "once")
    finally:
        seen.set()
        writer.join()
    try:
        client.watch_once("watch/never", timeout=0.1)
        raise AssertionError("nothing happened, and it was told")
    except etcd3.exceptions.WatchTimedOut:
        pass
    client.compact(client.put("watch/compact", "").header.revision)
    lost, cancel = client.watch("watch/n/1", start_revision=first)
    try:
        next(lost)
        raise AssertionError("a compacted revision was watched")
    except etcd3.exceptions.RevisionCompactedError as error:
        expect(error.compacted_revision > first, "where history begins")
    cancel()
    refused(lambda: client.compact(1), grpc.StatusCode.OUT_OF_RANGE)


def leases(client):
    lease = client.lease(60)
    client.put("lease/a", "1", lease=lease)
    expect(client.get("lease/a")[1].lease_id == lease.id, "whose key it is")
    expect(lease.granted_ttl == 60 and 0 < lease.remaining_ttl <= 60, "its time")
    expect(lease.keys == [b"lease/a"], f"its keys: {lease.keys}")
    expect(lease.refresh()[0].TTL == 60, "kept alive")
    chosen = client.lease(60, lease_id=4711)
    expect(chosen.id == 4711, "an id of one's own")
    refused(lambda: client.lease(60, lease_id=4711), grpc.StatusCode.FAILED_PRECONDITION)
    chosen.revoke()
    lease.revoke()
    expect(client.get("lease/a") == (None, None), "what a lease leaves behind")
    refused(lease.revoke, grpc.StatusCode.NOT_FOUND)
    refused(lambda: client.put("lease/b", "1", lease=4711), grpc.StatusCode.NOT_FOUND)
    short = client.lease(4)
    gone, cancel = client.watch("lease/c")
    client.put("lease/c", "1", lease=short)
    expect(isinstance(next(gone), etcd3.events.PutEvent) and isinstance(next(gone), etcd3.events.DeleteEvent), "its end")
    cancel()


def acquired(lock):
    """Whether it is ours within WAIT_S. The client begins to watch after it has looked: who is the last to wait may
    miss the release, and sleeps its whole time. So it is asked for short ones."""
    end = time.monotonic() + WAIT_S
    while not lock.acquire(timeout=1):
        if time.monotonic() > end:
            return False
    return True


def locks(client):
    """Four threads add to a number under a lock; nobody is inside beside another."""
    inside, total, wrong = [0], [0], []

    def add():
        mine = etcd3.client(client._url.split(":")[0], int(client._url.split(":")[1]))
        for _ in range(5):
            lock = mine.lock("locks/one", ttl=60)
            if not acquired(lock) or not lock.is_acquired():
                wrong.append("not acquired")
                return
            inside[0] += 1
            if inside[0] != 1:
                wrong.append("two inside")
            total[0] += 1
            inside[0] -= 1
            if not lock.release():
                wrong.append("not released")
        mine.close()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not wrong and total[0] == 20, f"{wrong} {total[0]}")
    with client.lock("locks/two", ttl=60) as lock:
        expect(lock.is_acquired() and not client.lock("locks/two", ttl=60).acquire(timeout=0), "held, and tried")
        lock.refresh()
    expect(client.lock("locks/two", ttl=60).acquire(timeout=0), "set free")
    lost = client.lock("locks/three", ttl=4)
    expect(lost.acquire(), "acquired")
    expect(acquired(client.lock("locks/three", ttl=60)), "a holder that is gone")


def cluster(client):
    members = list(client.members)
    status = client.status()
    expect(len(members) >= 1 and any(member.id == status.leader.id for member in members), "who leads")
    expect(status.db_size > 0 and status.raft_term > 0 and status.raft_index > 0, "the status")
    expect(all(member.name is not None for member in members), "names")
    expect(client.hash() is not None, "a hash")
    client.defragment()
    expect(list(client.list_alarms()) == [], "alarms")
    refused(lambda: client.remove_member(4711), grpc.StatusCode.NOT_FOUND)


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    failures = 0
    for check in (keys, transactions, watches, leases, locks, cluster):
        begin = time.monotonic()
        client = etcd3.client(host, int(port), timeout=WAIT_S)
        try:
            check(client)
            print(f"ok {check.__name__} {time.monotonic() - begin:.2f} s", flush=True)
        except Exception as error:  # whatever it is, the next check runs too
            failures += 1
            print(f"FAIL {check.__name__}: {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, AssertionError):
                import traceback
                traceback.print_exc()
        client.close()
    sys.exit(failures)


main()
