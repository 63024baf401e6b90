package main

import (
	"bytes"
	"errors"
	"math"
	"strconv"

	"pando"
	"pando/kv"
)

func store() {
	kv.SetTimeout(long)
	oneKey()
	ranges()
	transactions()
	watches()
	leases()
}

func isAbsent(key string) bool {
	_, err := kv.Get(key)
	return errors.Is(err, kv.Absent)
}

func oneKey() {
	const key = "sdk-go/one"
	expect(isAbsent(key))
	first := must(kv.Put(key, []byte("first")))
	second := must(kv.Put(key, []byte("second")))
	record := must(kv.Get(key))
	expect(record.Key == key && string(record.Value) == "second" && record.Version == 2 && record.Lease == 0)
	expect(record.CreateRevision == first && record.ModRevision == second)
	expect(must(kv.GetLocal(key)).ModRevision == second)
	large := bytes.Repeat([]byte("x"), 100_000)
	must(kv.Put(key, large))
	expect(bytes.Equal(must(kv.Get(key)).Value, large))
	expect(must(kv.Delete(key)) && !must(kv.Delete(key)) && isAbsent(key))
	_, err := kv.Put("sdk-other/one", nil)
	var failure *kv.Error
	expect(errors.As(err, &failure) && failure.Code == kv.Denied && failure.Text != "")
	expect(failure.Code.Error() == "denied")
}

func ranges() {
	for i := range 5 {
		must(kv.Put("sdk-go/r/"+strconv.Itoa(i), []byte("value "+strconv.Itoa(i))))
	}
	all := kv.Prefix("sdk-go/r/")
	last := all
	last.Limit, last.Flags = 2, kv.Descend
	page := must(last.Get())
	expect(page.Count == 5 && page.More && len(page.Records) == 2)
	expect(page.Records[0].Key == "sdk-go/r/4" && string(page.Records[1].Value) == "value 3")
	count := all
	count.Flags = kv.CountOnly | kv.Local
	page = must(count.Get())
	expect(page.Count == 5 && len(page.Records) == 0)
	keys := all
	keys.Flags = kv.KeysOnly
	page = must(keys.Get())
	expect(len(page.Records) == 5 && len(page.Records[4].Value) == 0)
	two := kv.Range{Key: "sdk-go/r/1", End: "sdk-go/r/3"}
	expect(must(two.Get()).Count == 2)
	two.Revision = page.Revision - 4
	expect(must(two.Get()).Count == 0)
	two.Revision = math.MaxInt64 / 2
	_, err := two.Get()
	expect(errors.Is(err, kv.Compacted))
	for _, beyond := range []kv.Range{kv.Prefix(""), kv.Prefix("\xff"), {Key: "sdk-go/", End: kv.ToTheEnd}} {
		_, err = beyond.Get()
		expect(errors.Is(err, kv.Denied))
	}
	expect(must(all.Delete()) == 5)
}

func transactions() {
	const key = "sdk-go/t"
	one := kv.Range{Key: key}
	create := kv.Txn{
		If:   []kv.Compare{kv.IfVersion(key, kv.Equal, 0)},
		Then: []kv.Op{kv.OpPut(key, []byte("created"), 0), kv.OpGet(one)},
		Else: []kv.Op{kv.OpGet(one), kv.OpDelete(kv.Range{Key: key, End: key + "\x00"})},
	}
	done := must(create.Commit())
	expect(done.Succeeded && len(done.Responses) == 2 && done.Responses[0] == kv.Response{})
	page := done.Responses[1].Page
	expect(page.Count == 1 && page.Revision == done.Revision && string(page.Records[0].Value) == "created")
	allHold := kv.Txn{If: []kv.Compare{
		kv.IfValue(key, kv.NotEqual, []byte("another")),
		kv.IfModRevision(key, kv.Equal, done.Revision),
		kv.IfCreateRevision(key, kv.Greater, 0),
		kv.IfLease(key, kv.Less, 1),
	}}
	expect(must(allHold.Commit()).Succeeded)
	undone := must(create.Commit())
	expect(!undone.Succeeded && undone.Responses[1].Deleted == 1)
	_, err := kv.Txn{Then: []kv.Op{kv.OpPut("sdk-other/t", nil, 0)}}.Commit()
	expect(errors.Is(err, kv.Denied))
}

func watches() {
	const key = "sdk-go/w/a"
	all := kv.Prefix("sdk-go/w/")
	all.Flags = kv.WithPrevious
	watch := must(all.Watch(61))
	must(kv.Put(key, []byte("1")))
	revision := must(kv.Put(key, []byte("2")))
	must(kv.Delete(key))
	var seen []kv.Event
	for len(seen) < 3 {
		events := must(watch.Next(long))
		expect(events.Watch == watch.ID && events.Ended == nil)
		seen = append(seen, events.Events...)
	}
	expect(!seen[0].IsDelete && seen[0].Previous == nil)
	expect(string(seen[1].Record.Value) == "2" && seen[1].Record.ModRevision == revision)
	expect(string(seen[1].Previous.Value) == "1")
	expect(seen[2].IsDelete && string(seen[2].Previous.Value) == "2")
	expect(watch.Stop() && !watch.Stop())
	again := must(kv.Range{Key: key, Revision: revision}.Watch(62))
	expect(string(must(again.Next(long)).Events[0].Record.Value) == "2")
	expect(again.Stop())
	_, err := kv.Prefix("").Watch(63)
	expect(errors.Is(err, kv.Denied))
	for err = nil; err == nil; {
		_, err = pando.Receive(0, 61, 62)
	}

	// A message that only says that it is a watch's harms nobody.
	for size := range 100 {
		kv.ReadEvents(pando.Message{Bytes: bytes.Repeat([]byte{255}, size)})
		events := make([]byte, size)
		for i := 12; i < size; i++ {
			events[i] = 255
		}
		kv.ReadEvents(pando.Message{Bytes: events})
	}
}

func leases() {
	lease := must(kv.Grant(300))
	must(kv.PutLeased("sdk-go/leased", nil, lease.ID))
	expect(must(kv.Get("sdk-go/leased")).Lease == lease.ID)
	check(lease.KeepAlive())
	expect(lease.TTLSeconds == 300)
	check(lease.Revoke())
	expect(isAbsent("sdk-go/leased") && errors.Is(lease.KeepAlive(), kv.Denied)) // nobody's now
}
