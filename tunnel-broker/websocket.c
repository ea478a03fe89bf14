#include "websocket.h"

#include "bytes.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* libwebsockets reads at most RX_SIZE at a time and keeps a buffer of it per client, untouched while the client is
 * idle. */
enum { RX_SIZE = 32768, TX_SIZE = 65536, CLOSE_MS = 2000 };
/* Who connects and sends no request holds HTTP_HEADERS_MAX bytes; beyond so many of them the next wait their turn. */
enum { HTTP_HEADERS_MAX = 16384, HANDSHAKES_MAX = 1024, HANDSHAKE_SECONDS = 20 };
enum { CONTROL_MAX = 125 }; /* RFC 6455 5.5 */
enum { ANSWER_BODY_MAX = 16384, ANSWER_HEAD_MAX = 1024, PATH_MAX_LENGTH = 1024 };
enum { BAD_METHOD = 405 }; /* besides those of the gate */

struct websocket {
    struct websocket_server *server;
    struct lws *wsi;
    enum websocket_kind kind;
    void *session; /* NULL before the upgrade, and once the session is over */
    struct gate_verdict verdict;
    struct out_queue out;
    bool writable; /* frames may be written */
    bool dirty;    /* in the server's list */
    bool paused;
    struct agenda_entry closing;               /* the client may not take for ever to answer our close frame */
    struct websocket *dirty_prev, *dirty_next; /* with something to write */
};

struct websocket_server {
    struct websocket_options options;
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct websocket *dirty;
    size_t count;
    uv_check_t after_input; /* runs after the loop's input */
    struct agenda_queue closing;
};

/* --- writing --- */

static void mark_dirty(struct websocket *socket) {
    if (socket->dirty || !socket->writable) return;
    socket->dirty = true;
    DL_APPEND2(socket->server->dirty, socket, dirty_prev, dirty_next);
}

static void clear_dirty(struct websocket *socket) {
    if (!socket->dirty) return;
    socket->dirty = false;
    DL_DELETE2(socket->server->dirty, socket, dirty_prev, dirty_next);
}

/* Chunks are whole WebSocket frames already, so libwebsockets passes them on raw. It is not waited for a WRITEABLE
 * callback where the socket can take more: arming one costs four epoll_ctl(2) through libuv, more than the write
 * itself. When the kernel's buffer is full libwebsockets keeps the rest of the chunk and calls WRITEABLE when that is
 * gone. */
static void write_out(struct websocket *socket) {
    size_t length;
    uint8_t *bytes;
    clear_dirty(socket);
    while (!lws_partial_buffered(socket->wsi) && (bytes = out_queue_first(&socket->out, &length))) {
        if (lws_write(socket->wsi, bytes, length, LWS_WRITE_RAW) < 0) {
            out_queue_clear(&socket->out); /* broken: the loop says so next, and CLOSED follows */
            return;
        }
        out_queue_drop_first(&socket->out);
    }
    if (socket->session && socket->out.bytes < WEBSOCKET_LOW_WATER) socket->server->options.events.on_drained(socket->session);
}

void websocket_server_flush(struct websocket_server *server) {
    while (server->dirty) write_out(server->dirty);
}

static void on_after_input(uv_check_t *check) {
    websocket_server_flush(check->data);
}

bool websocket_send(struct websocket *socket, enum out_opcode opcode, const void *bytes, size_t length) {
    if (!out_queue_add(&socket->out, opcode, bytes, length)) return false;
    mark_dirty(socket);
    return true;
}

size_t websocket_queued(const struct websocket *socket) {
    return socket->out.bytes;
}

/* --- the end --- */

/* Nothing of the session is written or called any more. */
static void silence(struct websocket *socket) {
    socket->session = NULL;
    out_queue_clear(&socket->out);
    websocket_resume(socket);
}

static void stop_writing(struct websocket *socket) {
    clear_dirty(socket);
    socket->writable = false;
}

/* The close frame is ours like all others: what lws_close_reason prepares is not sent by Debian's 4.1.6 on a libuv loop
 * when the callback that asks for it is WRITEABLE (it closes twice, a test that was left in). The client's answer, or
 * the timer, ends the connection. */
