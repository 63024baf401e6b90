//! The crate's functions, each at least once, against a real Pando: what they answer when it works
//! and when it does not. Its keys begin with sdk-rust/; it is started with that right, or with the
//! argument `no-store`. A panic's line says what is wrong.

mod outside;

use std::time::Duration;

use pando::config::Config;
use pando::group::{self, Joined};
use pando::kv::{self, Code, Compare, Events, Lease, Op, Order, Range, Response, Txn};
use pando::metrics::{Counter, Gauge, Histogram};
use pando::names::{self, NameError};
use pando::process::{self, Spawn};
use pando::supervisor::{AutoShutdown, Child, Restart, Strategy, Supervisor};
use pando::{info, receive, receive_tags, send_after};
use pando::{CallError, Death, Message, Notice, Pid, Reason, Received, SendError, FOREVER};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(20);

/// What the process below does with a message, by its tag.
const ECHO: u64 = 1;
const IGNORE: u64 = 2;
const FAIL: u64 = 3;
const PANIC: u64 = 4;
const END: u64 = 5;

fn servant(_argument: u64) {
    loop {
        let message = receive(FOREVER).and_then(Received::message).expect("a message");
        match message.tag {
            ECHO => message.reply(&message.bytes).unwrap(),
            FAIL => process::exit(Reason::Failure, &message.text()),
            PANIC => panic!("a servant panics"),
            END => return,
            _ => {}
        }
    }
}

fn start() -> Pid {
    process::spawn(servant, 0).unwrap()
}

fn next() -> Message {
    receive(LONG).and_then(Received::message).expect("a message")
}

fn next_death() -> Death {
    match receive(LONG) {
        Some(Received::Died(death)) => death,
        other => panic!("no death but {:?}", other),
    }
}

