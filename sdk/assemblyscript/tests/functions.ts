// Each function of the SDK, and its answers. Ends with one line on standard output, or with a failed assertion.
// With the argument `store`: those of the store, beside a node, on keys below `sdk/`.
import * as pando from "../index";

const TAG: u64 = 7;
const STEP: u64 = 60000; // ms that nothing here should need

/** Replies to each call with the number it got, doubled; ends at 0. */
export function doubler(first: i32, second: i64): void {
  assert(first == -1 && second == -2, "parameters");
  let number: u64 = 1;
  while (number != 0) {
    assert(pando.receive(STEP) == pando.Received.Data, "a call");
    const pid = pando.messagePid();
    const ref = pando.messageRef();
    number = pando.readU64();
    pando.begin();
    pando.writeU64(2 * number);
    pando.reply(pid, ref);
  }
}

export function failing(): void {
  pando.exitSelf(pando.Reason.Failure, "as it was told");
}

export function asserting(): void {
  assert(false, "never true");
}

export function waiting(): void {
  pando.sleep(pando.FOREVER);
}

function params(): pando.Params {
  return new pando.Params().i32(-1).i64(-2);
}

function messages(): void {
  const self = pando.self();
  assert(pando.receive(0) == pando.Received.Nothing, "nothing is here");
  pando.begin(TAG);
  pando.writeText("grüß");
  pando.writeU32(32);
  pando.writeU64(u64.MAX_VALUE);
  pando.writeBytes(new ArrayBuffer(3));
  pando.send(self);
  pando.begin(TAG + 1);
  assert(pando.trySend(self) == pando.Sent.Ok, "sent");
  const tags: StaticArray<u64> = [TAG + 2, TAG + 1];
  assert(pando.receiveTags(tags, STEP) == pando.Received.Data && pando.messageTag() == TAG + 1, "by tags");
  assert(pando.receiveTag(TAG + 1, 0) == pando.Received.Nothing, "once");
  assert(pando.receiveTag(TAG, STEP) == pando.Received.Data && pando.messageTag() == TAG, "by tag");
  assert(pando.messageSize() == 21 && pando.messageRef() == 0 && pando.messagePid() == 0, "size");
  assert(pando.readText(6) == "grüß" && pando.readU32() == 32 && pando.readU64() == u64.MAX_VALUE, "read");
  assert(pando.readBytes(9).byteLength == 3, "what is left");
  pando.begin();
  assert(pando.trySend(self + 1000) == pando.Sent.Gone, "nobody");
}

function calls(): void {
  const pid = pando.spawn("doubler", params());
  assert(pid != 0 && pando.exists(pid), pando.spawnError());
  const ref = pando.monitor(pid);
  pando.begin();
  pando.writeU64(21);
  assert(pando.call(pid, STEP) == pando.Sent.Ok && pando.readU64() == 42, "doubled");
  pando.begin();
  pando.writeU64(0);
  assert(pando.call(pid, STEP) == pando.Sent.Ok, "the last one");
  assert(pando.receive(STEP) == pando.Received.Down && pando.messageRef() == ref, "its end is told");
  assert(pando.messagePid() == pid && pando.messageReason() == pando.Reason.Normal, "a normal one");
  pando.begin();
  assert(pando.call(pid, STEP) == pando.Sent.Gone && pando.lastReason() == pando.Reason.NoProcess, "gone");
  const deaf = pando.spawn("waiting");
  pando.begin();
  assert(pando.call(deaf, 1) == pando.Sent.Late, "late");
  assert(pando.demonitor(pando.monitor(deaf)), "nothing was told");
  pando.kill(deaf);
}

/** The notice of a linked process's end. */
function died(tag: u64, reason: pando.Reason, text: string): void {
  assert(pando.receiveTag(tag, STEP) == pando.Received.LinkDied && pando.messageReason() == reason, text);
  assert(pando.messageReasonText().startsWith(text), pando.messageReasonText());
}

function links(): void {
  pando.trapExit(true);
  pando.spawnLink(TAG, "failing");
  died(TAG, pando.Reason.Failure, "as it was told");
  pando.spawnLink(TAG, "asserting");
  died(TAG, pando.Reason.Failure, "never true (");
  const pid = pando.spawnLink(TAG, "waiting");
  pando.unlink(pid);
  pando.link(TAG + 1, pid);
  pando.exit(pid, pando.Reason.Shutdown, "enough");
  died(TAG + 1, pando.Reason.Shutdown, "enough");
  pando.trapExit(false);
}

