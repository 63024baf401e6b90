// The store: keys, all keys below a prefix, and what happens to them. (Transactions and leases: the
// same imports as in sdk/c/include/pando/kv.h.)
//
// Where    Inside a node (pando start --app) or beside one (pando run --node DIR). In other runs each
//          function answers Unavailable.
// Rights   Nothing unless it was given: --allow-kv PREFIX, or `kv` in the application file.
// Waiting  A call suspends this process alone, until the store has answered or ten seconds are over. A
//          write happens at most once: it has when the answer is Ok, and nobody knows when Unknown.

import { out, utf8, at, takeError } from "./memory";
import { readBytes, readText } from "./message";

export enum Code {
  Ok = 0,
  Absent = 1,
  /** Certainly not done: no store, no leader, no time. Try again. */
  Unavailable = 2,
  /** It may or may not have happened: look. */
  Unknown = 3,
  Denied = 4,
  Invalid = 5,
  TooLarge = 6,
  Full = 7,
  Compacted = 8,
}

@external("pando::kv", "get")
declare function kv_get(key: usize, size: u32, value: usize, room: u32, found: usize): u32;
@external("pando::kv", "put")
declare function kv_put(key: usize, size: u32, value: usize, valueSize: u32, lease: i64, flags: u32,
                        revision: usize): u32;
@external("pando::kv", "delete")
declare function kv_delete(key: usize, size: u32, end: usize, endSize: u32, flags: u32,
                           deleted: usize): u32;
@external("pando::kv", "range")
declare function kv_range(key: usize, size: u32, end: usize, endSize: u32, limit: i64, revision: i64,
                          flags: u32, ranged: usize): u32;
@external("pando::kv", "answer_read")
declare function kv_answer_read(to: usize, size: u32): u32;
@external("pando::kv", "watch")
declare function kv_watch(key: usize, size: u32, end: usize, endSize: u32, revision: i64, tag: u64,
                          flags: u32, watch: usize): u32;
@external("pando::kv", "unwatch")
declare function kv_unwatch(watch: u64): u32;
@external("pando::kv", "last_error")
declare function kv_last_error(): u64;

let code: Code = Code.Ok;

/** How the last function of this file went. */
export function lastCode(): Code {
  return code;
}

/** The words of the last failure. */
export function lastError(): string {
  return takeError(kv_last_error());
}

/** The value of a key, not older than any write that was answered before the call; null: see `lastCode`,
 * which is Absent when there is no such key. */
export function getBytes(key: string): ArrayBuffer | null {
  const name = utf8(key);
  let value: ArrayBuffer;
  let size: u32 = 256;
  do {
    value = new ArrayBuffer(size);
    code = <Code>kv_get(at(name), name.byteLength, at(value), size, out);
    if (code != Code.Ok) return null;
    size = load<u32>(out);
  } while (size > <u32>value.byteLength); // and may be longer still when it is asked for again
  return value.slice(0, size);
}

export function get(key: string): string | null {
  const bytes = getBytes(key);
  return bytes === null ? null : String.UTF8.decode(bytes);
}

export function putBytes(key: string, value: ArrayBuffer): Code {
  const name = utf8(key);
  code = <Code>kv_put(at(name), name.byteLength, at(value), value.byteLength, 0, 0, out);
  return code;
}

export function put(key: string, value: string): Code {
  return putBytes(key, utf8(value));
}

/** Ok also when there was no such key. */
export function remove(key: string): Code {
  const name = utf8(key);
  code = <Code>kv_delete(at(name), name.byteLength, 0, 0, 0, out);
  return code;
}

// --- Ranges ----------------------------------------------------------------------------------------

/** A key with its value. */
export class Entry {
  createRevision: i64 = 0;
  modRevision: i64 = 0;
  /** Writes since it was created, 1 at first; 0 of a deletion. */
  version: i64 = 0;
  lease: i64 = 0;
  key: string = "";
  bytes: ArrayBuffer = new ArrayBuffer(0);

  /** The value as a text. */
  get value(): string {
    return String.UTF8.decode(this.bytes);
  }
}

/** The first key that is beyond all that begin with `prefix`; for "" the zero that means all. */
function endOf(prefix: ArrayBuffer): ArrayBuffer {
  if (prefix.byteLength == 0) return new ArrayBuffer(1);
  const end = prefix.slice(0);
  const last = at(end) + end.byteLength - 1;
  store<u8>(last, load<u8>(last) + 1); // no byte of UTF-8 is 255
  return end;
}

