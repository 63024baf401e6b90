// A plain program of std: collections, input, arguments, a panic with its words, an exit code.
use std::collections::BTreeMap;
use std::io::Read;

#[link(wasm_import_module = "lunatic::process")]
extern "C" {
    fn process_id() -> u64;
}

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let mut counts = BTreeMap::new();
    for word in text.split_whitespace() {
        *counts.entry(word).or_insert(0) += 1;
    }
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    println!("rust {} {:?} {:?}", unsafe { process_id() }, counts, arguments);
    if arguments.len() > 1 {
        let nothing: Option<u32> = None;
        println!("{}", nothing.expect("a value is missing"));
    }
    std::process::exit(5);
}
