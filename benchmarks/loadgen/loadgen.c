// A load generator for servers that speak the Redis protocol: one thread, epoll, latencies in a log-linear histogram.
//
//   loadgen -a HOST:PORT[,HOST:PORT…] [-c connections] [-P pipeline] [-t seconds] [-u warm-up seconds] [-k keys]
//           [-m incr|incrwait|get|mixed|script|scriptwait] [-g reads per hundred, for mixed] [-s SHA-1 of the script]
//           [-r operations per second]
//
// Connections are spread over the addresses in turn. Each sends a batch of P operations in one write. An operation of `incrwait` is the pair INCR,
// WAIT 1 0: acknowledged by one replica. `script` is EVALSHA of a script that the server has, with one key and the arguments
// 60000, 1000000000, 60 and 1; `scriptwait` is that and WAIT. Without -r each connection waits for all replies of a batch and sends again at once (closed loop). With -r
// the batches have a timetable: each is sent when it is due, whether those before it are answered or not (up to a limit), and its latency counts from
// the planned time. A stalled server can neither hide its stall by being asked less, nor is it charged for clients that wait for each other.
// Prints one line of JSON. Exit status 1: a connection broke or was refused; 2: wrong usage.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_BUFFER = 1 << 16, EVENTS = 512, SUB = 64, BUCKETS = 64 * SUB, MAX_ADDRESSES = 16, KEY_DIGITS = 12, UNDER_WAY = 256 };

typedef struct {
    int fd;
    int waiting;        // replies still due of the oldest batch under way
    int first, under_way;  // batches under way: the oldest, and how many
    double sent[UNDER_WAY];  // a ring: when each was sent, or was to be sent
    int64_t elements;   // of a list's reply that are still due
    int64_t skip;       // bytes of a bulk string (with its CRLF) still to pass over
    char line[32];      // the start of a reply's line that arrived in pieces
    int line_length;
    double next;        // planned time of the next batch, with -r
    char *batch;
    int unsent;         // bytes of the batch that did not fit into the socket
} Connection;

static uint64_t histogram[BUCKETS];
static uint64_t operations, errors;
static double measured_from, measured_to;
static char first_error[120];
static int pipeline = 1, replies_per_operation = 1, reads_percent = 0;
static long keys = 1;
static const char *mode = "incr", *script = NULL;
static int epoll_fd;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static uint64_t random_state = 0x9E3779B97F4A7C15ull;
static uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state >> 11;
}

static void fail(const char *what) {
    fprintf(stderr, "loadgen: %s: %s\n", what, strerror(errno));
    exit(1);
}

// Buckets of 1/64 of a power of two: at most 1.6 % off, from a microsecond up.
static int bucket_of(uint64_t microseconds) {
    if (microseconds < SUB) return (int)microseconds;
    int top = 63 - __builtin_clzll(microseconds);
    int bucket = (top - 5) * SUB + (int)((microseconds >> (top - 6)) & (SUB - 1));
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double value_of(int bucket) {
    if (bucket < SUB) return bucket;
    int top = bucket / SUB + 5;
    return (double)((1ull << top) + ((uint64_t)(bucket % SUB) << (top - 6)));
}

static double percentile(double share) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < BUCKETS; i++) total += histogram[i];
    for (int i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (total && (double)seen >= share * (double)total) return value_of(i) / 1000.0;
    }
    return 0;
}

static char *put(char *to, const char *text) {
    size_t length = strlen(text);
    memcpy(to, text, length);
    return to + length;
}

static char *put_key(char *to) {
    uint64_t number = keys > 1 ? next_random() % (uint64_t)keys : 0;
    to = put(to, "\r\n$20\r\ncounter:");
    for (int i = KEY_DIGITS - 1; i >= 0; i--, number /= 10) to[i] = (char)('0' + number % 10);
    return put(to + KEY_DIGITS, "\r\n");
}

