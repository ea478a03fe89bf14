#include "curl_loop.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 4 }; /* of curl_loop_run: what then is still due waits for the next loop turn */

/* A socket that is watched, or was and will be again. */
struct watch {
    uv_poll_t poll;
    struct curl_loop *owner;
    curl_socket_t fd;
    void *user;
    int wanted; /* UV_READABLE, UV_WRITABLE: what libcurl waits for; 0 = nothing */
    int polled; /* what the loop watches for; 0 = stopped */
    bool held;  /* nothing is to be read: see curl_loop_hold */
    bool ours;  /* we close it, so it may stay watched while nothing is wanted */
};

struct curl_loop {
    CURLM *multi;
    uv_timer_t timer;
    struct curl_loop_options options;
    struct watch **watches; /* by descriptor; NULL = not watched */
    size_t watch_room;
    size_t open_handles; /* of uv's; the last to close frees this */
    bool due;
    bool closing;
    void (*on_closed)(void *owner);
};

static void on_handle_closed(struct curl_loop *curl_loop) {
    if (--curl_loop->open_handles > 0) return;
    void (*on_closed)(void *) = curl_loop->on_closed;
    void *owner = curl_loop->options.owner;
    curl_multi_cleanup(curl_loop->multi); /* closes the connections it kept, through close_socket */
    free(curl_loop->watches);
    free(curl_loop);
    if (on_closed) on_closed(owner);
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *watch = handle->data;
    struct curl_loop *curl_loop = watch->owner;
    free(watch);
    on_handle_closed(curl_loop);
}

static void on_timer_closed(uv_handle_t *handle) {
    on_handle_closed(handle->data);
}

static struct watch *find_watch(struct curl_loop *curl_loop, curl_socket_t fd) {
    return (size_t)fd < curl_loop->watch_room ? curl_loop->watches[fd] : NULL;
}

static void forget_watch(struct watch *watch) {
    uv_poll_stop(&watch->poll);
    watch->owner->watches[watch->fd] = NULL;
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static bool grow_watches(struct curl_loop *curl_loop, size_t needed) {
    size_t room = curl_loop->watch_room ? curl_loop->watch_room : 64;
    while (room < needed) room *= 2;
    struct watch **grown = realloc(curl_loop->watches, room * sizeof *grown);
    if (!grown) return false;
    for (size_t i = curl_loop->watch_room; i < room; i++) grown[i] = NULL;
    curl_loop->watches = grown;
    curl_loop->watch_room = room;
    return true;
}

static struct watch *new_watch(struct curl_loop *curl_loop, curl_socket_t fd) {
    if ((size_t)fd >= curl_loop->watch_room && !grow_watches(curl_loop, (size_t)fd + 1)) return NULL;
    struct watch *stale = curl_loop->watches[fd];
    if (stale) forget_watch(stale); /* the descriptor's number is used again */
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) return NULL;
    watch->owner = curl_loop;
    watch->fd = fd;
    if (uv_poll_init_socket(curl_loop->options.loop, &watch->poll, fd) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    curl_loop->watches[fd] = watch;
    curl_loop->open_handles++;
    return watch;
}

static void report_done(struct curl_loop *curl_loop) {
    CURLMsg *message;
    int left;
    while (!curl_loop->closing && (message = curl_multi_info_read(curl_loop->multi, &left)))
        if (message->msg == CURLMSG_DONE)
            curl_loop->options.on_done(curl_loop->options.owner, message->easy_handle, message->data.result);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void set_polled(struct watch *watch, int events) {
    if (watch->polled == events) return;
    watch->polled = events;
    if (events == 0) uv_poll_stop(&watch->poll);
    else uv_poll_start(&watch->poll, events, on_poll);
}

static int events_of(const struct watch *watch) {
    return watch->held ? watch->wanted & ~UV_READABLE : watch->wanted;
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct watch *watch = handle->data;
    struct curl_loop *curl_loop = watch->owner;
    curl_socket_t fd = watch->fd;
    int flags = 0, running;
    if (status < 0) watch->polled = 0; /* libuv stops the handle of a socket with an error */
    if (watch->wanted == 0) {
        set_polled(watch, 0); /* a connection that waits was closed by the service; libcurl finds out when it wants it */
        return;
    }
    /* Not CURL_CSELECT_ERR: libcurl would give up unread what the service sent before it hung up. Reading finds the
     * error too. */
    if (status < 0) flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
    if (events & UV_READABLE) flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE) flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(curl_loop->multi, fd, flags, &running);
    report_done(curl_loop);
    /* libcurl does not ask again for what it believes to be watched still. */
    watch = curl_loop->closing ? NULL : find_watch(curl_loop, fd);
    if (watch && watch->wanted) set_polled(watch, events_of(watch));
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user) {
    struct curl_loop *curl_loop = user;
    (void)socket_user;
    if (curl_loop->closing) return 0;
    struct watch *watch = find_watch(curl_loop, fd);
    if (what == CURL_POLL_REMOVE) {
        if (!watch) return 0;
        watch->wanted = 0;
        watch->held = false;
        if (!watch->ours) forget_watch(watch); /* libcurl closes it without a word, and its number may come back */
        else if (watch->polled & UV_WRITABLE)
            set_polled(watch, 0); /* a connection that was never made: libcurl may close it without a word */
        return 0;
    }
    if (!watch && !(watch = new_watch(curl_loop, fd))) return -1;
    watch->wanted = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    set_polled(watch, events_of(watch));
    if (watch->ours && curl_loop->options.on_socket) curl_loop->options.on_socket(curl_loop->options.owner, easy, fd);
    return 0;
}

static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    curl_socket_t fd = socket(address->family, address->socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->protocol);
    if (fd == CURL_SOCKET_BAD) return fd;
    struct watch *watch = new_watch(user, fd);
    if (!watch) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    watch->ours = true;
    return fd;
}