void websocket_close(struct websocket *socket, enum websocket_code code, const char *reason) {
    uint8_t payload[CONTROL_MAX];
    size_t length = strnlen(reason, CONTROL_MAX - 2);
    silence(socket);
    pg_put_u16(payload, (uint16_t)code);
    memcpy(payload + 2, reason, length);
    websocket_send(socket, OUT_CLOSE, payload, 2 + length);
    agenda_put(socket->server->options.agenda, &socket->server->closing, &socket->closing);
}

/* A timeout is the one way by which libwebsockets does not first try to write what it holds, for seconds. Its timers
 * are looked at after its input only, so it is woken. */
void websocket_kill(struct websocket *socket) {
    silence(socket);
    stop_writing(socket);
    lws_set_timeout(socket->wsi, PENDING_TIMEOUT_USER_OK, LWS_TO_KILL_ASYNC);
    lws_cancel_service(socket->server->context);
}

static void on_close_overdue(void *owner, struct agenda_entry *entry) {
    (void)owner;
    websocket_kill(AGENDA_OWNER(entry, struct websocket, closing));
}

void websocket_pause(struct websocket *socket) {
    if (socket->paused) return;
    socket->paused = true;
    lws_rx_flow_control(socket->wsi, 0);
}

void websocket_resume(struct websocket *socket) {
    if (!socket->paused) return;
    socket->paused = false;
    lws_rx_flow_control(socket->wsi, 1);
}

static void forget_session(struct websocket *socket) {
    void *session = socket->session;
    silence(socket);
    stop_writing(socket);
    if (session) socket->server->options.events.on_closed(session);
}

static void forget_socket(struct websocket *socket) {
    forget_session(socket);
    agenda_remove(&socket->closing);
    socket->server->count--;
    free(socket);
}

/* --- HTTP --- */

static const char *status_text(unsigned status) {
    switch (status) {
    case 200: return "OK";
    case GATE_BAD_REQUEST: return "Bad Request";
    case GATE_UNAUTHORIZED: return "Unauthorized";
    case GATE_NOT_FOUND: return "Not Found";
    case BAD_METHOD: return "Method Not Allowed";
    case GATE_NO_WEBSOCKET: return "Upgrade Required";
    default: return "Service Unavailable";
    }
}

static bool is_head(struct lws *wsi) {
    return lws_hdr_total_length(wsi, WSI_TOKEN_HEAD_URI) > 0;
}

/* Writes the whole response (RFC 9110 9.3.2: its head, where that is what was asked for) and ends the connection with it:
 * libwebsockets' own way of keeping one open after it has refused an upgrade is where CVE-2025-11677 is. Returns what the
 * callback returns. */
static int respond(struct websocket *socket, const struct websocket_answer *answer) {
    char bytes[ANSWER_HEAD_MAX + ANSWER_BODY_MAX];
    struct pg_text text = pg_text_in(bytes, sizeof bytes);
    pg_text_add(&text,
                "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\nCache-Control: no-store\r\n",
                answer->status, status_text(answer->status), answer->type, answer->body.length);
    if (answer->error) pg_text_add(&text, "X-Pipegate-Error: %s\r\n", answer->error);
    if (answer->status == GATE_UNAUTHORIZED) pg_text_add(&text, "WWW-Authenticate: Bearer realm=\"pipegate\"\r\n");
    if (answer->status == BAD_METHOD) pg_text_add(&text, "Allow: GET, HEAD\r\n");
    if (answer->status == GATE_NO_WEBSOCKET) pg_text_add(&text, "Upgrade: websocket\r\n");
    if (answer->status == GATE_UNAVAILABLE) pg_text_add(&text, "Retry-After: 5\r\n");
    pg_text_add(&text, "\r\n");
    if (!is_head(socket->wsi)) pg_text_add_bytes(&text, answer->body.data, answer->body.length);
    lws_write(socket->wsi, (unsigned char *)bytes, text.length, LWS_WRITE_RAW);
    return -1;
}

