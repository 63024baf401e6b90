// What the other files share: room for results, and texts as bytes.
//
// Each process has its own memory and one thread, and a host function has written its results when
// it returns. So one place for them is enough.

/** Where host functions write results of up to 64 bytes. Read it before the next call. */
export const out: usize = memory.data(64, 8);

/** A text as UTF-8, without a zero at its end. */
// @ts-ignore: decorator
@inline
export function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

// @ts-ignore: decorator
@inline
export function at(bytes: ArrayBuffer): usize {
  return changetype<usize>(bytes);
}

@external("lunatic::error", "string_size")
declare function error_size(error: u64): u32;
@external("lunatic::error", "to_string")
declare function error_text(error: u64, to: usize): void;
@external("lunatic::error", "drop")
declare function error_drop(error: u64): void;

/** The words of an error, which is dropped. */
export function takeError(error: u64): string {
  const bytes = new ArrayBuffer(<i32>error_size(error));
  error_text(error, at(bytes));
  error_drop(error);
  return String.UTF8.decode(bytes);
}
