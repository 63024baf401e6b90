//! SQLite databases in the directories of this process.
//!
//! Files are found in what was given with `--dir` (or the application file), and nowhere else. `""` is
//! a temporary database, `":memory:"` one in memory; those need no directory. Statements run on
//! other threads: this process alone waits, and can be killed.
//!
//! ```no_run
//! use pando::sqlite::{Database, Error};
//!
//! fn grown_up(database: &Database) -> Result<Vec<String>, Error> {
//!     let rows = database.query("SELECT name FROM people WHERE age >= ?", &[18.into()])?;
//!     rows.map(|row| row?.get(0)).collect()
//! }
//!
//! let database = Database::open("people.db").unwrap();
//! database.execute("CREATE TABLE IF NOT EXISTS people(name TEXT UNIQUE, age INTEGER)").unwrap();
//! database.run("INSERT INTO people VALUES (?, ?)", &["Ada".into(), 36.into()]).unwrap();
//! println!("{:?}", grown_up(&database));
//! ```
//!
//! A database closes with the last of it and its statements; a transaction that is open is rolled
//! back then, as it is when the process ends.

use std::convert::TryInto;
use std::fmt;
use std::rc::Rc;

use crate::abi;

const OK: u32 = 0;
const ROW: u32 = 100;
const DONE: u32 = 101;

/// SQLite's codes, as far as a program may ask for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The SQL is none, or names what is not there.
    Sql,
    /// Another connection has a lock: try again, or set `PRAGMA busy_timeout`.
    Busy,
    /// The limit of memory.
    Memory,
    /// It may only be read.
    ReadOnly,
    /// It took too many steps.
    Interrupted,
    /// A file could not be read or written.
    Io,
    /// The file is damaged.
    Corrupt,
    /// The disk is full.
    Full,
    /// A value or a text is too long.
    TooBig,
    /// A rule of the schema would be broken.
    Constraint,
    /// Pando does not admit this.
    Denied,
    /// There is no such parameter.
    Range,
    /// Another one, of `sqlite.org/rescode.html`.
    Other(u32),
}

impl Code {
    fn of(number: u32) -> Code {
        match number {
            1 => Code::Sql,
            5 => Code::Busy,
            7 => Code::Memory,
            8 => Code::ReadOnly,
            9 => Code::Interrupted,
            10 => Code::Io,
            11 => Code::Corrupt,
            13 => Code::Full,
            18 => Code::TooBig,
            19 => Code::Constraint,
            23 => Code::Denied,
            25 => Code::Range,
            other => Code::Other(other),
        }
    }
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It was not opened: no directory or right, no database, too many.
    Open(String),
    /// SQLite says so, in words.
    Failed(Code, String),
    /// The value of this column is none of the type that was asked for, or there is no such column.
    Column(usize),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Open(text) | Error::Failed(_, text) => formatter.write_str(text),
            Error::Column(index) => {
                write!(formatter, "column {} is not what it is taken for", index)
            }
        }
    }
}

impl std::error::Error for Error {}

/// A value of a row or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// Bytes.
    Blob(Vec<u8>),
    /// A text.
    Text(String),
    /// A floating-point number.
    Real(f64),
    /// An integer.
    Integer(i64),
}

macro_rules! value_from {
    ($($type:ty, $value:ident => $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($value: $type) -> Value {
                $made
            }
        })*
    };
}

value_from! {
    i64, value => Value::Integer(value);
    i32, value => Value::Integer(value.into());
    u32, value => Value::Integer(value.into());
    bool, value => Value::Integer(value.into());
    f64, value => Value::Real(value);
    String, value => Value::Text(value);
    &str, value => Value::Text(value.into());
    Vec<u8>, value => Value::Blob(value);
    &[u8], value => Value::Blob(value.into());
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, Into::into)
    }
}

/// What [`Row::get`] can make of a value.
pub trait FromValue: Sized {
    /// `None`: it is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

macro_rules! from_value {
    ($($type:ty, $pattern:pat => $made:expr;)*) => {
        $(impl FromValue for $type {
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    $pattern => $made,
                    _ => None,
                }
            }
        })*
    };
}

