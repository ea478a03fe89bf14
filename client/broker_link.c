#include "broker_link.h"

#include "bytes.h"
#include "clock.h"
#include "transport.h"
#include "websocket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    IN_SIZE = 2 * 65536 + WS_HEADER_MAX, /* a whole message, and a read of 64 KiB behind it */
    READ_SIZE = 65536,
    OUT_SIZE = 4 * (PG_FRAME_MAX + WS_HEADER_MAX),
    OUT_RESERVE = 256, /* kept free for pongs and the close */
    MASKS = 64,        /* fetched from the kernel at once */
    GOODBYE_MS = 2000,
    SAID_MAX = 256
};

enum state {
    CONNECTING,
    HANDSHAKING,
    OPEN,
    CLOSING, /* our close is queued or sent; the server's is awaited */
    ENDED
};

struct link {
    struct link_options options;
    struct transport *transport;
    uv_timer_t timer; /* handshake, goodbye, and calling on_end from the loop */
    enum state state;
    bool choked;         /* the last write did not take all: the transport will tell */
    bool broken;         /* the last write failed: the timer tells the owner */
    bool wants_room;     /* link_begin failed */
    size_t open_handles; /* timer, transport */
    uint64_t heard_ms;
    char key[HANDSHAKE_KEY];
    /* in[in_start..in_end) is received and not yet consumed */
    size_t in_start, in_end;
    /* A message in fragments; NULL while there is none. */
    uint8_t *fragments;
    size_t fragments_length;
    bool fragmented;
    /* out[out_start..out_end) is to be written; never moved while a write is unfinished (see transport_write) */
    size_t out_start, out_end;
    size_t begun; /* size of the frame that link_begin promised */
    uint8_t masks[MASKS][WS_MASK];
    size_t masks_left;
    char said[SAID_MAX];
    uint8_t in[IN_SIZE];
    uint8_t out[OUT_SIZE];
};

static void on_part_closed(void *owner) {
    struct link *link = owner;
    if (--link->open_handles > 0) return;
    free(link->fragments);
    free(link);
}

static void on_timer_closed(uv_handle_t *handle) {
    on_part_closed(handle->data);
}

/* The one way out: closes everything, then frees from the loop. */
static void dispose(struct link *link) {
    link->state = ENDED;
    if (link->transport) transport_close(link->transport, on_part_closed);
    link->transport = NULL;
    uv_timer_stop(&link->timer);
    uv_close((uv_handle_t *)&link->timer, on_timer_closed);
}

/* Ends the link and tells the owner. The caller touches the link no more than to see that it ended. */
static void finish(struct link *link, struct link_end end) {
    if (link->state == ENDED) return;
    end.upgraded = link->state == OPEN || link->state == CLOSING;
    if (!end.said) end.said = "";
    /* The words may live in the transport. */
    char said[SAID_MAX];
    snprintf(said, sizeof said, "%s", end.said);
    end.said = said;
    dispose(link);
    link->options.on_end(link->options.owner, link, &end);
}

static void lost(struct link *link, const char *said) {
    finish(link, (struct link_end){.reason = LINK_LOST, .said = said});
}

static void bad(struct link *link, const char *said) {
    finish(link, (struct link_end){.reason = LINK_BAD, .said = said});
}

static void on_timer(uv_timer_t *timer);

/* --- Out --- */

void link_flush(struct link *link) {
    while (link->state != ENDED && !link->choked && link->out_start < link->out_end) {
        size_t done;
        enum transport_result result =
            transport_write(link->transport, link->out + link->out_start, link->out_end - link->out_start, &done);
        if (result == TRANSPORT_OK) link->out_start += done;
        else link->choked = true;
        if (result != TRANSPORT_OK && result != TRANSPORT_WAIT) {
            link->broken = true;
            uv_timer_start(&link->timer, on_timer, 0, 0);
        }
    }
    if (link->out_start == link->out_end) link->out_start = link->out_end = 0;
}

bool link_is_open(const struct link *link) {
    return link->state == OPEN;
}

bool link_is_flushed(const struct link *link) {
    return link->out_start == link->out_end;
}

static const uint8_t *next_mask(struct link *link) {
    if (link->masks_left == 0) {
        if (getrandom(link->masks, sizeof link->masks, 0) != (ssize_t)sizeof link->masks) abort();
        link->masks_left = MASKS;
    }
    return link->masks[--link->masks_left];
}