function names(): void {
  assert(pando.whereis("tester") == 0 && !pando.unregister("tester"), "nobody yet");
  assert(pando.register("tester", pando.self()) == pando.Registered.Ok, "registered");
  assert(pando.whereis("tester") == pando.self(), "found");
  const other = pando.spawn("waiting");
  assert(pando.register("tester", other) == pando.Registered.Taken, "taken");
  assert(pando.register("nobody", other + 1000) == pando.Registered.NoProcess, "no process");
  pando.kill(other);
  assert(pando.unregister("tester") && pando.whereis("tester") == 0, "forgotten");
}

function store(): void {
  let long = "long";
  while (long.length < 1000) long += long;
  assert(pando.kv.remove("sdk/a") == pando.kv.Code.Ok, pando.kv.lastError());
  assert(pando.kv.get("sdk/a") === null && pando.kv.lastCode() == pando.kv.Code.Absent, "absent");
  assert(pando.kv.put("sdk/a", long) == pando.kv.Code.Ok, pando.kv.lastError());
  assert(pando.kv.get("sdk/a") == long && pando.kv.lastCode() == pando.kv.Code.Ok, "as it was put");
  assert(pando.kv.putBytes("sdk/a", new ArrayBuffer(2)) == pando.kv.Code.Ok, "bytes");
  assert(pando.kv.getBytes("sdk/a")!.byteLength == 2, "of this size");
  assert(pando.kv.put("other", "") == pando.kv.Code.Denied && pando.kv.lastError().length > 0, "denied");
}

function ranges(): void {
  for (let i = 0; i < 3; i++) {
    assert(pando.kv.put("sdk/r/" + i.toString(), i.toString()) == pando.kv.Code.Ok, pando.kv.lastError());
  }
  const all = pando.kv.list("sdk/r/")!;
  assert(all.length == 3 && !pando.kv.isCut(), "all of them");
  assert(all[1].key == "sdk/r/1" && all[1].value == "1" && all[1].version == 1 && all[1].lease == 0, "one of them");
  assert(all[2].modRevision > all[1].modRevision && all[1].createRevision == all[1].modRevision, "their revisions");
  assert(pando.kv.list("sdk/r/", 2)!.length == 2 && pando.kv.isCut(), "the first of them");
  assert(pando.kv.list("sdk/none/")!.length == 0 && !pando.kv.isCut(), "none of them");
  assert(pando.kv.list("") === null && pando.kv.lastCode() == pando.kv.Code.Denied, "more than it may");
}

function watches(): void {
  const past = pando.kv.list("sdk/r/")![2].modRevision;
  const watch = pando.kv.watch("sdk/r/", TAG, past);
  assert(watch != 0, pando.kv.lastError());
  assert(pando.kv.remove("sdk/r/0") == pando.kv.Code.Ok, pando.kv.lastError());
  const seen = new Array<pando.kv.Event>();
  while (seen.length < 2) {
    assert(pando.receiveTag(TAG, STEP) == pando.Received.Data, "events");
    const told = pando.kv.readEvents();
    assert(told.watch == watch && told.code == pando.kv.Code.Ok, told.why);
    for (let i = 0; i < told.events.length; i++) seen.push(told.events[i]);
  }
  assert(!seen[0].isDelete && seen[0].entry.key == "sdk/r/2" && seen[0].entry.value == "2", "what was");
  assert(seen[1].isDelete && seen[1].entry.key == "sdk/r/0" && seen[1].entry.modRevision > past, "what is gone");
  assert(pando.kv.unwatch(watch) && !pando.kv.unwatch(watch), "no more of it");
  assert(pando.kv.watch("other/", TAG) == 0 && pando.kv.lastCode() == pando.kv.Code.Denied, "denied");
}

export function _start(): void {
  const words = pando.args();
  pando.ready();
  if (words.length > 1 && words[1] == "store") {
    store();
    ranges();
    watches();
  } else {
    assert(words.length == 3 && words[1] == "two" && words[2] == "words", "arguments");
    assert(pando.variable("NAME") == "its value" && pando.variable("NAM") === null, "variables");
    assert(pando.kv.put("sdk/a", "") == pando.kv.Code.Unavailable, "there is no store");
    messages();
    calls();
    links();
    names();
    pando.printError("to standard error");
  }
  pando.print("all functions answered");
}
