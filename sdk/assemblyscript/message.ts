// Writing, sending, receiving and reading messages.
//
// Model      A process has a mailbox and ONE message at hand: the one that it is writing, or the one
//            that it received last. `begin` and `receive` replace it; `send` gives it away.
// Selecting  A receive takes the first message that has one of the wanted tags and leaves the others
//            in their order. Tag 0 is "no tag": only a receive without tags finds it.
// Bounds     A message holds up to 32 MiB; a mailbox is bounded by count and bytes. A full one makes
//            `send` wait; `trySend` says so instead.
// Mistakes   Reading beyond the end, or without a message at hand, ends the process with a trap.

import { out, utf8, at } from "./memory";

/** A timeout that never ends. Times are milliseconds; 0 does not wait. */
export const FOREVER: u64 = u64.MAX_VALUE;

/** What a receive brought. */
export enum Received {
  Data = 0,
  /** A linked process ended, and this one traps that: `trapExit`. */
  LinkDied = 1,
  /** A process that Lunatic's monitor watched. */
  ProcessDied = 2,
  /** A process that `monitor` watched: `messageRef`, `messagePid`. */
  Down = 3,
  /** The timeout passed; the message at hand is the former one. */
  Nothing = 9027,
}

/** What became of a message that may not wait, or of a call. */
export enum Sent {
  Ok = 0,
  /** The mailbox is full; the message is still at hand. */
  Full = 1,
  /** Nobody has this pid (any more); the message is still at hand. */
  Gone = 2,
  /** Of calls only: no reply came in time. */
  Late = 9027,
}

/** Why a process ended. */
export enum Reason {
  Normal = 0,
  Shutdown = 1,
  Failure = 2,
  Killed = 3,
  NoProcess = 4,
  Fuel = 5,
  Memory = 6,
  Denied = 7,
}

@external("lunatic::message", "create_data")
declare function create_data(tag: u64, capacity: u64): void;
@external("lunatic::message", "write_data")
declare function write_data(bytes: usize, size: u32): u32;
@external("lunatic::message", "read_data")
declare function read_data(to: usize, size: u32): u32;
@external("lunatic::message", "get_tag")
declare function get_tag(): u64;
@external("lunatic::message", "data_size")
declare function data_size(): u64;
@external("lunatic::message", "send")
declare function message_send(pid: u64): u32;
@external("lunatic::message", "receive")
declare function message_receive(tags: usize, count: u32, timeout: u64): u32;
@external("pando::message", "ref")
declare function message_ref(): u64;
@external("pando::message", "pid")
declare function message_pid(): u64;
@external("pando::message", "reason")
declare function message_reason(): u32;
@external("pando::message", "reason_text")
declare function message_reason_text(to: usize, room: u32): u32;
@external("pando::process", "send")
declare function process_send(pid: u64): u32;

// --- Writing ---------------------------------------------------------------------------------------

/** Begin a message. */
export function begin(tag: u64 = 0): void {
  create_data(tag, 0);
}

/** Append bytes as they are. */
export function writeBytes(bytes: ArrayBuffer): void {
  write_data(at(bytes), bytes.byteLength);
}

/** Append a number, little-endian. */
export function writeU32(number: u32): void {
  store<u32>(out, number);
  write_data(out, 4);
}

export function writeU64(number: u64): void {
  store<u64>(out, number);
  write_data(out, 8);
}

/** Append the bytes of a text (UTF-8), neither its size nor a zero. */
export function writeText(text: string): void {
  writeBytes(utf8(text));
}

// --- Sending ---------------------------------------------------------------------------------------

/** Send what is at hand. Waits while the receiver's mailbox is full; a pid that nobody has drops the
 * message silently. */
export function send(pid: u64): void {
  message_send(pid);
}

/** Send without waiting: Ok, Full or Gone. */
export function trySend(pid: u64): Sent {
  return <Sent>process_send(pid);
}

// --- Receiving -------------------------------------------------------------------------------------

/** The first message of all, waiting up to `timeout` ms. */
export function receive(timeout: u64 = FOREVER): Received {
  return <Received>message_receive(0, 0, timeout);
}

/** The first message with this tag (not 0). */
export function receiveTag(tag: u64, timeout: u64 = FOREVER): Received {
  store<u64>(out, tag);
  return <Received>message_receive(out, 1, timeout);
}

/** The first message that has one of the tags (not 0). */
export function receiveTags(tags: StaticArray<u64>, timeout: u64 = FOREVER): Received {
  return <Received>message_receive(changetype<usize>(tags), tags.length, timeout);
}

// --- Reading ---------------------------------------------------------------------------------------

/** The tag, 0 if it has none; of LinkDied the link's. */
export function messageTag(): u64 {
  return get_tag();
}

/** All bytes of it, those that were read included. */
export function messageSize(): u64 {
  return data_size();
}

/** The reference of a call that waits for a reply (0: none), or of the monitor that fired. */
export function messageRef(): u64 {
  return message_ref();
}

/** Who called and waits for a reply, or whose death this is; 0 of other messages. */
export function messagePid(): u64 {
  return message_pid();
}

/** Why it died, of a notice. */
export function messageReason(): Reason {
  return <Reason>message_reason();
}

/** What it said when it died, of a notice. */
export function messageReasonText(): string {
  let bytes = new ArrayBuffer(256);
  let size = <i32>message_reason_text(at(bytes), bytes.byteLength);
  if (size > bytes.byteLength) {
    bytes = new ArrayBuffer(size);
    message_reason_text(at(bytes), size);
  }
  return String.UTF8.decodeUnsafe(at(bytes), size);
}

/** The next bytes, up to `size`; fewer are left if the result is shorter. */
export function readBytes(size: u32): ArrayBuffer {
  const bytes = new ArrayBuffer(size);
  const count = read_data(at(bytes), size);
  return count == size ? bytes : bytes.slice(0, count);
}

/** The next number, little-endian. */
export function readU32(): u32 {
  assert(read_data(out, 4) == 4, "the message ends within a number");
  return load<u32>(out);
}

export function readU64(): u64 {
  assert(read_data(out, 8) == 8, "the message ends within a number");
  return load<u64>(out);
}

/** The next bytes as a text, up to `size`. */
export function readText(size: u32): string {
  return String.UTF8.decode(readBytes(size));
}
