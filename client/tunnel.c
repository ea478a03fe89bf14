#include "tunnel.h"

#include "clock.h"
#include "websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    BACKOFF_FIRST_MS = 200,
    BACKOFF_MAX_MS = 10000,
    BACKOFF_LOST_MS = 300, /* the most, for KEEN_MS after an attached link was lost: requests wait, */
    KEEN_MS = 20000,
    BACKOFF_AWAITED_MS = 500, /* and until EAGER_MS: as long as any may wait (--path-timeout, and what it takes to notice) */
    EAGER_MS = 75000,
    STEADY_MS = 1000,
    FLAPS_MAX = 10,
    CONNECT_MS = 10000,      /* for the connection, for the handshake, and for ATTACHED */
    CONNECT_FIRST_MS = 3000, /* the same, every other time: the kernel tries again ever less often where nothing answers. Each time
                              * where requests may wait and it was quick before */
    ATTACH_NEWS_MS = 2000,   /* without ATTACHED for so long, whoever runs us is told */
    QUIET_MS = 4000,         /* of silence, then a ping */
    DEAD_MS = 8000,          /* of silence, then the link is dead */
    ASLEEP_MS = 5000,        /* a heartbeat so late was slept through */
    REPEAT_MS = 60000,       /* before the same complaint is logged again */
    CLOSE_TAKEN = 4409,      /* another instance has the tunnel */
    COMPLAINT_MAX = 640
};

struct tunnel {
    struct tunnel_options options;
    struct link *current; /* attached */
    struct link *next;    /* on its way to be */
    struct link *old;     /* was attached, says goodbye; may still bring frames */
    uv_timer_t retry;     /* before the next attempt, or for ATTACHED to come */
    uv_poll_t heartbeat;
    int heartbeat_fd;
    uint64_t heartbeat_due; /* by pg_clock_ms */
    uint64_t backoff_ms;
    uint64_t attached_ms;
    unsigned flaps;    /* links lost one after the other that were attached for less than STEADY_MS */
    uint64_t lost_ms;  /* when an attached link was last lost; 0 = never */
    uint32_t attempts; /* to attach, in all */
    bool impatient;    /* the next one */
    bool slow;         /* the last one that reached the server took more than half of CONNECT_FIRST_MS */
    uint64_t began_ms; /* the last one */
    bool waits;        /* for ATTACHED, longer than usual */
    bool moving;       /* the broker asked us to go elsewhere */
    bool closing;
    size_t open_handles;
    void (*on_closed)(void *owner);
    char complaint[COMPLAINT_MAX]; /* the last one logged */
    uint64_t complained_ms;
};

static const struct pg_log *log_of(const struct tunnel *tunnel) {
    return &tunnel->options.config->log;
}

/* Logs one sentence, but not the same again and again. */
static void complain(struct tunnel *tunnel, const char *sentence) {
    struct pg_log_about about = {.tunnel = &tunnel->options.config->server.tunnel};
    uint64_t now = pg_clock_ms();
    if (strcmp(sentence, tunnel->complaint) == 0 && now - tunnel->complained_ms < REPEAT_MS) return;
    snprintf(tunnel->complaint, sizeof tunnel->complaint, "%s", sentence);
    tunnel->complained_ms = now;
    pg_log(log_of(tunnel), PG_LOG_WARN, &about, "%s", sentence);
}

/* --- Attempts --- */

static void on_retry(uv_timer_t *timer);

static uint64_t random_below(uint64_t limit) {
    struct pg_id random = pg_id_random();
    uint64_t value;
    memcpy(&value, random.bytes + 8, sizeof value);
    return value % limit;
}

static void retry_in(struct tunnel *tunnel, uint64_t ms) {
    if (!tunnel->closing) uv_timer_start(&tunnel->retry, on_retry, ms, 0);
}

/* How long an attached link has been away; UINT64_MAX: too long for anything to wait for it. */
static uint64_t away_ms(const struct tunnel *tunnel) {
    uint64_t away = tunnel->lost_ms ? pg_clock_ms() - tunnel->lost_ms : UINT64_MAX;
    return away < EAGER_MS ? away : UINT64_MAX;
}

