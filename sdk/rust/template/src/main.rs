//! @NAME@: a process that adds, and one that asks it.

use std::time::Duration;

use pando::{process, Received, FOREVER};

/// A process: it runs in a memory of its own, and answers until it is killed.
fn adder(_argument: u64) {
    while let Some(received) = pando::receive(FOREVER) {
        if let Received::Message(question) = received {
            let sum: u64 = question.numbers().sum();
            // Who no longer waits for the answer does not miss it.
            question.reply(&sum.to_le_bytes()).ok();
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let adder = process::spawn_link(1, adder, 0)?;
    let question = [20u64.to_le_bytes(), 22u64.to_le_bytes()].concat();
    let answer = adder.call(0, &question, Duration::from_secs(5))?;
    let sum: u64 = answer.numbers().sum();
    println!("hello from @NAME@: 20 + 22 = {}", sum);
    Ok(())
}
