//! What lies outside of the guest: sockets, databases in files, modules. `--net local` and `--dir`
//! admit them; cert.pem and key.pem, if they are in that directory, are localhost's.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use pando::config::Config;
use pando::module::{CompileError, Module, Param};
use pando::net::{resolve, TcpListener, TcpStream, TlsListener, TlsStream, UdpSocket};
use pando::process::{self, Spawn};
use pando::sqlite::{Code, Database, Error, Value};
use pando::{receive, receive_tags, Pid, Reason, Received, FOREVER};

use crate::{next, next_death, LONG, SHORT};

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn send_port(parent: u64, at: SocketAddr) {
    Pid(parent).send(81, &u64::from(at.port()).to_le_bytes());
}

fn port() -> u16 {
    let message = receive_tags(&[81], LONG).and_then(Received::message).unwrap();
    let port = message.numbers().next();
    port.unwrap() as u16
}

fn echo(mut stream: impl Read + Write) {
    let mut bytes = [0; 100];
    while let Ok(size @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..size]).unwrap();
        stream.flush().unwrap();
    }
}

/// It ends when the stream has moved on, which its peer does not notice.
fn tcp_server(parent: u64) {
    let listener = TcpListener::bind(loopback()).unwrap();
    send_port(parent, listener.local_addr().unwrap());
    let taken = TcpListener::bind(listener.local_addr().unwrap()).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let (stream, peer) = listener.accept().unwrap();
    assert_eq!(stream.peer_addr().unwrap(), peer);
    stream.move_to(process::spawn(tcp_worker, 0).unwrap(), 82, b"");
}

fn tcp_worker(_argument: u64) {
    assert_eq!(receive(FOREVER).and_then(Received::message).unwrap().tag, 82);
    echo(TcpStream::take());
}

fn tcp() {
    process::spawn(tcp_server, process::id().0).unwrap();
    let name = format!("localhost:{}", port());
    assert!(resolve(&name, LONG).unwrap().iter().all(|address| address.ip().is_loopback()));
    let mut stream = TcpStream::connect_to_name(&name, LONG).unwrap();
    stream.set_write_timeout(LONG);
    stream.set_read_timeout(LONG);
    stream.write_all(b"hello").unwrap();
    let mut bytes = [0; 5];
    assert!(stream.peek(&mut bytes).unwrap() > 0);
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    stream.set_read_timeout(SHORT);
    assert_eq!(stream.read(&mut bytes).unwrap_err().kind(), ErrorKind::TimedOut);
    let mut second = stream.try_clone().unwrap();
    drop(stream);
    second.set_read_timeout(LONG);
    second.write_all(b"again").unwrap();
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"again");
}

fn udp() {
    let (one, two) = (UdpSocket::bind(loopback()).unwrap(), UdpSocket::bind(loopback()).unwrap());
    assert_eq!(one.send_to(b"datagram", two.local_addr().unwrap()).unwrap(), 8);
    let mut bytes = [0; 4];
    let (size, from) = two.recv_from(&mut bytes).unwrap();
    assert_eq!((size, &bytes, from), (4, b"data", one.local_addr().unwrap()));
}

fn tls_server(parent: u64) {
    let (certificate, key) = (read("cert.pem").unwrap(), read("key.pem").unwrap());
    let listener = TlsListener::bind(loopback(), &certificate, &key).unwrap();
    send_port(parent, listener.local_addr().unwrap());
    echo(listener.accept().unwrap().0);
}

fn read(name: &str) -> Option<String> {
    std::fs::read_to_string(name).ok()
}

fn tls() {
    let certificate = match read("cert.pem") {
        Some(certificate) => certificate,
        None => return,
    };
    assert!(TlsListener::bind(loopback(), "no certificate", "no key").is_err());
    process::spawn(tls_server, process::id().0).unwrap();
    let mut stream = TlsStream::connect("localhost", port(), &[&certificate], LONG).unwrap();
    stream.set_write_timeout(LONG);
    stream.set_read_timeout(LONG);
    stream.write_all(b"secret").unwrap();
    stream.flush().unwrap();
    let mut bytes = [0; 6];
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"secret");
}

fn code(result: Result<impl Sized, Error>) -> Code {
    match result {
        Err(Error::Failed(code, text)) if !text.is_empty() => code,
        Err(other) => panic!("{:?}", other),
        Ok(_) => panic!("it did not fail"),
    }
}

