//! The store: keys with revisions, transactions, watches, leases. etcd's model.
//!
//! It is there inside a node (`pando start --app`) and beside one (`pando run --node DIR`), for the
//! same binary; in other runs everything answers [`Code::Unavailable`]. A process may touch nothing
//! unless it was given a prefix: `--allow-kv`, `kv` in the application file, or
//! [`Config::allow_kv`](crate::config::Config::allow_kv).
//!
//! A call suspends this process alone, up to 10 s or [`set_timeout`], and asks again by itself while that is
//! safe. A write happens at most once.
//!
//! ```no_run
//! use pando::kv::{self, Compare, Op, Order, Range, Txn};
//!
//! # fn main() -> Result<(), kv::Error> {
//! kv::put("app/greeting", "hello")?;
//! let record = kv::get("app/greeting")?.unwrap();
//! // Only if nobody has written it since:
//! let done = Txn::new()
//!     .when(Compare::mod_revision("app/greeting", Order::Equal, record.mod_revision))
//!     .then(Op::put("app/greeting", "good evening"))
//!     .otherwise(Op::get(Range::key("app/greeting")))
//!     .commit()?;
//! assert!(done.succeeded);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::time::Duration;

use crate::{abi, milliseconds, receive_tags, Message};

/// Why the store did not do what it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// There is no such lease or watch. (A key that is not there is `None`.)
    Absent,
    /// Certainly not done: no store, no leader, no time. Try again.
    Unavailable,
    /// It may or may not have happened: look.
    Unknown,
    /// This process has no right to the key.
    Denied,
    /// Never acceptable.
    Invalid,
    /// A key, a request or an answer.
    TooLarge,
    /// A limit of the store or its disk, of watches or leases.
    Full,
    /// The revision is not in history any more, or not yet.
    Compacted,
    /// One that this crate does not know yet.
    Other(u32),
}

impl Code {
    fn from_number(number: u32) -> Code {
        match number {
            1 => Code::Absent,
            2 => Code::Unavailable,
            3 => Code::Unknown,
            4 => Code::Denied,
            5 => Code::Invalid,
            6 => Code::TooLarge,
            7 => Code::Full,
            8 => Code::Compacted,
            other => Code::Other(other),
        }
    }
}

/// A failure: its code, and words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// What to act on.
    pub code: Code,
    /// What to show.
    pub text: String,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

fn check(number: u32) -> Result<(), Error> {
    if number == 0 {
        return Ok(());
    }
    // SAFETY: takes nothing; there was a failure, so there are words.
    let id = unsafe { abi::kv::last_error() };
    Err(Error { code: Code::from_number(number), text: crate::Error::take(id).to_string() })
}

/// A key and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Vec<u8>,
    /// Its value; empty when only keys were asked for.
    pub value: Vec<u8>,
    /// The revision of the store that created it.
    pub create_revision: i64,
    /// The revision that wrote it last.
    pub mod_revision: i64,
    /// Writes since it was created, 1 at first.
    pub version: i64,
    /// The lease that it goes with; 0: none.
    pub lease: i64,
}

impl Record {
    /// The value as a text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.value)
    }
}

/* --- Reading what Pando writes ----------------------------------------------------------------- */

/// Little-endian fields, one after the other. What is not there reads as zeros: Pando writes whole
/// ones, so that a mistake here cannot become one of memory.
struct Fields<'bytes>(&'bytes [u8]);

