/* The frame format of lib/WIRE.md. Pure: no I/O, no logging, no allocation. Decoded structs point into the bytes they were
 * decoded from and are valid as long as those. */
#ifndef PG_WIRE_H
#define PG_WIRE_H

#include "id.h"

enum {
    PG_WIRE_VERSION = 1,
    PG_FRAME_HEADER = 48,
    PG_FRAME_MAX = 65360,
    PG_DATA_MAX = PG_FRAME_MAX - PG_FRAME_HEADER,
    PG_HEAD_MAX = 49152, /* request head, response head */
    PG_RESPONSE_FIELDS_MAX = 1000,
    PG_WINDOW = 1048576,             /* unacknowledged bytes per exchange and direction that a receiver takes */
    PG_WINDOW_FIRST = PG_WINDOW / 4, /* what a sender begins with: pg_flow_first */
    PG_WIDE_MAX = 16,                /* streams of a process that may have sent more */
    PG_ACK_ENTRY = 32,
    PG_ACK_MAX = 1024,   /* entries in a frame */
    PG_REASON_MAX = 512, /* bytes of a RESET's sentence */
    PG_URL_MAX = 2048,   /* bytes of ATTACHED's public URL */
    PG_ENVELOPE = 40,
    PG_MESSAGE_MAX = PG_ENVELOPE + PG_FRAME_MAX,
    PG_CONTROL = 26
};

#define PG_LENGTH_UNKNOWN UINT64_MAX

enum pg_type { PG_ATTACHED = 1, PG_GOAWAY, PG_RESYNC, PG_OPEN, PG_HEAD, PG_DATA, PG_ACK, PG_RESUME, PG_RESET };

enum pg_flag { PG_END = 0x01, PG_CHUNKED = 0x02, PG_ANSWER = 0x04, PG_UNKNOWN = 0x08, PG_HEAD_SEEN = 0x10, PG_END_SEEN = 0x20 };

enum pg_reason {
    PG_REFUSED = 1,
    PG_MALFORMED,
    PG_BROKEN,
    PG_TIMEOUT,
    PG_NO_EXCHANGE,
    PG_OVERLOADED,
    PG_GONE,
    PG_BODY_BROKEN,
    PG_PROTOCOL
};

enum { PG_ACK_DONE = 0x1 }; /* bits of an ACK entry's state */

struct pg_frame {
    enum pg_type type;
    uint16_t flags;
    uint64_t offset;
    struct pg_id exchange;
    struct pg_id handler;
    const uint8_t *payload;
    size_t length;
};

/* A header field. Not NUL-terminated. */
struct pg_field {
    const char *name;
    const char *value;
    uint16_t name_length;
    uint32_t value_length;
};

/* A list of encoded fields, to be walked with pg_fields_next. */
struct pg_fields {
    const uint8_t *at;
    unsigned left;
};

struct pg_open {
    uint64_t deadline_unix_ms;
    uint64_t body_length; /* PG_LENGTH_UNKNOWN */
    uint32_t first_byte_timeout_ms;
    const char *method;
    size_t method_length;
    const char *target;
    size_t target_length;
    const char *visitor;
    size_t visitor_length;
    struct pg_fields fields; /* decoded */
    const uint8_t *body;     /* decoded */
    size_t body_bytes;       /* decoded: how many of them are here */
};

struct pg_head {
    uint16_t status;
    struct pg_fields fields; /* decoded */
    const uint8_t *body;     /* decoded */
    size_t body_bytes;       /* decoded */
};

struct pg_ack {
    struct pg_id exchange;
    uint64_t received;
    uint32_t state;
};

struct pg_attached {
    uint64_t session;
    uint32_t window;
    uint32_t max_frame;
    const char *url;
    size_t url_length;
};

struct pg_reset {
    enum pg_reason reason;
    const char *sentence;
    size_t sentence_length;
};

/* What stands before a frame in Redis. */
struct pg_envelope {
    struct pg_id tunnel;
    struct pg_id broker;
    uint64_t session;
};

