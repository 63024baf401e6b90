// Names of processes, 1 to 255 bytes of UTF-8 each. A name goes with its process.

import { out, utf8, at } from "./memory";

@external("pando::registry", "register")
declare function registry_register(name: usize, size: u32, pid: u64): u32;
@external("pando::registry", "whereis")
declare function registry_whereis(name: usize, size: u32, out: usize): u32;
@external("pando::registry", "unregister")
declare function registry_unregister(name: usize, size: u32): u32;

export enum Registered {
  Ok = 0,
  /** Another process has it. */
  Taken = 1,
  /** Nobody has this pid. */
  NoProcess = 2,
  /** The limit of names is reached. */
  Full = 3,
}

/** Give `pid` a name, unless another has it. */
export function register(name: string, pid: u64): Registered {
  const bytes = utf8(name);
  return <Registered>registry_register(at(bytes), bytes.byteLength, pid);
}

/** Who has the name; 0: nobody. */
export function whereis(name: string): u64 {
  const bytes = utf8(name);
  return registry_whereis(at(bytes), bytes.byteLength, out) == 0 ? load<u64>(out) : 0;
}

/** Forget the name. False: nobody had it. */
export function unregister(name: string): bool {
  const bytes = utf8(name);
  return registry_unregister(at(bytes), bytes.byteLength) == 0;
}