impl<'bytes> Fields<'bytes> {
    fn take(&mut self, size: usize) -> &'bytes [u8] {
        let (taken, left) = self.0.split_at(size.min(self.0.len()));
        self.0 = left;
        taken
    }

    fn number(&mut self, size: usize) -> u64 {
        let mut number = [0; 8];
        let taken = self.take(size);
        number[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(number)
    }

    fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    fn i64(&mut self) -> i64 {
        self.number(8) as i64
    }

    fn record(&mut self) -> Record {
        let (key_size, value_size) = (self.u32() as usize, self.u32() as usize);
        let (create_revision, mod_revision) = (self.i64(), self.i64());
        let (version, lease) = (self.i64(), self.i64());
        let (key, value) = (self.take(key_size).to_vec(), self.take(value_size).to_vec());
        Record { key, value, create_revision, mod_revision, version, lease }
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Up to `count`, and no more than there are bytes for: anybody may send a message that says
    /// it holds many.
    fn many<T>(&mut self, count: u32, mut read: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut all = Vec::new();
        for _ in 0..count {
            if self.is_empty() {
                break;
            }
            all.push(read(self));
        }
        all
    }

    fn records(&mut self, count: u32) -> Vec<Record> {
        self.many(count, Fields::record)
    }
}

/// All of the answer at hand.
fn answer() -> Vec<u8> {
    // SAFETY: answer_read writes no more than answer_left bytes, for which there is room.
    unsafe {
        let mut bytes = vec![0; abi::kv::answer_left() as usize];
        let size = abi::kv::answer_read(bytes.as_mut_ptr(), bytes.len() as u32);
        bytes.truncate(size as usize);
        bytes
    }
}

/* --- One key ----------------------------------------------------------------------------------- */

type Getter = unsafe extern "C" fn(*const u8, u32, *mut u8, u32, *mut u8) -> u32;

fn get_by(getter: Getter, key: &[u8]) -> Result<Option<Record>, Error> {
    const ABSENT: u32 = 1;
    let mut value = vec![0; 1024];
    loop {
        let mut found = [0; 40];
        // SAFETY: the key is read, and no more is written than there is room for.
        let code = unsafe {
            getter(
                key.as_ptr(),
                key.len() as u32,
                value.as_mut_ptr(),
                value.len() as u32,
                found.as_mut_ptr(),
            )
        };
        if code == ABSENT {
            return Ok(None);
        }
        check(code)?;
        let mut fields = Fields(&found);
        let value_size = fields.number(8) as u32 as usize;
        if value_size <= value.len() {
            value.truncate(value_size);
            return Ok(Some(Record {
                key: key.to_vec(),
                value,
                create_revision: fields.i64(),
                mod_revision: fields.i64(),
                version: fields.i64(),
                lease: fields.i64(),
            }));
        }
        value.resize(value_size, 0); // and again: it may be another one by now
    }
}

/// The value of a key, linearizable: not older than any write that was answered before the call.
pub fn get(key: impl AsRef<[u8]>) -> Result<Option<Record>, Error> {
    get_by(abi::kv::get, key.as_ref())
}

/// The same as this node has applied it, which may be old. Needs no leader.
pub fn get_local(key: impl AsRef<[u8]>) -> Result<Option<Record>, Error> {
    get_by(abi::kv::get_local, key.as_ref())
}

/// Writes a key; the revision that this made.
pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<i64, Error> {
    put_leased(key, value, 0)
}

/// The same, and the key goes when the lease does ([`Lease::id`]).
pub fn put_leased(
    key: impl AsRef<[u8]>,
    value: impl AsRef<[u8]>,
    lease: i64,
) -> Result<i64, Error> {
    let (key, value) = (key.as_ref(), value.as_ref());
    let mut revision = 0;
    // SAFETY: key and value are read and `revision` written during the call.
    check(unsafe {
        abi::kv::put(
            key.as_ptr(),
            key.len() as u32,
            value.as_ptr(),
            value.len() as u32,
            lease,
            0,
            &mut revision,
        )
    })?;
    Ok(revision)
}

/// Deletes a key. False: there was none.
pub fn delete(key: impl AsRef<[u8]>) -> Result<bool, Error> {
    Range::key(key).delete().map(|count| count > 0)
}

/* --- Ranges ------------------------------------------------------------------------------------ */

const LOCAL: u32 = 1;
const PREVIOUS: u32 = 2;
const KEYS_ONLY: u32 = 4;
const COUNT_ONLY: u32 = 8;
const DESCEND: u32 = 16;

/// Keys, and how they are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    key: Vec<u8>,
    end: Vec<u8>, // empty: the key alone; one zero byte: without an end
    limit: i64,
    revision: i64,
    flags: u32,
}

/// What was in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The store's, when it was read.
    pub revision: i64,
    /// Of keys in the range, whatever the limit.
    pub count: i64,
    /// The limit cut it off.
    pub more: bool,
    /// The records, by key.
    pub records: Vec<Record>,
}

impl Range {
    fn new(key: &[u8], end: &[u8]) -> Range {
        Range { key: key.to_vec(), end: end.to_vec(), limit: 0, revision: 0, flags: 0 }
    }

    /// One key.
    pub fn key(key: impl AsRef<[u8]>) -> Range {
        Range::new(key.as_ref(), &[])
    }

