/* A libcurl multi handle on a uv loop: sockets, timer, finished transfers. Not thread-safe. Callbacks come from the uv
 * loop or from curl_loop_run, never from within curl_loop_add. */
#ifndef CLIENT_CURL_LOOP_H
#define CLIENT_CURL_LOOP_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

struct curl_loop;

struct curl_loop_options {
    uv_loop_t *loop;
    long idle_connections; /* how many are kept for the next transfer */
    /* The transfer is over. It is still added: remove it, now or later. Not called for one that was removed before. */
    void (*on_done)(void *owner, CURL *easy, CURLcode result);
    /* Both may be NULL, are only for sockets of curl_loop_keep_watching, and come from within libcurl. */
    void (*on_socket)(void *owner, CURL *easy, curl_socket_t fd);  /* the transfer uses it; told more than once */
    void (*on_closing)(void *owner, curl_socket_t fd, void *user); /* is about to be closed; has a user */
    void *owner;
};

/* NULL: no memory. */
struct curl_loop *curl_loop_new(const struct curl_loop_options *options);

/* Closes it; frees it and calls `on_closed` (may be NULL) from the loop later. All transfers were removed before. */
void curl_loop_close(struct curl_loop *curl_loop, void (*on_closed)(void *owner));

/* Lets a transfer's sockets be opened and closed by the curl_loop, which may then go on watching a connection that
 * waits for its next request, instead of three epoll_ctl(2) for each. To be set once per easy handle, whose transfers
 * all go to this curl_loop. */
void curl_loop_keep_watching(struct curl_loop *curl_loop, CURL *easy);

/* False: no memory. The transfer starts in curl_loop_run, or when the loop comes round. */
bool curl_loop_add(struct curl_loop *curl_loop, CURL *easy);

/* May be called at any time but from within a callback of libcurl's. Ends a transfer that still runs. */
void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy);

/* Whom on_closing tells of this socket; NULL = nobody. A user that dies takes itself away first. */
void curl_loop_set_user(struct curl_loop *curl_loop, curl_socket_t fd, void *user);

/* Whether nothing is to be read from this socket, whose transfer is paused. libcurl 8.5 (Ubuntu 24.04) does not stop by itself: it
 * would gather what comes, up to 64 MB, and then fail (curl's issue 12632). Ends by itself with the transfer. */
void curl_loop_hold(struct curl_loop *curl_loop, curl_socket_t fd, bool held);

/* Does now what is due now: call it once at the end of a loop turn, so that what came up together is done together. */
void curl_loop_run(struct curl_loop *curl_loop);

#endif
