// failover watches and writes while the lead moves and the leader is killed, with etcd's client unmodified.
//
//	failover URL=PID...
//
// One process behind each URL; the leader's is killed with SIGKILL midway. Afterwards:
//
//   - every watcher has seen every write of the key in order, without gap or duplicate: its version grows by one;
//   - what was acknowledged is there, and nothing is there twice;
//   - what failed, failed as UNAVAILABLE: nobody knows, or it did not happen.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	limit       = 300 * time.Second
	writers     = 4
	watchers    = 6
	perStage    = 150 // acknowledged writes before the next thing happens
	key         = "failover/n"
	lastValue   = "end"
	putDeadline = 60 * time.Second
)

type cluster struct {
	urls []string
	pids map[string]int
}

func dial(urls ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: urls, DialTimeout: limit, DialKeepAliveTime: 2 * time.Second,
		DialKeepAliveTimeout: 2 * time.Second, Logger: zap.NewNop()})
}

// Who leads, of those that answer: its URL and its id.
func (c *cluster) leader(ctx context.Context, client *clientv3.Client) (string, error) {
	for ctx.Err() == nil {
		for _, url := range c.urls {
			asking, stop := context.WithTimeout(ctx, time.Second)
			answer, err := client.Status(asking, url)
			stop()
			if err == nil && answer.Leader != 0 && answer.Leader == answer.Header.MemberId {
				return url, nil
			}
		}
	}
	return "", ctx.Err()
}

