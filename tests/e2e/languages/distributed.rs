// lunatic::distributed on a cluster of one: the node lists and finds itself, a process is spawned on it, and messages go by
// node and pid. With an argument: to a node that does not exist.
mod distributed {
    #[link(wasm_import_module = "lunatic::distributed")]
    extern "C" {
        pub fn nodes_count() -> u32;
        pub fn get_nodes(nodes: *mut u64, room: u32) -> u32;
        pub fn node_id() -> u64;
        pub fn module_id() -> u64;
        pub fn exec_lookup_nodes(query: *const u8, size: usize, id: *mut u64, count: *mut u64, error: *mut u64) -> u32;
        pub fn copy_lookup_nodes_results(id: u64, nodes: *mut u64, room: u32, error: *mut u64) -> i32;
        pub fn spawn(
            node: u64, config: i64, module: u64, function: *const u8, size: usize, params: *const u8, params_size: usize,
            pid: *mut u64,
        ) -> u32;
        pub fn send(node: u64, pid: u64) -> u32;
        pub fn send_receive_skip_search(node: u64, pid: u64, tag: i64, timeout_ms: u64) -> u32;
    }
}

mod message {
    #[link(wasm_import_module = "lunatic::message")]
    extern "C" {
        pub fn create_data(tag: i64, capacity: u64);
        pub fn write_data(bytes: *const u8, size: usize) -> usize;
        pub fn read_data(bytes: *mut u8, size: usize) -> usize;
        pub fn receive(tags: *const i64, count: usize, timeout_ms: u64) -> u32;
    }
}

mod process {
    #[link(wasm_import_module = "lunatic::process")]
    extern "C" {
        pub fn process_id() -> u64;
    }
}

const TAG: i64 = 5;
const STEP: u64 = 60_000; // ms that nothing here should need
const TIMED_OUT: u32 = 9027;
const MISSING_MODULE: u32 = 2;
const INHERIT: i64 = -1;

fn write(numbers: &[u64]) {
    unsafe { message::create_data(TAG, 0) };
    for number in numbers {
        unsafe { message::write_data(number.to_le_bytes().as_ptr(), 8) };
    }
}

fn read() -> u64 {
    let mut bytes = [0; 8];
    assert_eq!(unsafe { message::read_data(bytes.as_mut_ptr(), 8) }, 8);
    u64::from_le_bytes(bytes)
}

fn receive() {
    assert_eq!(unsafe { message::receive(std::ptr::null(), 0, STEP) }, 0);
}

/// Answers each (node, pid, number) with the number doubled; of 0 it says nothing, and ends.
#[no_mangle]
pub extern "C" fn doubler() {
    loop {
        receive();
        let (node, pid, number) = (read(), read(), read());
        if number == 0 {
            return;
        }
        write(&[2 * number]);
        unsafe { distributed::send(node, pid) };
    }
}

fn spawn(node: u64, module: u64) -> (u32, u64) {
    let (name, mut pid) = ("doubler", 0);
    let code = unsafe {
        distributed::spawn(node, INHERIT, module, name.as_ptr(), name.len(), std::ptr::null(), 0, &mut pid)
    };
    (code, pid)
}

/// The node ids that a query finds, and that they are given once.
fn look_up(query: &str) -> Vec<u64> {
    let (mut id, mut count, mut error) = (0, 0, 0);
    let code =
        unsafe { distributed::exec_lookup_nodes(query.as_ptr(), query.len(), &mut id, &mut count, &mut error) };
    assert_eq!(code, 0);
    let mut nodes = vec![9; 2];
    let copy = |to: &mut Vec<u64>, error: &mut u64| unsafe {
        distributed::copy_lookup_nodes_results(id, to.as_mut_ptr(), to.len() as u32, error)
    };
    assert_eq!(copy(&mut nodes, &mut error) as u64, count);
    assert_eq!(copy(&mut vec![9; 2], &mut error), -1);
    nodes.truncate(count as usize);
    nodes
}

fn main() {
    let (node, own) = unsafe { (distributed::node_id(), process::process_id()) };
    let mut nodes = [9; 2];
    assert_eq!(unsafe { distributed::nodes_count() }, 1);
    assert_eq!(unsafe { distributed::get_nodes(nodes.as_mut_ptr(), 2) }, 1);
    assert_eq!(nodes, [node, 9]);
    assert_eq!(look_up(""), [node]);
    assert_eq!(look_up("name=nobody"), []);

    let module = unsafe { distributed::module_id() };
    let (code, child) = spawn(node, module);
    assert!(code == 0 && child != own);
    assert_eq!(spawn(node, module + 77).0, MISSING_MODULE);
    if std::env::args().count() > 1 {
        write(&[]);
        unsafe { distributed::send(node + 7, child) };
    }

    write(&[node, own, 20]);
    assert_eq!(unsafe { distributed::send(node, child) }, 0);
    receive();
    let sent = read();
    write(&[node, own, 21]);
    assert_eq!(unsafe { distributed::send_receive_skip_search(node, child, TAG, STEP) }, 0);
    let asked = read();
    write(&[node, own, 0]);
    assert_eq!(unsafe { distributed::send_receive_skip_search(node, child, TAG, 1) }, TIMED_OUT);
    println!("distributed {} {}", sent, asked);
}
