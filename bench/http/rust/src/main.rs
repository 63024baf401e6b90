//! HTTP/1.1 with one process a connection, on the published crate `lunatic`: the service of
//! ../erlang and of examples/http_server, for `make bench-http`.
use std::io::{Read, Write};

use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Mailbox, Process};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 20\r\n\r\nHello from an actor\n";

/// Answers requests without a body until the client ends.
fn serve(mut stream: TcpStream, _: Mailbox<()>) {
    let mut request = [0; 4096];
    let mut size = 0;
    loop {
        match stream.read(&mut request[size..]) {
            Ok(0) | Err(_) => return,
            Ok(count) => size += count,
        }
        if request[..size].ends_with(b"\r\n\r\n") {
            if stream.write_all(ANSWER).is_err() {
                return;
            }
            size = 0;
        } else if size == request.len() {
            return;
        }
    }
}

#[lunatic::main]
fn main(_: Mailbox<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("listening on {}", listener.local_addr().unwrap());
    while let Ok((stream, _)) = listener.accept() {
        Process::spawn(stream, serve);
    }
}
