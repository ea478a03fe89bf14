#include "local_request.h"

#include "curl_loop.h"
#include "http.h"
#include "list.h"
#include "local_fields.h"
#include "local_outcome.h"
#include "response_head.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    IDLE_REQUESTS = 64,     /* handles kept for the next requests */
    IDLE_CONNECTIONS = 256, /* connections kept to the local service */
    KEEP_TEXT = 2048,
    RESCUE_MAX = 65536 /* of an answer that libcurl left unread */
};

struct local_service {
    struct local_service_options options;
    struct curl_loop *curl_loop;
    struct list running;
    struct list idle;
    struct list waking;
    size_t idle_count;
    bool trailers_leak;       /* libcurl before 8.6 loses 32 bytes of a connection that is used again after a trailer */
    struct pg_field *scratch; /* PG_RESPONSE_FIELDS_MAX of them */
    char place[320];          /* "the local service at localhost:3000" */
    void (*on_closed)(void *owner);
    void *owner;
};

struct local_request {
    struct local_service *service;
    struct list node;   /* in running or idle */
    struct list waking; /* wants to be woken at the end of the turn */
    void *owner;
    CURL *easy;
    struct local_fields fields;
    struct response_head head;
    char *text; /* method, target and body: what libcurl does not copy, and what must end in NUL */
    size_t text_room;
    uint64_t expected; /* of the response body */
    uint64_t received;
    bool is_head; /* the method is HEAD: no body whatever the fields say */
    bool sends_body;
    bool starved;      /* libcurl waits for request bytes */
    bool full;         /* libcurl waits for room for response bytes */
    bool again;        /* it may be sent a second time */
    const char *wrong; /* we ended it: why, as a phrase after `place` */
    bool out_of_memory;
    curl_socket_t fd; /* the one it uses or used last */
    char *rescued;    /* what libcurl left unread there; NULL = nothing */
    size_t rescued_length;
    char error[CURL_ERROR_SIZE];
};

/* --- What libcurl calls --- */

static bool pass_head(struct local_request *request) {
    struct local_service *service = request->service;
    size_t count;
    uint64_t expected;
    const char *wrong = response_head_fields(&request->head, service->scratch, &count, &expected);
    unsigned status = request->head.status;
    if (wrong) {
        request->wrong = wrong;
        return false;
    }
    if (request->is_head || status == 204 || status == 304) expected = 0;
    request->expected = expected;
    /* libcurl sends no more of an upload after such an answer, but does not finish while it waits for request bytes. */
    if (status >= 300 && request->starved) list_append(&service->waking, &request->waking);
    request->out_of_memory = !service->options.events.on_head(request->owner, status, service->scratch, count, expected);
    return !request->out_of_memory;
}

static void drop_rescued(struct local_request *request) {
    free(request->rescued);
    request->rescued = NULL;
    request->rescued_length = 0;
}

static size_t on_header(char *line, size_t size, size_t count, void *user) {
    struct local_request *request = user;
    size_t length = size * count;
    bool is_trailer = request->head.awaits == RESPONSE_HEAD_DONE;
    if (is_trailer && request->service->trailers_leak) curl_easy_setopt(request->easy, CURLOPT_FORBID_REUSE, 1L);
    switch (response_head_line(&request->head, line, length, &request->wrong)) {
    case RESPONSE_HEAD_MORE: return length;
    case RESPONSE_HEAD_COMPLETE: return pass_head(request) ? length : 0;
    case RESPONSE_HEAD_BAD: break; /* `wrong` says why */
    }
    return 0;
}

static void set_full(struct local_request *request, bool full) {
    request->full = full;
    curl_loop_hold(request->service->curl_loop, request->fd, full);
}

static size_t on_write(char *bytes, size_t size, size_t count, void *user) {
    struct local_request *request = user;
    size_t length = size * count;
    if (request->head.awaits != RESPONSE_HEAD_DONE) {
        request->wrong = "sent a body without a head";
        return 0;
    }
    switch (request->service->options.events.on_body(request->owner, bytes, length)) {
    case LOCAL_TAKEN: request->received += length; return length;
    case LOCAL_LATER: set_full(request, true); return CURL_WRITEFUNC_PAUSE;
    case LOCAL_REFUSED: request->out_of_memory = true; break;
    }
    return 0;
}

static size_t on_read(char *to, size_t size, size_t count, void *user) {
    struct local_request *request = user;
    bool end = false;
    size_t length = request->service->options.events.on_want(request->owner, to, size * count, &end);
    if (length || end) return length;
    request->starved = true;
    return CURL_READFUNC_PAUSE;
}