    /// From the first key up to, and without, the second.
    pub fn between(first: impl AsRef<[u8]>, end: impl AsRef<[u8]>) -> Range {
        Range::new(first.as_ref(), end.as_ref())
    }

    /// All keys from this one on.
    pub fn from(first: impl AsRef<[u8]>) -> Range {
        Range::new(first.as_ref(), &[0])
    }

    /// All keys that begin with `prefix`; with an empty one, all keys.
    pub fn prefix(prefix: impl AsRef<[u8]>) -> Range {
        let prefix = prefix.as_ref();
        let mut end = prefix.to_vec();
        while end.last() == Some(&255) {
            end.pop();
        }
        match end.last_mut() {
            Some(last) => *last += 1,
            None => end = vec![0],
        }
        Range::new(if prefix.is_empty() { &[0] } else { prefix }, &end)
    }

    /// Up to so many records.
    pub fn limit(mut self, records: i64) -> Self {
        self.limit = records;
        self
    }

    /// As it was at a revision; of a watch, the first one that is told.
    pub fn revision(mut self, revision: i64) -> Self {
        self.revision = revision;
        self
    }

    /// From the last key to the first.
    pub fn descending(mut self) -> Self {
        self.flags |= DESCEND;
        self
    }

    /// Without values.
    pub fn keys_only(mut self) -> Self {
        self.flags |= KEYS_ONLY;
        self
    }

    /// Nothing but the count.
    pub fn count_only(mut self) -> Self {
        self.flags |= COUNT_ONLY;
        self
    }

    /// As this node has applied it, which may be old. Needs no leader.
    pub fn local(mut self) -> Self {
        self.flags |= LOCAL;
        self
    }

    /// Of a watch: with what was there before ([`Event::previous`]).
    pub fn with_previous(mut self) -> Self {
        self.flags |= PREVIOUS;
        self
    }

    /// Reads it.
    pub fn get(&self) -> Result<Page, Error> {
        let mut ranged = [0; 24];
        // SAFETY: the keys are read and 24 bytes written during the call.
        check(unsafe {
            abi::kv::range(
                self.key.as_ptr(),
                self.key.len() as u32,
                self.end.as_ptr(),
                self.end.len() as u32,
                self.limit,
                self.revision,
                self.flags,
                ranged.as_mut_ptr(),
            )
        })?;
        let mut fields = Fields(&ranged);
        let (revision, count) = (fields.i64(), fields.i64());
        let more = fields.u32() != 0;
        let record_count = fields.u32();
        let records = Fields(&answer()).records(record_count);
        Ok(Page { revision, count, more, records })
    }

    /// Deletes what is in it, and says how many keys that were.
    pub fn delete(&self) -> Result<i64, Error> {
        let mut deleted = [0; 2];
        // SAFETY: the keys are read and two numbers written during the call.
        check(unsafe {
            abi::kv::delete(
                self.key.as_ptr(),
                self.key.len() as u32,
                self.end.as_ptr(),
                self.end.len() as u32,
                0,
                deleted.as_mut_ptr(),
            )
        })?;
        Ok(deleted[1])
    }

    /// Lets its events come as messages with `tag` (not 0), from now on or from
    /// [`Range::revision`] on. Nothing is left out and nothing comes twice; a process that does not
    /// receive them slows down its own watch alone. 16 watches a process.
    pub fn watch(&self, tag: u64) -> Result<Watch, Error> {
        let mut watch = [0; 2];
        // SAFETY: the keys are read and two numbers written during the call.
        check(unsafe {
            abi::kv::watch(
                self.key.as_ptr(),
                self.key.len() as u32,
                self.end.as_ptr(),
                self.end.len() as u32,
                self.revision,
                tag,
                self.flags,
                watch.as_mut_ptr(),
            )
        })?;
        Ok(Watch { id: watch[0], tag, revision: watch[1] as i64 })
    }
}

/* --- Watches ----------------------------------------------------------------------------------- */

/// A watch, until it is stopped or this process ends. Dropping it does not stop it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch {
    /// As [`Events::watch`] names it.
    pub id: u64,
    /// Of its messages.
    pub tag: u64,
    /// The store's, when it began.
    pub revision: i64,
}

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// It was deleted; else it was written.
    pub is_delete: bool,
    /// What it is now; of one deleted, its key and revision.
    pub record: Record,
    /// What it was before, if the watch asked for that and there was something.
    pub previous: Option<Record>,
}