fn databases() {
    let database = Database::open("people.db").unwrap();
    database
        .execute("CREATE TABLE people(name UNIQUE, age, photo); PRAGMA user_version = 7")
        .unwrap();
    let mut insert = database.prepare("INSERT INTO people VALUES (?, ?, ?)").unwrap();
    let photo = vec![0, 255].repeat(1000);
    assert_eq!(insert.run(&["Ada".into(), 36.into(), (&photo[..]).into()]), Ok(1));
    assert_eq!(insert.run(&["Bob".into(), 1.5.into(), Value::Null]), Ok(1));
    assert_eq!(code(insert.run(&["Ada".into()])), Code::Constraint);
    assert_eq!(code(insert.run(&vec![Value::Null; 4])), Code::Range);
    drop(insert);

    let mut rows = database.query("SELECT * FROM people WHERE name >= ?", &["A".into()]).unwrap();
    assert_eq!(rows.names(), ["name", "age", "photo"]);
    let ada = rows.next().unwrap().unwrap();
    assert_eq!((ada.get(0), ada.get(1)), (Ok("Ada".to_string()), Ok(36)));
    assert_eq!(ada.get(2), Ok(photo));
    assert_eq!(
        (ada.get::<f64>(0), ada.get::<i64>(3)),
        (Err(Error::Column(0)), Err(Error::Column(3)))
    );
    let bob = rows.next().unwrap().unwrap();
    assert_eq!((bob.get(1), bob.get(2)), (Ok(1.5), Ok(None::<Vec<u8>>)));
    assert!(rows.next().is_none() && rows.next().is_none());
    drop(rows);

    assert_eq!(code(database.query("SELECT nowhere", &[])), Code::Sql);
    assert_eq!(code(database.execute("PRAGMA temp_store_directory = '/'")), Code::Denied);
    let late = "SELECT 1 UNION ALL SELECT abs(-9223372036854775808)"; // the second row fails
    let rows: Vec<_> = database.query(late, &[]).unwrap().collect();
    assert!(rows.len() == 2 && rows[0].is_ok() && code(rows[1].clone()) == Code::Sql);

    // What is dropped is closed: there may be 16, and a transaction holds its lock no longer.
    database.execute("BEGIN EXCLUSIVE; DELETE FROM people").unwrap();
    drop(database);
    for _ in 0..20 {
        let again = Database::open("people.db").unwrap();
        let count = again.query("SELECT count(*) FROM people", &[]).unwrap().next().unwrap();
        assert_eq!(count.unwrap().get(0), Ok(2));
    }
}

/// `(func (export "f") (param i64) (if (i64.ne (local.get 0) (i64.const 7)) (then unreachable)))`
const MODULE: &[u8] =
    b"\0asm\x01\0\0\0\x01\x05\x01\x60\x01\x7e\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\
    \x0a\x0d\x01\x0b\0\x20\0\x42\x07\x52\x04\x40\0\x0b\x0b";

fn modules() {
    let module = Module::compile(MODULE).unwrap();
    for (argument, reason) in [(7, Reason::Normal), (8, Reason::Failure)] {
        let pid = module.start(Spawn::new(), "f", &[Param::I64(argument)]).unwrap();
        pid.monitor().unwrap();
        let death = next_death().reason;
        // It may have ended before it was watched.
        assert!(death == reason || death == Reason::NoProcess, "{:?}", death);
    }
    match Module::compile(b"no module") {
        Err(CompileError::Invalid(why)) => assert!(!why.to_string().is_empty()),
        other => panic!("{:?}", other),
    }
}

/// It has no right to any of this, and is told so.
fn poor(parent: u64) {
    let bind = TcpListener::bind(loopback()).unwrap_err();
    assert!(bind.to_string().contains("--net"), "{}", bind);
    let open = Database::open("people.db").unwrap_err();
    assert!(matches!(&open, Error::Open(text) if text.contains("no directory")), "{}", open);
    let compile = Module::compile(MODULE).unwrap_err();
    Pid(parent).send(83, format!("{:?} {:?}", bind.kind(), compile).as_bytes());
}

pub fn all() {
    if std::fs::read_dir("/").is_ok() {
        tcp();
        udp();
        tls();
        databases();
        modules();
    }
    let mut config = Config::new().unwrap();
    config.allow_network("none").unwrap();
    assert!(config.allow_network("nonsense").is_err());
    Spawn::new().config(&config).start(poor, process::id().0).unwrap();
    assert_eq!(next().text(), "PermissionDenied Denied");
}
