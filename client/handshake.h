/* The HTTP request and answer that open a WebSocket (RFC 6455 section 4), the client's side. Pure, but for random
 * bytes. */
#ifndef CLIENT_HANDSHAKE_H
#define CLIENT_HANDSHAKE_H

#include "id.h"
#include "server_url.h"
#include "text.h"

enum {
    HANDSHAKE_KEY = 25,           /* Sec-WebSocket-Key with its NUL */
    HANDSHAKE_ANSWER_MAX = 16384, /* an answer with a longer head is a bad one */
    HANDSHAKE_SAID_MAX = 256
};

/* A fresh Sec-WebSocket-Key. Returns `key`. */
char *handshake_key(char key[HANDSHAKE_KEY]);

/* Appends the request. `attempt`: one more with each of this process's attempts, from 1. `token` may be NULL. */
void handshake_request(struct pg_text *to, const struct server_url *url, const struct pg_id *instance, uint32_t attempt,
                       const char *token, const char *key);

enum handshake_result {
    HANDSHAKE_MORE,    /* not all of the answer is here */
    HANDSHAKE_DONE,    /* upgraded: `consumed` bytes were the answer, WebSocket frames follow */
    HANDSHAKE_REFUSED, /* the server answered something else: see `status` */
    HANDSHAKE_BAD      /* no HTTP, or an upgrade that breaks RFC 6455: see `said` */
};

struct handshake_answer {
    size_t consumed;
    unsigned status;
    bool ours;                     /* it bears X-Pipegate-Error: a broker of ours wrote it, not the web server in front of it */
    char said[HANDSHAKE_SAID_MAX]; /* a sentence: the server's own (control bytes replaced), or what is wrong; may be ""
                                    */
};

/* Looks at all that was received so far. `ended`: nothing more will come. With more than HANDSHAKE_ANSWER_MAX + HANDSHAKE_SAID_MAX
 * bytes it never asks for more. */
enum handshake_result handshake_check(const char *bytes, size_t length, bool ended, const char *key,
                                      struct handshake_answer *answer);

#endif
