// check - refuses orders that make no sense, before anybody works on them.
//
// What each stage does, in its own language: receive an order, do one thing to it, add a word to its
// trail, ask the next stage of its route, and answer with that answer. See ../README.md.
use pando::Pid;
use std::time::Duration;

const TAG_ORDER: u64 = 1;
const ATTEMPTS: u32 = 3;
const WAIT: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(5);

/// Who has the name; waits a while, since a stage that has crashed has none until it is back.
fn find(name: &str) -> Pid {
    let mut waited = Duration::ZERO;
    while waited < WAIT {
        if let Some(pid) = pando::names::whereis(name) {
            return pid;
        }
        pando::process::sleep(LOOK);
        waited += LOOK;
    }
    Pid(0)
}

/// Hand the order to the next stage of its route, if there is one. What the caller is to be answered.
fn pass_on(mut fields: Vec<String>) -> String {
    let route = std::mem::take(&mut fields[4]);
    let (next, rest) = route.split_once(' ').unwrap_or((&route, ""));
    fields[4] = rest.to_string();
    let order = fields.join("\t");
    if next.is_empty() {
        return order;
    }
    for _ in 0..ATTEMPTS {
        if let Ok(answer) = find(next).call(TAG_ORDER, order.as_bytes(), WAIT) {
            return answer.text().into_owned();
        }
    }
    format!("refused: {} died of it", next)
}

fn handle(order: &str) -> String {
    let mut fields: Vec<String> = order.split('\t').map(str::to_string).collect();
    assert!(fields.len() == 7, "no order: {:?}", order);
    match fields[1].parse::<u32>() {
        Ok(quantity) if (1..100).contains(&quantity) => {
            fields[5] += &format!(" rust#{}", pando::process::id().0);
            pass_on(fields)
        }
        _ => format!("refused: {} pieces are not 1 to 99", fields[1]),
    }
}

fn main() {
    while let Some(received) = pando::receive(pando::FOREVER) {
        if let Some(message) = received.message() {
            let answer = handle(&message.text());
            message.reply(answer.as_bytes()).ok(); // a caller that is gone asks again
        }
    }
}
