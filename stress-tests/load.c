/* The load generator: many websockets on one thread, driven by lines on its standard input.
 *
 * usage: load [--plain | --socketio | --v1] PORT PATH [HEADER]...
 *
 * A "%u" in a header stands for the number of the websocket, from 0 on; they are counted anew once
 * all are closed.
 *
 *   path PATH             path and query of the websockets to come
 *   connect N             open N more websockets, of which only some wait for the server at a time
 *   storm N               open N more at once, without waiting for any
 *   close N               close N of them, and wait until the server let go of them
 *   heartbeat MS TEXT     let each client send TEXT once in MS milliseconds, spread evenly; 0: stop
 *   reset                 forget the messages counted so far
 *   wait N SECONDS        wait until N messages came since the last reset, at most so long
 *   quit
 *
 * Each command but the last is answered by one line of JSON once it is done; see answer().
 *
 * A message starts with 16 hexadecimal digits: CLOCK_MONOTONIC, in ns, when it was published.
 * Each is later than the one before, so that a message which comes twice or too early is noticed.
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
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_FD = 65536,
    MAX_SAMPLES = 1 << 24, /* later latencies are not recorded */
    CHUNK = 1 << 18,
    MAX_LINE = 256,
    PER_ADDRESS = 4000, /* clients per source address; an address has 28000 ports by default */
    HANDSHAKES = 200,   /* that may wait for the server at a time */
    PATIENCE = 60,      /* seconds for opening and closing */
    EVENTS = 1024,
    REST_US = 500, /* between two looks at the sockets, see serve() */
};
enum { CONTINUATION, TEXT, BINARY, CLOSE = 8, PING, PONG, COMPRESSED = 0x40 };