static int respond_sentence(struct websocket *socket, unsigned status, const char *sentence) {
    char body[512];
    struct websocket_answer answer = {
        .status = status, .type = "text/plain; charset=utf-8", .error = sentence, .body = pg_text_in(body, sizeof body)};
    pg_text_add(&answer.body, "%s\n", sentence);
    return respond(socket, &answer);
}

/* Copies a header field; "" when there is none. False when it is longer than `size`. */
static bool copy_field(struct lws *wsi, enum lws_token_indexes token, char *to, size_t size) {
    *to = '\0';
    return lws_hdr_copy(wsi, to, (int)size, token) >= 0;
}

/* The same for a field of our own; one that is too long is as good as none. `name` ends in a colon. */
static void copy_own_field(struct lws *wsi, const char *name, char *to, size_t size) {
    *to = '\0';
    if (lws_hdr_custom_copy(wsi, to, (int)size, name, (int)strlen(name)) < 0) *to = '\0';
}

/* Whom to name in the log: the one the front names (the last of the list is what the front itself has seen), else the
 * socket's other end. What a peer made up must not look like something else in a log. */
static void copy_peer(struct lws *wsi, char to[WEBSOCKET_PEER_MAX]) {
    char forwarded[512];
    const char *from = forwarded;
    if (copy_field(wsi, WSI_TOKEN_X_FORWARDED_FOR, forwarded, sizeof forwarded) && *forwarded) {
        const char *comma = strrchr(forwarded, ',');
        if (comma) from = comma + 1;
        from += strspn(from, " \t");
    } else {
        lws_get_peer_simple(wsi, forwarded, sizeof forwarded);
    }
    size_t i = 0;
    for (; from[i] && i < WEBSOCKET_PEER_MAX - 1; i++) to[i] = strchr("0123456789abcdefABCDEF.:[]%", from[i]) ? from[i] : '?';
    to[i] = '\0';
}

/* The path of the request as libwebsockets has it: decoded, without the query. False when the method is neither GET nor HEAD. */
static bool copy_path(struct lws *wsi, char *to, size_t size) {
    char *uri = NULL;
    int length = 0;
    *to = '\0';
    if (lws_http_get_uri_and_method(wsi, &uri, &length) != 0 && !is_head(wsi)) return false; /* 0 is GET */
    if (length > 0 && (size_t)length < size) {
        memcpy(to, uri, (size_t)length);
        to[length] = '\0';
    }
    return true;
}

/* What `in` points to is not looked at: 4.1 calls this with memory it has freed (CVE-2025-11677). */
static int judge_upgrade(struct websocket *socket) {
    struct lws *wsi = socket->wsi;
    char path[PATH_MAX_LENGTH], upgrade[32], connection[128], version[8], key[160], protocols[128], instance[64], attempt[24];
    char peer[WEBSOCKET_PEER_MAX], authorization[PG_TOKEN_MAX + 16];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_UPGRADE) <= 0) return -1; /* answered and forgotten already */
    bool get = copy_path(wsi, path, sizeof path) && !is_head(wsi);
    bool whole = copy_field(wsi, WSI_TOKEN_UPGRADE, upgrade, sizeof upgrade);
    whole = copy_field(wsi, WSI_TOKEN_CONNECTION, connection, sizeof connection) && whole;
    whole = copy_field(wsi, WSI_TOKEN_VERSION, version, sizeof version) && whole;
    whole = copy_field(wsi, WSI_TOKEN_KEY, key, sizeof key) && whole;
    whole = copy_field(wsi, WSI_TOKEN_PROTOCOL, protocols, sizeof protocols) && whole;
    whole = copy_field(wsi, WSI_TOKEN_HTTP_AUTHORIZATION, authorization, sizeof authorization) && whole;
    copy_own_field(wsi, "x-pipegate-instance:", instance, sizeof instance);
    copy_own_field(wsi, "x-pipegate-attempt:", attempt, sizeof attempt);
    copy_peer(wsi, peer);
    if (!get) return respond_sentence(socket, BAD_METHOD, "a WebSocket begins with GET (RFC 6455 4.2.1)");
    if (!whole || lws_hdr_total_length(wsi, WSI_TOKEN_HOST) <= 0)
        return respond_sentence(socket, GATE_BAD_REQUEST, "a field of the request is missing or too long");
    if (socket->kind == WEBSOCKET_ADMIN) return respond_sentence(socket, GATE_NOT_FOUND, "no tunnels here");
    const struct gate_request request = {.path = path,
                                         .upgrade = upgrade,
                                         .connection = connection,
                                         .version = version,
                                         .key = key,
                                         .protocols = protocols,
                                         .instance = instance,
                                         .attempt = attempt,
                                         .authorization = authorization};
    socket->verdict = socket->server->options.events.on_judge(socket->server->options.owner, &request, peer);
    if (socket->verdict.status == GATE_OPEN) return 0;
    return respond_sentence(socket, socket->verdict.status, socket->verdict.sentence);
}