/// One message of a watch: all events of one or more revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Events {
    /// The watch.
    pub watch: u64,
    /// Everything up to here was told.
    pub revision: i64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// This was its last message, and why.
    pub ended: Option<Error>,
}

impl Events {
    /// Reads a message that has a watch's tag.
    pub fn read(message: &Message) -> Events {
        let mut fields = Fields(&message.bytes);
        let watch = fields.number(8);
        let has_ended = fields.u32() != 0;
        let count = fields.u32();
        let revision = fields.i64();
        if has_ended {
            let text = String::from_utf8_lossy(fields.0).into_owned();
            let ended = Some(Error { code: Code::from_number(count), text });
            return Events { watch, revision, events: Vec::new(), ended };
        }
        let events = fields.many(count, |fields| {
            let (is_delete, has_previous) = (fields.u32() != 0, fields.u32() != 0);
            let record = fields.record();
            let previous = if has_previous { Some(fields.record()) } else { None };
            Event { is_delete, record, previous }
        });
        Events { watch, revision, events, ended: None }
    }
}

impl Watch {
    /// Waits for its next message. `None`: none came in time.
    pub fn next(&self, timeout: Duration) -> Option<Events> {
        let message = receive_tags(&[self.tag], timeout)?.message()?;
        Some(Events::read(&message))
    }

    /// No further events; those that have arrived stay in the mailbox. False: it had ended.
    pub fn stop(self) -> bool {
        // SAFETY: takes a number alone.
        unsafe { abi::kv::unwatch(self.id) == 0 }
    }
}

/* --- Transactions ------------------------------------------------------------------------------ */

/// How a comparison must come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The same.
    Equal = 0,
    /// What is there is greater.
    Greater = 1,
    /// What is there is less.
    Less = 2,
    /// Another.
    NotEqual = 3,
}

/// Something that must hold for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare(Vec<u8>);

impl Compare {
    fn new(key: &[u8], target: u8, order: Order, number: i64, value: &[u8]) -> Compare {
        let mut bytes = vec![order as u8, target, 0, 0];
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Compare(bytes)
    }

    /// Writes since the key was created; 0: it does not exist.
    pub fn version(key: impl AsRef<[u8]>, order: Order, version: i64) -> Compare {
        Compare::new(key.as_ref(), 0, order, version, &[])
    }

    /// The revision that created it.
    pub fn create_revision(key: impl AsRef<[u8]>, order: Order, revision: i64) -> Compare {
        Compare::new(key.as_ref(), 1, order, revision, &[])
    }

    /// The revision that wrote it last.
    pub fn mod_revision(key: impl AsRef<[u8]>, order: Order, revision: i64) -> Compare {
        Compare::new(key.as_ref(), 2, order, revision, &[])
    }

    /// Its value, byte by byte.
    pub fn value(key: impl AsRef<[u8]>, order: Order, value: impl AsRef<[u8]>) -> Compare {
        Compare::new(key.as_ref(), 3, order, 0, value.as_ref())
    }

