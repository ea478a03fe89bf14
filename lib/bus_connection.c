#include "bus_connection.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READS_PER_TURN = 32, BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 500, CONNECT_TIMEOUT_MS = 2000 };

/* The poll handle of one hiredis context. It outlives the context until libuv has closed it. */
struct watch {
    uv_poll_t poll;
    redisAsyncContext *context; /* NULL once hiredis has let go */
    int events;                 /* as given to uv_poll_start */
    bool unsent;                /* hiredis wants to write */
    bool flushing;              /* within redisAsyncHandleWrite */
};

struct pg_connection {
    struct pg_connection_options options;
    redisAsyncContext *context; /* NULL between attempts */
    struct watch *watch;        /* of context */
    uv_timer_t timer;           /* backoff, or connect timeout */
    uv_getaddrinfo_t resolve;
    bool resolving;
    bool up;
    bool closing;
    uint64_t times_up;
    uint64_t backoff_ms;
    char error[192];
    bool told;        /* the error has been logged since the last success */
    bool refused;     /* AUTH or SELECT failed: the context is being closed */
    unsigned attempt; /* which of a name's addresses is next */
    void (*on_closed)(void *owner);
};

static void connect_now(struct pg_connection *c);

/* --- hiredis on libuv --- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch_events(struct watch *watch, int events) {
    if (watch->events == events) return;
    watch->events = events;
    if (events) uv_poll_start(&watch->poll, events, on_poll);
    else uv_poll_stop(&watch->poll);
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    if (status < 0) {
        /* libuv has stopped the handle; let hiredis find the error by trying. */
        watch->events = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if ((events & UV_WRITABLE) && watch->context) {
        watch->flushing = true;
        redisAsyncHandleWrite(watch->context);
        watch->flushing = false;
    }
    if (!(events & UV_READABLE)) return;
    /* hiredis reads 16 KiB a call: the rest of a larger answer follows at once, without another turn of the loop. */
    for (int i = 0; i < READS_PER_TURN && watch->context; i++) {
        redisAsyncHandleRead(watch->context);
        if (watch->context && watch->context->c.reader->pos == watch->context->c.reader->len) break;
    }
}

static void add_read(void *data) {
    struct watch *watch = data;
    watch_events(watch, watch->events | UV_READABLE);
}

static void del_read(void *data) {
    struct watch *watch = data;
    watch_events(watch, watch->events & ~UV_READABLE);
}

static void add_write(void *data) {
    struct watch *watch = data;
    bool connected = watch->context->c.flags & REDIS_CONNECTED;
    if (connected && !watch->flushing) watch->unsent = true; /* pg_connection_flush will write */
    else watch_events(watch, watch->events | UV_WRITABLE);
}

static void del_write(void *data) {
    struct watch *watch = data;
    watch->unsent = false;
    watch_events(watch, watch->events & ~UV_WRITABLE);
}

static void free_watch(uv_handle_t *handle) {
    free(handle->data);
}

static void cleanup(void *data) {
    struct watch *watch = data;
    watch->context = NULL;
    uv_close((uv_handle_t *)&watch->poll, free_watch);
}

static bool attach(struct pg_connection *c) {
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch) return false;
    if (uv_poll_init(c->options.loop, &watch->poll, c->context->c.fd) != 0) {
        free(watch);
        return false;
    }
    watch->poll.data = watch;
    watch->context = c->context;
    c->watch = watch;
    c->context->ev.data = watch;
    c->context->ev.addRead = add_read;
    c->context->ev.delRead = del_read;
    c->context->ev.addWrite = add_write;
    c->context->ev.delWrite = del_write;
    c->context->ev.cleanup = cleanup;
    return true;
}

/* --- the connection's life --- */

static void on_retry(uv_timer_t *timer) {
    connect_now(timer->data);
}