from_value! {
    i64, Value::Integer(number) => Some(*number);
    i32, Value::Integer(number) => (*number).try_into().ok();
    u32, Value::Integer(number) => (*number).try_into().ok();
    bool, Value::Integer(number) => Some(*number != 0);
    f64, Value::Real(number) => Some(*number);
    String, Value::Text(text) => Some(text.clone());
    Vec<u8>, Value::Blob(bytes) => Some(bytes.clone());
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            other => T::from_value(other).map(Some),
        }
    }
}

/// The list as it is bound: how many, and for each no key, its type and its bytes.
fn encode(values: &[Value]) -> Vec<u8> {
    let mut list = (values.len() as u64).to_le_bytes().to_vec();
    for value in values {
        list.extend_from_slice(&[0; 4]);
        let (kind, bytes): (u32, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Blob(bytes) => (1, bytes),
            Value::Text(text) => (2, text.as_bytes()),
            Value::Real(_) => (3, &[]),
            Value::Integer(_) => (5, &[]),
        };
        list.extend_from_slice(&kind.to_le_bytes());
        match value {
            Value::Null => {}
            Value::Real(number) => list.extend_from_slice(&number.to_le_bytes()),
            Value::Integer(number) => list.extend_from_slice(&number.to_le_bytes()),
            Value::Blob(_) | Value::Text(_) => {
                list.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                list.extend_from_slice(bytes);
            }
        }
    }
    list
}

/// Reads what Pando wrote, which is whole.
struct Reader<'bytes>(&'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    fn bytes(&mut self, size: usize) -> &'bytes [u8] {
        let (taken, left) = self.0.split_at(size);
        self.0 = left;
        taken
    }

    fn eight(&mut self) -> [u8; 8] {
        let mut eight = [0; 8];
        eight.copy_from_slice(self.bytes(8));
        eight
    }

    fn size(&mut self) -> usize {
        u64::from_le_bytes(self.eight()) as usize
    }

    fn text(&mut self) -> String {
        let size = self.size();
        String::from_utf8_lossy(self.bytes(size)).into_owned()
    }

    fn value(&mut self) -> Value {
        match self.bytes(4)[0] {
            1 => {
                let size = self.size();
                Value::Blob(self.bytes(size).into())
            }
            2 => Value::Text(self.text()),
            3 => Value::Real(f64::from_le_bytes(self.eight())),
            4 => Value::Integer(i64::from_le_bytes(self.eight())),
            _ => Value::Null,
        }
    }
}

/// What a function writes into a room that is large enough.
fn answer(read: impl Fn(*mut u8, u32) -> u32) -> Vec<u8> {
    let mut bytes = vec![0; 512];
    loop {
        let size = read(bytes.as_mut_ptr(), bytes.len() as u32) as usize;
        let fits = size <= bytes.len();
        bytes.resize(size, 0);
        if fits {
            return bytes;
        }
    }
}

#[derive(Debug)]
struct Handle(u64);

impl Handle {
    fn done(&self, code: u32) -> Result<(), Error> {
        match code {
            OK => Ok(()),
            _ => Err(self.failure(code)),
        }
    }

    /// What the last call failed of.
    fn failure(&self, code: u32) -> Error {
        // SAFETY: error writes up to the room that it is told.
        let words = answer(|to, room| unsafe { abi::sqlite::error(self.0, to, room) });
        Error::Failed(Code::of(code), String::from_utf8_lossy(&words).into_owned())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: takes a number alone. Its statements, which have it too, are gone.
        unsafe { abi::sqlite::close(self.0) };
    }
}

/// A database that is open; 16 at most.
#[derive(Debug, Clone)]
pub struct Database(Rc<Handle>);

impl Database {
    /// Opens a database, which is made if it is not there.
    pub fn open(path: &str) -> Result<Database, Error> {
        let mut id = 0;
        // SAFETY: the path is read during the call, `id` is written.
        match unsafe { abi::sqlite::open(path.as_ptr(), path.len() as u32, &mut id) } {
            0 => Ok(Database(Rc::new(Handle(id)))),
            _ => Err(Error::Open(crate::Error::take(id).into_text())),
        }
    }

