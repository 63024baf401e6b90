package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"pando"
	"pando/pandonet"
	"pando/sqlite"
)

// What lies outside of the guest: sockets, databases in files, modules. --net local and --dir admit
// them; cert.pem and key.pem, if they are in that directory, are localhost's.
func outside() {
	tcp()
	udp()
	tls()
	databases()
	modules()
	denials()
}

func echoes(conn *pandonet.Conn) {
	for room := make([]byte, 100); ; {
		size, err := conn.Read(room)
		if err != nil {
			return
		}
		must(conn.Write(room[:size]))
		check(conn.Flush())
	}
}

func sendAddress(parent uint64, at net.Addr) { pando.Pid(parent).Send(81, []byte(at.String())) }

func port() string {
	_, port, err := net.SplitHostPort(string(next(81).Bytes))
	check(err)
	return port
}

var tcpWorker = pando.Define(func(uint64) {
	next(82)
	echoes(pandonet.TakeTCP())
})

// It ends when the stream has moved on, which its peer does not notice.
var tcpServer = pando.Define(func(parent uint64) {
	listener := must(pandonet.Listen("tcp", "127.0.0.1:0"))
	_, err := pandonet.Listen("tcp", listener.Addr().String())
	expect(errors.Is(err, syscall.EADDRINUSE))
	sendAddress(parent, listener.Addr())
	conn := must(listener.AcceptConn())
	conn.MoveTo(must(tcpWorker.Spawn(0)), 82, nil)
	expect(conn.Close() != nil) // it is not here any more
	check(listener.Close())
})

func tcp() {
	must(tcpServer.Spawn(uint64(pando.Self())))
	name := "localhost:" + port()
	for _, address := range must(pandonet.Resolve(name, long)) {
		expect(address.Addr().IsLoopback())
	}
	stream := must(pandonet.DialTimeout("tcp", name, long))
	var conn net.Conn = stream
	check(conn.SetDeadline(time.Now().Add(long)))
	must(io.WriteString(conn, "hello"))
	room := make([]byte, 5)
	expect(must(stream.Peek(room)) > 0)
	must(io.ReadFull(conn, room))
	expect(string(room) == "hello" && conn.RemoteAddr().String() != "" && conn.LocalAddr() != nil)
	check(conn.SetReadDeadline(time.Now().Add(short)))
	_, err := conn.Read(room)
	var late net.Error
	expect(errors.Is(err, os.ErrDeadlineExceeded) && errors.As(err, &late) && late.Timeout())
	check(conn.Close())
	_, err = conn.Read(room)
	expect(errors.Is(err, net.ErrClosed))
}

func udp() {
	one, two := must(pandonet.ListenPacket("udp", "127.0.0.1:0")), must(pandonet.ListenPacket("udp", "127.0.0.1:0"))
	var packets net.PacketConn = one
	expect(must(packets.WriteTo([]byte("datagram"), two.LocalAddr())) == 8)
	room := make([]byte, 4)
	size, from, err := two.ReadFrom(room)
	expect(err == nil && string(room[:size]) == "data" && from.String() == one.LocalAddr().String())
	check(one.Close())
	check(two.Close())
}

var tlsServer = pando.Define(func(parent uint64) {
	certificate, key := must(os.ReadFile("/cert.pem")), must(os.ReadFile("/key.pem"))
	listener := must(pandonet.ListenTLS("127.0.0.1:0", string(certificate), string(key)))
	sendAddress(parent, listener.Addr())
	echoes(must(listener.AcceptConn()))
})

func tls() {
	certificate, err := os.ReadFile("/cert.pem")
	if err != nil {
		return
	}
	_, err = pandonet.ListenTLS("127.0.0.1:0", "no certificate", "no key")
	expect(err != nil)
	must(tlsServer.Spawn(uint64(pando.Self())))
	conn := must(pandonet.DialTLS("localhost:"+port(), long, string(certificate)))
	check(conn.SetDeadline(time.Now().Add(long)))
	must(io.WriteString(conn, "secret"))
	room := make([]byte, 6)
	must(io.ReadFull(conn, room))
	expect(string(room) == "secret")
	check(conn.Close())
}

