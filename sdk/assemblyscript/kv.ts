// The store: one key at a time. (Ranges, transactions, watches and leases: the same imports as in
// sdk/c/include/pando/kv.h.)
//
// Where    Inside a node (pando start --app) or beside one (pando run --node DIR). In other runs each
//          function answers Unavailable.
// Rights   Nothing unless it was given: --allow-kv PREFIX, or `kv` in the application file.
// Waiting  A call suspends this process alone, until the store has answered or ten seconds are over. A
//          write happens at most once: it has when the answer is Ok, and nobody knows when Unknown.

import { out, utf8, at, takeError } from "./memory";

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
