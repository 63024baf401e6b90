//go:build wasip1

// Package sqlite is SQLite databases in the directories of this process.
//
// Files are found in what was given with --dir (or the application file), and nowhere else. "" is a
// temporary database, ":memory:" one in memory; those need no directory. Statements run on other
// threads: this process alone waits, and can be killed.
//
//	db, err := sqlite.Open("people.db")
//	_, err = db.Exec("INSERT INTO people VALUES (?, ?)", "Ada", 36)
//	rows, err := db.Query("SELECT name, age FROM people WHERE age >= ?", 18)
//	defer rows.Close()
//	for rows.Next() {
//		var name string
//		var age int64
//		err = rows.Scan(&name, &age)
//	}
//	err = rows.Err()
//
// Values are nil, int64, float64, string and []byte; parameters may be int, int32 and bool too.
package sqlite

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"unsafe"

	"pando"
)

//go:wasmimport lunatic::sqlite open
func importOpen(path string, id unsafe.Pointer) uint64

//go:wasmimport lunatic::sqlite execute
func importExecute(db uint64, sql string) uint32

//go:wasmimport lunatic::sqlite sqlite3_changes
func importChanges(db uint64) uint32

//go:wasmimport lunatic::sqlite statement_reset
func importReset(statement uint64)

//go:wasmimport lunatic::sqlite sqlite3_finalize
func importFinalize(statement uint64)

//go:wasmimport pando::sqlite prepare
func importPrepare(db uint64, sql string, id unsafe.Pointer) uint32

//go:wasmimport pando::sqlite bind
func importBind(statement uint64, list unsafe.Pointer, size uint32) uint32

//go:wasmimport pando::sqlite step
func importStep(statement uint64) uint32

//go:wasmimport pando::sqlite row
func importRow(statement uint64, to unsafe.Pointer, room uint32) uint32

//go:wasmimport pando::sqlite names
func importNames(statement uint64, to unsafe.Pointer, room uint32) uint32

//go:wasmimport pando::sqlite error
func importError(db uint64, to unsafe.Pointer, room uint32) uint32

//go:wasmimport pando::sqlite close
func importClose(db uint64) uint32

// Code is SQLite's own, of sqlite.org/rescode.html. It is an error too, for errors.Is.
type Code uint32

// Codes that a program may ask for.
const (
	SQL         Code = 1  // the SQL is none, or names what is not there
	Busy        Code = 5  // another connection has a lock: try again, or set PRAGMA busy_timeout
	Memory      Code = 7  // the limit of memory
	ReadOnly    Code = 8  // it may only be read
	Interrupted Code = 9  // it took too many steps
	IO          Code = 10 // a file could not be read or written
	Corrupt     Code = 11 // the file is damaged
	Full        Code = 13 // the disk is full
	TooBig      Code = 18 // a value or a text is too long
	Constraint  Code = 19 // a rule of the schema would be broken
	Denied      Code = 23 // Pando does not admit this
	Range       Code = 25 // there is no such parameter
)

func (c Code) Error() string { return "SQLite's code " + strconv.FormatUint(uint64(c), 10) }

// Error is what SQLite says, in words.
type Error struct {
	Code Code
	Text string
}

func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is(err, sqlite.Busy) hold.
func (e *Error) Unwrap() error { return e.Code }

// ErrClosed is of what was closed; ErrType of a value that is not what it is taken for.
var (
	ErrClosed = errors.New("sqlite: it is closed")
	ErrType   = errors.New("sqlite: the value is of another type")
)

// answer is what a function writes into a room that is large enough.
func answer(read func(to unsafe.Pointer, room uint32) uint32) []byte {
	bytes := make([]byte, 512)
	for {
		size := int(read(unsafe.Pointer(unsafe.SliceData(bytes)), uint32(len(bytes))))
		if size <= len(bytes) {
			return bytes[:size]
		}
		bytes = make([]byte, size)
	}
}

// --- Databases -----------------------------------------------------------------------------------