/* Full jitter: clients that lost the same broker must not come back together. */
static void retry_later(struct tunnel *tunnel) {
    uint64_t away = away_ms(tunnel);
    uint64_t max = away < KEEN_MS ? BACKOFF_LOST_MS : away < EAGER_MS ? BACKOFF_AWAITED_MS : BACKOFF_MAX_MS;
    retry_in(tunnel, random_below(tunnel->backoff_ms < max ? tunnel->backoff_ms : max) + 1);
    if (away < KEEN_MS) return;
    tunnel->backoff_ms *= 2;
    if (tunnel->backoff_ms > BACKOFF_MAX_MS) tunnel->backoff_ms = BACKOFF_MAX_MS;
}

static void on_upgraded(void *owner, struct link *link);
static void on_message(void *owner, struct link *link, const uint8_t *bytes, size_t length);
static void on_room(void *owner, struct link *link);
static void on_end(void *owner, struct link *link, const struct link_end *end);

static void connect_now(struct tunnel *tunnel) {
    struct config *config = tunnel->options.config;
    if (tunnel->next || tunnel->closing) return;
    uv_timer_stop(&tunnel->retry);
    bool impatient = tunnel->impatient || (!tunnel->slow && away_ms(tunnel) < EAGER_MS);
    tunnel->began_ms = pg_clock_ms();
    const char *wrong = config_reload_token(config);
    if (wrong)
        pg_log(log_of(tunnel), PG_LOG_WARN, NULL, "--token-file \"%s\": %s; the old token is used", config->token_file, wrong);
    struct link_options options = {.loop = tunnel->options.loop,
                                   .url = &config->server,
                                   .instance = tunnel->options.instance,
                                   .attempt = ++tunnel->attempts,
                                   .token = config->token[0] ? config->token : NULL,
                                   .ca = config->ca,
                                   .insecure = config->insecure,
                                   .connect_timeout_ms = impatient ? CONNECT_FIRST_MS : CONNECT_MS,
                                   .on_upgraded = on_upgraded,
                                   .on_message = on_message,
                                   .on_room = on_room,
                                   .on_end = on_end,
                                   .owner = tunnel};
    tunnel->impatient = !tunnel->impatient;
    tunnel->next = link_new(&options);
    if (!tunnel->next) retry_later(tunnel);
}

/* The broker did not keep to the protocol, or to time. */
static void give_up_next(struct tunnel *tunnel, const char *sentence) {
    link_abort(tunnel->next);
    tunnel->next = NULL;
    complain(tunnel, sentence);
    retry_later(tunnel);
}

static void on_retry(uv_timer_t *timer) {
    struct tunnel *tunnel = timer->data;
    if (tunnel->next && !tunnel->waits) {
        tunnel->waits = true;
        complain(tunnel, "connected; the tunnel is not ours yet: another client may hold it, or the broker waits for Redis");
        uv_timer_start(timer, on_retry, CONNECT_MS - ATTACH_NEWS_MS, 0);
        return;
    }
    if (tunnel->next) give_up_next(tunnel, "the broker took the connection but did not attach the tunnel in time; trying again");
    else connect_now(tunnel);
}

static void lose_current(struct tunnel *tunnel) {
    tunnel->current = NULL;
    uint64_t now = pg_clock_ms();
    tunnel->flaps = now - tunnel->attached_ms < STEADY_MS ? tunnel->flaps + 1 : 0;
    tunnel->lost_ms = tunnel->flaps < FLAPS_MAX ? now : 0;
    if (tunnel->flaps < FLAPS_MAX) tunnel->backoff_ms = BACKOFF_FIRST_MS;
    tunnel->options.on_detached(tunnel->options.owner);
}

/* Drops the attached link without a word and connects again. */
static void drop_current(struct tunnel *tunnel, const char *why) {
    complain(tunnel, why);
    link_abort(tunnel->current);
    lose_current(tunnel);
    connect_now(tunnel);
}

/* --- What the broker says --- */

static void on_upgraded(void *owner, struct link *link) {
    struct tunnel *tunnel = owner;
    (void)link;
    tunnel->waits = false;
    tunnel->slow = pg_clock_ms() - tunnel->began_ms > CONNECT_FIRST_MS / 2;
    uv_timer_start(&tunnel->retry, on_retry, ATTACH_NEWS_MS, 0); /* for ATTACHED: another instance may hold the tunnel */
}