static void put_frame(struct link *link, enum ws_opcode opcode, const void *payload, size_t length) {
    size_t size = ws_header_size(length);
    if (link->out_end + size + length > OUT_SIZE) return;
    const uint8_t *mask = next_mask(link);
    uint8_t *to = link->out + link->out_end;
    ws_put_header(to, opcode, length, mask);
    if (length) memcpy(to + size, payload, length);
    ws_mask(to + size, length, mask);
    link->out_end += size + length;
}

uint8_t *link_begin(struct link *link, size_t size) {
    if (link->state != OPEN) return NULL;
    size_t header = ws_header_size(size);
    if (link->out_end + header + size > OUT_SIZE - OUT_RESERVE) {
        link->wants_room = true;
        return NULL;
    }
    link->begun = size;
    return link->out + link->out_end + header;
}

void link_commit(struct link *link) {
    const uint8_t *mask = next_mask(link);
    uint8_t *to = link->out + link->out_end;
    size_t header = ws_put_header(to, WS_BINARY, link->begun, mask);
    ws_mask(to + header, link->begun, mask);
    link->out_end += header + link->begun;
    link->begun = 0;
}

void link_ping(struct link *link) {
    if (link->state != OPEN || link->out_end + WS_CONTROL_MAX > OUT_SIZE) return;
    put_frame(link, WS_PING, NULL, 0);
    link_flush(link);
}

/* --- In --- */

static void sanitize(char *to, size_t room, const uint8_t *from, size_t length) {
    size_t used = 0;
    for (; used < length && used + 1 < room; used++) to[used] = from[used] < 0x20 || from[used] == 0x7f ? '?' : (char)from[used];
    to[used] = '\0';
}

static void closed_by_server(struct link *link, const uint8_t *payload, size_t length) {
    unsigned code = length >= 2 ? pg_get_u16(payload) : WS_CLOSE_NONE;
    sanitize(link->said, sizeof link->said, payload + 2, length > 2 ? length - 2 : 0);
    if (link->state == OPEN) {
        put_frame(link, WS_CLOSE, payload, length >= 2 ? 2 : 0);
        link_flush(link); /* once; whether it arrives is of no consequence */
    }
    finish(link, (struct link_end){.reason = LINK_CLOSED, .status = code, .said = link->said});
}

static void take_fragment(struct link *link, const struct ws_header *header, const uint8_t *payload) {
    if (!link->fragments) link->fragments = malloc(PG_FRAME_MAX);
    if (!link->fragments) {
        lost(link, "out of memory");
        return;
    }
    if (header->length > PG_FRAME_MAX - link->fragments_length) {
        bad(link, "the server sent a message that is longer than a frame may be");
        return;
    }
    memcpy(link->fragments + link->fragments_length, payload, header->length);
    link->fragments_length += header->length;
    link->fragmented = !header->final;
    if (!header->final) return;
    size_t length = link->fragments_length;
    link->fragments_length = 0;
    link->options.on_message(link->options.owner, link, link->fragments, length);
    free(link->fragments); /* rare enough not to keep it; disposing does not free it before the loop comes round */
    link->fragments = NULL;
}

static void take_frame(struct link *link, const struct ws_header *header, const uint8_t *payload) {
    switch (header->opcode) {
    case WS_PING:
        if (link->state == OPEN) put_frame(link, WS_PONG, payload, header->length);
        return;
    case WS_PONG: return; /* that it came is what it says */
    case WS_CLOSE: closed_by_server(link, payload, header->length); return;
    case WS_TEXT: bad(link, "the server sent text"); return;
    case WS_BINARY:
    case WS_CONTINUATION: break;
    }
    if (link->fragmented != (header->opcode == WS_CONTINUATION)) bad(link, "the server sent fragments out of order");
    else if (header->final && !link->fragmented) link->options.on_message(link->options.owner, link, payload, header->length);
    else take_fragment(link, header, payload);
}

static void take_frames(struct link *link) {
    while (link->state != ENDED) {
        struct ws_header header;
        const char *error;
        const uint8_t *at = link->in + link->in_start;
        size_t held = link->in_end - link->in_start;
        enum ws_result result = ws_decode(at, held, PG_FRAME_MAX, &header, &error);
        if (result == WS_BAD) {
            bad(link, error);
            return;
        }
        if (result == WS_MORE || held < header.size + header.length) break;
        link->in_start += header.size + header.length;
        take_frame(link, &header, at + header.size);
    }
    if (link->in_start == link->in_end) link->in_start = link->in_end = 0;
}

