#include "transport.h"

#include "curl_loop.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes the kernel takes beyond what it has sent. More would only queue small answers behind large ones, where nothing
 * can let them pass; less would cost throughput. */
enum { NOT_SENT_MAX = 256 * 1024 };

struct transport {
    struct transport_options options;
    struct curl_loop *curl_loop;
    CURL *easy;
    uv_poll_t poll;
    bool connected; /* the poll handle exists */
    bool wants_write;
    size_t open_handles; /* the poll handle and the curl_loop */
    void (*on_closed)(void *owner);
    char error[CURL_ERROR_SIZE + 64];
};

static void on_part_closed(struct transport *transport) {
    if (--transport->open_handles > 0) return;
    void (*on_closed)(void *) = transport->on_closed;
    void *owner = transport->options.owner;
    free(transport);
    if (on_closed) on_closed(owner);
}

static void on_poll_closed(uv_handle_t *handle) {
    on_part_closed(handle->data);
}

static void on_curl_loop_closed(void *owner) {
    on_part_closed(owner);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void start_poll(struct transport *transport) {
    uv_poll_start(&transport->poll, UV_READABLE | (transport->wants_write ? UV_WRITABLE : 0), on_poll);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct transport *transport = handle->data;
    bool writable = status < 0 || (events & UV_WRITABLE);
    if (transport->wants_write && writable) {
        transport->wants_write = false;
        start_poll(transport);
    }
    /* A socket with an error is both: reading and writing tell what it is. */
    transport->options.on_ready(transport->options.owner, status < 0 || (events & UV_READABLE), writable);
}

/* A sentence that is the same each time, and so without libcurl's milliseconds. */
static void set_error(struct transport *transport, CURLcode result) {
    long number = 0;
    curl_easy_getinfo(transport->easy, CURLINFO_OS_ERRNO, &number);
    const char *text = transport->error[0] ? transport->error : curl_easy_strerror(result);
    if (result == CURLE_COULDNT_CONNECT && number) text = strerror((int)number);
    if (result == CURLE_OPERATION_TIMEDOUT) text = "no answer in time";
    const char *advice = "";
    if (result == CURLE_PEER_FAILED_VERIFICATION) advice = " (--ca FILE names one to trust)";
    /* As OpenSSL says it, before 3.2 and from then on. */
    if (strstr(text, "wrong version number") || strstr(text, "packet length too long"))
        advice = " (does the server speak ws:// there, without TLS?)";
    char sentence[sizeof transport->error];
    snprintf(sentence, sizeof sentence, "%.*s%s", (int)(CURL_ERROR_SIZE - 1), text, advice);
    memcpy(transport->error, sentence, sizeof sentence);
}

static bool watch_socket(struct transport *transport) {
    curl_socket_t fd = CURL_SOCKET_BAD;
    int limit = NOT_SENT_MAX;
    curl_easy_getinfo(transport->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd == CURL_SOCKET_BAD || uv_poll_init_socket(transport->options.loop, &transport->poll, fd) != 0) return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &limit, sizeof limit); /* best effort */
    transport->poll.data = transport;
    transport->connected = true;
    transport->open_handles++;
    start_poll(transport);
    return true;
}

static void on_done(void *owner, CURL *easy, CURLcode result) {
    struct transport *transport = owner;
    /* It stays added: removing it would close the connection. */
    if (result == CURLE_OK && watch_socket(transport)) {
        transport->options.on_connected(transport->options.owner);
        return;
    }
    curl_off_t connected_us = 0;
    curl_easy_getinfo(easy, CURLINFO_CONNECT_TIME_T, &connected_us);
    set_error(transport, result == CURLE_OK ? CURLE_COULDNT_CONNECT : result);
    transport->options.on_failed(transport->options.owner, transport->error, connected_us > 0);
}

static void set_options(struct transport *transport) {
    const struct transport_options *options = &transport->options;
    const struct server_url *url = options->url;
    CURL *easy = transport->easy;
    char where[SERVER_URL_TEXT];
    snprintf(where, sizeof where, "%s://%s:%u/", url->tls ? "https" : "http", url->host, url->port);
    curl_easy_setopt(easy, CURLOPT_URL, where);
    curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1); /* ALPN: WebSocket needs it */
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 65536L); /* bounds a read */
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transport->error);
    if (url->tls) curl_easy_setopt(easy, CURLOPT_HTTPPROXYTUNNEL, 1L); /* https_proxy and no_proxy are obeyed */
    else curl_easy_setopt(easy, CURLOPT_PROXY, "");
    if (options->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (options->insecure) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

struct transport *transport_new(const struct transport_options *options) {
    struct transport *transport = calloc(1, sizeof *transport);
    if (!transport) return NULL;
    transport->options = *options;
    transport->open_handles = 1;
    /* A multi handle of its own: in a shared one libcurl may take a quiet connection for an unused one and close it. */
    struct curl_loop_options loop_options = {.loop = options->loop, .idle_connections = 1, .on_done = on_done, .owner = transport};
    transport->curl_loop = curl_loop_new(&loop_options);
    transport->easy = transport->curl_loop ? curl_easy_init() : NULL;
    if (transport->easy) set_options(transport);
    if (transport->easy && curl_loop_add(transport->curl_loop, transport->easy)) return transport;
    if (transport->curl_loop) transport_close(transport, NULL);
    else free(transport);
    return NULL;
}

void transport_close(struct transport *transport, void (*on_closed)(void *owner)) {
    transport->on_closed = on_closed;
    if (transport->connected) {
        uv_poll_stop(&transport->poll);
        uv_close((uv_handle_t *)&transport->poll, on_poll_closed);
    }
    if (transport->easy) {
        curl_loop_remove(transport->curl_loop, transport->easy);
        curl_easy_cleanup(transport->easy);
        transport->easy = NULL;
    }
    curl_loop_close(transport->curl_loop, on_curl_loop_closed);
}

static enum transport_result explain(struct transport *transport, CURLcode result, size_t done) {
    if (result == CURLE_OK) return done ? TRANSPORT_OK : TRANSPORT_ENDED;
    if (result == CURLE_AGAIN) return TRANSPORT_WAIT;
    set_error(transport, result);
    return TRANSPORT_FAILED;
}

enum transport_result transport_read(struct transport *transport, void *to, size_t room, size_t *done) {
    *done = 0;
    CURLcode result = curl_easy_recv(transport->easy, to, room, done); /* before *done is read */
    return explain(transport, result, *done);
}

enum transport_result transport_write(struct transport *transport, const void *from, size_t length, size_t *done) {
    *done = 0;
    CURLcode result = curl_easy_send(transport->easy, from, length, done);
    if (result == CURLE_OK && *done == 0) result = CURLE_AGAIN;
    if (result == CURLE_AGAIN && !transport->wants_write) {
        transport->wants_write = true;
        start_poll(transport);
    }
    return explain(transport, result, *done);
}

const char *transport_error(const struct transport *transport) {
    return transport->error;
}
