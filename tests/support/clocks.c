/* Preloaded into a node: its wall clock and its running clock (CLOCK_BOOTTIME) as somebody else sets them, each from
   a file that the environment names, at any time and speed. CLOCK_MONOTONIC, and so every timer, is left alone.

   The file: the number of the slot in force, then slots of six 64-bit numbers, three for each clock: since when by
   CLOCK_MONOTONIC, what it showed then (both in ns), and its rate in millionths. A slot is written before its number
   is, and no process reads it later than 255 changes after that. See clocks.py. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SLOTS 256
#define SECOND 1000000000LL

struct clock { int64_t since, showed, rate; };
struct offsets { volatile int64_t slot; struct { struct clock wall, running; } slots[SLOTS]; };

static const struct offsets *offsets;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    const char *name = getenv("TEST_CLOCKS_FILE");
    int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof(struct offsets), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        offsets = found;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    if (!real)
        begin();
    int wall = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE, running = id == CLOCK_BOOTTIME;
    if (!offsets || !(wall || running))
        return real(id, out);
    struct timespec now;
    int code = real(CLOCK_MONOTONIC, &now);
    if (code)
        return code;
    int64_t slot = offsets->slot % SLOTS;
    struct clock clock = wall ? offsets->slots[slot].wall : offsets->slots[slot].running;
    int64_t gone = now.tv_sec * SECOND + now.tv_nsec - clock.since;
    int64_t shows = clock.showed + (int64_t)((__int128)gone * clock.rate / 1000000);
    out->tv_sec = shows / SECOND;
    out->tv_nsec = shows % SECOND;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    int code = clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return code;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}
