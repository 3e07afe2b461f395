/* A stretch of cable between two network namespaces: two TAP devices, joined with a delay, random loss, a rate and a queue.

   impair NAMESPACE DEVICE NAMESPACE DEVICE DELAY_US LOSS RATE QUEUE_US SEED

   DELAY_US: each way, in microseconds. LOSS: probability for each packet, 0 to 1. RATE: bits of IP packets per second, 0 for no
   limit; QUEUE_US: for how long a packet waits for its turn at most, longer ones are dropped. Both directions are alike, and
   independent of each other. ARP is delayed, but never lost.

   Prints "ready"; on SIGTERM one line for each direction, the one from the first namespace first:
   packets bytes lost overflowed late_us
   with IP bytes, packets lost by chance, packets dropped for want of room, and the worst delay beyond what was asked for. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    FRAME_MAX = 9216,
    BATCH = 64,              /* frames read before the other direction has its turn */
    PIPE_BYTES = 128 << 20,  /* what is on its way in one direction: a second of 1 Gbit/s */
    IDLE_MS = 1000,
};

/* Stored in front of each frame in the pipe. length 0: the rest up to the end of the pipe is empty. */
struct header {
    int64_t due;
    uint32_t length;
    uint32_t unused;
};

struct lane {
    int source, sink;
    char *pipe;
    size_t head, tail;  /* the oldest frame, and where the next goes */
    size_t used;
    int64_t free_at;    /* when the limited link has sent all that is queued */
    uint64_t random;
    unsigned long packets, bytes, lost, overflowed;
    int64_t late;
};

static int64_t delay_ns, queue_ns;
static double ns_per_byte, loss;
static volatile sig_atomic_t is_over;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static void on_signal(int number) {
    (void)number;
    is_over = 1;
}

/* xorshift64*: uniform in [0, 1). */
static double draw(struct lane *lane) {
    lane->random ^= lane->random >> 12;
    lane->random ^= lane->random << 25;
    lane->random ^= lane->random >> 27;
    return (double)((lane->random * UINT64_C(2685821657736338717)) >> 11) / (double)(UINT64_C(1) << 53);
}

static size_t room_for(uint32_t length) {
    return sizeof(struct header) + ((length + 7u) & ~7u);
}

/* Where a frame of this length goes, with its header before it; NULL when the pipe is full. */
static char *reserve(struct lane *lane, uint32_t length) {
    size_t need = room_for(length);
    if (lane->tail + need + sizeof(struct header) > PIPE_BYTES) {
        size_t rest = PIPE_BYTES - lane->tail;
        if (lane->used + rest + need > PIPE_BYTES)
            return NULL;
        ((struct header *)(lane->pipe + lane->tail))->length = 0;
        lane->used += rest;
        lane->tail = 0;
    }
    if (lane->used + need > PIPE_BYTES)
        return NULL;
    char *place = lane->pipe + lane->tail;
    lane->tail += need;
    lane->used += need;
    return place;
}

/* The oldest frame, NULL when there is none. */
static struct header *oldest(struct lane *lane) {
    if (lane->used == 0)
        return NULL;
    struct header *header = (struct header *)(lane->pipe + lane->head);
    if (header->length == 0) {
        lane->used -= PIPE_BYTES - lane->head;
        lane->head = 0;
        if (lane->used == 0)
            return NULL;
        header = (struct header *)lane->pipe;
    }
    return header;
}

static void accept_frame(struct lane *lane, const char *frame, uint32_t length, int64_t now) {
    uint16_t type;
    memcpy(&type, frame + 12, sizeof type);
    int is_arp = type == __builtin_bswap16(ETH_P_ARP);
    uint32_t size = length - ETH_HLEN;
    lane->packets++;
    lane->bytes += size;
    if (!is_arp && loss > 0 && draw(lane) < loss) {
        lane->lost++;
        return;
    }
    int64_t due = now;
    if (ns_per_byte > 0) {
        int64_t start = lane->free_at > now ? lane->free_at : now;
        if (start - now > queue_ns) {
            lane->overflowed++;
            return;
        }
        due = lane->free_at = start + (int64_t)(size * ns_per_byte);
    }
    char *place = reserve(lane, length);
    if (place == NULL) {
        lane->overflowed++;
        return;
    }
    struct header header = {.due = due + delay_ns, .length = length};
    memcpy(place, &header, sizeof header);
    memcpy(place + sizeof header, frame, length);
}

