// @NAME@: a process that adds, and one that asks it.
import * as pando from "./pando";

/** A process: it runs from here, in a memory of its own, and answers until it is killed. */
export function adder(): void {
  for (;;) {
    if (pando.receive() != pando.Received.Data || pando.messageRef() == 0) continue;
    const caller = pando.messagePid();
    const ref = pando.messageRef();
    const sum = pando.readU64() + pando.readU64();
    pando.begin();
    pando.writeU64(sum);
    pando.reply(caller, ref);
  }
}

export function _start(): void {
  const pid = pando.spawnLink(1, "adder");
  assert(pid != 0, pando.spawnError());
  pando.begin();
  pando.writeU64(20);
  pando.writeU64(22);
  assert(pando.call(pid, 5000) == pando.Sent.Ok, "the adder did not answer");
  pando.print(`hello from @NAME@: 20 + 22 = ${pando.readU64()}`);
}