// DB is a database that is open; 16 at most.
type DB struct {
	id       uint64
	isClosed bool
}

// Open opens a database, which is made if it is not there. It stays open until [DB.Close] or the end
// of the process. An error: no such directory or right, no database, too many.
func Open(path string) (*DB, error) {
	var id uint64
	if importOpen(path, unsafe.Pointer(&id)) != 0 {
		return nil, pando.TakeError(id)
	}
	return &DB{id: id}, nil
}

// Close rolls back a transaction that is open. [Busy]: it has statements or rows that are not closed.
func (db *DB) Close() error {
	if db.isClosed {
		return ErrClosed
	}
	err := db.done(importClose(db.id))
	db.isClosed = err == nil
	return err
}

func (db *DB) done(code uint32) error {
	if code == 0 {
		return nil
	}
	words := answer(func(to unsafe.Pointer, room uint32) uint32 { return importError(db.id, to, room) })
	return &Error{Code(code), string(words)}
}

// Exec runs a text: without arguments all of its statements, with them the first one. changed is how
// many rows the last INSERT, UPDATE or DELETE changed.
func (db *DB) Exec(sql string, arguments ...any) (changed int, err error) {
	if db.isClosed {
		return 0, ErrClosed
	}
	if len(arguments) == 0 {
		err = db.done(importExecute(db.id, sql))
		return int(importChanges(db.id)), err
	}
	statement, err := db.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer statement.Close()
	return statement.Exec(arguments...)
}

// Query gives the rows of the first statement of a text. Close them.
func (db *DB) Query(sql string, arguments ...any) (*Rows, error) {
	statement, err := db.Prepare(sql)
	if err != nil {
		return nil, err
	}
	rows, err := statement.Query(arguments...)
	if err != nil {
		statement.Close()
		return nil, err
	}
	rows.closes = true
	return rows, nil
}

// --- Statements ----------------------------------------------------------------------------------

// Stmt is a statement to be run several times; 1,024 at most.
type Stmt struct {
	id       uint64
	db       *DB
	isClosed bool
}

// Prepare takes the first statement of a text. Close it.
func (db *DB) Prepare(sql string) (*Stmt, error) {
	if db.isClosed {
		return nil, ErrClosed
	}
	var id uint64
	if err := db.done(importPrepare(db.id, sql, unsafe.Pointer(&id))); err != nil {
		return nil, err
	}
	return &Stmt{id: id, db: db}, nil
}

// Close forgets it.
func (s *Stmt) Close() error {
	if s.isClosed {
		return ErrClosed
	}
	importFinalize(s.id)
	s.isClosed = true
	return nil
}

// encode makes the list that is bound: how many, and for each no key, its type and its bytes.
func encode(arguments []any) ([]byte, error) {
	list := binary.LittleEndian.AppendUint64(nil, uint64(len(arguments)))
	put := func(kind uint32, value uint64) {
		list = binary.LittleEndian.AppendUint32(list, 0)
		list = binary.LittleEndian.AppendUint32(list, kind)
		list = binary.LittleEndian.AppendUint64(list, value)
	}
	for _, argument := range arguments {
		switch value := argument.(type) {
		case nil:
			list = binary.LittleEndian.AppendUint64(list, 0) // no key, and NULL
		case bool:
			var number uint64
			if value {
				number = 1
			}
			put(5, number)
		case int:
			put(5, uint64(value))
		case int32:
			put(5, uint64(value))
		case int64:
			put(5, uint64(value))
		case float64:
			put(3, math.Float64bits(value))
		case string:
			put(2, uint64(len(value)))
			list = append(list, value...)
		case []byte:
			put(1, uint64(len(value)))
			list = append(list, value...)
		default:
			return nil, ErrType
		}
	}
	return list, nil
}