static void take_answer(struct link *link, bool ended) {
    struct handshake_answer answer;
    const char *bytes = (const char *)link->in;
    switch (handshake_check(bytes, link->in_end, ended, link->key, &answer)) {
    case HANDSHAKE_MORE: return;
    case HANDSHAKE_BAD: bad(link, answer.said); return;
    case HANDSHAKE_REFUSED:
        finish(link, (struct link_end){.reason = LINK_REFUSED, .status = answer.status, .ours = answer.ours, .said = answer.said});
        return;
    case HANDSHAKE_DONE: break;
    }
    link->in_start = answer.consumed;
    link->state = OPEN;
    uv_timer_stop(&link->timer);
    link->options.on_upgraded(link->options.owner, link);
    take_frames(link);
}

/* The connection is over: what the handshake got may still be an answer. */
static void read_ended(struct link *link, const char *why) {
    if (link->state == HANDSHAKING && link->in_end) take_answer(link, true);
    lost(link, why);
}

/* Returns false when there is no more to read for now, or the link ended. */
static bool read_some(struct link *link) {
    if (IN_SIZE - link->in_end < READ_SIZE) { /* at most a message is held, or the answer to the handshake: it makes room */
        memmove(link->in, link->in + link->in_start, link->in_end - link->in_start);
        link->in_end -= link->in_start;
        link->in_start = 0;
    }
    size_t done;
    enum transport_result result = transport_read(link->transport, link->in + link->in_end, READ_SIZE, &done);
    if (result == TRANSPORT_WAIT) return false;
    if (result != TRANSPORT_OK) {
        read_ended(link, result == TRANSPORT_ENDED ? "the server hung up" : transport_error(link->transport));
        return false;
    }
    link->heard_ms = pg_clock_ms();
    link->in_end += done;
    if (link->state == HANDSHAKING) take_answer(link, false);
    else take_frames(link);
    /* Without TLS a short read means that the socket is empty. */
    return link->state != ENDED && (link->options.url->tls || done == READ_SIZE);
}

static void on_ready(void *owner, bool readable, bool writable) {
    struct link *link = owner;
    if (writable) link->choked = false;
    if (readable)
        while (read_some(link)) continue;
    if (link->state == ENDED) return;
    link_flush(link);
    if (link->wants_room && !link->choked && link->state == OPEN) {
        link->wants_room = false;
        link->options.on_room(link->options.owner, link);
    }
}

/* --- From birth to death --- */

static void on_connected(void *owner) {
    struct link *link = owner;
    struct pg_text request = pg_text_in((char *)link->out, OUT_SIZE);
    handshake_key(link->key);
    handshake_request(&request, link->options.url, link->options.instance, link->options.attempt, link->options.token, link->key);
    link->out_end = request.length;
    link->state = HANDSHAKING;
    link->heard_ms = pg_clock_ms();
    uv_timer_start(&link->timer, on_timer, link->options.connect_timeout_ms, 0);
    link_flush(link);
}

static void on_failed(void *owner, const char *why, bool reached) {
    finish(owner, (struct link_end){.reason = LINK_UNREACHABLE, .reached = reached, .said = why});
}

static void on_timer(uv_timer_t *timer) {
    struct link *link = timer->data;
    if (link->broken) {
        lost(link, transport_error(link->transport));
        return;
    }
    if (link->state == HANDSHAKING) {
        if (link->in_end) take_answer(link, true);
        finish(link, (struct link_end){.reason = LINK_SILENT});
        return;
    }
    finish(link, (struct link_end){.reason = LINK_CLOSED, .status = WS_CLOSE_NORMAL});
}

struct link *link_new(const struct link_options *options) {
    struct link *link = calloc(1, sizeof *link);
    if (!link) return NULL;
    link->options = *options;
    struct transport_options transport = {.loop = options->loop,
                                          .url = options->url,
                                          .ca = options->ca,
                                          .insecure = options->insecure,
                                          .connect_timeout_ms = options->connect_timeout_ms,
                                          .on_connected = on_connected,
                                          .on_failed = on_failed,
                                          .on_ready = on_ready,
                                          .owner = link};
    link->transport = transport_new(&transport);
    if (!link->transport) {
        free(link);
        return NULL;
    }
    uv_timer_init(options->loop, &link->timer);
    link->timer.data = link;
    link->open_handles = 2;
    return link;
}

void link_close(struct link *link, unsigned code) {
    if (link->state != OPEN) return;
    uint8_t payload[2];
    pg_put_u16(payload, (uint16_t)code);
    put_frame(link, WS_CLOSE, payload, sizeof payload);
    link->state = CLOSING;
    link->wants_room = false;
    uv_timer_start(&link->timer, on_timer, GOODBYE_MS, 0);
    link_flush(link);
}

void link_abort(struct link *link) {
    if (link->state != ENDED) dispose(link);
}

uint64_t link_heard_ms(const struct link *link) {
    return link->heard_ms;
}
