@external("lunatic::process", "process_id")
declare function process_id(): u64;
@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, iov: usize, count: i32, out: usize): i32;

function print(text: string): void {
  const bytes = String.UTF8.encode(text + "\n");
  const iov = new Uint32Array(3);
  iov[0] = <u32>changetype<usize>(bytes);
  iov[1] = <u32>bytes.byteLength;
  fd_write(1, iov.dataStart, 1, iov.dataStart + 8);
}

class Point { constructor(public x: i32, public y: i32) {} }

export function _start(): void {
  const words = new Map<string, i32>();
  for (let i = 0; i < 1000; i++) words.set("word" + i.toString(), i);
  let sum = 0;
  const points: Point[] = [];
  for (let i = 0; i < 1000; i++) points.push(new Point(i, words.get("word" + i.toString())));
  for (let i = 0; i < points.length; i++) sum += points[i].x + points[i].y;
  print("assemblyscript " + process_id().toString() + " " + sum.toString());
}