static const char *take_attached(struct tunnel *tunnel, struct link *link, const struct pg_frame *frame) {
    struct pg_attached attached;
    const char *wrong = pg_attached_decode(frame, &attached);
    if (wrong) return wrong;
    if (link != tunnel->next) return "ATTACHED comes twice";
    if (attached.window < PG_WINDOW || attached.max_frame < PG_FRAME_MAX) return "its limits are below those of this version";
    struct pg_log_about about = {.tunnel = &tunnel->options.config->server.tunnel};
    pg_log(log_of(tunnel), PG_LOG_INFO, &about, "attached (session %llx)", (unsigned long long)attached.session);
    if (tunnel->old) link_abort(tunnel->old);
    tunnel->old = tunnel->current;
    tunnel->current = link;
    tunnel->next = NULL;
    tunnel->moving = false;
    tunnel->impatient = true;
    tunnel->attached_ms = pg_clock_ms();
    tunnel->complaint[0] = '\0';
    uv_timer_stop(&tunnel->retry);
    tunnel->options.on_attached(tunnel->options.owner, link, &attached);
    if (tunnel->old) link_close(tunnel->old, WS_CLOSE_NORMAL);
    return NULL;
}

static const char *take(struct tunnel *tunnel, struct link *link, const struct pg_frame *frame) {
    if (frame->type == PG_ATTACHED) return take_attached(tunnel, link, frame);
    if (link == tunnel->next) return "the first frame is not ATTACHED";
    if (frame->type == PG_GOAWAY) {
        if (link != tunnel->current) return NULL;
        tunnel->moving = true;
        connect_now(tunnel);
        return NULL;
    }
    if (frame->type == PG_RESYNC) {
        if (link == tunnel->current) tunnel->options.on_resync(tunnel->options.owner);
        return NULL;
    }
    return tunnel->options.on_frame(tunnel->options.owner, frame);
}

static void on_message(void *owner, struct link *link, const uint8_t *bytes, size_t length) {
    struct tunnel *tunnel = owner;
    struct pg_frame frame;
    if (tunnel->closing) return;
    const char *wrong = pg_frame_decode(bytes, length, &frame);
    if (!wrong) wrong = take(tunnel, link, &frame);
    if (!wrong) return;
    char sentence[COMPLAINT_MAX];
    snprintf(sentence, sizeof sentence, "the broker sent a bad frame (%s); connecting again", wrong);
    if (link == tunnel->next) {
        give_up_next(tunnel, sentence);
    } else if (link == tunnel->old) {
        link_abort(link);
        tunnel->old = NULL;
    } else {
        complain(tunnel, sentence);
        link_abort(link);
        lose_current(tunnel);
        retry_later(tunnel); /* not at once: it may well do it again */
    }
}

static void on_room(void *owner, struct link *link) {
    struct tunnel *tunnel = owner;
    if (link == tunnel->current) tunnel->options.on_room(tunnel->options.owner);
}

/* --- Ends --- */

static void describe_status(const struct link_end *end, bool tls, char *to, size_t room) {
    unsigned status = end->status;
    const char *said = end->said;
    if (end->ours) snprintf(to, room, "the broker refuses (HTTP %u): %s", status, said);
    else if (status >= 300 && status < 400)
        snprintf(to, room, "the server redirects to \"%s\" (HTTP %u): use the URL it leads to", said, status);
    else if (status == 404)
        snprintf(to, room,
                 "the server has no broker at this path (HTTP 404): see the path in --server-url (.../tunnels/UUID), and that the "
                 "site passes it on to pg-broker");
    else if (status == 502 || status == 503 || status == 504)
        snprintf(to, room, "the web server is there, but no broker behind it (HTTP %u): see that pg-broker runs", status);
    else if (status < 300)
        snprintf(to, room,
                 "the server answers, but not as a broker (HTTP %u): see the path in --server-url, and that its site passes "
                 "the upgrade on to pg-broker",
                 status);
    else /* 400 is what web servers say to plain HTTP on a port for TLS */
        snprintf(to, room, "the server refuses the connection (HTTP %u)%s", status,
                 status == 400 && !tls ? " (does it want TLS, wss://?)" : "");
}