static void retry_later(struct pg_connection *c) {
    if (c->closing) return;
    uv_timer_start(&c->timer, on_retry, c->backoff_ms, 0);
    c->backoff_ms = c->backoff_ms * 2 < BACKOFF_MAX_MS ? c->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void note_error(struct pg_connection *c, const char *what) {
    if (what != c->error) snprintf(c->error, sizeof c->error, "%s", what);
    if (c->told || c->closing) return;
    c->told = true;
    const struct pg_bus_url *url = c->options.url;
    char port[16] = "";
    if (!*url->path) snprintf(port, sizeof port, ":%d", url->port);
    pg_log(c->options.log, PG_LOG_WARN, NULL, "redis (%s) at %s%s: %s; trying again until it is back", c->options.name,
           *url->path ? url->path : url->host, port, what);
}

/* The context is gone or about to be freed by hiredis; everything of it is forgotten here, in one place. */
static void forget_context(struct pg_connection *c, const char *why) {
    bool was_up = c->up;
    c->context = NULL;
    c->watch = NULL;
    c->up = false;
    note_error(c, why);
    uv_timer_stop(&c->timer);
    if (was_up && !c->closing) c->options.on_down(c->options.owner);
    retry_later(c);
}

static void drop_context(struct pg_connection *c, const char *why) {
    redisAsyncContext *context = c->context;
    if (!context) return;
    context->data = NULL; /* so that on_disconnect stays silent: we do the telling */
    redisAsyncFree(context);
    forget_context(c, why);
}

static void on_connect_timeout(uv_timer_t *timer) {
    drop_context(timer->data, "it did not answer in time");
}

static void become_up(struct pg_connection *c) {
    c->up = true;
    c->times_up++;
    c->backoff_ms = BACKOFF_FIRST_MS;
    c->error[0] = '\0';
    if (c->told || c->times_up == 1)
        pg_log(c->options.log, c->told ? PG_LOG_INFO : PG_LOG_DEBUG, NULL, "redis (%s): connected", c->options.name);
    c->told = false;
    uv_timer_stop(&c->timer);
    c->options.on_up(c->options.owner);
}

/* Is it about us, so that it will not go away by itself? AUTH and SELECT may meet errors that will, too. */
static bool is_refusal(const char *error, bool to_login) {
    static const char *const words[] = {"NOAUTH", "WRONGPASS", "NOPERM", "DENIED"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(error, words[i], strlen(words[i])) == 0) return true;
    return to_login && strncmp(error, "ERR ", 4) == 0 && !strstr(error, "max number of clients");
}

static void give_up(struct pg_connection *c, const char *error, bool to_login) {
    char why[160];
    bool refusal = is_refusal(error, to_login);
    snprintf(why, sizeof why, refusal ? "it refuses the login or database: %s" : "it is not ready: %s", error);
    if (refusal && c->options.on_refused(c->options.owner, why)) c->told = true;
    note_error(c, why);
    c->refused = true;
    redisAsyncDisconnect(c->context); /* on_disconnect follows, and the retry with it */
}

static void on_login(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_connection *c = argument;
    const redisReply *reply = answer;
    if (!reply || c->context != context || c->up || c->refused) return;
    if (reply->type == REDIS_REPLY_ERROR) give_up(c, reply->str, true);
}

static void on_ready(redisAsyncContext *context, void *answer, void *argument) {
    struct pg_connection *c = argument;
    const redisReply *reply = answer;
    if (!reply || c->context != context || c->closing || c->refused) return;
    if (reply->type == REDIS_REPLY_ERROR) give_up(c, reply->str, false);
    else become_up(c);
}

static void log_in(struct pg_connection *c) {
    const struct pg_bus_url *url = c->options.url;
    if (*url->user) redisAsyncCommand(c->context, on_login, c, "AUTH %s %s", url->user, url->password);
    else if (*url->password) redisAsyncCommand(c->context, on_login, c, "AUTH %s", url->password);
    if (url->database) redisAsyncCommand(c->context, on_login, c, "SELECT %d", url->database);
    /* For whoever looks at CLIENT LIST; where it is not allowed it does not matter. */
    redisAsyncCommand(c->context, NULL, NULL, "CLIENT SETNAME %s:%s", c->options.log->program, c->options.name);
    redisAsyncCommand(c->context, on_ready, c, "PING");
}

static void on_connect(const redisAsyncContext *context, int status) {
    struct pg_connection *c = context->data;
    if (!c) return;
    if (status != REDIS_OK) forget_context(c, context->errstr);
    else log_in(c);
}

static void on_disconnect(const redisAsyncContext *context, int status) {
    struct pg_connection *c = context->data;
    if (!c) return;
    const char *why = status == REDIS_OK ? c->error : context->errstr;
    forget_context(c, *why ? why : "the connection was closed");
}

static void use_context(struct pg_connection *c, redisAsyncContext *context) {
    c->context = context;
    c->refused = false;
    if (!context || context->err || !attach(c)) {
        char why[128];
        snprintf(why, sizeof why, "%s", context && context->err ? context->errstr : "out of memory");
        if (context) redisAsyncFree(context);
        forget_context(c, why);
        return;
    }
    context->data = c;
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    uv_timer_start(&c->timer, on_connect_timeout, CONNECT_TIMEOUT_MS, 0);
}

/* The addresses of a name in turn: the first may lead nowhere. */
static const struct addrinfo *nth_address(const struct addrinfo *list, unsigned n) {
    unsigned count = 0;
    for (const struct addrinfo *one = list; one; one = one->ai_next) count++;
    for (n %= count; n > 0; n--) list = list->ai_next;
    return list;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found) {
    struct pg_connection *c = request->data;
    char address[INET6_ADDRSTRLEN] = "";
    c->resolving = false;
    const struct addrinfo *chosen = status == 0 ? nth_address(found, c->attempt++) : NULL;
    if (chosen) getnameinfo(chosen->ai_addr, chosen->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
    uv_freeaddrinfo(found);
    if (c->closing) return;
    if (*address) use_context(c, redisAsyncConnect(address, c->options.url->port));
    else forget_context(c, "its host name cannot be resolved");
}

static void connect_now(struct pg_connection *c) {
    const struct pg_bus_url *url = c->options.url;
    unsigned char numeric[sizeof(struct in6_addr)];
    if (*url->path) {
        use_context(c, redisAsyncConnectUnix(url->path));
    } else if (inet_pton(AF_INET, url->host, numeric) == 1 || inet_pton(AF_INET6, url->host, numeric) == 1) {
        use_context(c, redisAsyncConnect(url->host, url->port));
    } else {
        /* hiredis would block the loop in getaddrinfo(3). */
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        c->resolve.data = c;
        c->resolving = uv_getaddrinfo(c->options.loop, &c->resolve, on_resolved, url->host, NULL, &hints) == 0;
        if (!c->resolving) forget_context(c, "its host name cannot be looked up");
    }
}

/* Connecting begins from the loop, so that no callback comes before the caller has what we return. */
struct pg_connection *pg_connection_new(const struct pg_connection_options *options) {
    struct pg_connection *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    c->options = *options;
    c->backoff_ms = BACKOFF_FIRST_MS;
    uv_timer_init(options->loop, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, on_retry, 0, 0);
    return c;
}

static void on_timer_closed(uv_handle_t *handle) {
    struct pg_connection *c = handle->data;
    if (c->on_closed) c->on_closed(c->options.owner);
    free(c);
}

/* A look-up that runs cannot always be cancelled: wait for it. */
static void on_resolve_over(uv_timer_t *timer) {
    struct pg_connection *c = timer->data;
    if (c->resolving) return;
    uv_timer_stop(timer);
    uv_close((uv_handle_t *)timer, on_timer_closed);
}

void pg_connection_close(struct pg_connection *c, void (*on_closed)(void *owner)) {
    c->closing = true;
    c->on_closed = on_closed;
    drop_context(c, "closing");
    if (c->resolving) uv_cancel((uv_req_t *)&c->resolve);
    uv_timer_start(&c->timer, on_resolve_over, 0, 50);
}

void pg_connection_restart(struct pg_connection *c, const char *why) {
    drop_context(c, why);
}

bool pg_connection_is_up(const struct pg_connection *c) {
    return c->up;
}

uint64_t pg_connection_times_up(const struct pg_connection *c) {
    return c->times_up;
}

const char *pg_connection_error(const struct pg_connection *c) {
    return c->error;
}

bool pg_connection_command(struct pg_connection *c, redisCallbackFn *callback, void *argument, int count, const char **words,
                           const size_t *lengths) {
    if (!c->up) return false;
    return redisAsyncCommandArgv(c->context, callback, argument, count, words, lengths) == REDIS_OK;
}

void pg_connection_flush(struct pg_connection *c) {
    struct watch *watch = c->watch;
    if (!watch || !watch->unsent || !watch->context) return;
    watch->unsent = false;
    watch->flushing = true;
    redisAsyncHandleWrite(watch->context); /* may free the context; the watch lives until the loop has closed it */
    watch->flushing = false;
}