/* --- Answers that libcurl leaves unread --- */

/* A service may answer while the upload still runs and hang up. The next write fails then, and libcurl ends the request
 * without a look at what there is to read. So the socket is read to its end before it is closed. (Not with TLS: there
 * the keys are libcurl's.) */
static void on_closing(void *owner, curl_socket_t fd, void *user) {
    struct local_request *request = user;
    (void)owner;
    request->fd = CURL_SOCKET_BAD;
    bool complete = request->head.awaits == RESPONSE_HEAD_DONE && request->received == request->expected;
    if (complete || request->rescued || request->service->options.target->tls) return;
    request->rescued = malloc(RESCUE_MAX);
    while (request->rescued && request->rescued_length < RESCUE_MAX) {
        ssize_t length = recv(fd, request->rescued + request->rescued_length, RESCUE_MAX - request->rescued_length, MSG_DONTWAIT);
        if (length <= 0) break;
        request->rescued_length += (size_t)length;
    }
}

/* The socket may be another request's by now: of one without a body nobody was told. */
static void stop_following(struct local_request *request) {
    if (request->fd != CURL_SOCKET_BAD && request->sends_body) curl_loop_set_user(request->service->curl_loop, request->fd, NULL);
    request->fd = CURL_SOCKET_BAD;
}

static void follow(struct local_request *request, curl_socket_t fd) {
    stop_following(request);
    request->fd = fd;
    if (!request->sends_body) return;
    curl_loop_set_user(request->service->curl_loop, fd, request);
    drop_rescued(request); /* from a kept connection that was dead */
}

/* Libcurl uses this socket for the request. It may have read from it already, before it says so. */
static void on_socket(void *owner, CURL *easy, curl_socket_t fd) {
    struct local_service *service = owner;
    struct local_request *request = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
    if (request->fd != fd) follow(request, fd);
    if (request->full) curl_loop_hold(service->curl_loop, fd, true);
}

/* Passes on the rescued answer; the caller sees whether it was complete. Only one whose length is known can be. */
static void pass_rescued(struct local_request *request) {
    const char *at = request->rescued, *end = at + request->rescued_length;
    while (request->head.awaits != RESPONSE_HEAD_DONE) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        if (!line_end) return;
        size_t length = (size_t)(line_end + 1 - at);
        if (on_header((char *)at, 1, length, request) != length) return;
        at += length;
    }
    uint64_t missing = request->expected - request->received;
    if (request->expected == PG_LENGTH_UNKNOWN || missing == 0 || missing > (uint64_t)(end - at)) return;
    on_write((char *)at, 1, (size_t)missing, request);
}

/* --- What became of it --- */

/* It broke, but not before the whole response was here: a service may answer and hang up while the upload still runs.
 */
static bool is_complete(const struct local_request *request, CURLcode result) {
    if (request->head.awaits != RESPONSE_HEAD_DONE || request->wrong || request->out_of_memory) return false;
    if (result == CURLE_OK) return true;
    return (result == CURLE_SEND_ERROR || result == CURLE_RECV_ERROR) && request->expected == request->received;
}

/* --- Life of a request --- */

static void free_request(struct local_request *request) {
    curl_easy_cleanup(request->easy);
    local_fields_free(&request->fields);
    response_head_free(&request->head);
    free(request->text);
    free(request);
}

/* It runs no more: to the idle ones, or away. */
static void retire(struct local_request *request) {
    struct local_service *service = request->service;
    list_leave(&request->node);
    list_leave(&request->waking);
    stop_following(request);
    drop_rescued(request);
    curl_loop_remove(service->curl_loop, request->easy);
    if (service->idle_count >= IDLE_REQUESTS) {
        free_request(request);
        return;
    }
    if (request->text_room > KEEP_TEXT) {
        free(request->text);
        request->text = NULL;
        request->text_room = 0;
    }
    local_fields_trim(&request->fields);
    response_head_reset(&request->head);
    list_append(&service->idle, &request->node);
    service->idle_count++;
}

/* libcurl tries another connection when a kept one turns out to be dead, but counts over all the requests that a handle
 * ever made, and gives up at the sixth (7.88 to 8.14 at least; only curl_easy_reset clears the count): then it is for
 * us to try once more. */
static bool try_again(struct local_request *request, CURLcode result) {
    if (result != CURLE_SEND_ERROR || !request->again || request->head.awaits != RESPONSE_HEAD_STATUS) return false;
    request->again = false;
    curl_loop_remove(request->service->curl_loop, request->easy);
    curl_easy_setopt(request->easy, CURLOPT_FRESH_CONNECT, 1L);
    return curl_loop_add(request->service->curl_loop, request->easy);
}