static int write_batch(char *to) {
    char *at = to;
    for (int i = 0; i < pipeline; i++) {
        int reading = reads_percent == 100 || (reads_percent > 0 && (int)(next_random() % 100) < reads_percent);
        if (script) at = put(put_key(put(put(put(at, "*8\r\n$7\r\nEVALSHA\r\n$40\r\n"), script), "\r\n$1\r\n1")),
                             "$5\r\n60000\r\n$10\r\n1000000000\r\n$2\r\n60\r\n$1\r\n1\r\n");
        else at = put_key(put(at, reading ? "*2\r\n$3\r\nGET" : "*2\r\n$4\r\nINCR"));
        if (replies_per_operation == 2) at = put(at, "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$1\r\n0\r\n");
    }
    return (int)(at - to);
}

static void watch(Connection *c, int output) {
    struct epoll_event e = {.events = EPOLLIN | (output ? EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e)) fail("epoll_ctl");
}

static void push(Connection *c, int length) {
    ssize_t sent = write(c->fd, c->batch, (size_t)length);
    if (sent < 0 && errno != EAGAIN) fail("write");
    if (sent < 0) sent = 0;
    int was_waiting = c->unsent > 0;
    c->unsent = length - (int)sent;
    if (c->unsent) memmove(c->batch, c->batch + sent, (size_t)c->unsent);
    if (was_waiting != (c->unsent > 0)) watch(c, c->unsent > 0);
}

static void send_batch(Connection *c, double planned) {
    if (c->under_way == 0) c->waiting = pipeline * replies_per_operation;
    c->sent[(c->first + c->under_way++) % UNDER_WAY] = planned;
    push(c, write_batch(c->batch));
}

static void take_reply(Connection *c, double t) {
    if (c->elements > 0 && --c->elements > 0) return;
    if (--c->waiting > 0) return;
    if (t >= measured_from && t < measured_to) {
        operations += (uint64_t)pipeline;
        double took = (t - c->sent[c->first]) * 1e6;
        histogram[bucket_of(took > 0 ? (uint64_t)took : 0)]++;
    }
    c->first = (c->first + 1) % UNDER_WAY;
    c->under_way--;
    c->waiting = pipeline * replies_per_operation;
}

static void note_error(const char *line, int length) {
    errors++;
    if (!first_error[0]) snprintf(first_error, sizeof first_error, "%.*s", length, line);
    for (char *p = first_error; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 32) *p = '\'';
}

// Counts whole replies in what arrived. Integers, simple strings, errors, nulls, bulk strings and flat lists of
// them are all that these commands give.
static void take_replies(Connection *c, const char *data, ssize_t size, double t) {
    ssize_t at = 0;
    while (at < size) {
        if (c->skip > 0) {
            int64_t step = c->skip < size - at ? c->skip : size - at;
            c->skip -= step;
            at += step;
            if (c->skip == 0) take_reply(c, t);
            continue;
        }
        const char *end = memchr(data + at, '\n', (size_t)(size - at));
        ssize_t length = (end ? end - (data + at) + 1 : size - at);
        int room = (int)sizeof c->line - 1 - c->line_length;
        int kept = length < room ? (int)length : room;
        memcpy(c->line + c->line_length, data + at, (size_t)kept);
        c->line_length += kept;
        at += length;
        if (!end) return;
        c->line[c->line_length] = 0;
        if (c->line[0] == '-') note_error(c->line, c->line_length);
        int64_t bulk = c->line[0] == '$' ? atoll(c->line + 1) : -1;
        if (bulk >= 0) c->skip = bulk + 2;
        else if (c->line[0] == '*' && atoll(c->line + 1) > 0) c->elements = atoll(c->line + 1);
        else take_reply(c, t);
        c->line_length = 0;
    }
}

static struct sockaddr_in address_of(const char *text) {
    struct sockaddr_in a = {.sin_family = AF_INET};
    char host[64];
    int port;
    if (sscanf(text, "%63[^:]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "loadgen: not an address, IPv4:PORT is needed: %s\n", text);
        exit(2);
    }
    a.sin_port = htons((uint16_t)port);
    return a;
}

static void open_connection(Connection *c, const struct sockaddr_in *to) {
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof *to)) fail("connect");
    int on = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->batch = malloc((size_t)pipeline * 256);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (!c->batch || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e)) fail("epoll_ctl");
}

