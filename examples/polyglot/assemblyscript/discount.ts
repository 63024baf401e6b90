// discount - a tenth off, for ten pieces and more.
//
// What each stage does, in its own language: receive an order, do one thing to it, add a word to its
// trail, ask the next stage of its route, and answer with that answer. See ../README.md.
import * as pando from "./pando";

const TAG_ORDER: u64 = 1;
const ATTEMPTS = 3;
const WAIT_MS: u64 = 30000;
const LOOK_MS: u64 = 5;

/** Who has the name; waits a while, since a stage that has crashed has none until it is back. */
function find(name: string): u64 {
  for (let waited: u64 = 0; waited < WAIT_MS; waited += LOOK_MS) {
    const pid = pando.whereis(name);
    if (pid != 0) return pid;
    pando.sleep(LOOK_MS);
  }
  return 0;
}

function textAtHand(): string {
  return pando.readText(<u32>pando.messageSize());
}

/** Hand the order to the next stage of its route, if there is one. What the caller is to be answered. */
function passOn(fields: string[]): string {
  const route = fields[4].split(" ");
  const next = route.shift();
  fields[4] = route.join(" ");
  const order = fields.join("\t");
  if (next == "") return order;
  for (let i = 0; i < ATTEMPTS; i++) {
    pando.begin(TAG_ORDER);
    pando.writeText(order);
    if (pando.call(find(next), WAIT_MS) == pando.Sent.Ok) return textAtHand();
  }
  return `refused: ${next} died of it`;
}

function handle(order: string): string {
  const fields = order.split("\t");
  assert(fields.length == 7, "no order");
  const cents = <u32>parseInt(fields[3]);
  if (parseInt(fields[1]) >= 10) fields[3] = (cents - cents / 10).toString();
  fields[5] += " assemblyscript#" + pando.self().toString();
  return passOn(fields);
}

export function _start(): void {
  for (;;) {
    pando.receive();
    const caller = pando.messagePid();
    const reference = pando.messageRef();
    const answer = handle(textAtHand());
    pando.begin();
    pando.writeText(answer);
    pando.reply(caller, reference);
  }
}
