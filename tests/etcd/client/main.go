// client uses a server as Go programs use etcd: client/v3 and its concurrency package, unmodified.
//
//	client URL
//
// Each check has keys of its own and says what failed; the exit code tells how many did.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

const limit = 200 * time.Second

type check struct {
	name string
	run  func(ctx context.Context, client *clientv3.Client) error
}

func expect(is bool, format string, values ...any) error {
	if is {
		return nil
	}
	return fmt.Errorf(format, values...)
}

// Many at once add one to a counter under a lock: none is lost, and never two hold it.
func locks(ctx context.Context, client *clientv3.Client) error {
	var inside, counter atomic.Int32
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			session, err := concurrency.NewSession(client, concurrency.WithTTL(60))
			if err != nil {
				failures <- err
				return
			}
			defer session.Close()
			mutex := concurrency.NewMutex(session, "locks/one")
			for round := 0; round < 5; round++ {
				if err := mutex.Lock(ctx); err != nil {
					failures <- err
					return
				}
				if inside.Add(1) != 1 {
					failures <- errors.New("two hold the lock")
				}
				counter.Add(1)
				inside.Add(-1)
				if err := mutex.Unlock(ctx); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	group.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	return expect(counter.Load() == 40, "the counter is %d", counter.Load())
}

func tryLock(ctx context.Context, client *clientv3.Client) error {
	first, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer second.Close()
	held := concurrency.NewMutex(first, "locks/try")
	wanted := concurrency.NewMutex(second, "locks/try")
	if err := held.TryLock(ctx); err != nil {
		return err
	}
	if err := wanted.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		return fmt.Errorf("a held lock was tried: %v", err)
	}
	first.Close() // its lease's end sets the lock free
	return wanted.Lock(ctx)
}

// The session's lease expires: its key goes, and the one behind it gets the lock.
func expiry(ctx context.Context, client *clientv3.Client) error {
	lease, err := client.Grant(ctx, 4)
	if err != nil {
		return err
	}
	orphan, err := concurrency.NewSession(client, concurrency.WithLease(lease.ID))
	if err != nil {
		return err
	}
	if err := concurrency.NewMutex(orphan, "locks/expiry").Lock(ctx); err != nil {
		return err
	}
	orphan.Orphan() // nobody keeps it alive any more
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer session.Close()
	return concurrency.NewMutex(session, "locks/expiry").Lock(ctx)
}

func elections(ctx context.Context, client *clientv3.Client) error {
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer session.Close()
	other, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer other.Close()
	one := concurrency.NewElection(session, "election")
	two := concurrency.NewElection(other, "election")
	if _, err := one.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		return fmt.Errorf("a leader of nothing: %v", err)
	}
	observing, stop := context.WithCancel(ctx)
	defer stop()
	seen := one.Observe(observing)
	if err := one.Campaign(ctx, "one"); err != nil {
		return err
	}
	if value := string((<-seen).Kvs[0].Value); value != "one" {
		return fmt.Errorf("observed %q", value)
	}
	won := make(chan error, 1)
	go func() { won <- two.Campaign(ctx, "two") }()
	if err := one.Proclaim(ctx, "one again"); err != nil {
		return err
	}
	if value := string((<-seen).Kvs[0].Value); value != "one again" {
		return fmt.Errorf("observed %q", value)
	}
	select {
	case err := <-won:
		return fmt.Errorf("two won beside one: %v", err)
	default:
	}
	if err := one.Resign(ctx); err != nil {
		return err
	}
	if err := <-won; err != nil {
		return err
	}
	if value := string((<-seen).Kvs[0].Value); value != "two" {
		return fmt.Errorf("observed %q", value)
	}
	leader, err := two.Leader(ctx)
	if err != nil {
		return err
	}
	return expect(string(leader.Kvs[0].Value) == "two", "the leader is %q", leader.Kvs[0].Value)
}

