//! What `lunatic` 0.13 and 0.14 promise, as far as guests lean on it. `set_children!` is the one difference between them.
use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::time::Duration;

use lunatic::ap::handlers::{DeferredRequest, Message, Request};
use lunatic::ap::{
    AbstractProcess, Config, DeferredRequestHandler, DeferredResponse, MessageHandler, ProcessRef,
    RequestHandler, StartupError, State,
};
use lunatic::net::{TcpListener, TcpStream};
use lunatic::serializer::{Bincode, Json, MessagePack};
use lunatic::supervisor::{Supervisor, SupervisorConfig, SupervisorStrategy};
use lunatic::{distributed, process_local, sleep, spawn_link, test, Mailbox, MailboxError, MessageSignal, Process, Tag};
use serde::{Deserialize, Serialize};

// --- Processes, links, mailboxes ---------------------------------------------------------------

#[test]
fn a_child_answers(mailbox: Mailbox<u64>) {
    let child = Process::spawn_link(mailbox.this(), |parent, inbox: Mailbox<Vec<u64>>| {
        parent.send(inbox.receive().iter().sum());
    });
    child.send((1..=100).collect());
    assert_eq!(mailbox.receive(), 5050);
}

#[test]
fn tags_select_and_the_rest_keeps_its_order(mailbox: Mailbox<u32>) {
    let (this, tag) = (mailbox.this(), Tag::new());
    this.send(1);
    this.tag_send(tag, 2);
    this.send(3);
    assert_eq!(mailbox.tag_receive(&[tag]), 2);
    assert_eq!(mailbox.receive(), 1);
    assert_eq!(mailbox.receive(), 3);
    let late = mailbox.receive_timeout(Duration::from_millis(1));
    assert!(matches!(late, Err(MailboxError::TimedOut)));
}

#[test]
fn a_linked_failure_is_a_signal(mailbox: Mailbox<()>) {
    let mailbox = mailbox.catch_link_failure();
    let tag = Tag::new();
    Process::spawn_link_tag((), tag, |_, _: Mailbox<()>| panic!("on purpose"));
    match mailbox.receive() {
        MessageSignal::Signal(died) => assert_eq!(died.0, tag),
        MessageSignal::Message(()) => panic!("nobody sends"),
    }
}

#[test]
#[should_panic]
fn a_linked_failure_is_shared(mailbox: Mailbox<()>) {
    Process::spawn_link((), |_, _: Mailbox<()>| panic!("on purpose"));
    mailbox.receive();
}

#[test]
fn the_monitored_are_told_of(mailbox: Mailbox<()>) {
    let mailbox = mailbox.monitorable();
    let child = Process::spawn((), |_, inbox: Mailbox<()>| inbox.receive());
    mailbox.monitor(child);
    child.kill();
    match mailbox.receive() {
        MessageSignal::Signal(died) => assert_eq!(died.0, child.id()),
        MessageSignal::Message(()) => panic!("nobody sends"),
    }
    assert!(!child.is_alive());
}

#[test]
fn names_find_processes(mailbox: Mailbox<String>) {
    let name = "suite/greeter";
    let greeter = Process::spawn_link(mailbox.this(), |parent, inbox: Mailbox<String>| {
        parent.send(format!("hello, {}", inbox.receive()));
    });
    greeter.register(&name);
    Process::<String>::lookup(&name).unwrap().send("world".to_owned());
    assert_eq!(mailbox.receive(), "hello, world");
    assert!(Process::<String>::lookup(&"suite/nobody").is_none());
}

// --- Nodes: a cluster of one -------------------------------------------------------------------

#[test]
fn a_child_on_the_own_node_answers(mailbox: Mailbox<u64>) {
    let node = distributed::node_id();
    assert_eq!(distributed::nodes(), [node]);
    assert_eq!(mailbox.this().node_id(), node);
    let child = Process::spawn_node(node, mailbox.this(), |parent, inbox: Mailbox<u64>| {
        parent.send(2 * inbox.receive());
    });
    assert_eq!(child.node_id(), node);
    child.send(21);
    assert_eq!(mailbox.receive(), 42);
}

// --- Serializers -------------------------------------------------------------------------------

#[derive(Serialize, Deserialize, Debug, PartialEq, Clone)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Path(Vec<(i32, i32)>, String),
}