static int answer_get(struct websocket *socket) {
    char path[PATH_MAX_LENGTH], body[ANSWER_BODY_MAX];
    struct websocket_answer answer = {.status = 200, .type = "text/plain; charset=utf-8", .body = pg_text_in(body, sizeof body)};
    struct pg_id tunnel;
    if (!copy_path(socket->wsi, path, sizeof path)) return respond_sentence(socket, BAD_METHOD, "nothing here but GET and HEAD");
    if (socket->kind == WEBSOCKET_ADMIN) {
        socket->server->options.events.on_admin(socket->server->options.owner, path, &answer);
        return respond(socket, &answer);
    }
    if (gate_tunnel(path, &tunnel)) return respond_sentence(socket, GATE_NO_WEBSOCKET, "tunnel clients attach here, by WebSocket");
    return respond_sentence(socket, GATE_NOT_FOUND, "nothing here: this is where tunnel clients attach");
}

/* --- libwebsockets' callbacks --- */

static int established(struct websocket *socket) {
    char peer[WEBSOCKET_PEER_MAX];
    copy_peer(socket->wsi, peer);
    socket->writable = true;
    socket->session = socket->server->options.events.on_open(socket->server->options.owner, socket, &socket->verdict, peer);
    return socket->session ? 0 : -1;
}

static void receive(struct websocket *socket, const void *bytes, size_t length) {
    if (!socket->session) return; /* closing: what else was on its way is not looked at */
    const struct websocket_piece piece = {.bytes = bytes,
                                          .length = length,
                                          .remaining = lws_remaining_packet_payload(socket->wsi),
                                          .final = lws_is_final_fragment(socket->wsi),
                                          .binary = lws_frame_is_binary(socket->wsi)};
    socket->server->options.events.on_piece(socket->session, &piece);
}

/* The client's close frame: the answer to ours, and all is said; or its own, and libwebsockets answers. */
static int peer_closes(struct websocket *socket) {
    bool answered = socket->closing.queue != NULL;
    forget_session(socket);
    return answered ? -1 : 0;
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length) {
    struct websocket *socket;
    (void)user;
    switch (reason) {
    case LWS_CALLBACK_HTTP:
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
    case LWS_CALLBACK_ESTABLISHED:
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
    case LWS_CALLBACK_CLOSED:
    case LWS_CALLBACK_WSI_DESTROY: socket = lws_get_opaque_user_data(wsi); break;
    case LWS_CALLBACK_RAW_ADOPT:
    case LWS_CALLBACK_RAW_RX: return -1; /* neither HTTP nor WebSocket (CONNECT): hang up */
    default: return 0;
    }
    if (!socket) return reason == LWS_CALLBACK_WSI_DESTROY ? 0 : -1;
    switch (reason) {
    case LWS_CALLBACK_HTTP: return answer_get(socket);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE: return judge_upgrade(socket);
    case LWS_CALLBACK_ESTABLISHED: return established(socket);
    case LWS_CALLBACK_RECEIVE: receive(socket, in, length); return 0;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (socket->session) socket->server->options.events.on_pong(socket->session);
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (socket->writable) write_out(socket);
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE: return peer_closes(socket);
    case LWS_CALLBACK_CLOSED: forget_session(socket); return 0;
    default: forget_socket(socket); return 0; /* WSI_DESTROY */
    }
}

