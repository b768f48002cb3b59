// `program slow plain|cluster PORT KEY TIMEOUT_MS [REMEDY]`: four increments, each by a worker of its own, whose answers come
// later than the client waits.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

func universal(where, port, remedy string, timeout time.Duration) redis.UniversalClient {
	address := "127.0.0.1:" + port
	if where == "cluster" {
		options := &redis.ClusterOptions{Addrs: []string{address}, ReadTimeout: timeout, PoolSize: 12}
		if strings.Contains(remedy, "MaxRetries") {
			options.MaxRetries = -1
		}
		if strings.Contains(remedy, "MaxRedirects") {
			options.MaxRedirects = -1
		}
		return redis.NewClusterClient(options)
	}
	options := &redis.Options{Addr: address, ReadTimeout: timeout, PoolSize: 12}
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