/* The key and the answer to it that RFC 6455, 1.3 gives as an example. */
static const char KEY[] = "dGhlIHNhbXBsZSBub25jZQ==", ACCEPTED[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/* How the server wants to be spoken to, once the websocket is there. */
static enum { PLAIN, SOCKET_IO, V1 } dialect;

struct client {
    enum { NONE, CONNECTING, OPENING, GREETING, OPEN, CLOSING } phase;
    unsigned number;
    uint64_t newest;     /* when its newest message was published */
    unsigned char *rest; /* the beginning of a frame whose end has not come yet */
    size_t rest_size;
};

static struct client clients[MAX_FD];
static int highest, poller, port;
static char path[MAX_LINE], **headers;

static uint64_t opened, closed, lost;                  /* websockets, ever */
static uint64_t messages, others, disordered, last_at, bytes, sent; /* since the last reset */
static uint32_t latencies[MAX_SAMPLES];
static size_t samples;

static char heartbeat[MAX_LINE];
static uint64_t beat_interval, beat_start, beat_place;

static void die(const char *what) {
    fprintf(stderr, "load: %s\n", what);
    exit(1);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void fill_mask(unsigned char mask[4]) {
    static unsigned char pool[4096];
    static size_t used = sizeof pool;
    if (used == sizeof pool) {
        if (getrandom(pool, sizeof pool, 0) != sizeof pool) die("no randomness");
        used = 0;
    }
    memcpy(mask, pool + used, 4);
    used += 4;
}

/* Send a masked frame, and return whether the socket took it; nothing that a client sends here is
 * longer than a control frame may be. */
static int send_frame(int fd, int opcode, const unsigned char *payload, size_t size) {
    unsigned char frame[6 + 125];
    if (size > 125) die("too long a frame was to be sent");
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | size;
    fill_mask(frame + 2);
    for (size_t i = 0; i < size; i++) frame[6 + i] = payload[i] ^ frame[2 + i % 4];
    /* A failure means that the server does not read, or that the socket is gone. */
    return send(fd, frame, 6 + size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)(6 + size);
}

static void answer_frame(int fd, int opcode, const unsigned char *payload, size_t size) {
    if (!send_frame(fd, opcode, payload, size) && errno == EAGAIN)
        die("the server does not read what clients send");
}

/* Return the time a message starts with, or 0 if it is no message of the benchmark. */
static uint64_t published_at(const unsigned char *payload, size_t size) {
    char digits[17] = {0}, *end;
    if (size < 16) return 0;
    memcpy(digits, payload, 16);
    uint64_t at = strtoull(digits, &end, 16);
    return *end ? 0 : at;
}

static void take_message(struct client *client, const unsigned char *payload, size_t size,
                         uint64_t at) {
    uint64_t published = published_at(payload, size);
    if (!published) {
        others++;
        return;
    }
    messages++;
    disordered += published <= client->newest;
    client->newest = published;
    last_at = at;
    if (samples < MAX_SAMPLES) latencies[samples++] = (at - published) / 1000;
}

/* A frame of ws4redis.v1: a head on a line of its own, and what follows it is the message. */
static void take_headed(struct client *client, const unsigned char *payload, size_t size,
                        uint64_t at) {
    const unsigned char *line = memchr(payload, '\n', size);
    if (!line) others++;
    else take_message(client, line + 1, payload + size - (line + 1), at);
}

/* Count a message that the client has agreed to get compressed; what it says is not looked at. */
static void take_compressed(uint64_t at) {
    messages++;
    last_at = at;
}

static int begins(const unsigned char *payload, size_t size, const char *text) {
    return size >= strlen(text) && !memcmp(payload, text, strlen(text));
}

static void become_open(struct client *client) {
    client->phase = OPEN;
    opened++;
}

/* A packet of Socket.IO 5 inside one of Engine.IO 4. */
static void take_packet(int fd, const unsigned char *payload, size_t size, uint64_t at) {
    static const char event[] = "42[\"message\",\"";
    struct client *client = &clients[fd];
    if (begins(payload, size, event))
        take_message(client, payload + sizeof event - 1, size - (sizeof event - 1), at);
    else if (begins(payload, size, "2")) answer_frame(fd, TEXT, (unsigned char *)"3", 1);
    else if (begins(payload, size, "0")) answer_frame(fd, TEXT, (unsigned char *)"40", 2);
    else if (begins(payload, size, "40") && client->phase == GREETING) become_open(client);
    else die("the server sent a packet that is not expected");
}

static void act(int fd, int opcode, const unsigned char *payload, size_t size, uint64_t at) {
    struct client *client = &clients[fd];
    if (client->phase == CLOSING) return;
    if (opcode == TEXT && dialect == SOCKET_IO) take_packet(fd, payload, size, at);
    else if (opcode == TEXT && dialect == V1) take_headed(client, payload, size, at);
    else if (opcode == TEXT || opcode == BINARY) take_message(client, payload, size, at);
    else if (opcode == PING) answer_frame(fd, PONG, payload, size);
    else if (opcode == CLOSE) answer_frame(fd, CLOSE, payload, size);
}

/* Take one whole frame (RFC 6455, 5.2) off the front; return its size, or 0 if more must come. */
static size_t take_frame(int fd, const unsigned char *data, size_t size, uint64_t at) {
    if (size < 2) return 0;
    if ((data[0] & 0xB0) != 0x80 || data[1] & 0x80)
        die("the server sent a frame that is a fragment, masked or extended");
    size_t head = data[1] == 126 ? 4 : data[1] == 127 ? 10 : 2, length = head == 2 ? data[1] : 0;
    if (size < head) return 0;
    for (size_t i = 2; i < head; i++) length = length << 8 | data[i];
    if (length > CHUNK - head) die("the server sent too long a frame");
    if (size < head + length) return 0;
    if (data[0] & COMPRESSED) take_compressed(at);
    else act(fd, data[0] & 15, data + head, length, at);
    return head + length;
}

/* Check the answer to a handshake; return its size, or 0 if more must come. */
static size_t take_answer(struct client *client, const unsigned char *data, size_t size) {
    unsigned char *end = memmem(data, size, "\r\n\r\n", 4);
    if (!end) return 0;
    if (memcmp(data, "HTTP/1.1 101 ", 13) ||
        !memmem(data, end - data, ACCEPTED, sizeof ACCEPTED - 1)) {
        fprintf(stderr, "load: refused: %.*s\n", (int)(size > 400 ? 400 : size), data);
        exit(1);
    }
    if (dialect == SOCKET_IO) client->phase = GREETING;
    else become_open(client);
    return end + 4 - data;
}

static void keep(struct client *client, const unsigned char *data, size_t size) {
    free(client->rest);
    client->rest = NULL;
    client->rest_size = size;
    if (!size) return;
    if (!(client->rest = malloc(size))) die("no memory");
    memcpy(client->rest, data, size);
}

static void end_of(int fd) {
    struct client *client = &clients[fd];
    if (client->phase == CLOSING) closed++;
    else lost++;
    keep(client, NULL, 0);
    client->phase = NONE;
    close(fd);
}

static void take_input(int fd) {
    static unsigned char buffer[CHUNK * 2];
    struct client *client = &clients[fd];
    size_t size = client->rest_size, at = 0, used;
    if (size) memcpy(buffer, client->rest, size);
    ssize_t got = recv(fd, buffer + size, CHUNK, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
        end_of(fd);
        return;
    }
    uint64_t time = now();
    size += got;
    bytes += got;
    if (client->phase == OPENING) at = take_answer(client, buffer, size);
    if (client->phase != OPENING)
        while ((used = take_frame(fd, buffer + at, size - at, time))) at += used;
    keep(client, buffer + at, size - at);
}

static void watch(int fd, int operation, uint32_t what) {
    struct epoll_event event = {.events = what, .data.fd = fd};
    if (epoll_ctl(poller, operation, fd, &event)) die("can't poll");
}

/* Write the handshake of a websocket; return its size. */
static size_t write_request(char *request, size_t room, unsigned number) {
    size_t size = snprintf(request, room,
                           "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: %s\r\n%s", path, port, KEY,
                           dialect == V1 ? "Sec-WebSocket-Protocol: ws4redis.v1\r\n" : "");
    for (char **header = headers; *header && size < room; header++) {
        char *place = strstr(*header, "%u");
        size += !place ? snprintf(request + size, room - size, "%s\r\n", *header)
                       : snprintf(request + size, room - size, "%.*s%u%s\r\n",
                                  (int)(place - *header), *header, number, place + 2);
    }
    if (size + 3 > room) die("too long a request");
    strcpy(request + size, "\r\n");
    return size + 2;
}

/* Ask for a websocket, now that the client is connected. */
static void ask(int fd) {
    char request[4096];
    ssize_t request_size = write_request(request, sizeof request, clients[fd].number);
    int error;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) die("can't connect");
    if (send(fd, request, request_size, MSG_NOSIGNAL) != request_size) die("can't send");
    clients[fd].phase = OPENING;
    watch(fd, EPOLL_CTL_MOD, EPOLLIN);
}

/* Send the heartbeats that are due: in each interval the turn goes once over all clients. */
static void send_heartbeats(void) {
    if (!beat_interval) return;
    uint64_t place = (double)(now() - beat_start) / beat_interval * (highest + 1);
    for (; beat_place < place; beat_place++) {
        int fd = beat_place % (highest + 1);
        if (clients[fd].phase == OPEN)
            sent += send_frame(fd, TEXT, (unsigned char *)heartbeat, strlen(heartbeat));
    }
}

/* Handle what the clients got; return whether a command came. */
static int serve(void) {
    struct epoll_event events[EVENTS];
    int command = 0, count = epoll_wait(poller, events, EVENTS, beat_interval ? 10 : 100);
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd && clients[fd].phase == CONNECTING) ask(fd);
        else if (fd) take_input(fd);
        else if (events[i].events & EPOLLHUP) exit(0); /* whoever drives us is gone */
        else command = 1;
    }
    send_heartbeats();
    /* Waking a reader that sleeps is work of the sender's, which clients elsewhere don't make it do;
     * and the slower a server is, the more often it would have to. */
    if (count && !command) usleep(REST_US);
    return command;
}

