/* A byte stream to the server, over TCP or TLS: resolving, connecting (every address), certificates and proxies are
 * libcurl's business (CURLOPT_CONNECT_ONLY), and none of it blocks the loop. */
#ifndef CLIENT_TRANSPORT_H
#define CLIENT_TRANSPORT_H

#include "server_url.h"

#include <uv.h>

struct transport;

struct transport_options {
    uv_loop_t *loop;
    const struct server_url *url;
    const char *ca; /* file of certificates to trust instead of the system's, or NULL */
    bool insecure;  /* trust any */
    uint64_t connect_timeout_ms;
    /* Callbacks come from the loop, none from within a call of these functions, and none after transport_close. */
    void (*on_connected)(void *owner);
    /* Instead of on_connected: `why` is a sentence, `reached`: TCP stood, and TLS did not. Close it then. */
    void (*on_failed)(void *owner, const char *why, bool reached);
    void (*on_ready)(void *owner, bool readable, bool writable);
    void *owner;
};

/* Begins to connect. NULL: no memory. Options are copied but for what they point to, which must last until
 * on_connected. */
struct transport *transport_new(const struct transport_options *options);

/* Closes at once; frees it and calls `on_closed` from the loop later. */
void transport_close(struct transport *transport, void (*on_closed)(void *owner));

enum transport_result {
    TRANSPORT_OK,    /* *done bytes, at least one */
    TRANSPORT_WAIT,  /* not now */
    TRANSPORT_ENDED, /* the server hung up */
    TRANSPORT_FAILED /* see transport_error */
};

/* With TLS, go on until TRANSPORT_WAIT: what was decrypted already does not make the socket readable. */
enum transport_result transport_read(struct transport *transport, void *to, size_t room, size_t *done);

/* After TRANSPORT_WAIT the next write must begin with the same bytes at the same address, and on_ready tells when. */
enum transport_result transport_write(struct transport *transport, const void *from, size_t length, size_t *done);

const char *transport_error(const struct transport *transport);

#endif