/* --- the server --- */

/* libwebsockets gives its log function nothing of ours, so the log has to be found here: set once, before the first
 * call. */
static const struct pg_log *library_log;

static void on_library_log(int level, const char *line) {
    (void)level;
    char text[256];
    size_t length = strcspn(line, "\n");
    if (length >= sizeof text) length = sizeof text - 1;
    memcpy(text, line, length);
    text[length] = '\0';
    pg_log(library_log, PG_LOG_WARN, NULL, "libwebsockets: %s", text);
}

static bool make_context(struct websocket_server *server) {
    static const struct lws_protocols protocols[] = {
        {.name = GATE_SUBPROTOCOL, .callback = on_event, .rx_buffer_size = RX_SIZE, .tx_packet_size = TX_SIZE}, {.name = NULL}};
    /* No pings of libwebsockets' own: it keeps their times in a sorted list that it walks from the front at every pong,
     * which costs 370 us each with 10,000 clients. */
    static const lws_retry_bo_t no_validity_checks;
    void *loops[] = {server->options.loop};
    const struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER, /* we listen ourselves */
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS,
        .foreign_loops = loops,
        .protocols = protocols,
        .vhost_name = "pipegate",
        .server_string = "pipegate",
        .timeout_secs = HANDSHAKE_SECONDS,
        .pt_serv_buf_size = TX_SIZE,
        .max_http_header_data = HTTP_HEADERS_MAX,
        .max_http_header_pool = HANDSHAKES_MAX,
        .retry_and_idle_policy = &no_validity_checks,
        .user = server,
        .pcontext = &server->context,
    };
    server->context = lws_create_context(&info);
    if (!server->context) return false;
    server->vhost = lws_create_vhost(server->context, &info);
    return server->vhost != NULL;
}

struct websocket_server *websocket_server_new(const struct websocket_options *options) {
    struct websocket_server *server = calloc(1, sizeof *server);
    if (!server) return NULL;
    server->options = *options;
    library_log = options->log;
    lws_set_log_level(LLL_ERR | LLL_WARN, on_library_log);
    if (!make_context(server)) {
        if (server->context) lws_context_destroy(server->context);
        free(server);
        return NULL;
    }
    server->closing = (struct agenda_queue){.delay_ms = CLOSE_MS, .on_due = on_close_overdue, .owner = server};
    agenda_add_queue(options->agenda, &server->closing);
    uv_check_init(options->loop, &server->after_input);
    server->after_input.data = server;
    uv_check_start(&server->after_input, on_after_input);
    return server;
}

/* On a loop that is not its own, libwebsockets ends in steps: it closes its handles, and when the loop has seen them
 * off it has to be called once more (4.1; it clears `context` when it is done). */
void websocket_server_free(struct websocket_server *server) {
    uv_loop_t *loop = server->options.loop;
    uv_close((uv_handle_t *)&server->after_input, NULL);
    lws_context_destroy(server->context);
    uv_run(loop, UV_RUN_DEFAULT);
    if (server->context) lws_context_destroy(server->context);
    uv_run(loop, UV_RUN_DEFAULT);
    free(server);
}

size_t websocket_server_count(const struct websocket_server *server) {
    return server->count;
}

void websocket_adopt(struct websocket_server *server, int fd, enum websocket_kind kind) {
    const lws_sock_file_fd_type descriptor = {.sockfd = fd};
    struct websocket *socket = calloc(1, sizeof *socket);
    if (!socket) {
        close(fd);
        return;
    }
    socket->server = server;
    socket->kind = kind;
    socket->wsi = lws_adopt_descriptor_vhost(server->vhost, LWS_ADOPT_SOCKET | LWS_ADOPT_HTTP, descriptor, NULL, NULL);
    if (!socket->wsi) { /* it has closed the descriptor */
        free(socket);
        return;
    }
    server->count++;
    lws_set_opaque_user_data(socket->wsi, socket);
}
