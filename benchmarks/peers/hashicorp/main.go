// hashicorp/raft with raft-wal, behind a thin server of the Redis protocol: INCR, GET (by VerifyLeader, so linearizable) and LEADING (am I the leader).
// Node 0 of -peers bootstraps; clients talk to the leader. One goroutine reads a connection and starts its entries, one answers in their order.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
)

type counters struct {
	sync.RWMutex
	values map[string]int64
}

func (c *counters) Apply(l *raft.Log) any {
	c.Lock()
	defer c.Unlock()
	c.values[string(l.Data)]++
	return c.values[string(l.Data)]
}

func (c *counters) get(key string) int64 {
	c.RLock()
	defer c.RUnlock()
	return c.values[key]
}

type frozen map[string]int64

func (c *counters) Snapshot() (raft.FSMSnapshot, error) {
	c.RLock()
	defer c.RUnlock()
	copied := make(frozen, len(c.values))
	for k, v := range c.values {
		copied[k] = v
	}
	return copied, nil
}

func (f frozen) Persist(sink raft.SnapshotSink) error {
	w := bufio.NewWriter(sink)
	for k, v := range f {
		_ = binary.Write(w, binary.BigEndian, int64(len(k)))
		_, _ = w.WriteString(k)
		_ = binary.Write(w, binary.BigEndian, v)
	}
	if err := w.Flush(); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (f frozen) Release() {}

func (c *counters) Restore(from io.ReadCloser) error {
	defer from.Close()
	r, values := bufio.NewReader(from), map[string]int64{}
	for {
		var size, value int64
		if err := binary.Read(r, binary.BigEndian, &size); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		key := make([]byte, size)
		if _, err := io.ReadFull(r, key); err != nil {
			return err
		}
		if err := binary.Read(r, binary.BigEndian, &value); err != nil {
			return err
		}
		values[string(key)] = value
	}
	c.Lock()
	defer c.Unlock()
	c.values = values
	return nil
}

// A command of the Redis protocol: an array of bulk strings.
func readCommand(r *bufio.Reader) ([]string, error) {
	number := func(prefix byte) (int, error) {
		line, err := r.ReadString('\n')
		if err != nil || line[0] != prefix {
			return 0, fmt.Errorf("not a command: %q %v", line, err)
		}
		return strconv.Atoi(strings.TrimSpace(line[1:]))
	}
	count, err := number('*')
	if err != nil {
		return nil, err
	}
	words := make([]string, count)
	for i := range words {
		size, err := number('$')
		if err != nil {
			return nil, err
		}
		data := make([]byte, size+2)
		if _, err := io.ReadFull(r, data); err != nil {
			return nil, err
		}
		words[i] = string(data[:size])
	}
	return words, nil
}

func serve(conn net.Conn, node *raft.Raft, state *counters) {
	defer conn.Close()
	answers := make(chan func() string, 4096)
	go func() {
		w := bufio.NewWriter(conn)
		for answer := range answers {
			_, _ = w.WriteString(answer())
			if len(answers) == 0 {
				_ = w.Flush()
			}
		}
		_ = w.Flush()
	}()
	defer close(answers)
	r := bufio.NewReader(conn)
	for {
		words, err := readCommand(r)
		if err != nil {
			return
		}
		switch {
		case len(words) == 2 && strings.EqualFold(words[0], "INCR"):
			future := node.Apply([]byte(words[1]), 10*time.Second)
			answers <- func() string {
				if err := future.Error(); err != nil {
					return "-ERR " + err.Error() + "\r\n"
				}
				return fmt.Sprintf(":%d\r\n", future.Response().(int64))
			}
		case len(words) == 2 && strings.EqualFold(words[0], "GET"):
			future := node.VerifyLeader()
			answers <- func() string {
				if err := future.Error(); err != nil {
					return "-ERR " + err.Error() + "\r\n"
				}
				text := strconv.FormatInt(state.get(words[1]), 10)
				return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
			}
		case strings.EqualFold(words[0], "LEADING"):
			leads := node.State() == raft.Leader
			answers <- func() string {
				if leads {
					return "+LEADER\r\n"
				}
				return "+FOLLOWER\r\n"
			}
		default:
			answers <- func() string { return "-ERR unknown command\r\n" }
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "hashicorp:", err)
		os.Exit(1)
	}
}

func main() {
	index := flag.Int("i", 0, "this node's place in -peers")
	peers := flag.String("peers", "", "Raft addresses of all nodes, HOST:PORT,…")
	listen := flag.String("listen", "", "HOST:PORT of the Redis protocol")
	directory := flag.String("dir", "", "data")
	flag.Parse()
	addresses := strings.Split(*peers, ",")

	config := raft.DefaultConfig()
	config.LocalID = raft.ServerID(strconv.Itoa(*index))
	config.MaxAppendEntries = 1024
	config.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: os.Stderr})
	walDir := filepath.Join(*directory, "wal")
	check(os.MkdirAll(walDir, 0o700))
	log, err := wal.Open(walDir)
	check(err)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(*directory, 1, config.Logger)
	check(err)
	transport, err := raft.NewTCPTransportWithLogger(addresses[*index], nil, 4, 10*time.Second, config.Logger)
	check(err)
	state := &counters{values: map[string]int64{}}
	node, err := raft.NewRaft(config, state, log, log, snapshots, transport)
	check(err)
	if *index == 0 {
		var servers []raft.Server
		for i, a := range addresses {
			servers = append(servers, raft.Server{ID: raft.ServerID(strconv.Itoa(i)), Address: raft.ServerAddress(a)})
		}
		check(node.BootstrapCluster(raft.Configuration{Servers: servers}).Error())
	}
	listener, err := net.Listen("tcp", *listen)
	check(err)
	for {
		conn, err := listener.Accept()
		check(err)
		go serve(conn, node, state)
	}
}