fn messages() {
    let me = process::id();
    assert!(me.exists() && process::environment() > 0);
    me.send(7, b"seven");
    me.send(8, b"eight");
    me.try_send(0, &[1, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap();
    assert_eq!(info::message_count(), 3);
    let eight = receive_tags(&[9, 8], LONG).and_then(Received::message).unwrap();
    assert_eq!((eight.tag, &eight.text()[..], eight.caller), (8, "eight", None));
    assert_eq!(eight.reply(b""), Err(SendError::Gone));
    assert_eq!(next().bytes, b"seven");
    assert_eq!(next().numbers().collect::<Vec<_>>(), [1]);
    assert_eq!(receive(Duration::ZERO), None);
    assert_eq!(receive_tags(&[7], SHORT), None);
    assert_eq!(info::received_count(), 3);

    let timer = send_after(me, 10, b"never", LONG);
    assert!(timer.cancel() && !timer.cancel());
    send_after(me, 11, b"soon", SHORT);
    assert_eq!(next().tag, 11);
    process::sleep(Duration::from_millis(1));
}

fn calls() {
    let servant = start();
    let answer = servant.call(ECHO, b"hello", LONG).unwrap();
    assert_eq!(answer.bytes, b"hello");
    // An answer is taken for nobody else's, whatever lies in the mailbox.
    process::id().send(0, b"before");
    assert_eq!(servant.call(ECHO, b"again", LONG).unwrap().bytes, b"again");
    assert_eq!(next().bytes, b"before");
    assert_eq!(servant.call(IGNORE, b"", SHORT), Err(CallError::Late));
    assert_eq!(servant.call(FAIL, b"on purpose", LONG), Err(CallError::Gone(Reason::Failure)));
    assert_eq!(servant.call(ECHO, b"", LONG), Err(CallError::Gone(Reason::NoProcess)));
    assert_eq!(servant.try_send(ECHO, b""), Err(SendError::Gone));
    assert!(!servant.exists());
}

fn watching() {
    // A link, trapped.
    process::trap_exit(true);
    let linked = process::spawn_link(21, servant, 0).unwrap();
    linked.send(FAIL, "for a reason".as_bytes());
    let death = next_death();
    assert_eq!((death.pid, death.by, death.reason), (linked, Notice::Link(21), Reason::Failure));
    assert!(death.text.contains("for a reason"), "{}", death.text);
    let later = start();
    later.link(22);
    later.send(END, b"");
    assert_eq!((next_death().by, receive(Duration::ZERO)), (Notice::Link(22), None));
    let unlinked = process::spawn_link(23, servant, 0).unwrap();
    unlinked.unlink();
    unlinked.kill();
    process::id().exit(Reason::Shutdown, "asked");
    let death = next_death();
    assert_eq!((death.pid, death.reason), (process::id(), Reason::Shutdown));
    process::trap_exit(false);

    // Monitors: of one that returns, panics, is killed, is asked to end, never was.
    let how: [(fn(Pid), Reason); 4] = [
        (|pid| pid.send(END, b""), Reason::Normal),
        (|pid| pid.send(PANIC, b""), Reason::Failure),
        (Pid::kill, Reason::Killed),
        (|pid| pid.exit(Reason::Shutdown, ""), Reason::Shutdown),
    ];
    for (end, reason) in how {
        let watched = start();
        let monitor = watched.monitor().unwrap();
        end(watched);
        let death = next_death();
        assert_eq!((death.pid, death.by, death.reason), (watched, Notice::Monitor(monitor), reason));
    }
    assert!(Pid(1 << 40).monitor().is_some());
    assert_eq!(next_death().reason, Reason::NoProcess);
    let watched = start();
    assert!(watched.monitor().unwrap().stop());
    watched.kill();
    assert_eq!(receive(SHORT), None);
}

fn member(parent: u64) {
    assert_eq!(group::join("choir"), Joined::New);
    Pid(parent).send(31, b"");
    let song = receive(FOREVER).and_then(Received::message).unwrap();
    Pid(parent).send(32, &song.bytes);
}

fn names_and_groups() {
    let me = process::id();
    let servant = start();
    names::register("rust", me).unwrap();
    assert_eq!(names::register("rust", servant), Err(NameError::Taken));
    assert_eq!(names::register("nobody", Pid(1 << 40)), Err(NameError::NoProcess));
    assert_eq!((names::whereis("rust"), names::whereis("nobody")), (Some(me), None));
    names::register_over("rust", servant);
    assert_eq!(names::whereis("rust"), Some(servant));
    assert!(names::unregister("rust") && !names::unregister("rust"));
    let (first, is_new) = Spawn::new().get_or_start("only", crate::servant, 0).unwrap();
    assert!(is_new);
    assert_eq!(Spawn::new().get_or_start("only", crate::servant, 0), Ok((first, false)));
    first.kill();
    servant.kill();

    for _ in 0..2 {
        process::spawn(member, me.0).unwrap();
    }
    for _ in 0..2 {
        receive_tags(&[31], LONG).unwrap();
    }
    assert_eq!((group::join("choir"), group::join("choir")), (Joined::New, Joined::Already));
    assert_eq!((group::members("choir").len(), group::members("choir").last()), (3, Some(&me)));
    let broadcast = group::broadcast("choir", 33, b"la");
    assert_eq!((broadcast.reached, broadcast.skipped), (3, 0));
    // By its tag: a member that was reached first may have answered before the others were.
    let own = receive_tags(&[33], LONG).and_then(Received::message).unwrap();
    assert_eq!(own.bytes, b"la");
    for _ in 0..2 {
        let heard = receive_tags(&[32], LONG).and_then(Received::message).unwrap();
        assert_eq!(heard.bytes, b"la");
    }
    assert!(group::leave("choir") && !group::leave("choir"));
}

fn supervised(parent: u64) {
    Pid(parent).send(41, &process::id().0.to_le_bytes());
    pando::supervisor::ready();
    servant(0);
}

fn started() -> Pid {
    let message = receive_tags(&[41], LONG).and_then(Received::message).unwrap();
    let pid = message.numbers().next().map(Pid);
    pid.unwrap()
}

fn supervisors() {
    let me = process::id().0;
    let worker = Child::new("worker", supervised, me).ready_within(LONG);
    let below = Supervisor::new(Strategy::OneForAll, 3, Duration::from_secs(5)).child(&worker);
    let tree = Supervisor::new(Strategy::OneForOne, 3, Duration::from_secs(5))
        .name("tree")
        .limits(10, AutoShutdown::Never)
        .child(&worker.restart(Restart::Transient).stop_within(LONG))
        .supervisor("below", below, Restart::Permanent)
        .start(0)
        .unwrap();
    let (first, _) = (started(), started());
    assert_eq!(tree.count(LONG).unwrap().live, 2);
    first.kill();
    let second = started();
    assert_ne!(first, second);
    tree.stop_child(second, LONG).unwrap();
    assert_eq!(tree.count(LONG).unwrap().live, 1);
    assert_eq!(tree.restart_child("worker", LONG).unwrap(), started());
    assert!(tree.restart_child("worker", LONG).is_err());
    assert!(!tree.delete_child("stranger", LONG).unwrap_err().to_string().is_empty());
    tree.stop(LONG).unwrap();
    assert!(!tree.0.exists());

    let pool = Supervisor::new(Strategy::Dynamic, 3, Duration::from_secs(5))
        .child(&Child::new("each", supervised, me).restart(Restart::Temporary))
        .start(42)
        .unwrap();
    let child = pool.start_child(supervised, me, LONG).unwrap();
    assert_eq!(child, started());
    assert_eq!(pool.count(LONG).unwrap().live, 1);
    pool.kill(LONG).unwrap();
    drop(Supervisor::new(Strategy::RestForOne, 0, Duration::from_secs(1)));
}

fn spawner(_argument: u64) {
    process::spawn(servant, 0).ok();
}

fn frugal(parent: u64) {
    let words: Vec<_> = std::env::args().chain(std::env::var("COLOUR")).collect();
    Pid(parent).send(51, format!("{} {}", words.join(" "), info::memory_limit()).as_bytes());
}

fn rights_and_figures() {
    let mut config = Config::new().expect("the right to make configurations");
    config.max_memory(1 << 24).max_fuel(1_000_000).argument("frugal").variable("COLOUR", "green");
    config.can_compile(false).can_configure(false).can_spawn(false);
    Spawn::new().config(&config).start(frugal, process::id().0).unwrap();
    assert_eq!(next().text(), format!("frugal green {}", 1 << 24));
    let denied = Spawn::new().config(&config).start(spawner, 0).unwrap();
    denied.monitor().unwrap();
    assert_eq!(next_death().reason, Reason::Denied);

    assert!(info::fuel_limit() == 0 && info::memory_size() >= 1 << 16);
    assert!(info::memory_limit() >= info::memory_size() && info::process_count() >= 1);
    let before = info::now();
    process::sleep(Duration::from_millis(2));
    assert!(info::now() - before >= Duration::from_millis(2));
    assert!(info::fuel_used() > 0);
}

fn one_key() {
    assert_eq!(kv::get("sdk-rust/one"), Ok(None));
    let first = kv::put("sdk-rust/one", "first").unwrap();
    let second = kv::put("sdk-rust/one", "second").unwrap();
    let record = kv::get("sdk-rust/one").unwrap().unwrap();
    assert_eq!((&record.key[..], &record.text()[..]), (&b"sdk-rust/one"[..], "second"));
    assert_eq!((record.create_revision, record.mod_revision), (first, second));
    assert_eq!((record.version, record.lease), (2, 0));
    assert_eq!(kv::get_local("sdk-rust/one").unwrap().unwrap(), record);
    let large = vec![b'x'; 100_000];
    kv::put("sdk-rust/one", &large).unwrap();
    assert_eq!(kv::get("sdk-rust/one").unwrap().unwrap().value, large);
    assert_eq!((kv::delete("sdk-rust/one"), kv::delete("sdk-rust/one")), (Ok(true), Ok(false)));
    let denied = kv::put("sdk-other/one", "").unwrap_err();
    assert!(denied.code == Code::Denied && !denied.to_string().is_empty());
    assert_eq!(kv::get("").unwrap_err().code, Code::Denied);
}

fn ranges() {
    for i in 0..5 {
        kv::put(format!("sdk-rust/r/{}", i), format!("value {}", i)).unwrap();
    }
    let all = Range::prefix("sdk-rust/r/");
    let page = all.clone().limit(2).descending().get().unwrap();
    assert_eq!((page.count, page.more, page.records.len()), (5, true, 2));
    assert_eq!(page.records[0].key, b"sdk-rust/r/4");
    assert_eq!(page.records[1].value, b"value 3");
    let page = all.clone().count_only().local().get().unwrap();
    assert_eq!((page.count, page.records.len()), (5, 0));
    let page = all.clone().keys_only().get().unwrap();
    assert!(page.records.len() == 5 && page.records[0].value.is_empty());
    let two = Range::between("sdk-rust/r/1", "sdk-rust/r/3");
    assert_eq!(two.get().unwrap().count, 2);
    assert_eq!(two.revision(page.revision - 4).get().unwrap().count, 0);
    let future = all.clone().revision(i64::MAX / 2).get().unwrap_err();
    assert_eq!(future.code, Code::Compacted);
    for beyond in [Range::from("sdk-rust/"), Range::prefix(""), Range::prefix([255, 255])] {
        assert_eq!(beyond.get().unwrap_err().code, Code::Denied);
    }
    assert_eq!(all.delete(), Ok(5));
}

fn transactions() {
    let key = "sdk-rust/t";
    let create = Txn::new()
        .when(Compare::version(key, Order::Equal, 0))
        .then(Op::put(key, "created"))
        .then(Op::get(Range::key(key)))
        .otherwise(Op::get(Range::key(key)))
        .otherwise(Op::delete(Range::prefix(key)));
    let done = create.commit().unwrap();
    assert!(done.succeeded && done.responses.len() == 2);
    assert_eq!(done.responses[0], Response::Put);
    match &done.responses[1] {
        Response::Range(page) => {
            let record = &page.records[0];
            assert_eq!((&record.value[..], record.mod_revision), (&b"created"[..], done.revision));
            assert_eq!((page.count, page.more, page.revision), (1, false, done.revision));
        }
        other => panic!("{:?}", other),
    }
    let all_hold = Txn::new()
        .when(Compare::value(key, Order::NotEqual, "another"))
        .when(Compare::mod_revision(key, Order::Equal, done.revision))
        .when(Compare::create_revision(key, Order::Greater, 0))
        .when(Compare::lease(key, Order::Less, 1));
    assert!(all_hold.commit().unwrap().succeeded);
    let undone = create.commit().unwrap();
    assert!(!undone.succeeded && undone.responses[1] == Response::Delete(1));
    let denied = Txn::new().then(Op::put("sdk-other/t", "")).commit().unwrap_err();
    assert_eq!(denied.code, Code::Denied);
}

fn watches() {
    let watch = Range::prefix("sdk-rust/w/").with_previous().watch(61).unwrap();
    kv::put("sdk-rust/w/a", "1").unwrap();
    let revision = kv::put("sdk-rust/w/a", "2").unwrap();
    kv::delete("sdk-rust/w/a").unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let events = watch.next(LONG).unwrap();
        assert_eq!((events.watch, &events.ended), (watch.id, &None));
        seen.extend(events.events);
    }
    assert_eq!((seen[0].is_delete, &seen[0].previous), (false, &None));
    assert_eq!((&seen[1].record.value[..], seen[1].record.mod_revision), (&b"2"[..], revision));
    assert_eq!(seen[1].previous.as_ref().unwrap().value, b"1");
    assert_eq!((seen[2].is_delete, seen[2].record.mod_revision), (true, revision + 1));
    assert_eq!(seen[2].previous.as_ref().unwrap().value, b"2");
    assert!(watch.stop() && !watch.stop());
    // From history.
    let again = Range::key("sdk-rust/w/a").revision(revision).watch(62).unwrap();
    assert_eq!(again.next(LONG).unwrap().events[0].record.value, b"2");
    assert!(again.stop());
    assert_eq!(Range::prefix("").watch(63).unwrap_err().code, Code::Denied);
    while receive_tags(&[61, 62], Duration::ZERO).is_some() {}

    // A message that only says that it is a watch's harms nobody.
    for size in 0..100 {
        let message = Message { tag: 61, bytes: vec![255; size], caller: None };
        Events::read(&message);
        let mut bytes = vec![0; size];
        bytes.iter_mut().skip(12).for_each(|byte| *byte = 255);
        Events::read(&Message { tag: 61, bytes, caller: None });
    }
}

fn leases() {
    let mut lease = Lease::grant(300).unwrap();
    kv::put_leased("sdk-rust/leased", "for now", lease.id).unwrap();
    assert_eq!(kv::get("sdk-rust/leased").unwrap().unwrap().lease, lease.id);
    lease.keep_alive().unwrap();
    assert_eq!(lease.ttl_s, 300);
    let op = Op::put_leased("sdk-rust/leased/2", "", lease.id);
    assert!(Txn::new().then(op).commit().unwrap().succeeded);
    lease.revoke().unwrap();
    assert_eq!(Range::prefix("sdk-rust/leased").get().unwrap().count, 0);
    assert_eq!(lease.keep_alive().unwrap_err().code, Code::Denied); // it is nobody's now
}

fn tenant(parent: u64) {
    let codes: Vec<_> = ["sdk-rust/tenant/key", "sdk-rust/key"]
        .iter()
        .map(|key| kv::put(key, "").map_err(|error| error.code))
        .map(|put| put.map(|_| ()))
        .collect();
    Pid(parent).send(71, format!("{:?}", codes).as_bytes());
}

fn children_at_the_store() {
    let mut config = Config::new().unwrap();
    config.allow_kv("sdk-rust/tenant/");
    Spawn::new().config(&config).start(tenant, process::id().0).unwrap();
    assert_eq!(next().text(), "[Ok(()), Err(Denied)]");
}

/// What `/metrics` of a node shows while this lives.
fn metrics() {
    let (done, open, seconds) = (Counter("rust.done"), Gauge("rust.open"), Histogram("rust.seconds"));
    done.increment();
    done.add(41);
    open.set(10.5);
    open.add(2.0);
    open.subtract(0.5);
    seconds.record(0.25);
    seconds.record(3.0);
    seconds.record(f64::NAN); // is dropped
    Counter("").increment(); // and so is this
}

fn main() {
    if std::env::args().any(|word| word == "metrics") {
        metrics();
        receive(FOREVER);
    }
    messages();
    calls();
    watching();
    names_and_groups();
    supervisors();
    rights_and_figures();
    outside::all();
    if std::env::args().any(|word| word == "no-store") {
        assert_eq!(kv::put("sdk-rust/x", "").unwrap_err().code, Code::Unavailable);
    } else {
        kv::set_timeout(LONG);
        one_key();
        ranges();
        transactions();
        watches();
        leases();
        children_at_the_store();
    }
    println!("all is well");
}
