/* The C floor: accepts websockets, follows one Redis channel, and sends each message with exactly
 * one send() of a prebuilt frame per client. Nothing that sends messages one by one is cheaper.
 *
 * usage: floor PORT REDIS-SOCKET CHANNEL
 *
 * It shares nothing with the load generator that judges it, and checks no more of a client than
 * the handshake needs: what a client sends afterwards is read and dropped.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_FD = 65536, MAX_REQUEST = 8192, INPUT = 1 << 20, BACKLOG = 4096, EVENTS = 512 };

static int clients[MAX_FD], client_count;
static int position_of[MAX_FD]; /* place in clients, counted from 1; 0 before the handshake */
static int poller;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

/* One round function of FIPS 180-4, 6.1.2, with its constant. */
static uint32_t sha1_mix(int i, uint32_t b, uint32_t c, uint32_t d) {
    if (i < 20) return ((b & c) | (~b & d)) + 0x5A827999;
    if (i < 40) return (b ^ c ^ d) + 0x6ED9EBA1;
    if (i < 60) return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDC;
    return (b ^ c ^ d) + 0xCA62C1D6;
}

static void sha1_block(uint32_t h[5], const unsigned char *block) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | block[1] << 16 | block[2] << 8 | block[3];
    for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (int i = 0; i < 80; i++) {
        uint32_t next = rotate(a, 5) + sha1_mix(i, b, c, d) + e + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* Digest the 60 bytes of a key with its suffix; these and their padding are always two blocks. */
static void sha1(const char text[60], unsigned char digest[20]) {
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
    unsigned char blocks[128] = {0};
    memcpy(blocks, text, 60);
    blocks[60] = 0x80;
    blocks[126] = 60 * 8 >> 8;
    blocks[127] = 60 * 8 & 255;
    sha1_block(h, blocks);
    sha1_block(h, blocks + 64);
    for (int i = 0; i < 20; i++) digest[i] = h[i / 4] >> (24 - 8 * (i % 4));
}

/* Encode the 20 bytes of a digest as 28 characters. */
static void base64(const unsigned char digest[20], char text[29]) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char padded[21] = {0};
    memcpy(padded, digest, 20);
    for (int i = 0, at = 0; i < 21; i += 3) {
        uint32_t group = padded[i] << 16 | padded[i + 1] << 8 | padded[i + 2];
        for (int shift = 18; shift >= 0; shift -= 6) text[at++] = alphabet[group >> shift & 63];
    }
    text[27] = '=';
    text[28] = 0;
}

static void drop(int fd) {
    int position = position_of[fd];
    if (position) {
        int last = clients[--client_count];
        clients[position - 1] = last;
        position_of[last] = position;
        position_of[fd] = 0;
    }
    close(fd);
}