static void describe(const struct tunnel *tunnel, const struct link_end *end, char *to, size_t room) {
    const struct config *config = tunnel->options.config;
    char where[SERVER_URL_TEXT];
    server_url_host(&config->server, where);
    switch (end->reason) {
    case LINK_UNREACHABLE: snprintf(to, room, "cannot connect to %.256s: %s", where, end->said); break;
    case LINK_REFUSED: describe_status(end, config->server.tls, to, room); break;
    case LINK_BAD: snprintf(to, room, "%.256s is no PipeGate broker: %s", where, end->said); break;
    case LINK_SILENT: snprintf(to, room, "%.256s does not answer the handshake", where); break;
    case LINK_LOST:
        if (end->upgraded) snprintf(to, room, "the connection to the broker was lost: %s", end->said);
        else
            snprintf(to, room, "%.256s did not answer the handshake: %s%s", where, end->said,
                     config->server.tls ? "" : " (does it want TLS, wss://?)");
        break;
    case LINK_CLOSED:
        if (end->status == WS_CLOSE_NORMAL || end->status == WS_CLOSE_NONE) snprintf(to, room, "the broker closed the connection");
        else snprintf(to, room, "the broker closed the connection (%u%s%s)", end->status, *end->said ? ": " : "", end->said);
        break;
    }
}

/* Is it final, and why? */
static const char *refusal(const struct link_end *end) {
    if (end->reason == LINK_REFUSED && (end->status == 401 || end->status == 403)) return "the server refuses the token";
    if (end->reason == LINK_CLOSED && end->status == CLOSE_TAKEN) return "the tunnel is taken";
    return NULL;
}

/* What to do about a token that is not taken. Whoever forgot the UUID holds one all the same, and it is a good one. */
static const char *advice(const struct tunnel *tunnel, bool by_broker, char *to, size_t room) {
    const struct server_url *server = &tunnel->options.config->server;
    char uuid[PG_UUID_TEXT + 1];
    if (!by_broker) return "; it is the web server that says so, not the broker: does the site ask for a login?";
    if (server->made) return "; --server-url ends in no UUID, so one was made up, and a token is for a certain tunnel";
    snprintf(to, room, "; on the server, pg-broker token --tunnel %s makes one", pg_id_uuid(&server->tunnel, uuid));
    return to;
}

static void refuse(struct tunnel *tunnel, const char *why, const struct link_end *end) {
    struct pg_log_about about = {.tunnel = &tunnel->options.config->server.tunnel};
    bool token = end->reason == LINK_REFUSED;
    bool none = token && !tunnel->options.config->token[0];
    char buffer[128];
    pg_log(log_of(tunnel), PG_LOG_ERROR, &about, "%s%s%s%s%s", none ? "the server wants a token (--token, --token-file)" : why,
           token ? (end->status == 401 ? " (HTTP 401)" : " (HTTP 403)") : "", *end->said ? ": " : "", end->said,
           token ? advice(tunnel, end->ours, buffer, sizeof buffer) : "");
    tunnel->options.on_refused(tunnel->options.owner);
}

static void try_close(struct tunnel *tunnel);

static void on_end(void *owner, struct link *link, const struct link_end *end) {
    struct tunnel *tunnel = owner;
    bool was_current = link == tunnel->current;
    bool was_next = link == tunnel->next;
    if (link == tunnel->old) tunnel->old = NULL;
    if (was_next) tunnel->next = NULL;
    if (tunnel->closing) {
        if (was_current) tunnel->current = NULL;
        try_close(tunnel);
        return;
    }
    if (!was_current && !was_next) return;
    if (end->reason == LINK_SILENT || (end->reason == LINK_UNREACHABLE && end->reached)) tunnel->slow = true;
    if (was_current) lose_current(tunnel);
    const char *final = refusal(end);
    if (final) {
        refuse(tunnel, final, end);
        return;
    }
    char sentence[COMPLAINT_MAX - 32], whole[COMPLAINT_MAX];
    describe(tunnel, end, sentence, sizeof sentence);
    snprintf(whole, sizeof whole, "%s; %s", sentence, was_current ? "connecting again" : "trying again");
    complain(tunnel, whole);
    if (tunnel->next) return;
    if (was_current && tunnel->moving) connect_now(tunnel);
    else retry_later(tunnel);
}