int main(int count, char **arguments) {
    int connections = 50, option, address_count = 0;
    double seconds = 3, warm_up = 0.5, rate = 0;
    char *list = NULL;
    while ((option = getopt(count, arguments, "a:c:P:t:u:k:m:g:r:s:")) != -1) {
        switch (option) {
            case 'a': list = optarg; break;
            case 'c': connections = atoi(optarg); break;
            case 'P': pipeline = atoi(optarg); break;
            case 't': seconds = atof(optarg); break;
            case 'u': warm_up = atof(optarg); break;
            case 'k': keys = atol(optarg); break;
            case 'm': mode = optarg; break;
            case 'g': reads_percent = atoi(optarg); break;
            case 's': script = optarg; break;
            case 'r': rate = atof(optarg); break;
            default: return 2;
        }
    }
    int scripted = !strncmp(mode, "script", 6);
    if (!list || connections < 1 || pipeline < 1 || keys < 1 || scripted != (script && strlen(script) == 40)) {
        fprintf(stderr, "usage: see the head of loadgen.c\n");
        return 2;
    }
    if (!strcmp(mode, "incrwait") || !strcmp(mode, "scriptwait")) replies_per_operation = 2;
    if (!strcmp(mode, "get")) reads_percent = 100;
    else if (strcmp(mode, "mixed")) reads_percent = 0;
    struct sockaddr_in addresses[MAX_ADDRESSES];
    for (char *one = strtok(list, ","); one && address_count < MAX_ADDRESSES; one = strtok(NULL, ",")) addresses[address_count++] = address_of(one);

    epoll_fd = epoll_create1(0);
    Connection *all = calloc((size_t)connections, sizeof *all);
    for (int i = 0; i < connections; i++) open_connection(&all[i], &addresses[i % address_count]);

    double start = now(), interval = rate > 0 ? connections * pipeline / rate : 0;
    measured_from = start + warm_up;
    measured_to = measured_from + seconds;
    for (int i = 0; i < connections; i++) {
        all[i].next = start + interval * i / connections;
        if (!rate) send_batch(&all[i], now());
    }
    struct epoll_event events[EVENTS];
    static char buffer[READ_BUFFER];
    double t = start;
    while (t < measured_to) {
        struct timespec pause = {0, rate > 0 ? 200000 : 100000000};
        int ready = epoll_pwait2(epoll_fd, events, EVENTS, &pause, NULL);
        if (ready < 0 && errno != EINTR) fail("epoll_pwait2");
        t = now();
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT && c->unsent) push(c, c->unsent);
            if (!(events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))) continue;
            ssize_t size = read(c->fd, buffer, sizeof buffer);
            if (size == 0) { errno = ECONNRESET; fail("the server closed a connection"); }
            if (size < 0 && errno == EAGAIN) continue;
            if (size < 0) fail("read");
            t = now();
            take_replies(c, buffer, size, t);
            if (!rate && !c->under_way) send_batch(c, t);
        }
        if (rate > 0)
            for (int i = 0; i < connections; i++)
                while (all[i].next <= t && all[i].under_way < UNDER_WAY && !all[i].unsent) {
                    send_batch(&all[i], all[i].next);
                    all[i].next += interval;
                }
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
    printf("{\"operations\": %llu, \"seconds\": %.3f, \"rate\": %.1f, \"p50_ms\": %.3f, \"p90_ms\": %.3f, \"p99_ms\": %.3f, \"p999_ms\": %.3f, "
           "\"errors\": %llu, \"first_error\": \"%s\", \"cpu_s\": %.3f}\n",
           (unsigned long long)operations, seconds, (double)operations / seconds, percentile(0.5), percentile(0.9), percentile(0.99), percentile(0.999),
           (unsigned long long)errors, first_error, cpu);
    return 0;
}
