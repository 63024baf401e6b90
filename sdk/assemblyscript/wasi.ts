// Output, arguments and variables, by WASI. (AssemblyScript's own `console` and `process` import a
// browser's functions, which a guest has not.)

import { out, utf8, at } from "./memory";

@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: u32, vectors: usize, count: u32, written: usize): u32;
@external("wasi_snapshot_preview1", "args_sizes_get")
declare function args_sizes_get(count: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "args_get")
declare function args_get(pointers: usize, bytes: usize): u32;
@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(count: usize, size: usize): u32;
@external("wasi_snapshot_preview1", "environ_get")
declare function environ_get(pointers: usize, bytes: usize): u32;

function write(fd: u32, text: string): void {
  const bytes = utf8(text);
  let done: u32 = 0;
  while (done < <u32>bytes.byteLength) {
    store<u32>(out, <u32>at(bytes) + done);
    store<u32>(out + 4, bytes.byteLength - done);
    if (fd_write(fd, out, 1, out + 8) != 0) return;
    done += load<u32>(out + 8);
  }
}

/** A line to standard output. */
export function print(text: string): void {
  write(1, text + "\n");
}

/** A line to standard error. */
export function printError(text: string): void {
  write(2, text + "\n");
}

/** Zero-terminated texts: `count` pointers to them stand at `pointers`. */
function texts(pointers: usize, count: u32): string[] {
  const list: string[] = [];
  for (let i: u32 = 0; i < count; i++) {
    list.push(String.UTF8.decodeUnsafe(load<u32>(pointers + 4 * i), 65536, true));
  }
  return list;
}

/** The program's name, then its arguments. */
export function args(): string[] {
  if (args_sizes_get(out, out + 4) != 0) return [];
  const count = load<u32>(out);
  const pointers = new ArrayBuffer(4 * count);
  const bytes = new ArrayBuffer(load<u32>(out + 4));
  return args_get(at(pointers), at(bytes)) == 0 ? texts(at(pointers), count) : [];
}

/** The value of an environment variable; null: it is not set. */
export function variable(name: string): string | null {
  if (environ_sizes_get(out, out + 4) != 0) return null;
  const count = load<u32>(out);
  const pointers = new ArrayBuffer(4 * count);
  const bytes = new ArrayBuffer(load<u32>(out + 4));
  if (environ_get(at(pointers), at(bytes)) != 0) return null;
  const list = texts(at(pointers), count);
  const start = name + "=";
  for (let i = 0; i < list.length; i++) {
    if (list[i].startsWith(start)) return list[i].substring(start.length);
  }
  return null;
}
