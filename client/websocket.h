/* The framing of WebSocket (RFC 6455 section 5), the client's side. Pure.
 *
 * Written out here because a client must mask what it sends and libwebsockets does both that and the receiving one byte
 * at a time: 5.1 s of CPU for a gigabyte received and 2.2 s for one sent (4.1.6, measured), against 0.1 s this way. */
#ifndef CLIENT_WEBSOCKET_H
#define CLIENT_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WS_HEADER_MAX = 14,   /* bytes before a payload, the mask included */
    WS_CONTROL_MAX = 125, /* payload of a ping, pong or close */
    WS_MASK = 4
};

enum ws_opcode { WS_CONTINUATION = 0, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

enum {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_NONE = 1005 /* never sent: "the close frame named no code" */
};

struct ws_header {
    enum ws_opcode opcode;
    bool final;
    size_t size;   /* of the header itself */
    size_t length; /* of the payload that follows */
};

enum ws_result { WS_OK, WS_MORE, WS_BAD };

/* Reads the header of a frame that a server sent. WS_MORE: the `available` bytes do not hold all of it. WS_BAD: *error
 * is a constant sentence; reserved bits or opcodes, a masked frame, a control frame that is fragmented or too long, a
 * payload of more than `max` bytes. */
enum ws_result ws_decode(const uint8_t *bytes, size_t available, size_t max, struct ws_header *header, const char **error);

/* Bytes of the header of a client's frame with such a payload. */
size_t ws_header_size(size_t payload);

/* Writes the header of a whole (final) frame, the mask included; returns its size. */
size_t ws_put_header(uint8_t *to, enum ws_opcode opcode, size_t payload, const uint8_t mask[WS_MASK]);

/* Masks a payload in place, from its first byte. */
void ws_mask(uint8_t *bytes, size_t length, const uint8_t mask[WS_MASK]);

#endif