    /// Its lease.
    pub fn lease(key: impl AsRef<[u8]>, order: Order, lease: i64) -> Compare {
        Compare::new(key.as_ref(), 4, order, lease, &[])
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op(Vec<u8>);

const OP_RANGE: u8 = 1;
const OP_PUT: u8 = 2;
const OP_DELETE: u8 = 3;

impl Op {
    fn new(kind: u8, range: &Range, value: &[u8], number: i64) -> Op {
        let mut bytes = vec![kind, range.flags as u8, 0, 0];
        bytes.extend_from_slice(&(range.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(range.end.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&range.revision.to_le_bytes());
        bytes.extend_from_slice(&range.key);
        bytes.extend_from_slice(&range.end);
        bytes.extend_from_slice(value);
        Op(bytes)
    }

    /// Reads a range.
    pub fn get(range: Range) -> Op {
        Op::new(OP_RANGE, &range, &[], range.limit)
    }

    /// Writes a key.
    pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Op {
        Op::put_leased(key, value, 0)
    }

    /// Writes a key that goes when the lease does.
    pub fn put_leased(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, lease: i64) -> Op {
        Op::new(OP_PUT, &Range::key(key), value.as_ref(), lease)
    }

    /// Deletes what is in a range.
    pub fn delete(range: Range) -> Op {
        Op::new(OP_DELETE, &range, &[], 0)
    }
}

/// Comparisons that must all hold, what happens then, and what happens else: in one step, at one
/// revision. At most 128 of each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    compares: Vec<Compare>,
    then: Vec<Op>,
    otherwise: Vec<Op>,
}

/// What one step of a transaction did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// What a range held; its revision is the transaction's.
    Range(Page),
    /// A key was written.
    Put,
    /// So many keys were deleted.
    Delete(i64),
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The store's, after it.
    pub revision: i64,
    /// All comparisons held.
    pub succeeded: bool,
    /// Of the steps that were taken, in order.
    pub responses: Vec<Response>,
}

impl Txn {
    /// One that compares nothing and does nothing.
    pub fn new() -> Txn {
        Txn::default()
    }

    /// And this must hold.
    pub fn when(mut self, compare: Compare) -> Self {
        self.compares.push(compare);
        self
    }

    /// If all holds, this is done.
    pub fn then(mut self, op: Op) -> Self {
        self.then.push(op);
        self
    }

    /// If not, this.
    pub fn otherwise(mut self, op: Op) -> Self {
        self.otherwise.push(op);
        self
    }

    /// Does it.
    pub fn commit(&self) -> Result<Committed, Error> {
        let mut bytes = Vec::new();
        for count in [self.compares.len(), self.then.len(), self.otherwise.len(), 0] {
            bytes.extend_from_slice(&(count as u32).to_le_bytes());
        }
        for compare in &self.compares {
            bytes.extend_from_slice(&compare.0);
        }
        for op in self.then.iter().chain(&self.otherwise) {
            bytes.extend_from_slice(&op.0);
        }
        let mut committed = [0; 16];
        // SAFETY: the bytes are read and 16 written during the call.
        check(unsafe {
            abi::kv::txn(bytes.as_ptr(), bytes.len() as u32, committed.as_mut_ptr())
        })?;
        let mut fields = Fields(&committed);
        let revision = fields.i64();
        let succeeded = fields.u32() != 0;
        let count = fields.u32();
        let answer = answer();
        let mut fields = Fields(&answer);
        let responses = fields.many(count, |fields| response(fields, revision));
        Ok(Committed { revision, succeeded, responses })
    }
}

fn response(fields: &mut Fields<'_>, revision: i64) -> Response {
    let kind = fields.u32();
    let size = fields.u32() as usize;
    let mut fields = Fields(fields.take(size));
    match kind as u8 {
        OP_RANGE => {
            let count = fields.i64();
            let more = fields.u32() != 0;
            let record_count = fields.u32();
            let records = fields.records(record_count);
            Response::Range(Page { revision, count, more, records })
        }
        OP_PUT => Response::Put,
        _ => Response::Delete(fields.i64()),
    }
}

/* --- Leases ------------------------------------------------------------------------------------ */

/// Takes its keys with it when it ends, so long after its grant or its last keepalive. It does not
/// end with the process. 64 a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// For [`put_leased`].
    pub id: i64,
    /// In seconds.
    pub ttl_s: i64,
}

impl Lease {
    /// A new one.
    pub fn grant(ttl_s: i64) -> Result<Lease, Error> {
        let mut lease = [0; 2];
        // SAFETY: two numbers are written during the call.
        check(unsafe { abi::kv::lease_grant(ttl_s, 0, lease.as_mut_ptr()) })?;
        Ok(Lease { id: lease[0], ttl_s: lease[1] })
    }

    /// Begins its time anew.
    pub fn keep_alive(&mut self) -> Result<(), Error> {
        let mut lease = [0; 2];
        // SAFETY: two numbers are written during the call.
        check(unsafe { abi::kv::lease_keepalive(self.id, lease.as_mut_ptr()) })?;
        self.ttl_s = lease[1];
        Ok(())
    }

    /// Ends it, and its keys.
    pub fn revoke(self) -> Result<(), Error> {
        // SAFETY: takes a number alone.
        check(unsafe { abi::kv::lease_revoke(self.id) })
    }
}

/// How long the calls of this process wait from now on; [`FOREVER`](crate::FOREVER): without an end.
pub fn set_timeout(time: Duration) {
    // SAFETY: takes a number alone.
    unsafe { abi::kv::set_timeout(milliseconds(time)) };
}