// Software transactional memory: money moves between accounts, and none is made or lost.
func stm(ctx context.Context, client *clientv3.Client) error {
	for account := 0; account < 4; account++ {
		if _, err := client.Put(ctx, fmt.Sprintf("stm/%d", account), "100"); err != nil {
			return err
		}
	}
	var group sync.WaitGroup
	failures := make(chan error, 8)
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for round := 0; round < 10; round++ {
				from, to := fmt.Sprintf("stm/%d", (worker+round)%4), fmt.Sprintf("stm/%d", (worker+round+1)%4)
				_, err := concurrency.NewSTM(client, func(s concurrency.STM) error {
					a, _ := strconv.Atoi(s.Get(from))
					b, _ := strconv.Atoi(s.Get(to))
					s.Put(from, strconv.Itoa(a-1))
					s.Put(to, strconv.Itoa(b+1))
					return nil
				}, concurrency.WithAbortContext(ctx))
				if err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	group.Wait()
	select {
	case err := <-failures:
		return err
	default:
	}
	all, err := client.Get(ctx, "stm/", clientv3.WithPrefix())
	if err != nil {
		return err
	}
	sum := 0
	for _, kv := range all.Kvs {
		amount, _ := strconv.Atoi(string(kv.Value))
		sum += amount
	}
	return expect(sum == 400, "the accounts hold %d", sum)
}

// A watcher from the first revision on sees every write once and in order, whenever it begins.
func watches(ctx context.Context, client *clientv3.Client) error {
	const count = 500
	first, err := client.Put(ctx, "watch/first", "")
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan error, 4)
	watch := func() {
		next := 0
		last := int64(0)
		events := client.Watch(watching, "watch/n", clientv3.WithPrefix(), clientv3.WithRev(first.Header.Revision),
			clientv3.WithPrevKV())
		for response := range events {
			if err := response.Err(); err != nil {
				results <- err
				return
			}
			for _, event := range response.Events {
				if event.Kv.ModRevision <= last || string(event.Kv.Value) != strconv.Itoa(next) {
					results <- fmt.Errorf("event %d is %q at %d after %d", next, event.Kv.Value, event.Kv.ModRevision, last)
					return
				}
				if (event.PrevKv == nil) != (next == 0) {
					results <- fmt.Errorf("event %d has previous value %v", next, event.PrevKv)
					return
				}
				last = event.Kv.ModRevision
				next++
			}
			if next == count {
				results <- nil
				return
			}
		}
		results <- fmt.Errorf("the watch ended after %d events", next)
	}
	go watch()
	for number := 0; number < count; number++ {
		if _, err := client.Put(ctx, "watch/n", strconv.Itoa(number)); err != nil {
			return err
		}
		if number == count/2 {
			go watch()
		}
	}
	go watch()
	for waiting := 0; waiting < 3; waiting++ {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

// Many watchers on one stream (WATCHERS says how many); each is told of its own key, and all of how far they are. One that
// watches all keys beside them sees what they see.
func manyWatchers(ctx context.Context, client *clientv3.Client) error {
	count := 10000
	if wanted, err := strconv.Atoi(os.Getenv("WATCHERS")); err == nil {
		count = wanted
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	channels := make([]clientv3.WatchChan, count)
	for i := range channels {
		channels[i] = client.Watch(watching, fmt.Sprintf("many/%d", i), clientv3.WithCreatedNotify())
	}
	for _, channel := range channels {
		if response := <-channel; !response.Created {
			return fmt.Errorf("the first response is %v", response)
		}
	}
	all := client.Watch(watching, "many/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	if response := <-all; !response.Created {
		return fmt.Errorf("the first response is %v", response)
	}
	for i := 0; i < count; i += 100 {
		if _, err := client.Put(ctx, fmt.Sprintf("many/%d", i), "x"); err != nil {
			return err
		}
	}
	for i := 0; i < count; i += 100 {
		response := <-channels[i]
		if len(response.Events) != 1 || string(response.Events[0].Kv.Key) != fmt.Sprintf("many/%d", i) {
			return fmt.Errorf("watcher %d was told %v", i, response)
		}
	}
	for i := 0; i < count; {
		response, open := <-all
		if !open {
			return fmt.Errorf("the watcher of all ended at %d", i)
		}
		for _, event := range response.Events {
			if string(event.Kv.Key) != fmt.Sprintf("many/%d", i) {
				return fmt.Errorf("the watcher of all was told %v", response)
			}
			i += 100
		}
	}
	if err := client.RequestProgress(watching); err != nil {
		return err
	}
	response := <-channels[1]
	return expect(response.IsProgressNotify(), "not progress: %v", response)
}

// A transaction whose events take several responses, with fragments and without.
func fragments(ctx context.Context, client *clientv3.Client) error {
	value := strings.Repeat("v", 40000)
	var puts []clientv3.Op
	for i := 0; i < 100; i++ {
		puts = append(puts, clientv3.OpPut(fmt.Sprintf("fragment/%03d", i), value))
	}
	done, err := client.Txn(ctx).Then(puts...).Commit()
	if err != nil {
		return err
	}
	for _, options := range [][]clientv3.OpOption{{clientv3.WithFragment()}, {}} {
		watching, stop := context.WithCancel(ctx)
		options = append(options, clientv3.WithPrefix(), clientv3.WithRev(done.Header.Revision))
		response := <-client.Watch(watching, "fragment/", options...)
		stop()
		if err := response.Err(); err != nil {
			return err
		}
		if len(response.Events) != 100 {
			return fmt.Errorf("%d events of one revision", len(response.Events))
		}
	}
	return nil
}

func compacted(ctx context.Context, client *clientv3.Client) error {
	var last int64
	for i := 0; i < 5; i++ {
		put, err := client.Put(ctx, "compacted", strconv.Itoa(i))
		if err != nil {
			return err
		}
		last = put.Header.Revision
	}
	if _, err := client.Compact(ctx, last-1); err != nil {
		return err
	}
	if _, err := client.Get(ctx, "compacted", clientv3.WithRev(last-2)); !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("a compacted revision was read: %v", err)
	}
	if _, err := client.Get(ctx, "compacted", clientv3.WithRev(last+1000)); !errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("a future revision was read: %v", err)
	}
	response := <-client.Watch(ctx, "compacted", clientv3.WithRev(last-2))
	return expect(response.CompactRevision == last-1, "the watch says %v", response)
}

func leases(ctx context.Context, client *clientv3.Client) error {
	lease, err := client.Grant(ctx, 4)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	events := client.Watch(watching, "leased", clientv3.WithFilterPut())
	if _, err := client.Put(ctx, "leased", "x", clientv3.WithLease(lease.ID)); err != nil {
		return err
	}
	keeping, leave := context.WithCancel(ctx)
	beats, err := client.KeepAlive(keeping, lease.ID)
	if err != nil {
		leave()
		return err
	}
	for beat := 0; beat < 3; beat++ { // longer than it would live by itself
		if response, open := <-beats; !open || response.TTL != 4 {
			leave()
			return fmt.Errorf("beat %d: %v", beat, response)
		}
	}
	live, err := client.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	if err != nil || len(live.Keys) != 1 {
		leave()
		return fmt.Errorf("time to live: %v, %v", live, err)
	}
	leave()
	response := <-events // its end deletes the key
	if len(response.Events) != 1 || response.Events[0].Type != mvccpb.DELETE {
		return fmt.Errorf("the end of a lease: %v", response)
	}
	if _, err := client.KeepAliveOnce(ctx, lease.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("a lease that has ended: %v", err)
	}
	return nil
}

func nested(ctx context.Context, client *clientv3.Client) error {
	inner := clientv3.OpTxn(
		[]clientv3.Cmp{clientv3.Compare(clientv3.Version("nested/a"), "=", 0)},
		[]clientv3.Op{clientv3.OpPut("nested/a", "1"), clientv3.OpGet("nested/a")},
		[]clientv3.Op{clientv3.OpDelete("nested/a")})
	for round := 0; round < 2; round++ {
		response, err := client.Txn(ctx).Then(clientv3.OpGet("nested/a"), inner, clientv3.OpPut("nested/b", "2")).Commit()
		if err != nil {
			return err
		}
		txn := response.Responses[1].GetResponseTxn()
		if txn.Succeeded != (round == 0) {
			return fmt.Errorf("round %d: %v", round, txn)
		}
		before := response.Responses[0].GetResponseRange().Header.Revision
		if before != response.Header.Revision-1 {
			return fmt.Errorf("the first read saw %d of %d", before, response.Header.Revision)
		}
	}
	var many []clientv3.Op
	for i := 0; i < 129; i++ {
		many = append(many, clientv3.OpGet("x"))
	}
	if _, err := client.Txn(ctx).Then(many...).Commit(); !errors.Is(err, rpctypes.ErrTooManyOps) {
		return fmt.Errorf("129 operations: %v", err)
	}
	_, err := client.Txn(ctx).Then(clientv3.OpPut("x", "1"), clientv3.OpPut("x", "2")).Commit()
	return expect(errors.Is(err, rpctypes.ErrDuplicateKey), "a key twice: %v", err)
}

func members(ctx context.Context, client *clientv3.Client) error {
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	if len(list.Members) == 0 || list.Header.MemberId == 0 || list.Header.ClusterId == 0 {
		return fmt.Errorf("members: %v", list)
	}
	status, err := client.Status(ctx, client.Endpoints()[0])
	if err != nil {
		return err
	}
	if err := client.Sync(ctx); err != nil {
		return err
	}
	if _, err := client.AuthStatus(ctx); err != nil {
		return err
	}
	return expect(status.Leader == list.Members[0].ID && status.DbSize > 0, "status: %v", status)
}

// What a cancelled call leaves behind is nothing: the next one goes on.
func cancels(ctx context.Context, client *clientv3.Client) error {
	session, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer session.Close()
	waiter, err := concurrency.NewSession(client)
	if err != nil {
		return err
	}
	defer waiter.Close()
	held := concurrency.NewMutex(session, "cancels")
	if err := held.Lock(ctx); err != nil {
		return err
	}
	short, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	if err := concurrency.NewMutex(waiter, "cancels").Lock(short); !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("a lock that is held: %v", err)
	}
	if err := held.Unlock(ctx); err != nil {
		return err
	}
	return concurrency.NewMutex(waiter, "cancels").Lock(ctx)
}

func main() {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{os.Args[1]}, DialTimeout: limit, MaxCallSendMsgSize: 16 << 20,
		Logger: zap.NewNop()})
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
	defer client.Close()
	checks := []check{{"locks", locks}, {"try", tryLock}, {"expiry", expiry}, {"elections", elections}, {"stm", stm},
		{"watches", watches}, {"many watchers", manyWatchers}, {"fragments", fragments}, {"leases", leases},
		{"nested", nested}, {"members", members}, {"cancels", cancels}, {"compacted", compacted}}
	wanted := os.Args[2:]
	sort.Strings(wanted)
	failures := 0
	for _, each := range checks {
		at := sort.SearchStrings(wanted, each.name)
		if len(wanted) > 0 && (at == len(wanted) || wanted[at] != each.name) {
			continue
		}
		ctx, stop := context.WithTimeout(context.Background(), limit)
		begin := time.Now()
		if err := each.run(ctx, client); err != nil {
			failures++
			fmt.Printf("FAIL %s: %v\n", each.name, err)
		} else {
			fmt.Printf("ok   %-14s %4d ms\n", each.name, time.Since(begin).Milliseconds())
		}
		stop()
	}
	if failures > 0 {
		os.Exit(1)
	}
}
