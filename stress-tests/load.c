/* The load generator: many websockets on one thread, driven by lines on its standard input.
 *
 * usage: load PORT PATH
 *   connect N   open N more websockets; answers when all are open
 *   stats       answer with what came since the last stats, as JSON, and begin anew
 *   quit
 * A message starts with 16 hexadecimal digits: CLOCK_MONOTONIC in nanoseconds when it was published.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_SAMPLES = 1 << 22, CHUNK = 1 << 18, PER_ADDRESS = 4000 };

struct client { unsigned char *rest; size_t size; int is_open; };

static struct client state[65536];
static uint32_t latencies[MAX_SAMPLES];
static size_t samples;
static uint64_t messages, lost, opened, first_at, last_at;
static int poll, port;
static const char *path;

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void open_one(unsigned number) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in source = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    char request[2048];
    setsockopt(fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &one, sizeof one);
    source.sin_addr.s_addr = htonl(0x7F000002 + number / PER_ADDRESS);
    target.sin_port = htons(port);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (void *)&source, sizeof source) || connect(fd, (void *)&target, sizeof target)) {
        perror("connect");
        exit(1);
    }
    int size = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                        "Sec-WebSocket-Version: 13\r\n\r\n", path, port);
    if (send(fd, request, size, 0) != size) exit(1);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
    memset(&state[fd], 0, sizeof state[fd]);
}

static void take_message(const unsigned char *payload, size_t size, uint64_t at) {
    if (!messages++) first_at = at;
    last_at = at;
    if (size >= 16 && samples < MAX_SAMPLES) {
        char digits[17] = {0};
        memcpy(digits, payload, 16);
        uint64_t sent = strtoull(digits, NULL, 16);
        if (sent && at > sent) latencies[samples++] = (at - sent) / 1000;
    }
}

static size_t take_frame(int fd, const unsigned char *data, size_t size, uint64_t at) {
    if (size < 2) return 0;
    size_t head = 2, length = data[1] & 127;
    if (length == 126) { if (size < 4) return 0; length = data[2] << 8 | data[3]; head = 4; }
    else if (length == 127) {
        if (size < 10) return 0;
        length = 0;
        for (int i = 2; i < 10; i++) length = length << 8 | data[i];
        head = 10;
    }
    if (size < head + length) return 0;
    if ((data[0] & 15) == 9) {
        unsigned char pong[6] = {0x8A, 0x80};
        send(fd, pong, 6, MSG_NOSIGNAL);
    } else if ((data[0] & 15) < 3) take_message(data + head, length, at);
    return head + length;
}

static void take_input(int fd) {
    static unsigned char buffer[CHUNK * 2];
    struct client *client = &state[fd];
    size_t size = client->size;
    if (size) memcpy(buffer, client->rest, size);
    ssize_t got = recv(fd, buffer + size, CHUNK, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        lost++;
        close(fd);
        return;
    }
    size += got;
    size_t at = 0, used;
    uint64_t time = now();
    if (!client->is_open) {
        unsigned char *end = memmem(buffer, size, "\r\n\r\n", 4);
        if (end) {
            if (memcmp(buffer, "HTTP/1.1 101", 12)) { fprintf(stderr, "refused: %.200s\n", buffer); exit(1); }
            client->is_open = 1;
            opened++;
            at = end + 4 - buffer;
        }
    }
    if (client->is_open) while ((used = take_frame(fd, buffer + at, size - at, time))) at += used;
    client->size = size - at;
    free(client->rest);
    client->rest = NULL;
    if (client->size) {
        client->rest = malloc(client->size);
        memcpy(client->rest, buffer + at, client->size);
    }
}

static void serve(int timeout) {
    struct epoll_event events[1024];
    int count = epoll_wait(poll, events, 1024, timeout);
    for (int i = 0; i < count; i++) if (events[i].data.fd != 0) take_input(events[i].data.fd);
}

static int compare(const void *a, const void *b) {
    return (*(uint32_t *)a > *(uint32_t *)b) - (*(uint32_t *)a < *(uint32_t *)b);
}

static void print_stats(void) {
    qsort(latencies, samples, sizeof *latencies, compare);
    printf("{\"messages\": %lu, \"lost\": %lu, \"open\": %lu, \"p50_us\": %u, \"p99_us\": %u, "
           "\"span_ns\": %lu, \"last_at_ns\": %lu}\n",
           messages, lost, opened, samples ? latencies[samples / 2] : 0,
           samples ? latencies[samples * 99 / 100] : 0, messages ? last_at - first_at : 0, last_at);
    fflush(stdout);
    messages = samples = 0;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    port = atoi(argv[1]);
    path = argv[2];
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poll = epoll_create1(0);
    char line[128];
    size_t fill = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 0};
    epoll_ctl(poll, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        serve(20);
        struct epoll_event own[1];
        (void)own;
        fd_set ready;
        struct timeval zero = {0};
        FD_ZERO(&ready);
        FD_SET(0, &ready);
        if (select(1, &ready, NULL, NULL, &zero) <= 0) continue;
        ssize_t got = read(0, line + fill, sizeof line - 1 - fill);
        if (got <= 0) return 0;
        line[fill += got] = 0;
        if (!strchr(line, '\n')) continue;
        fill = 0;
        if (!strncmp(line, "connect ", 8)) {
            uint64_t wanted = opened, count = atoi(line + 8);
            for (uint64_t i = 0; i < count; i++) {
                open_one(wanted + i);
                while (opened + 200 < wanted + i + 1) serve(100);
            }
            while (opened < wanted + count) serve(100);
            printf("connected\n");
            fflush(stdout);
        } else if (!strncmp(line, "stats", 5)) print_stats();
        else return 0;
    }
}