static int close_socket(void *user, curl_socket_t fd) {
    struct curl_loop *curl_loop = user;
    struct watch *watch = curl_loop->closing ? NULL : find_watch(curl_loop, fd);
    if (watch && watch->user) curl_loop->options.on_closing(curl_loop->options.owner, fd, watch->user);
    if (watch) forget_watch(watch);
    return close(fd);
}

static void on_timer(uv_timer_t *timer) {
    struct curl_loop *curl_loop = timer->data;
    curl_loop->due = true;
    curl_loop_run(curl_loop);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *user) {
    struct curl_loop *curl_loop = user;
    (void)multi;
    if (curl_loop->closing) return 0;
    curl_loop->due = timeout_ms == 0;
    if (timeout_ms < 0) uv_timer_stop(&curl_loop->timer);
    else uv_timer_start(&curl_loop->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

struct curl_loop *curl_loop_new(const struct curl_loop_options *options) {
    struct curl_loop *curl_loop = calloc(1, sizeof *curl_loop);
    if (!curl_loop) return NULL;
    curl_loop->options = *options;
    curl_loop->multi = curl_multi_init();
    if (!curl_loop->multi) {
        free(curl_loop);
        return NULL;
    }
    uv_timer_init(options->loop, &curl_loop->timer);
    curl_loop->timer.data = curl_loop;
    curl_loop->open_handles = 1;
    curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_SOCKETDATA, curl_loop);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_TIMERDATA, curl_loop);
    curl_multi_setopt(curl_loop->multi, CURLMOPT_MAXCONNECTS, options->idle_connections);
    return curl_loop;
}

void curl_loop_close(struct curl_loop *curl_loop, void (*on_closed)(void *owner)) {
    curl_loop->closing = true;
    curl_loop->on_closed = on_closed;
    for (size_t i = 0; i < curl_loop->watch_room; i++)
        if (curl_loop->watches[i]) forget_watch(curl_loop->watches[i]);
    uv_timer_stop(&curl_loop->timer);
    uv_close((uv_handle_t *)&curl_loop->timer, on_timer_closed);
}

void curl_loop_keep_watching(struct curl_loop *curl_loop, CURL *easy) {
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, curl_loop);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, curl_loop);
}

bool curl_loop_add(struct curl_loop *curl_loop, CURL *easy) {
    return curl_multi_add_handle(curl_loop->multi, easy) == CURLM_OK;
}

void curl_loop_remove(struct curl_loop *curl_loop, CURL *easy) {
    curl_multi_remove_handle(curl_loop->multi, easy);
}

void curl_loop_set_user(struct curl_loop *curl_loop, curl_socket_t fd, void *user) {
    struct watch *watch = find_watch(curl_loop, fd);
    if (watch) watch->user = user;
}

void curl_loop_hold(struct curl_loop *curl_loop, curl_socket_t fd, bool held) {
    struct watch *watch = find_watch(curl_loop, fd);
    if (!watch || watch->held == held) return;
    watch->held = held;
    set_polled(watch, events_of(watch));
}

void curl_loop_run(struct curl_loop *curl_loop) {
    int running;
    for (int round = 0; curl_loop->due && !curl_loop->closing && round < ROUNDS; round++) {
        curl_loop->due = false;
        uv_timer_stop(&curl_loop->timer);
        curl_multi_socket_action(curl_loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        report_done(curl_loop);
    }
}