// The lead is moved to a node that does not have it. Whoever has it may lose it before it is asked, and who is to have it may
// not answer: then from the beginning.
func (c *cluster) moveLead(ctx context.Context, client *clientv3.Client) error {
	move := func() error {
		leader, err := c.leader(ctx, client)
		if err != nil {
			return err
		}
		for _, url := range c.urls {
			if url == leader {
				continue
			}
			answer, err := client.Status(ctx, url)
			if err != nil {
				return err
			}
			asking, err := dial(leader)
			if err != nil {
				return err
			}
			defer asking.Close()
			_, err = asking.MoveLeader(ctx, answer.Header.MemberId)
			return err
		}
		return errors.New("there is one node only")
	}
	for {
		err := move()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("moving the lead: %w", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

type history struct {
	lock    sync.Mutex
	acked   map[string]int64 // the revision
	unknown map[string]bool
	strange []string
	count   atomic.Int64
}

// Write one value after the other; each is tried once, and never again.
func (h *history) write(ctx context.Context, client *clientv3.Client, writer int) {
	for number := 0; ctx.Err() == nil; number++ {
		value := fmt.Sprintf("%d.%d", writer, number)
		putting, stop := context.WithTimeout(context.Background(), putDeadline)
		put, err := client.Put(putting, key, value)
		stop()
		h.lock.Lock()
		switch {
		case err == nil:
			h.acked[value] = put.Header.Revision
			h.count.Add(1)
		case status.Code(err) == codes.Unavailable || code(err) == codes.Unavailable:
			h.unknown[value] = true
		default:
			h.strange = append(h.strange, fmt.Sprintf("%s: %v", value, err))
			h.unknown[value] = true
		}
		h.lock.Unlock()
	}
}

// Of the client's own errors, which wrap the server's.
func code(err error) codes.Code {
	var coded interface{ Code() codes.Code }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return codes.Unknown
}

type seen struct {
	value    string
	revision int64
}

// Watch from a revision on, until the last value is seen.
func watch(ctx context.Context, client *clientv3.Client, from int64) ([]seen, error) {
	var events []seen
	version := int64(0)
	revision := int64(0)
	channel := client.Watch(ctx, key, clientv3.WithRev(from), clientv3.WithProgressNotify())
	for response := range channel {
		if err := response.Err(); err != nil {
			return nil, fmt.Errorf("after %d events: %w", len(events), err)
		}
		if response.IsProgressNotify() && response.Header.Revision < revision {
			return nil, fmt.Errorf("progress to %d after revision %d", response.Header.Revision, revision)
		}
		for _, event := range response.Events {
			if event.Kv.Version != version+1 || event.Kv.ModRevision <= revision {
				return nil, fmt.Errorf("version %d at revision %d follows version %d at %d", event.Kv.Version,
					event.Kv.ModRevision, version, revision)
			}
			version, revision = event.Kv.Version, event.Kv.ModRevision
			events = append(events, seen{string(event.Kv.Value), revision})
		}
		if len(events) > 0 && events[len(events)-1].value == lastValue {
			return events, nil
		}
	}
	return nil, fmt.Errorf("the watch ended after %d events", len(events))
}

// Let the lead move, and then kill who has it, each after further writes.
func disturb(ctx context.Context, c *cluster, client *clientv3.Client, h *history) error {
	reached := func(count int64) error {
		for h.count.Load() < count {
			if ctx.Err() != nil {
				return fmt.Errorf("only %d writes were acknowledged", h.count.Load())
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	if err := reached(perStage); err != nil {
		return err
	}
	if err := c.moveLead(ctx, client); err != nil {
		return err
	}
	if err := reached(2 * perStage); err != nil {
		return err
	}
	leader, err := c.leader(ctx, client)
	if err != nil {
		return err
	}
	if err := syscall.Kill(c.pids[leader], syscall.SIGKILL); err != nil {
		return err
	}
	begin := time.Now()
	at := h.count.Load()
	if err := reached(at + writers + 1); err != nil {
		return err
	}
	fmt.Printf("killed the leader; %d ms until writers went on\n", time.Since(begin).Milliseconds())
	return reached(at + perStage)
}

// What was seen is what was written.
func judge(events []seen, h *history) error {
	times := map[string]int{}
	for _, event := range events {
		times[event.value]++
		revision, isAcked := h.acked[event.value]
		if times[event.value] > 1 {
			return fmt.Errorf("%s was applied twice", event.value)
		}
		if isAcked && revision != event.revision {
			return fmt.Errorf("%s was acknowledged at %d and is at %d", event.value, revision, event.revision)
		}
		if !isAcked && !h.unknown[event.value] {
			return fmt.Errorf("%s was never written", event.value)
		}
	}
	for value := range h.acked {
		if times[value] == 0 {
			return fmt.Errorf("%s was acknowledged and is not there", value)
		}
	}
	return nil
}

func run(c *cluster) error {
	ctx, stop := context.WithTimeout(context.Background(), limit)
	defer stop()
	client, err := dial(c.urls...)
	if err != nil {
		return err
	}
	defer client.Close()
	first, err := client.Put(ctx, "failover/first", "")
	if err != nil {
		return err
	}
	h := &history{acked: map[string]int64{}, unknown: map[string]bool{}}
	var watching, writing sync.WaitGroup
	results := make(chan error, watchers)
	all := make([][]seen, watchers)
	begin := func(number int) {
		defer watching.Done()
		// Each begins at another node; all may go on at any.
		urls := append(append([]string{}, c.urls[number%len(c.urls):]...), c.urls[:number%len(c.urls)]...)
		own, err := dial(urls...)
		if err == nil {
			defer own.Close()
			all[number], err = watch(ctx, own, first.Header.Revision)
		}
		if err != nil {
			err = fmt.Errorf("watcher %d, first at %s: %w", number, urls[0], err)
		}
		results <- err
	}
	for number := 0; number < watchers; number++ {
		watching.Add(1)
		go begin(number)
	}
	goOn, enough := context.WithCancel(ctx)
	for writer := 0; writer < writers; writer++ {
		own, err := dial(c.urls...)
		if err != nil {
			enough()
			return err
		}
		defer own.Close()
		writing.Add(1)
		go func() {
			defer writing.Done()
			h.write(goOn, own, writer)
		}()
	}
	err = disturb(ctx, c, client, h)
	enough()
	writing.Wait()
	if err != nil {
		return err
	}
	// A write behind all others; whoever has seen it has seen all.
	done, err := client.Put(ctx, key, lastValue)
	if err != nil {
		return err
	}
	h.acked[lastValue] = done.Header.Revision
	watching.Wait()
	for number := 0; number < watchers; number++ {
		if err := <-results; err != nil {
			return err
		}
	}
	for number := range all {
		if len(all[number]) != len(all[0]) {
			return fmt.Errorf("watcher %d saw %d events, another one %d", number, len(all[number]), len(all[0]))
		}
		if err := judge(all[number], h); err != nil {
			return fmt.Errorf("watcher %d: %w", number, err)
		}
	}
	if len(h.strange) > 0 {
		return fmt.Errorf("%d writes failed otherwise than UNAVAILABLE: %s", len(h.strange), h.strange[0])
	}
	fmt.Printf("ok: %d writes acknowledged, %d of unknown outcome; %d watchers saw each of %d once and in order\n",
		len(h.acked), len(h.unknown), watchers, len(all[0]))
	return nil
}

func main() {
	c := &cluster{pids: map[string]int{}}
	for _, word := range os.Args[1:] {
		url, pid, _ := strings.Cut(word, "=")
		number, err := strconv.Atoi(pid)
		if err != nil {
			fmt.Println("usage: failover URL=PID...")
			os.Exit(2)
		}
		c.urls = append(c.urls, url)
		c.pids[url] = number
	}
	if err := run(c); err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
}