func databases() {
	db := must(sqlite.Open("/people.db"))
	must(db.Exec("CREATE TABLE people(name UNIQUE, age, photo); PRAGMA user_version = 7"))
	insert := must(db.Prepare("INSERT INTO people VALUES (?, ?, ?)"))
	photo := bytes.Repeat([]byte{0, 255}, 1000)
	expect(must(insert.Exec("Ada", 36, photo)) == 1 && must(insert.Exec("Bob", 1.5, nil)) == 1)
	_, err := insert.Exec("Ada")
	expect(errors.Is(err, sqlite.Constraint) && strings.Contains(err.Error(), "UNIQUE"))
	_, err = insert.Exec(1, 2, 3, 4)
	expect(errors.Is(err, sqlite.Range))
	_, err = insert.Exec(struct{}{})
	expect(err == sqlite.ErrType)
	expect(errors.Is(db.Close(), sqlite.Busy)) // for it has a statement
	check(insert.Close())

	rows := must(db.Query("SELECT * FROM people WHERE name >= ?", "A"))
	expect(strings.Join(rows.Columns(), " ") == "name age photo" && rows.Next())
	var name string
	var age int64
	var taken []byte
	check(rows.Scan(&name, &age, &taken))
	expect(name == "Ada" && age == 36 && bytes.Equal(taken, photo))
	expect(rows.Scan(&age) == sqlite.ErrType && rows.Next())
	expect(rows.Values()[0] == "Bob" && rows.Values()[1] == 1.5 && rows.Values()[2] == nil)
	expect(!rows.Next() && rows.Err() == nil)
	check(rows.Close())

	_, err = db.Query("SELECT nowhere")
	expect(errors.Is(err, sqlite.SQL))
	_, err = db.Exec("PRAGMA temp_store_directory = '/'")
	expect(errors.Is(err, sqlite.Denied))
	rows = must(db.Query("SELECT 1 UNION ALL SELECT abs(-9223372036854775808)")) // the second row fails
	expect(rows.Next() && !rows.Next() && errors.Is(rows.Err(), sqlite.SQL))
	check(rows.Close())

	must(db.Exec("BEGIN EXCLUSIVE; DELETE FROM people"))
	check(db.Close())
	for range 20 { // 16 may be open, and the transaction is over
		db := must(sqlite.Open("/people.db"))
		rows := must(db.Query("SELECT count(*) FROM people"))
		expect(rows.Next() && rows.Values()[0] == int64(2))
		check(rows.Close())
		check(db.Close())
	}
}

// (func (export "f") (param i64) (if (i64.ne (local.get 0) (i64.const 7)) (then unreachable)))
const code = "\x00asm\x01\x00\x00\x00\x01\x05\x01\x60\x01\x7e\x00\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x00" +
	"\x0a\x0d\x01\x0b\x00\x20\x00\x42\x07\x52\x04\x40\x00\x0b\x0b"

func modules() {
	module := must(pando.Compile([]byte(code)))
	for argument, reason := range map[int64]pando.Reason{7: pando.Normal, 8: pando.Failure} {
		must(module.Spawn("f", pando.Options{}, pando.I64(argument))).Monitor()
		death := nextDeath().Death.Reason
		expect(death == reason || death == pando.NoProcess) // it may have ended before it was watched
	}
	module.Drop()
	_, err := pando.Compile([]byte("no module"))
	expect(err != nil && err != pando.ErrMayNotCompile && err.Error() != "")
}

// It has no right to any of this, and is told so.
var poor = pando.Define(func(parent uint64) {
	_, err := pandonet.Listen("tcp", "127.0.0.1:0")
	expect(errors.Is(err, os.ErrPermission) && strings.Contains(err.Error(), "--net"))
	_, err = sqlite.Open("/people.db")
	expect(err != nil && strings.Contains(err.Error(), "no directory"))
	_, err = pando.Compile([]byte(code))
	expect(err == pando.ErrMayNotCompile)
	pando.Pid(parent).Send(83, nil)
})

func denials() {
	config := pando.NewConfig()
	check(config.AllowNetwork("none"))
	expect(config.AllowNetwork("nonsense") != nil)
	must(poor.SpawnWith(uint64(pando.Self()), pando.Options{Config: config}))
	next(83)
	config.Drop()
}