fn shapes() -> Vec<Shape> {
    let path = (0..1000).map(|i| (i, -i)).collect();
    vec![
        Shape::Point,
        Shape::Circle { radius: 0.5 },
        Shape::Path(path, "päth".to_owned()),
    ]
}

macro_rules! echoes {
    ($name:ident, $serializer:ty) => {
        #[test]
        fn $name(mailbox: Mailbox<Vec<Shape>, $serializer>) {
            let child = Process::spawn_link(
                mailbox.this(),
                |parent, inbox: Mailbox<Vec<Shape>, $serializer>| parent.send(inbox.receive()),
            );
            child.send(shapes());
            assert_eq!(mailbox.receive(), shapes());
        }
    };
}

echoes!(bincode_carries_all, Bincode);
echoes!(json_carries_all, Json);
echoes!(message_pack_carries_all, MessagePack);

// --- Tasks and what is a process's own ---------------------------------------------------------

#[test]
fn tasks_compute_side_by_side() {
    let tasks: Vec<_> = (0..20u64)
        .map(|n| spawn_link!(@task |n| (1..=n).product::<u64>()))
        .collect();
    let results: Vec<u64> = tasks.into_iter().map(|task| task.result()).collect();
    assert_eq!(results[5], 120);
    assert_eq!(results[19], 121645100408832000);
}

#[test]
fn locals_are_a_processs_own() {
    process_local! {
        static COUNT: Cell<u32> = Cell::new(1);
        static WORDS: RefCell<Vec<String>> = RefCell::new(vec!["first".to_owned()]);
    }
    COUNT.set(2);
    WORDS.with_borrow_mut(|mut words| words.push("second".to_owned()));
    let task = spawn_link!(@task || {
        COUNT.set(COUNT.get() + 10);
        (COUNT.get(), WORDS.with_borrow(|words| words.len() as u32))
    });
    assert_eq!(task.result(), (11, 1));
    assert_eq!(COUNT.get(), 2);
    assert_eq!(WORDS.take(), ["first", "second"]);
}

#[test]
fn a_panic_is_caught() {
    assert!(lunatic::panic::catch_panic(|| panic!("on purpose")).is_err());
    assert_eq!(lunatic::panic::catch_panic(|| 7).unwrap(), 7);
}

// --- Abstract processes ------------------------------------------------------------------------

struct Counter(u32);

#[derive(Serialize, Deserialize)]
struct Add(u32);
#[derive(Serialize, Deserialize)]
struct Get;
#[derive(Serialize, Deserialize)]
struct Fail;
#[derive(Serialize, Deserialize)]
struct Later(u32);

impl AbstractProcess for Counter {
    type Arg = u32;
    type State = Counter;
    type Serializer = MessagePack;
    type Handlers = (Message<Add>, Message<Fail>, Request<Get>, DeferredRequest<Later>);
    type StartupError = String;

    fn init(_: Config<Self>, start: u32) -> Result<Counter, String> {
        match start {
            13 => Err("unlucky".to_owned()),
            99 => panic!("on purpose"),
            _ => Ok(Counter(start)),
        }
    }
}

impl MessageHandler<Add> for Counter {
    fn handle(mut state: State<Self>, Add(number): Add) {
        state.0 += number;
    }
}

impl MessageHandler<Fail> for Counter {
    fn handle(_: State<Self>, _: Fail) {
        panic!("on purpose");
    }
}

impl RequestHandler<Get> for Counter {
    type Response = u32;

    fn handle(state: State<Self>, _: Get) -> u32 {
        state.0
    }
}

impl DeferredRequestHandler<Later> for Counter {
    type Response = u32;

    fn handle(state: State<Self>, Later(number): Later, answer: DeferredResponse<u32, Self>) {
        answer.send_response(state.0 * number);
    }
}

#[test]
fn an_abstract_process_serves() {
    let counter = Counter::link().start(5).unwrap();
    for _ in 0..100 {
        counter.send(Add(2));
    }
    assert_eq!(counter.request(Get), 205);
    assert_eq!(counter.deferred_request(Later(2)), 410);
    counter.shutdown();
    assert!(!counter.is_alive());
}

#[test]
fn an_abstract_process_serves_on_a_node() {
    let counter = Counter::on_node(distributed::node_id()).start(5).unwrap();
    counter.send(Add(2));
    assert_eq!(counter.request(Get), 7);
    counter.shutdown();
}

