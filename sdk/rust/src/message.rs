use std::fmt;
use std::time::Duration;

use crate::{abi, milliseconds, Pid};

/// Why a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It returned, or ended with exit code 0.
    Normal,
    /// It was asked to end, by its supervisor or the operator.
    Shutdown,
    /// A trap, a panic, another exit code, or declared by itself.
    Failure,
    /// It was killed.
    Killed,
    /// There was no such process.
    NoProcess,
    /// It used up its fuel.
    Fuel,
    /// It could not get the memory that it needs to live.
    Memory,
    /// It did what it has no right to.
    Denied,
    /// One that this crate does not know yet.
    Unknown(u32),
}

impl Reason {
    pub(crate) fn from_number(number: u32) -> Reason {
        match number {
            0 => Reason::Normal,
            1 => Reason::Shutdown,
            2 => Reason::Failure,
            3 => Reason::Killed,
            4 => Reason::NoProcess,
            5 => Reason::Fuel,
            6 => Reason::Memory,
            7 => Reason::Denied,
            other => Reason::Unknown(other),
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            Reason::Normal => 0,
            Reason::Shutdown => 1,
            Reason::Failure => 2,
            Reason::Killed => 3,
            Reason::NoProcess => 4,
            Reason::Fuel => 5,
            Reason::Memory => 6,
            Reason::Denied => 7,
            Reason::Unknown(other) => other,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::Normal => "normal",
            Reason::Shutdown => "shutdown",
            Reason::Failure => "failure",
            Reason::Killed => "killed",
            Reason::NoProcess => "no process",
            Reason::Fuel => "fuel",
            Reason::Memory => "memory",
            Reason::Denied => "denied",
            Reason::Unknown(_) => "unknown",
        })
    }
}

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The mailbox is full: try again later.
    Full,
    /// Nobody has this pid, or not any more.
    Gone,
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            SendError::Full => "the mailbox is full",
            SendError::Gone => "there is no such process",
        })
    }
}

impl std::error::Error for SendError {}

/// Why a call has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallError {
    /// The mailbox is full: nothing was sent.
    Full,
    /// It was dead, or died before it answered.
    Gone(Reason),
    /// No answer in time; one that comes later is dropped.
    Late,
}

impl fmt::Display for CallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::Full => formatter.write_str("the mailbox is full"),
            CallError::Gone(reason) => write!(formatter, "the process is gone: {}", reason),
            CallError::Late => formatter.write_str("no answer in time"),
        }
    }
}

impl std::error::Error for CallError {}

/// What arrived: bytes under a tag. Tag 0 is "no tag".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the sender marked it with.
    pub tag: u64,
    /// What it sent.
    pub bytes: Vec<u8>,
    /// Who waits for an answer: it was sent by [`Pid::call`].
    pub caller: Option<Caller>,
}

impl Message {
    /// Answers a call. Of a message that is none: [`SendError::Gone`].
    pub fn reply(&self, bytes: &[u8]) -> Result<(), SendError> {
        self.caller.ok_or(SendError::Gone)?.reply(bytes)
    }

    /// The bytes as numbers of eight bytes each, little-endian; what is left over is left out.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.bytes.chunks_exact(8).map(number_of)
    }

    /// The bytes as a text; what is no UTF-8 is replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// The message at hand, which is the last one received.
    pub(crate) fn at_hand() -> Message {
        // SAFETY: read_data writes no more than data_size bytes, for which there is room.
        unsafe {
            let mut bytes = vec![0; abi::message::data_size() as usize];
            let size = abi::message::read_data(bytes.as_mut_ptr(), bytes.len() as u32);
            bytes.truncate(size as usize);
            let reference = abi::message::reference();
            let caller = if reference == 0 {
                None
            } else {
                Some(Caller { pid: Pid(abi::message::pid()), reference })
            };
            Message { tag: abi::message::get_tag(), bytes, caller }
        }
    }
}

fn number_of(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(bytes);
    u64::from_le_bytes(number)
}

/// Who called and waits. It may be kept, and answered later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The process that called.
    pub pid: Pid,
    reference: u64,
}

impl Caller {
    /// Answers; never waits. One that no longer waits drops the answer.
    pub fn reply(self, bytes: &[u8]) -> Result<(), SendError> {
        create(0, bytes);
        // SAFETY: takes numbers alone.
        sent(unsafe { abi::process::reply(self.pid.0, self.reference) })
    }
}

/// Whose end was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Who ended.
    pub pid: Pid,
    /// By what this process is told.
    pub by: Notice,
    /// Why it ended.
    pub reason: Reason,
    /// What it said when it ended: of a trap its text.
    pub text: String,
}