// Query gives its rows; what was not read of former ones is gone.
func (s *Stmt) Query(arguments ...any) (*Rows, error) {
	if s.isClosed {
		return nil, ErrClosed
	}
	list, err := encode(arguments)
	if err != nil {
		return nil, err
	}
	importReset(s.id)
	if err := s.db.done(importBind(s.id, unsafe.Pointer(unsafe.SliceData(list)), uint32(len(list)))); err != nil {
		return nil, err
	}
	return &Rows{statement: s}, nil
}

// Exec runs it.
func (s *Stmt) Exec(arguments ...any) (changed int, err error) {
	rows, err := s.Query(arguments...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
	}
	return int(importChanges(s.db.id)), rows.Err()
}

// --- Rows ----------------------------------------------------------------------------------------

// Rows are those of a statement, one after the other.
type Rows struct {
	statement *Stmt
	closes    bool // the statement too
	isOver    bool
	isClosed  bool
	values    []any
	err       error
}

// reader reads what Pando wrote, which is whole.
type reader struct{ left []byte }

func (r *reader) bytes(size uint64) []byte {
	taken := r.left[:size:size]
	r.left = r.left[size:]
	return taken
}

func (r *reader) number() uint64 { return binary.LittleEndian.Uint64(r.bytes(8)) }

func (r *reader) value() any {
	switch binary.LittleEndian.Uint32(r.bytes(4)) {
	case 1:
		return r.bytes(r.number())
	case 2:
		return string(r.bytes(r.number()))
	case 3:
		return math.Float64frombits(r.number())
	case 4:
		return int64(r.number())
	}
	return nil
}

// Next goes to the next row. False: there is none, or [Rows.Err] says what failed.
func (r *Rows) Next() bool {
	const row, done = 100, 101
	if r.isOver || r.isClosed || r.statement.isClosed {
		return false
	}
	r.values = nil
	switch code := importStep(r.statement.id); code {
	case row:
		of := reader{answer(func(to unsafe.Pointer, room uint32) uint32 {
			return importRow(r.statement.id, to, room)
		})}
		r.values = make([]any, of.number())
		for i := range r.values {
			r.values[i] = of.value()
		}
		return true
	case done:
	default:
		r.err = r.statement.db.done(code)
	}
	r.isOver = true
	return false
}

// Values are those of the row.
func (r *Rows) Values() []any { return r.values }

// Scan copies the values of the row into variables of int64, int, bool, float64, string, []byte or
// any; [ErrType] when one is of another type. For what may be NULL take any.
func (r *Rows) Scan(to ...any) error {
	if len(to) > len(r.values) {
		return ErrType
	}
	for i, variable := range to {
		if !scan(r.values[i], variable) {
			return ErrType
		}
	}
	return nil
}

func scan(value, variable any) (is bool) {
	switch to := variable.(type) {
	case *any:
		*to, is = value, true
	case *int64:
		*to, is = value.(int64)
	case *int:
		var number int64
		number, is = value.(int64)
		*to = int(number)
	case *bool:
		var number int64
		number, is = value.(int64)
		*to = number != 0
	case *float64:
		*to, is = value.(float64)
	case *string:
		*to, is = value.(string)
	case *[]byte:
		*to, is = value.([]byte)
	}
	return is
}

// Columns are the names of the columns.
func (r *Rows) Columns() []string {
	if r.isClosed || r.statement.isClosed {
		return nil
	}
	of := reader{answer(func(to unsafe.Pointer, room uint32) uint32 {
		return importNames(r.statement.id, to, room)
	})}
	names := make([]string, of.number())
	for i := range names {
		names[i] = string(of.bytes(of.number()))
	}
	return names
}

// Err is what [Rows.Next] failed of, if it did.
func (r *Rows) Err() error { return r.err }

// Close lets go of what a statement that was not read to its end holds.
func (r *Rows) Close() error {
	if r.isClosed {
		return nil
	}
	r.isClosed = true
	switch {
	case r.statement.isClosed:
	case r.closes:
		return r.statement.Close()
	default:
		importReset(r.statement.id)
	}
	return nil
}