/* --- The heartbeat --- */

/* A timer on CLOCK_BOOTTIME: after a sleep it is due at once, where the loop's own timers would wait out what was left
 * of them. */
static void set_heartbeat(struct tunnel *tunnel, uint64_t due_ms) {
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_ms / 1000), .tv_nsec = (long)(due_ms % 1000) * 1000000}};
    tunnel->heartbeat_due = due_ms;
    timerfd_settime(tunnel->heartbeat_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void woke_up(struct tunnel *tunnel) {
    tunnel->backoff_ms = BACKOFF_FIRST_MS;
    if (tunnel->next) {
        link_abort(tunnel->next);
        tunnel->next = NULL;
    }
    if (tunnel->current) drop_current(tunnel, "this machine was asleep; connecting again");
    else connect_now(tunnel);
}

static void on_heartbeat(uv_poll_t *handle, int status, int events) {
    struct tunnel *tunnel = handle->data;
    uint64_t expirations, now = pg_clock_ms();
    (void)status;
    (void)events;
    if (read(tunnel->heartbeat_fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN) return;
    bool slept = now > tunnel->heartbeat_due + ASLEEP_MS;
    uint64_t heard = tunnel->current ? link_heard_ms(tunnel->current) : now;
    set_heartbeat(tunnel, now + QUIET_MS);
    if (tunnel->closing) return;
    tunnel->options.on_heartbeat(tunnel->options.owner);
    if (slept) {
        woke_up(tunnel);
    } else if (tunnel->current && now - heard >= DEAD_MS) {
        drop_current(tunnel, "the broker does not answer any more; connecting again");
    } else if (tunnel->current && now - heard >= QUIET_MS) {
        link_ping(tunnel->current);
        set_heartbeat(tunnel, heard + DEAD_MS);
    } else if (tunnel->current) {
        set_heartbeat(tunnel, heard + QUIET_MS);
    }
}

/* --- Birth and death --- */

static void on_handle_closed(uv_handle_t *handle) {
    struct tunnel *tunnel = handle->data;
    if (--tunnel->open_handles > 0) return;
    void (*on_closed)(void *) = tunnel->on_closed;
    void *owner = tunnel->options.owner;
    close(tunnel->heartbeat_fd);
    free(tunnel);
    if (on_closed) on_closed(owner);
}

struct tunnel *tunnel_new(const struct tunnel_options *options) {
    struct tunnel *tunnel = calloc(1, sizeof *tunnel);
    if (!tunnel) return NULL;
    tunnel->options = *options;
    tunnel->backoff_ms = BACKOFF_FIRST_MS;
    tunnel->heartbeat_fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (tunnel->heartbeat_fd < 0 || uv_poll_init(options->loop, &tunnel->heartbeat, tunnel->heartbeat_fd) != 0) {
        if (tunnel->heartbeat_fd >= 0) close(tunnel->heartbeat_fd);
        free(tunnel);
        return NULL;
    }
    uv_timer_init(options->loop, &tunnel->retry);
    tunnel->heartbeat.data = tunnel->retry.data = tunnel;
    tunnel->open_handles = 2;
    uv_poll_start(&tunnel->heartbeat, UV_READABLE, on_heartbeat);
    set_heartbeat(tunnel, pg_clock_ms() + QUIET_MS);
    connect_now(tunnel);
    return tunnel;
}

/* Closes the rest when the links have said goodbye. */
static void try_close(struct tunnel *tunnel) {
    if (tunnel->current || tunnel->old) return;
    uv_close((uv_handle_t *)&tunnel->retry, on_handle_closed);
    uv_close((uv_handle_t *)&tunnel->heartbeat, on_handle_closed);
}

void tunnel_close(struct tunnel *tunnel, void (*on_closed)(void *owner)) {
    tunnel->closing = true;
    tunnel->on_closed = on_closed;
    if (tunnel->next) link_abort(tunnel->next);
    tunnel->next = NULL;
    if (tunnel->current) link_close(tunnel->current, WS_CLOSE_NORMAL);
    try_close(tunnel);
}
