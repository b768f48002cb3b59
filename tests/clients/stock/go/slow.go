// `program slow plain|cluster PORT KEY TIMEOUT_MS [REMEDY]`: four increments, each by a worker of its own, whose answers come
// later than the client waits. `program pool plain|cluster PORTS KEY`: twelve workers, a line for each call.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func universal(where, ports, remedy string, timeout time.Duration) redis.UniversalClient {
	var addresses []string
	for _, port := range strings.Split(ports, ",") {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	if where == "cluster" {
		options := &redis.ClusterOptions{Addrs: addresses, ReadTimeout: timeout, PoolSize: 12}
		if strings.Contains(remedy, "MaxRetries") {
			options.MaxRetries = -1
		}
		if strings.Contains(remedy, "MaxRedirects") {
			options.MaxRedirects = -1
		}
		return redis.NewClusterClient(options)
	}
	options := &redis.Options{Addr: addresses[0], ReadTimeout: timeout, PoolSize: 12}
	if strings.Contains(remedy, "MaxRetries") {
		options.MaxRetries = -1
	}
	return redis.NewClient(options)
}

func slow(arguments []string) {
	milliseconds, _ := strconv.Atoi(arguments[3])
	client := universal(arguments[0], arguments[1], strings.Join(arguments[4:], " "), time.Duration(milliseconds)*time.Millisecond)
	defer client.Close()
	var done sync.WaitGroup
	var lock sync.Mutex
	told := map[string]int{}
	for worker := 0; worker < 4; worker++ {
		done.Add(1)
		go func() {
			defer done.Done()
			err := client.Incr(ctx, arguments[2]).Err()
			lock.Lock()
			defer lock.Unlock()
			told[fmt.Sprint(err)]++
		}()
	}
	done.Wait()
	json.NewEncoder(os.Stdout).Encode(told)
}

func pool(arguments []string) {
	client := universal(arguments[0], arguments[1], "MaxRetries", 0)
	defer client.Close()
	out, lines := bufio.NewWriter(os.Stdout), make(chan string, 1000)
	stop := make(chan struct{})
	var done sync.WaitGroup
	for worker := 0; worker < 12; worker++ {
		done.Add(1)
		go func() {
			defer done.Done()
			for {
				select {
				case <-stop:
					return
				case <-time.After(50 * time.Millisecond):
				}
				start := time.Now()
				err := client.Incr(ctx, arguments[2]).Err()
				lines <- fmt.Sprintf("%d %d %v", start.UnixMilli(), time.Since(start).Milliseconds(), err)
			}
		}()
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stop)
		done.Wait()
		close(lines)
	}()
	for line := range lines {
		fmt.Fprintln(out, line)
		out.Flush()
	}
}