static void take(struct lane *lane) {
    static char frame[FRAME_MAX];
    for (int count = 0; count < BATCH; count++) {
        ssize_t length = read(lane->source, frame, sizeof frame);
        if (length < 0 && errno == EAGAIN)
            return;
        if (length > ETH_HLEN)
            accept_frame(lane, frame, (uint32_t)length, now_ns());
    }
}

/* Hands over what is due, and tells when the next is. */
static int64_t give(struct lane *lane, int64_t now) {
    struct header *header;
    while ((header = oldest(lane)) != NULL && header->due <= now) {
        uint32_t length = header->length;
        if (now - header->due > lane->late)
            lane->late = now - header->due;
        if (write(lane->sink, header + 1, length) < 0 && errno != EIO && errno != EAGAIN && errno != ENOBUFS)
            fail("write");
        lane->head += room_for(length);
        lane->used -= room_for(length);
    }
    return header == NULL ? now + IDLE_MS * INT64_C(1000000) : header->due;
}

static int open_tap(const char *namespace, const char *device) {
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int place = open(path, O_RDONLY | O_CLOEXEC);
    if (place < 0 || setns(place, CLONE_NEWNET) != 0)
        fail(path);
    close(place);
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request;
    memset(&request, 0, sizeof request);
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    strncpy(request.ifr_name, device, IFNAMSIZ - 1);
    if (tap < 0 || ioctl(tap, TUNSETIFF, &request) != 0)
        fail(device);
    return tap;
}

static void begin(struct lane *lane, int source, int sink, uint64_t seed) {
    memset(lane, 0, sizeof *lane);
    lane->source = source;
    lane->sink = sink;
    lane->random = seed * 2 + 1;
    for (int count = 0; count < 16; count++)
        draw(lane);
    lane->pipe = malloc(PIPE_BYTES);
    if (lane->pipe == NULL)
        fail("malloc");
}

int main(int count, char **argument) {
    if (count != 10) {
        fputs("impair NAMESPACE DEVICE NAMESPACE DEVICE DELAY_US LOSS RATE QUEUE_US SEED\n", stderr);
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, 1000);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    int first = open_tap(argument[1], argument[2]), second = open_tap(argument[3], argument[4]);
    delay_ns = atoll(argument[5]) * 1000;
    loss = atof(argument[6]);
    ns_per_byte = atof(argument[7]) > 0 ? 8e9 / atof(argument[7]) : 0;
    queue_ns = atoll(argument[8]) * 1000;
    struct lane lanes[2];
    uint64_t seed = strtoull(argument[9], NULL, 10);
    begin(&lanes[0], first, second, seed * 2);
    begin(&lanes[1], second, first, seed * 2 + 1);
    puts("ready");
    fflush(stdout);

    while (!is_over) {
        int64_t now = now_ns(), next = now + IDLE_MS * INT64_C(1000000);
        struct pollfd polled[2];
        for (int number = 0; number < 2; number++) {
            int64_t due = give(&lanes[number], now);
            if (due < next)
                next = due;
            polled[number] = (struct pollfd){.fd = lanes[number].source, .events = POLLIN};
        }
        int64_t wait = next > now ? next - now : 0;
        struct timespec limit = {.tv_sec = wait / 1000000000, .tv_nsec = wait % 1000000000};
        if (ppoll(polled, 2, &limit, NULL) > 0)
            for (int number = 0; number < 2; number++)
                if (polled[number].revents & POLLIN)
                    take(&lanes[number]);
    }
    for (int number = 0; number < 2; number++)
        printf("%lu %lu %lu %lu %lld\n", lanes[number].packets, lanes[number].bytes, lanes[number].lost,
               lanes[number].overflowed, (long long)(lanes[number].late / 1000));
    return 0;
}