/* Answer a whole request (RFC 6455, 4.2.2); return whether it was one for a websocket. */
static int accept_websocket(int fd, const char *request) {
    static const char field[] = "\r\nsec-websocket-key:";
    const char *key = strcasestr(request, field);
    char joined[61], accepted[29], answer[256];
    unsigned char digest[20];
    if (!key) return 0;
    key += strlen(field);
    key += strspn(key, " ");
    if (strcspn(key, " \r") != 24) return 0;
    snprintf(joined, sizeof joined, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(joined, digest);
    base64(digest, accepted);
    int size = snprintf(answer, sizeof answer,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accepted);
    return send(fd, answer, size, MSG_NOSIGNAL) == size;
}

/* Until a request is complete it stays in the socket, which epoll then reports again. */
static void handshake(int fd) {
    char request[MAX_REQUEST + 1];
    ssize_t got = recv(fd, request, MAX_REQUEST, MSG_PEEK);
    if (got < 0 && errno == EAGAIN) return;
    request[got < 0 ? 0 : got] = 0;
    const char *end = strstr(request, "\r\n\r\n");
    if (!end && got > 0 && got < MAX_REQUEST) return;
    if (!end || !accept_websocket(fd, request)) {
        drop(fd);
        return;
    }
    recv(fd, request, end + 4 - request, 0);
    clients[client_count++] = fd;
    position_of[fd] = client_count;
}

static void client_input(int fd) {
    char ignored[MAX_REQUEST];
    if (!position_of[fd]) {
        handshake(fd);
        return;
    }
    ssize_t got = recv(fd, ignored, sizeof ignored, 0);
    if (got == 0 || (got < 0 && errno != EAGAIN)) drop(fd);
}

/* Write the head of a text frame (RFC 6455, 5.2); return its size. */
static size_t frame_head(unsigned char *head, size_t size) {
    int bytes = size < 126 ? 0 : size < 65536 ? 2 : 8;
    head[0] = 0x81;
    head[1] = bytes == 0 ? size : bytes == 2 ? 126 : 127;
    for (int i = 0; i < bytes; i++) head[2 + i] = (uint64_t)size >> (8 * (bytes - 1 - i));
    return 2 + bytes;
}

static void deliver(const char *payload, size_t size) {
    static unsigned char frame[INPUT + 10];
    size_t head = frame_head(frame, size);
    memcpy(frame + head, payload, size);
    /* Backwards, as drop() moves the last client into the gap. */
    for (int i = client_count; i-- > 0;) {
        if (send(clients[i], frame, head + size, MSG_NOSIGNAL) == (ssize_t)(head + size)) continue;
        /* Half a frame can't be taken back, and a buffer would be more than a floor does. */
        fprintf(stderr, "floor: a client did not take a whole frame and was dropped\n");
        drop(clients[i]);
    }
}

/* Step over one "$size text" or ":number"; return NULL if it is not complete. */
static char *element(char *at, char *end, char **text, long *size) {
    char *line = memchr(at, '\n', end - at);
    if (!line) return NULL;
    *text = line + 1;
    *size = *at == '$' ? strtol(at + 1, NULL, 10) : -2; /* no text, so no "\r\n" after it */
    return end - *text < *size + 2 ? NULL : *text + *size + 2;
}

/* Step over one push of three elements, deliver it if it is a message; NULL if not complete. */
static char *push(char *at, char *end) {
    char *text[3];
    long size[3];
    at = memchr(at, '\n', end - at);
    if (at) at++;
    for (int i = 0; i < 3 && at; i++) at = element(at, end, &text[i], &size[i]);
    if (at && size[0] == 7 && !memcmp(text[0], "message", 7)) deliver(text[2], size[2]);
    return at;
}

static void redis_input(int fd) {
    static char input[INPUT];
    static size_t held;
    ssize_t got = recv(fd, input + held, INPUT - held, 0);
    if (got <= 0) die("floor: Redis went away");
    char *at = input, *end = input + held + got;
    for (char *next; at < end && (next = push(at, end)); at = next) continue;
    held = end - at;
    memmove(input, at, held);
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event)) die("floor: epoll_ctl");
}

static int open_listener(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (void *)&address, sizeof address) || listen(fd, BACKLOG)) die("floor: listen");
    return fd;
}

static int subscribe(const char *path, const char *channel) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (void *)&address, sizeof address)) die("floor: connect to Redis");
    if (dprintf(fd, "SUBSCRIBE %s\r\n", channel) < 0) die("floor: SUBSCRIBE");
    return fd;
}

static void accept_client(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0) return; /* the client went away again */
    if (fd >= MAX_FD) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(fd);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: floor PORT REDIS-SOCKET CHANNEL\n");
        return 2;
    }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(0);
    int redis = subscribe(argv[2], argv[3]), listener = open_listener(atoi(argv[1]));
    watch(redis);
    watch(listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_client(listener);
            else if (fd == redis) redis_input(redis);
            else client_input(fd);
        }
    }
}