static void finish(struct local_request *request, CURLcode result) {
    struct local_service *service = request->service;
    if (request->rescued_length && result == CURLE_SEND_ERROR && request->head.awaits != RESPONSE_HEAD_FIELDS)
        pass_rescued(request);
    if (try_again(request, result)) return;
    struct local_outcome outcome = {.good = is_complete(request, result)};
    char sentence[LOCAL_SENTENCE] = "";
    if (!outcome.good) {
        const char *phrase;
        struct local_failure failure = {
            .result = result, .wrong = request->wrong, .out_of_memory = request->out_of_memory, .head = &request->head};
        curl_easy_getinfo(request->easy, CURLINFO_OS_ERRNO, &failure.os_errno);
        outcome.reason = local_outcome_explain(&failure, &phrase);
        snprintf(sentence, sizeof sentence, "%s %s", service->place, phrase);
        outcome.sentence = sentence;
    }
    void *owner = request->owner;
    retire(request);
    service->options.events.on_done(owner, &outcome);
}

static void on_done(void *owner, CURL *easy, CURLcode result) {
    struct local_request *request = NULL;
    (void)owner;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
    finish(request, result);
}

/* What is the same for every request. The visitor never decides where we connect. */
static void set_constant_options(struct local_request *request) {
    const struct local_service_options *options = &request->service->options;
    const struct target *target = options->target;
    CURL *easy = request->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, request);
    curl_easy_setopt(easy, CURLOPT_URL, target->base_url);
    if (target->socket[0]) curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, target->socket);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)PG_DATA_MAX);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, request);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, request);
    if (options->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    curl_loop_keep_watching(request->service->curl_loop, easy);
}

static struct local_request *take_request(struct local_service *service) {
    if (!list_empty(&service->idle)) {
        struct local_request *request = list_owner(service->idle.next, struct local_request, node);
        list_leave(&request->node);
        service->idle_count--;
        return request;
    }
    struct local_request *request = calloc(1, sizeof *request);
    if (!request) return NULL;
    request->service = service;
    request->fd = CURL_SOCKET_BAD;
    request->easy = curl_easy_init();
    if (!request->easy) {
        free(request);
        return NULL;
    }
    set_constant_options(request);
    return request;
}

/* The target as the local service gets it: with the prefix of --target, unless it is no path ("*", an absolute URL). */
static const char *prefix_for(const struct local_service *service, const struct pg_open *open) {
    return open->target[0] == '/' ? service->options.target->prefix : "";
}

/* Lays out method, target and body; libcurl copies the first two, so the body is what must stay. */
static bool set_text(struct local_request *request, const struct pg_open *open, enum local_body body) {
    const char *prefix = prefix_for(request->service, open);
    size_t prefix_length = strlen(prefix);
    size_t body_length = body == LOCAL_BODY_WHOLE ? open->body_bytes : 0;
    size_t needed = open->method_length + 1 + prefix_length + open->target_length + 1 + body_length;
    if (needed > request->text_room) {
        char *grown = malloc(needed);
        if (!grown) return false;
        free(request->text);
        request->text = grown;
        request->text_room = needed;
    }
    char *method = request->text;
    char *target = method + open->method_length + 1;
    char *behind = target + prefix_length + open->target_length + 1;
    memcpy(method, open->method, open->method_length);
    method[open->method_length] = '\0';
    memcpy(target, prefix, prefix_length);
    memcpy(target + prefix_length, open->target, open->target_length);
    behind[-1] = '\0';
    if (body_length) memcpy(behind, open->body, body_length);
    curl_easy_setopt(request->easy, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(request->easy, CURLOPT_REQUEST_TARGET, target);
    curl_easy_setopt(request->easy, CURLOPT_HTTPGET, 1L); /* also undoes what the request before this one set */
    if (body == LOCAL_BODY_WHOLE && !request->is_head) {
        curl_easy_setopt(request->easy, CURLOPT_POSTFIELDS, behind);
        curl_easy_setopt(request->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_length);
    }
    return true;
}

struct local_request *local_request_start(struct local_service *service, const struct pg_open *open, enum local_body body,
                                          void *owner) {
    struct local_request *request = take_request(service);
    if (!request) return NULL;
    request->owner = owner;
    request->expected = PG_LENGTH_UNKNOWN;
    request->received = 0;
    request->starved = request->full = request->out_of_memory = false;
    request->wrong = NULL;
    request->is_head = pg_http_is_head(open->method, open->method_length);
    bool streams = body == LOCAL_BODY_STREAM && !request->is_head;
    request->sends_body = body != LOCAL_BODY_NONE && !request->is_head;
    list_append(&service->running, &request->node);
    if (!set_text(request, open, body) || !local_fields_build(&request->fields, open, request->sends_body, &service->options)) {
        retire(request);
        return NULL;
    }
    CURL *easy = request->easy;
    if (request->is_head) curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (streams) {
        bool known = open->body_length != PG_LENGTH_UNKNOWN;
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, known ? (curl_off_t)open->body_length : (curl_off_t)-1);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->fields.list);
    /* libcurl sends a request again when a kept connection turns out to be dead, which is a second delivery if the
     * service read the first and died; and what was streamed cannot be sent again. */
    request->again = pg_http_is_idempotent(open->method, open->method_length) && !streams;
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, request->again ? 0L : 1L);
    /* Nor is it kept: a service that gives each connection a thread would run out of them. */
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, request->again ? 0L : 1L);
    if (curl_loop_add(service->curl_loop, easy)) return request;
    retire(request);
    return NULL;
}