static int came(const uint64_t *counter, uint64_t target, double seconds) {
    uint64_t deadline = now() + (uint64_t)(seconds * 1e9);
    while (*counter < target && now() < deadline) serve();
    return *counter >= target;
}

/* Begin to connect a client; it asks for its websocket once it is connected. */
static void open_one(void) {
    static unsigned source_number, number;
    static uint64_t begun;
    if (begun++ == closed + lost) number = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    if (fd < 0 || fd >= MAX_FD) die("too many open files");
    struct sockaddr_in source = {.sin_family = AF_INET}, target = source;
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + source_number++ / PER_ADDRESS);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    target.sin_port = htons(port);
    /* The port is chosen at connect(), when it need not be free for all targets. */
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(fd, (void *)&source, sizeof source)) die("can't bind");
    if (connect(fd, (void *)&target, sizeof target) && errno != EINPROGRESS) die("can't connect");
    clients[fd] = (struct client){.phase = CONNECTING, .number = number++};
    if (fd > highest) highest = fd;
    watch(fd, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Open websockets; at most so many of them wait for the server at a time. */
static void open_clients(uint64_t count, uint64_t at_a_time) {
    uint64_t target = opened + count;
    for (uint64_t asked = opened; asked < target;) {
        open_one();
        asked++;
        if (asked > at_a_time && !came(&opened, asked - at_a_time, PATIENCE)) break;
    }
    if (!came(&opened, target, PATIENCE)) die("not all websockets were opened in time");
}

static void close_clients(uint64_t count) {
    static const unsigned char normal[] = {1000 >> 8, 1000 & 255};
    uint64_t target = closed + count;
    for (int fd = 0; fd <= highest && count; fd++) {
        if (clients[fd].phase != OPEN) continue;
        send_frame(fd, CLOSE, normal, sizeof normal);
        clients[fd].phase = CLOSING;
        shutdown(fd, SHUT_WR);
        count--;
    }
    if (count || !came(&closed, target, PATIENCE)) die("not all websockets were closed in time");
}

static void set_heartbeat(const char *text, unsigned milliseconds) {
    snprintf(heartbeat, sizeof heartbeat, "%s", text);
    beat_interval = milliseconds * 1000000ull;
    beat_start = now();
    beat_place = 0;
}

static void reset(void) { messages = others = disordered = samples = last_at = bytes = sent = 0; }

static int compare(const void *a, const void *b) {
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    return (first > second) - (first < second);
}

/* open, lost: websockets held now, and ended by the server without being asked.
 * messages, others: deliveries, and what is no message of the benchmark, such as heartbeats.
 * disordered: deliveries that came twice or after a later one.
 * bytes, sent: received in all, and heartbeats that the network took. */
static void answer(void) {
    qsort(latencies, samples, sizeof *latencies, compare);
    printf("{\"open\": %lu, \"lost\": %lu, \"messages\": %lu, \"others\": %lu, "
           "\"disordered\": %lu, \"p50_us\": %u, \"p99_us\": %u, \"last_at_ns\": %lu, "
           "\"bytes\": %lu, \"sent\": %lu}\n",
           opened - closed - lost, lost, messages, others, disordered,
           samples ? latencies[samples / 2] : 0, samples ? latencies[samples * 99 / 100] : 0,
           last_at, bytes, sent);
    fflush(stdout);
}

static void obey(const char *line) {
    uint64_t count;
    double seconds;
    unsigned milliseconds;
    char text[MAX_LINE];
    if (sscanf(line, "connect %lu", &count) == 1) open_clients(count, HANDSHAKES);
    else if (sscanf(line, "storm %lu", &count) == 1) open_clients(count, count);
    else if (sscanf(line, "close %lu", &count) == 1) close_clients(count);
    else if (sscanf(line, "path %255s", path) == 1) {}
    else if (sscanf(line, "heartbeat %u %125s", &milliseconds, text) == 2)
        set_heartbeat(text, milliseconds);
    else if (sscanf(line, "wait %lu %lf", &count, &seconds) == 2) came(&messages, count, seconds);
    else if (!strcmp(line, "reset\n")) reset();
    else if (!strcmp(line, "quit\n")) exit(0);
    else die("unknown command");
    answer();
}

int main(int argc, char **argv) {
    if (argc > 1 && !strncmp(argv[1], "--", 2)) {
        dialect = !strcmp(argv[1], "--socketio") ? SOCKET_IO : !strcmp(argv[1], "--v1") ? V1 : PLAIN;
        argc--;
        argv++;
    }
    if (argc < 3) die("usage: load [--plain | --socketio | --v1] PORT PATH [HEADER]...");
    port = atoi(argv[1]);
    snprintf(path, sizeof path, "%s", argv[2]);
    headers = argv + 3;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = 0};
    if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &event)) die("the standard input must be a pipe");
    /* One command at a time: whoever drives us waits for the answer, so no line can be split. */
    for (char line[MAX_LINE];;) {
        if (!serve()) continue;
        ssize_t got = read(0, line, sizeof line - 1);
        if (got <= 0) return 0;
        line[got] = 0;
        obey(line);
    }
}