/// Why one is told of a death.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notice {
    /// A link with this tag, and this process traps exits.
    Link(u64),
    /// A monitor of [`Pid::monitor`].
    Monitor(crate::process::Monitor),
    /// A monitor of the crate `lunatic`.
    Lunatic,
}

/// What a mailbox gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A message.
    Message(Message),
    /// A process ended that this one watches.
    Died(Death),
}

impl Received {
    /// The message, if it is one.
    pub fn message(self) -> Option<Message> {
        match self {
            Received::Message(message) => Some(message),
            Received::Died(_) => None,
        }
    }
}

fn death(by: Notice) -> Received {
    let mut text = vec![0; 4096];
    // SAFETY: reason_text writes up to the room that it is told.
    let (pid, reason) = unsafe {
        let size = abi::message::reason_text(text.as_mut_ptr(), text.len() as u32) as usize;
        text.truncate(size);
        (Pid(abi::message::pid()), Reason::from_number(abi::message::reason()))
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    Received::Died(Death { pid, by, reason, text })
}

/// Takes the first message or notice, waiting for one up to `timeout`. `None`: none came.
pub fn receive(timeout: Duration) -> Option<Received> {
    receive_tags(&[], timeout)
}

/// Takes the first one that has one of these tags, and leaves the others in their order. No tags:
/// the first one of all. Messages with tag 0 and notices of monitors have none of the tags.
pub fn receive_tags(tags: &[u64], timeout: Duration) -> Option<Received> {
    const DATA: u32 = 0;
    const LINK_DIED: u32 = 1;
    const PROCESS_DIED: u32 = 2;
    const DOWN: u32 = 3;
    // SAFETY: the tags are read during the call.
    let kind = unsafe {
        abi::message::receive(tags.as_ptr(), tags.len() as u32, milliseconds(timeout))
    };
    match kind {
        DATA => Some(Received::Message(Message::at_hand())),
        // SAFETY: these take nothing, and a notice is at hand.
        LINK_DIED => Some(death(Notice::Link(unsafe { abi::message::get_tag() }))),
        PROCESS_DIED => Some(death(Notice::Lunatic)),
        DOWN => Some(death(Notice::Monitor(crate::process::Monitor(unsafe {
            abi::message::reference()
        })))),
        _ => None,
    }
}

/// Makes a message the one at hand.
pub(crate) fn create(tag: u64, bytes: &[u8]) {
    // SAFETY: the bytes are copied during the call.
    unsafe {
        abi::message::create_data(tag, bytes.len() as u64);
        abi::message::write_data(bytes.as_ptr(), bytes.len() as u32);
    }
}

fn sent(code: u32) -> Result<(), SendError> {
    match code {
        0 => Ok(()),
        1 => Err(SendError::Full),
        _ => Err(SendError::Gone),
    }
}

/// A message that is sent later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer(u64);

impl Timer {
    /// True: it will not be sent. False: it was.
    pub fn cancel(self) -> bool {
        // SAFETY: takes a number alone.
        unsafe { abi::timer::cancel_timer(self.0) != 0 }
    }
}

/// Sends a message in a while, even if this process has ended by then.
pub fn send_after(to: Pid, tag: u64, bytes: &[u8], after: Duration) -> Timer {
    create(tag, bytes);
    // SAFETY: takes numbers alone.
    Timer(unsafe { abi::timer::send_after(to.0, milliseconds(after)) })
}

impl Pid {
    /// Sends a message. Waits while the mailbox is full; a process that is gone drops it.
    pub fn send(self, tag: u64, bytes: &[u8]) {
        create(tag, bytes);
        // SAFETY: takes a number alone.
        unsafe { abi::message::send(self.0) };
    }

    /// Sends a message without waiting.
    pub fn try_send(self, tag: u64, bytes: &[u8]) -> Result<(), SendError> {
        create(tag, bytes);
        // SAFETY: takes a number alone.
        sent(unsafe { abi::process::try_send(self.0) })
    }

    /// Sends a message and waits for its answer ([`Message::reply`]), which nothing else in the
    /// mailbox can be taken for. Sees a death at once.
    pub fn call(self, tag: u64, bytes: &[u8], timeout: Duration) -> Result<Message, CallError> {
        create(tag, bytes);
        // SAFETY: take numbers alone.
        match unsafe { abi::process::call(self.0, milliseconds(timeout)) } {
            0 => Ok(Message::at_hand()),
            1 => Err(CallError::Full),
            2 => {
                let reason = unsafe { abi::process::last_reason() };
                Err(CallError::Gone(Reason::from_number(reason)))
            }
            _ => Err(CallError::Late),
        }
    }
}