/** All keys that begin with `prefix`, in their order: at most `limit` of them, and as many as are there for
 * 0. null: see `lastCode`. TooLarge: ask for fewer at a time, `isCut` says whether there are more. */
export function list(prefix: string, limit: i64 = 0): Entry[] | null {
  const name = utf8(prefix);
  const end = endOf(name);
  const first = name.byteLength == 0 ? end : name;
  code = <Code>kv_range(at(first), first.byteLength, at(end), end.byteLength, limit, 0, 0, out);
  cut = code == Code.Ok && load<u32>(out, 16) != 0;
  if (code != Code.Ok) return null;
  const entries = new Array<Entry>();
  while (kv_answer_read(out, RECORD) == RECORD) {
    const entry = new Entry();
    const keySize = takeNumbers(entry, out);
    const key = new ArrayBuffer(keySize);
    entry.bytes = new ArrayBuffer(load<u32>(out, 4));
    kv_answer_read(at(key), keySize);
    kv_answer_read(at(entry.bytes), entry.bytes.byteLength);
    entry.key = String.UTF8.decode(key);
    entries.push(entry);
  }
  return entries;
}

let cut = false;

/** Whether the last `list` left keys out, for its limit. */
export function isCut(): bool {
  return cut;
}

const RECORD: u32 = 40; // bytes of a record's numbers, in front of its key and value

/** The numbers of a record. Returns its key's size; its value's is behind it. */
function takeNumbers(entry: Entry, from: usize): u32 {
  entry.createRevision = load<i64>(from, 8);
  entry.modRevision = load<i64>(from, 16);
  entry.version = load<i64>(from, 24);
  entry.lease = load<i64>(from, 32);
  return load<u32>(from);
}

// --- Watches ---------------------------------------------------------------------------------------

/** Let what happens to the keys below `prefix`, from a revision on (0: from now on), come as messages with
 * this tag, to be read with `readEvents`. All of one revision come before those of the next, nothing is left
 * out, nothing comes twice. 16 watches a process. Returns its id for `unwatch`, or 0: see `lastCode`. */
export function watch(prefix: string, tag: u64, revision: i64 = 0): u64 {
  const name = utf8(prefix);
  const end = endOf(name);
  const first = name.byteLength == 0 ? end : name;
  code = <Code>kv_watch(at(first), first.byteLength, at(end), end.byteLength, revision, tag, 0, out);
  return code == Code.Ok ? load<u64>(out) : 0;
}

/** No further events; those that have arrived stay in the mailbox. False: there is no such watch. */
export function unwatch(watch: u64): bool {
  return kv_unwatch(watch) == 0;
}

/** What happened to a key: its new value, or that it is gone. */
export class Event {
  isDelete: bool = false;
  entry: Entry = new Entry();
}

/** A message of a watch. */
export class Events {
  watch: u64 = 0;
  /** Everything up to here was told. */
  revision: i64 = 0;
  events: Event[] = new Array<Event>();
  /** Not Ok: the watch has ended, for this and these words. */
  code: Code = Code.Ok;
  why: string = "";
}

/** So many bytes, or the process ends: a message that is shorter was not made by a watch. */
function readAll(size: u32): ArrayBuffer {
  const bytes = readBytes(size);
  assert(<u32>bytes.byteLength == size, "the message at hand is not one of a watch");
  return bytes;
}

/** The message at hand, which came with the tag of a watch. */
export function readEvents(): Events {
  const told = new Events();
  const head = readAll(24);
  const hasEnded = load<u32>(at(head), 8) != 0;
  const count = load<u32>(at(head), 12);
  told.watch = load<u64>(at(head));
  told.revision = load<i64>(at(head), 16);
  if (hasEnded) {
    told.code = <Code>count;
    told.why = readText(1024);
    return told;
  }
  for (let i: u32 = 0; i < count; i++) {
    const event = new Event();
    const numbers = readAll(8 + RECORD);
    event.isDelete = load<u32>(at(numbers)) != 0;
    const keySize = takeNumbers(event.entry, at(numbers) + 8);
    const valueSize = load<u32>(at(numbers), 12);
    event.entry.key = readText(keySize);
    event.entry.bytes = readBytes(valueSize);
    told.events.push(event);
  }
  return told;
}