const char *local_request_check(const struct pg_open *open) {
    struct pg_fields list = open->fields;
    struct pg_field field;
    if (!pg_http_is_token(open->method, open->method_length)) return "its method is no token";
    if (!pg_http_is_target(open->target, open->target_length)) return "its target has a space or a control character";
    while (list.left && pg_fields_next(&list, &field)) {
        if (!pg_http_is_token(field.name, field.name_length)) return "the name of a field is no token";
        if (!pg_http_is_value(field.value, field.value_length)) return "the value of a field has a line end or a NUL";
    }
    return NULL;
}

void local_request_cancel(struct local_request *request) {
    retire(request);
}

void local_request_wake(struct local_request *request, bool input, bool room) {
    if (!(input && request->starved) && !(room && request->full)) return;
    if (input) request->starved = false;
    if (room) set_full(request, false);
    int paused = (request->starved ? CURLPAUSE_SEND : 0) | (request->full ? CURLPAUSE_RECV : 0);
    CURLcode result = curl_easy_pause(request->easy, paused);
    if (result != CURLE_OK) finish(request, result);
}

/* --- The service --- */

struct local_service *local_service_new(const struct local_service_options *options) {
    struct local_service *service = calloc(1, sizeof *service);
    if (!service) return NULL;
    service->options = *options;
    list_init(&service->running);
    list_init(&service->idle);
    list_init(&service->waking);
    snprintf(service->place, sizeof service->place, "the local service%s%s", options->target->socket[0] ? "" : " at ",
             options->target->socket[0] ? "" : options->target->host);
    struct curl_loop_options loop_options = {.loop = options->loop,
                                             .idle_connections = IDLE_CONNECTIONS,
                                             .on_done = on_done,
                                             .on_socket = on_socket,
                                             .on_closing = on_closing,
                                             .owner = service};
    service->scratch = calloc(PG_RESPONSE_FIELDS_MAX, sizeof *service->scratch);
    service->trailers_leak = curl_version_info(CURLVERSION_NOW)->version_num < 0x080600;
    service->curl_loop = service->scratch ? curl_loop_new(&loop_options) : NULL;
    if (service->curl_loop) return service;
    free(service->scratch);
    free(service);
    return NULL;
}

static void on_loop_closed(void *owner) {
    struct local_service *service = owner;
    if (service->on_closed) service->on_closed(service->owner);
    free(service->scratch);
    free(service);
}

void local_service_close(struct local_service *service, void (*on_closed)(void *owner), void *owner) {
    service->on_closed = on_closed;
    service->owner = owner;
    while (!list_empty(&service->running)) local_request_cancel(list_owner(service->running.next, struct local_request, node));
    while (!list_empty(&service->idle)) {
        struct local_request *request = list_owner(service->idle.next, struct local_request, node);
        list_leave(&request->node);
        free_request(request);
    }
    curl_loop_close(service->curl_loop, on_loop_closed);
}

const char *local_service_place(const struct local_service *service) {
    return service->place;
}

void local_service_run(struct local_service *service) {
    while (!list_empty(&service->waking)) {
        struct local_request *request = list_owner(service->waking.next, struct local_request, waking);
        list_leave(&request->waking);
        local_request_wake(request, true, false);
    }
    curl_loop_run(service->curl_loop);
}