    /// Runs all statements of a text; their rows are dropped.
    pub fn execute(&self, sql: &str) -> Result<(), Error> {
        // SAFETY: the text is read during the call.
        let code = unsafe { abi::sqlite::execute(self.0 .0, sql.as_ptr(), sql.len() as u32) };
        self.0.done(code)
    }

    /// Runs the first statement of a text with these parameters. Returns how many rows the last
    /// INSERT, UPDATE or DELETE changed.
    pub fn run(&self, sql: &str, parameters: &[Value]) -> Result<u32, Error> {
        self.prepare(sql)?.run(parameters)
    }

    /// The rows of the first statement of a text.
    pub fn query(&self, sql: &str, parameters: &[Value]) -> Result<Rows<'static>, Error> {
        let statement = self.prepare(sql)?;
        statement.bind(parameters)?;
        Ok(Rows { statement: Source::Own(statement), is_over: false })
    }

    /// The first statement of a text, to be run several times; 1,024 at most.
    pub fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        let mut id = 0;
        // SAFETY: the text is read during the call, `id` is written.
        let code =
            unsafe { abi::sqlite::prepare(self.0 .0, sql.as_ptr(), sql.len() as u32, &mut id) };
        self.0.done(code)?;
        Ok(Statement { id, database: self.0.clone() })
    }
}

/// A statement that was prepared.
#[derive(Debug)]
pub struct Statement {
    id: u64,
    database: Rc<Handle>,
}

impl Statement {
    /// Runs it with these parameters; those that are not given stay what they were.
    pub fn run(&mut self, parameters: &[Value]) -> Result<u32, Error> {
        for row in self.query(parameters)? {
            row?;
        }
        // SAFETY: takes a number alone.
        Ok(unsafe { abi::sqlite::sqlite3_changes(self.database.0) })
    }

    /// Its rows. What was not read of former ones is gone.
    pub fn query(&mut self, parameters: &[Value]) -> Result<Rows<'_>, Error> {
        self.reset();
        self.bind(parameters)?;
        Ok(Rows { statement: Source::Lent(self), is_over: false })
    }

    /// The names of its columns.
    pub fn names(&self) -> Vec<String> {
        // SAFETY: names writes up to the room that it is told.
        let bytes = answer(|to, room| unsafe { abi::sqlite::names(self.id, to, room) });
        let mut reader = Reader(&bytes);
        (0..reader.size()).map(|_| reader.text()).collect()
    }

    fn bind(&self, parameters: &[Value]) -> Result<(), Error> {
        let list = encode(parameters);
        // SAFETY: the list is read during the call.
        let code = unsafe { abi::sqlite::bind(self.id, list.as_ptr(), list.len() as u32) };
        self.database.done(code)
    }

    fn reset(&self) {
        // SAFETY: takes a number alone.
        unsafe { abi::sqlite::statement_reset(self.id) };
    }

    fn step(&self) -> Result<Option<Row>, Error> {
        // SAFETY: takes a number alone.
        match unsafe { abi::sqlite::step(self.id) } {
            DONE => Ok(None),
            ROW => {
                // SAFETY: row writes up to the room that it is told.
                let bytes = answer(|to, room| unsafe { abi::sqlite::row(self.id, to, room) });
                let mut reader = Reader(&bytes);
                Ok(Some(Row((0..reader.size()).map(|_| reader.value()).collect())))
            }
            code => Err(self.database.failure(code)),
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: takes a number alone.
        unsafe { abi::sqlite::sqlite3_finalize(self.id) };
    }
}

#[derive(Debug)]
enum Source<'statement> {
    Own(Statement),
    Lent(&'statement Statement),
}

/// The rows of a statement, one after the other; after an error there are no more.
#[derive(Debug)]
pub struct Rows<'statement> {
    statement: Source<'statement>,
    is_over: bool,
}

impl Rows<'_> {
    fn statement(&self) -> &Statement {
        match &self.statement {
            Source::Own(statement) => statement,
            Source::Lent(statement) => statement,
        }
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<String> {
        self.statement().names()
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.statement().step().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.statement().reset(); // it holds no lock any more
    }
}

/// A row: its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value of a column, from 0 on, as a type that it has; `Option` takes NULL too.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T, Error> {
        self.0.get(column).and_then(T::from_value).ok_or(Error::Column(column))
    }
}
