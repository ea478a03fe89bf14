/* One exchange as WIRE.md has it, "seen from the client": the request stream in, the response stream out, and what is
 * owed to the handler. No sockets, no clock, no libcurl: the relay feeds it and asks it for frames. */
#ifndef CLIENT_EXCHANGE_H
#define CLIENT_EXCHANGE_H

#include "flow.h"
#include "list.h"
#include "wire.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct local_request;
struct relay;

enum { EXCHANGE_LABEL_MAX = 512 }; /* bytes kept of method and target, for the request log */

enum exchange_state {
    EXCHANGE_REQUESTING, /* no head from the local service yet */
    EXCHANGE_RESPONDING, /* its head is here; frames are being sent */
    EXCHANGE_FINISHED    /* the end, or a RESET, was sent; kept until the handler says DONE */
};

struct exchange {
    struct pg_id id;
    struct pg_id handler;
    enum exchange_state state;

    /* Membership. */
    UT_hash_handle hh;
    struct list order;      /* exchange_table: live, or finished by age */
    struct list keeping;    /* exchange_table: finished, and keeps bytes */
    struct list sending;    /* outgoing: exchange_next may have something */
    struct list owing;      /* outgoing: an ACK entry is owed */
    struct list unanswered; /* relay: no response and no ACK yet */

    /* The relay's. */
    struct relay *relay;
    struct local_request *local; /* NULL = none runs */
    uint64_t started_us;
    uint64_t moved_ms; /* when a byte last moved that the local service or the handler was waited for */
    uint64_t ended_ms; /* finished */
    uint32_t first_byte_timeout_ms;
    bool hungry;         /* the local service wants request bytes, and there are none */
    bool stuffed;        /* response bytes wait for room in the window */
    size_t kept_counted; /* exchange_table: its part of the bytes kept */

    /* The request stream. */
    struct pg_inflow request;
    uint64_t request_length; /* PG_LENGTH_UNKNOWN */
    bool request_ignored;    /* nobody reads it any more: taken, acknowledged, thrown away */

    /* The response stream: HEAD's payload, with the body behind it as long as the whole response may fit into one
     * frame; else the body is in `response`. */
    uint8_t *head;
    size_t head_size;   /* of the payload without the body */
    size_t head_length; /* with it */
    size_t head_room;   /* allocated */
    bool streamed;      /* the body is in `response` */
    bool response_ended;
    bool head_sent;
    bool head_told;  /* it was sent before, perhaps in vain */
    bool head_known; /* the handler said that it has it */
    bool end_sent;   /* of a response that is not streamed */
    struct pg_outflow response;
    size_t window;     /* what may be under way */
    size_t window_max; /* what the handler takes */

    enum pg_reason reset; /* 0, or why it ends in place of the response's end */
    bool reset_sent;
    char *sentence; /* of the RESET; owned; may be NULL */

    /* After the way to the handler changed. */
    bool resume_wanted; /* a RESUME is to be sent */
    bool resume_answer; /* as an answer */
    bool held;          /* what it sent before may be lost: wait for the handler's RESUME */
    bool gap;           /* request bytes are missing, and the handler was told */

    /* For the request log. */
    unsigned status;
    uint64_t body_bytes;
    char label[]; /* method, a space, target */
};

/* NULL: no memory. `label` is cut at EXCHANGE_LABEL_MAX. `window` is what the handler takes: a quarter of it is used until the exchange
 * is widened. */
struct exchange *exchange_new(const struct pg_frame *frame, const struct pg_open *open, size_t window);

/* In no list and no table any more; frees all it holds. */
void exchange_free(struct exchange *exchange);

/* --- The request stream --- */

enum exchange_taken {
    EXCHANGE_TAKEN,
    EXCHANGE_KNOWN,   /* all of it was here before */
    EXCHANGE_MISSING, /* something before it did not come */
    EXCHANGE_WRONG    /* beyond the window or the length that was announced, or another end than before */
};

enum exchange_taken exchange_take(struct exchange *exchange, uint64_t offset, const uint8_t *bytes, size_t length, bool end);

/* Nobody reads the request any more: what is held counts as passed on. */
void exchange_ignore_request(struct exchange *exchange);

/* Copies request bytes out, at most `room`; *end when these are the last. */
size_t exchange_read(struct exchange *exchange, char *to, size_t room, bool *end);

/* Is it worth telling the handler how far the request was passed on? */
bool exchange_owes_ack(const struct exchange *exchange);

/* --- The response stream --- */

/* The head. The fields are checked, stripped, and fit (pg_head_size <= PG_HEAD_MAX). `expected`: length of the body
 * when it is known, else PG_LENGTH_UNKNOWN; only to allocate the right size. False: no memory. */
bool exchange_set_head(struct exchange *exchange, unsigned status, const struct pg_field *fields, size_t count, uint64_t expected);

enum exchange_added { EXCHANGE_ADDED, EXCHANGE_FULL, EXCHANGE_NO_MEMORY };

/* Body bytes: all of them, or none. EXCHANGE_FULL: not before an ACK. */
enum exchange_added exchange_add(struct exchange *exchange, const void *bytes, size_t length);

/* The body is complete. */
void exchange_complete(struct exchange *exchange);

/* It ends with a RESET, whatever was sent before. `sentence` is copied. */
void exchange_reset(struct exchange *exchange, enum pg_reason reason, const char *sentence);

/* May as much be under way as the handler takes? */
bool exchange_is_wide(const struct exchange *exchange);

/* Does the window hold the response up, and could it be larger? */
bool exchange_wants_width(const struct exchange *exchange);

/* From now on as much may be under way as the handler takes. */
void exchange_widen(struct exchange *exchange);

/* An acknowledgement of response bytes. False: of more than was sent. */
bool exchange_acked(struct exchange *exchange, uint64_t received);

/* A RESUME from the handler, with what it has. False: it has more than there was. What it had
 * acknowledged already is old news, and changes nothing. */
bool exchange_resume(struct exchange *exchange, uint64_t received, bool head_seen, bool end_seen);

/* --- Frames --- */

/* Size of the whole frame to be sent next, or 0 when there is none. */
size_t exchange_next(struct exchange *exchange);

/* Writes that frame; `instance` goes into a RESUME. Call with no other call in between. */
void exchange_put(struct exchange *exchange, const struct pg_id *instance, uint8_t *to);

/* Has all that there is to send been sent, the end included? */
bool exchange_is_sent(const struct exchange *exchange);

/* Bytes of memory it keeps for sending again. */
size_t exchange_kept(const struct exchange *exchange);

/* Gives them up: from now on it is only known not to be started twice. */
void exchange_drop_kept(struct exchange *exchange);

#endif
