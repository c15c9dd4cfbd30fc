/* The C floor: accepts websockets, follows one Redis channel, and sends each message with one
 * send() of a prebuilt frame per client. Nothing cheaper can do the same job over plain sockets.
 *
 * usage: floor PORT REDIS-SOCKET CHANNEL
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_CLIENTS = 20000, BUFFER = 1 << 20 };

static int clients[MAX_CLIENTS], client_count, position_of[65536];
static char input[BUFFER];
static size_t input_size;

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1(const unsigned char *data, size_t size, unsigned char out[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char block[128] = {0};
    size_t blocks = size + 9 > 64 ? 2 : 1;
    memcpy(block, data, size);
    block[size] = 0x80;
    for (int i = 0; i < 8; i++) block[blocks * 64 - 1 - i] = (uint64_t)size * 8 >> (8 * i);
    for (size_t b = 0; b < blocks; b++) {
        uint32_t w[80], a = h[0], c = h[1], d = h[2], e = h[3], f = h[4];
        for (int i = 0; i < 16; i++) {
            const unsigned char *p = block + b * 64 + i * 4;
            w[i] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        }
        for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        for (int i = 0; i < 80; i++) {
            uint32_t g = i < 20   ? ((c & d) | (~c & e)) + 0x5A827999
                         : i < 40 ? (c ^ d ^ e) + 0x6ED9EBA1
                         : i < 60 ? ((c & d) | (c & e) | (d & e)) + 0x8F1BBCDC
                                  : (c ^ d ^ e) + 0xCA62C1D6;
            uint32_t next = rotate(a, 5) + g + f + w[i];
            f = e; e = d; d = rotate(c, 30); c = a; a = next;
        }
        h[0] += a; h[1] += c; h[2] += d; h[3] += e; h[4] += f;
    }
    for (int i = 0; i < 20; i++) out[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

static void base64(const unsigned char *data, size_t size, char *out) {
    static const char *alphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = data[i] << 16 | (i + 1 < size ? data[i + 1] : 0) << 8 |
                         (i + 2 < size ? data[i + 2] : 0);
        *out++ = alphabet[group >> 18];
        *out++ = alphabet[group >> 12 & 63];
        *out++ = i + 1 < size ? alphabet[group >> 6 & 63] : '=';
        *out++ = i + 2 < size ? alphabet[group & 63] : '=';
    }
    *out = 0;
}

static void drop(int fd) {
    int position = position_of[fd] - 1;
    if (position >= 0) {
        clients[position] = clients[--client_count];
        position_of[clients[position]] = position + 1;
        position_of[fd] = 0;
    }
    close(fd);
}

static void handshake(int fd, char *request) {
    char *key = strcasestr(request, "sec-websocket-key:"), joined[128], accepted[32], answer[256];
    unsigned char digest[20];
    if (!key) { drop(fd); return; }
    key += strlen("sec-websocket-key:");
    key += strspn(key, " ");
    snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1((unsigned char *)joined, strlen(joined), digest);
    base64(digest, 20, accepted);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accepted);
    if (send(fd, answer, size, MSG_NOSIGNAL) != size) { drop(fd); return; }
    clients[client_count++] = fd;
    position_of[fd] = client_count;
}

static void deliver(const char *payload, size_t size) {
    static char frame[BUFFER];
    size_t head = size < 126 ? 2 : 4;
    frame[0] = (char)0x81;
    frame[1] = size < 126 ? size : 126;
    if (head == 4) { frame[2] = size >> 8; frame[3] = size & 255; }
    memcpy(frame + head, payload, size);
    for (int i = 0; i < client_count; i++) send(clients[i], frame, head + size, MSG_NOSIGNAL);
}

/* Read "*3 $7 message $n channel $m payload" answers as far as they are complete. */
static void redis_input(int fd) {
    ssize_t got = recv(fd, input + input_size, BUFFER - input_size, 0);
    if (got <= 0) exit(1);
    input_size += got;
    char *at = input, *end = input + input_size;
    for (;;) {
        char *cursor = at, *parts[3];
        long sizes[3];
        int complete = 1;
        if (end - at < 4 || !(cursor = memchr(at, '\n', end - at))) break;
        cursor++;
        for (int i = 0; i < 3 && complete; i++) {
            char *line = memchr(cursor, '\n', end - cursor);
            if (!line) { complete = 0; break; }
            if (*cursor == ':') { sizes[i] = -1; cursor = line + 1; continue; }
            sizes[i] = strtol(cursor + 1, NULL, 10);
            parts[i] = line + 1;
            if (end - parts[i] < sizes[i] + 2) complete = 0;
            cursor = parts[i] + sizes[i] + 2;
        }
        if (!complete) break;
        if (sizes[0] == 7 && sizes[2] >= 0) deliver(parts[2], sizes[2]);
        at = cursor;
    }
    input_size = end - at;
    memmove(input, at, input_size);
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 4096)) return 1;
    int redis = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    strncpy(path.sun_path, argv[2], sizeof path.sun_path - 1);
    if (connect(redis, (void *)&path, sizeof path)) return 1;
    dprintf(redis, "SUBSCRIBE %s\r\n", argv[3]);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[512];
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
    event.data.fd = redis;
    epoll_ctl(poll, EPOLL_CTL_ADD, redis, &event);
    for (;;) {
        int count = epoll_wait(poll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client < 0) continue;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                event.data.fd = client;
                epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
            } else if (fd == redis) {
                redis_input(redis);
            } else {
                char request[8192];
                ssize_t got = recv(fd, request, sizeof request - 1, 0);
                if (got <= 0) { if (got == 0 || errno != EAGAIN) drop(fd); continue; }
                request[got] = 0;
                if (!position_of[fd]) handshake(fd, request);
            }
        }
    }
}