#[test]
fn startups_fail_with_their_reason() {
    assert_eq!(
        Counter::start(13),
        Err(StartupError::Custom("unlucky".to_owned()))
    );
    assert_eq!(Counter::start(99), Err(StartupError::InitPanicked));
    let first = Counter::link().start_as(&"suite/counter", 1).unwrap();
    let second = Counter::link().start_as(&"suite/counter", 2);
    assert_eq!(second, Err(StartupError::NameAlreadyRegistered(first)));
}

// --- Supervisors -------------------------------------------------------------------------------

macro_rules! supervisor {
    ($name:ident, $strategy:ident) => {
        struct $name;
        impl Supervisor for $name {
            type Arg = ();
            type Children = (Counter, Counter);

            fn init(config: &mut SupervisorConfig<Self>, _: ()) {
                config.set_strategy(SupervisorStrategy::$strategy);
                set_children!(config, 10, 20);
            }
        }
    };
}

supervisor!(OneForOne, OneForOne);
supervisor!(OneForAll, OneForAll);
supervisor!(RestForOne, RestForOne);

/// The children once `failed` has been replaced: what they hold then.
fn after_failure<S>(supervisor: &ProcessRef<S>, failed: ProcessRef<Counter>) -> (u32, u32)
where
    S: Supervisor<Children = (Counter, Counter)>,
    S: AbstractProcess<State = SupervisorConfig<S>, Serializer = Bincode>,
{
    let id = failed.id();
    failed.send(Fail);
    loop {
        let (a, b) = supervisor.children();
        if a.id() != id && b.id() != id {
            return (a.request(Get), b.request(Get));
        }
        sleep(Duration::from_millis(1));
    }
}

macro_rules! supervises {
    ($name:ident, $supervisor:ident, $first:expr, $second:expr) => {
        #[test]
        fn $name() {
            let supervisor = $supervisor::link().start(()).unwrap();
            let (a, b) = supervisor.children();
            a.send(Add(1));
            b.send(Add(1));
            assert_eq!((a.request(Get), b.request(Get)), (11, 21));
            assert_eq!(after_failure(&supervisor, a), $first);
            let (a, b) = supervisor.children();
            a.send(Add(1));
            b.send(Add(5));
            assert_eq!(after_failure(&supervisor, b), $second);
            supervisor.shutdown();
        }
    };
}

// What the two hold after the first has failed, and, with 1 and 5 more, after the second has.
supervises!(one_for_one_restarts_one, OneForOne, (10, 21), (11, 20));
supervises!(one_for_all_restarts_all, OneForAll, (10, 20), (10, 20));
supervises!(rest_for_one_restarts_those_behind, RestForOne, (10, 20), (11, 20));

// --- Servers -----------------------------------------------------------------------------------

fn serve_lines(mut stream: TcpStream, _: Mailbox<()>) {
    let mut lines = BufReader::new(stream.clone());
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        assert!(!line.starts_with("fail"), "on purpose");
        stream.write_all(line.to_uppercase().as_bytes()).unwrap();
        line.clear();
    }
}

#[test]
fn a_server_outlives_its_failing_connections(mailbox: Mailbox<SocketAddr>) {
    Process::spawn_link(mailbox.this(), |parent, _: Mailbox<()>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        parent.send(listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().unwrap();
            Process::spawn(stream, serve_lines);
        }
    });
    let address = mailbox.receive();
    let clients: Vec<_> = (0..10u32)
        .map(|n| {
            spawn_link!(@task |n, address| {
                let mut stream = TcpStream::connect(address).unwrap();
                let mut answers = BufReader::new(stream.clone());
                let mut answer = String::new();
                let line = if n % 2 == 0 { "fail\n".to_owned() } else { format!("line {}\n", n) };
                stream.write_all(line.as_bytes()).unwrap();
                // A connection whose process failed ends, or is cut off.
                let _ = answers.read_line(&mut answer);
                answer
            })
        })
        .collect();
    for (n, client) in clients.into_iter().enumerate() {
        let wanted = if n % 2 == 0 {
            String::new()
        } else {
            format!("LINE {}\n", n)
        };
        assert_eq!(client.result(), wanted);
    }
}
