// Starting, watching, calling and ending processes.
//
// Pids    Unique for ever within a program; 0 is nobody.
// Links   Two linked processes share their fate: when one ends other than normally, so does the other,
//         unless it traps that (`trapExit`). Monitors only tell, and one side only.
// Rights  Spawning needs the right to spawn; without it the process ends with reason Denied.

import { out, utf8, at, takeError } from "./memory";
import { Reason, Sent } from "./message";

const INHERIT: u64 = u64.MAX_VALUE;
const PARAM_SIZE: u32 = 17; // a type, and 16 bytes for its value
const PARAMS_MAX: u32 = 16;

@external("lunatic::process", "spawn")
declare function process_spawn(link: u64, config: u64, module: u64, name: usize, nameSize: u32,
                               params: usize, paramsSize: u32, out: usize): u32;
@external("lunatic::process", "process_id")
declare function process_id(): u64;
@external("lunatic::process", "exists")
declare function process_exists(pid: u64): u32;
@external("lunatic::process", "sleep_ms")
declare function sleep_ms(ms: u64): void;
@external("lunatic::process", "link")
declare function process_link(tag: u64, pid: u64): void;
@external("lunatic::process", "unlink")
declare function process_unlink(pid: u64): void;
@external("lunatic::process", "kill")
declare function process_kill(pid: u64): void;
@external("pando::process", "trap_exit")
declare function process_trap_exit(traps: u32): void;
@external("pando::process", "monitor")
declare function process_monitor(pid: u64): u64;
@external("pando::process", "demonitor")
declare function process_demonitor(ref: u64, flush: u32): u32;
@external("pando::process", "call")
declare function process_call(pid: u64, timeout: u64): u32;
@external("pando::process", "reply")
declare function process_reply(pid: u64, ref: u64): u32;
@external("pando::process", "last_reason")
declare function process_last_reason(): u32;
@external("pando::process", "exit")
declare function process_exit(pid: u64, reason: u32, text: usize, size: u32): void;
@external("pando::process", "exit_self")
declare function process_exit_self(reason: u32, text: usize, size: u32): void;
@external("pando::supervisor", "ready")
declare function supervisor_ready(): void;

// --- Starting --------------------------------------------------------------------------------------

/** What a spawned function takes, one to one: `new Params().i64(pando.self()).i32(3)`; 16 at most. */
export class Params {
  /** As they travel. */
  bytes: StaticArray<u8> = new StaticArray<u8>(PARAM_SIZE * PARAMS_MAX);
  size: u32 = 0;

  i32(value: i32): Params {
    return this.add(0x7f, <u64>(<u32>value));
  }

  i64(value: i64): Params {
    return this.add(0x7e, <u64>value);
  }

  private add(type: u8, value: u64): Params {
    assert(this.size < PARAM_SIZE * PARAMS_MAX, "a function takes 16 parameters at most");
    const to = changetype<usize>(this.bytes) + this.size;
    store<u8>(to, type);
    store<u64>(to + 1, value);
    this.size += PARAM_SIZE;
    return this;
  }
}

let spawnWords = "";

/** A process that runs an exported function of this module, with this process's rights. 0: it could not
 * be started, `spawnError` says why. A function that does not exist, or takes other parameters, is no
 * error here: the child dies of it. */
export function spawn(name: string, params: Params = new Params()): u64 {
  return spawnLink(0, name, params);
}

/** The same, linked to this process. `tag` (not 0) marks the notice if this process traps exits. */
export function spawnLink(tag: u64, name: string, params: Params = new Params()): u64 {
  const function_ = utf8(name);
  const failed = process_spawn(tag, INHERIT, INHERIT, at(function_), function_.byteLength,
                               changetype<usize>(params.bytes), params.size, out);
  const id = load<u64>(out);
  if (failed == 0) return id;
  spawnWords = takeError(id);
  return 0;
}

/** Why the last spawn that failed did so. */
export function spawnError(): string {
  return spawnWords;
}

/** For a child whose supervisor waits until it says so. */
export function ready(): void {
  supervisor_ready();
}

// --- Identity --------------------------------------------------------------------------------------

/** One's own pid. */
export function self(): u64 {
  return process_id();
}

/** Alive right now? It may not be when you read the answer: prefer a monitor. */
export function exists(pid: u64): bool {
  return process_exists(pid) != 0;
}

/** Do nothing for a while; messages and signals arrive meanwhile. */
export function sleep(ms: u64): void {
  sleep_ms(ms);
}

// --- Watching --------------------------------------------------------------------------------------

/** Share fate with `pid`; both sides see `tag` (not 0). Nobody there: as if it died at once with reason
 * NoProcess. */
export function link(tag: u64, pid: u64): void {
  process_link(tag, pid);
}

export function unlink(pid: u64): void {
  process_unlink(pid);
}

/** Whether the end of a linked process, and exit signals, arrive as messages (Received.LinkDied)
 * instead of ending this process. A kill cannot be trapped. */
export function trapExit(traps: bool): void {
  process_trap_exit(traps ? 1 : 0);
}

/** Be told of the end of `pid`, once, by a Received.Down with the reference returned. Nobody there: told
 * at once, reason NoProcess. 0: the limit of monitors is reached. */
export function monitor(pid: u64): u64 {
  return process_monitor(pid);
}

/** Stop that; a notice that is in the mailbox already is removed. True: nothing had been told. */
export function demonitor(ref: u64): bool {
  return process_demonitor(ref, 1) != 0;
}

// --- Calling ---------------------------------------------------------------------------------------

/** Send what is at hand and wait for the `reply`, which is at hand when the answer is Ok. Gone: it was or
 * is dead, see `lastReason`. Late: a reply that comes later is dropped. */
export function call(pid: u64, timeout: u64): Sent {
  return <Sent>process_call(pid, timeout);
}

/** Send what is at hand as the answer to a call: `messagePid` and `messageRef` of the message that asked,
 * read before the answer was begun. */
export function reply(pid: u64, ref: u64): Sent {
  return <Sent>process_reply(pid, ref);
}

/** Why the process that was called is gone. */
export function lastReason(): Reason {
  return <Reason>process_last_reason();
}

// --- Ending ----------------------------------------------------------------------------------------

/** End with a reason that links and monitors see. It does not return. */
export function exitSelf(reason: Reason, text: string): void {
  const bytes = utf8(text);
  process_exit_self(reason, at(bytes), bytes.byteLength);
}

/** Ask another to end, as if a process linked to it had ended for this reason: it may trap that, and
 * ignores Normal. */
export function exit(pid: u64, reason: Reason, text: string): void {
  const bytes = utf8(text);
  process_exit(pid, reason, at(bytes), bytes.byteLength);
}

/** End it now, whatever it traps. */
export function kill(pid: u64): void {
  process_kill(pid);
}

/** What the compiler calls when an assertion fails or an error is thrown: the process ends with reason
 * Failure and these words. Chosen by `--use abort=pandoAbort`; without it a module would import
 * `env.abort`, which nobody has. */
// @ts-ignore: decorator
@global
function pandoAbort(message: string | null, file: string | null, line: u32, column: u32): void {
  const where = file === null ? "" : ` (${file}:${line}:${column})`;
  exitSelf(Reason.Failure, (message === null ? "abort" : message) + where);
}