/* A session's number tells which instance it is of and which of that instance's sessions are newer (WIRE.md, Sessions). */
uint64_t pg_session_make(const struct pg_id *instance, uint32_t attempt);
uint32_t pg_session_life(uint64_t session);              /* of the instance; equal for all its sessions; never 0 */
uint32_t pg_instance_life(const struct pg_id *instance); /* the same, from the instance itself */
/* Both of one instance, and `a` attached before `b`? */
bool pg_session_is_older(uint64_t a, uint64_t b);

/* What they say: WIRE.md, Envelope. ROUTED, NOT_TAKEN and MOVED are for handlers, the others for brokers. */
enum pg_control_kind { PG_BELL = 1, PG_PROBE, PG_REPLACED, PG_ROUTED, PG_NOT_TAKEN, PG_MOVED };

struct pg_control {
    enum pg_control_kind kind;
    union {
        struct pg_id tunnel;
        struct pg_id exchange; /* NOT_TAKEN */
    };
    uint64_t session;
};

/* Decodes and checks a whole frame: version, type, flags, exact length, and that the fields unused by the type are 0.
 * Returns NULL, or what is wrong with it (a constant sentence for the log). The payload's inside is checked by the
 * functions below, except for DATA, which has none, and for ACK, whose entries are checked here. */
const char *pg_frame_decode(const uint8_t *bytes, size_t length, struct pg_frame *frame);

/* Each decodes the payload of a frame of its type and checks it to the last byte, fields included. NULL or what is wrong. */
const char *pg_open_decode(const struct pg_frame *frame, struct pg_open *open);
const char *pg_head_decode(const struct pg_frame *frame, struct pg_head *head);
const char *pg_attached_decode(const struct pg_frame *frame, struct pg_attached *attached);
const char *pg_reset_decode(const struct pg_frame *frame, struct pg_reset *reset);

/* The reason of a RESET frame that is not decoded further; 0 when it has none. */
unsigned pg_reset_reason(const struct pg_frame *frame);

/* Number of entries in an ACK frame that decoded well, and entry `i` of them. */
size_t pg_ack_count(const struct pg_frame *frame);
struct pg_ack pg_ack_get(const struct pg_frame *frame, size_t i);

/* The next field of a decoded list; false at its end. */
bool pg_fields_next(struct pg_fields *fields, struct pg_field *field);

/* Writes the 48 bytes of a header from type, flags, offset, exchange, handler and length; payload is not looked at. */
void pg_frame_put(uint8_t to[PG_FRAME_HEADER], const struct pg_frame *frame);

/* Bytes that `count` fields take. */
size_t pg_fields_size(const struct pg_field *fields, size_t count);

/* Bytes of an encoded OPEN or HEAD payload without the body. */
size_t pg_open_size(const struct pg_open *open, const struct pg_field *fields, size_t count);
size_t pg_head_size(const struct pg_field *fields, size_t count);

/* Write such a payload up to the body; `to` has room for the size above, which the caller has checked against the limits
 * (at most PG_HEAD_MAX, at most 65,535 fields). The decoded members of open and head are not looked at. */
void pg_open_put(uint8_t *to, const struct pg_open *open, const struct pg_field *fields, size_t count);
void pg_head_put(uint8_t *to, const struct pg_head *head, const struct pg_field *fields, size_t count);

void pg_ack_put(uint8_t to[PG_ACK_ENTRY], const struct pg_ack *ack);

/* Writes a payload and returns its size; `to` has room for 16 + PG_URL_MAX and for 2 + PG_REASON_MAX bytes. Text that is
 * longer is cut. */
size_t pg_attached_put(uint8_t *to, const struct pg_attached *attached);
size_t pg_reset_put(uint8_t *to, enum pg_reason reason, const char *sentence);

/* The envelope. Decoding wants at least PG_ENVELOPE bytes; the caller has checked. */
void pg_envelope_put(uint8_t to[PG_ENVELOPE], const struct pg_envelope *envelope);
struct pg_envelope pg_envelope_get(const uint8_t from[PG_ENVELOPE]);

/* Control messages between brokers and handlers. False when it is none. */
bool pg_control_decode(const uint8_t *bytes, size_t length, struct pg_control *control);
void pg_control_put(uint8_t to[PG_CONTROL], const struct pg_control *control);

#endif
