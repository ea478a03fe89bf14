#include "websocket.h"

#include "bytes.h"

#include <string.h>

enum { FINAL = 0x80, RESERVED = 0x70, OPCODE = 0x0f, MASKED = 0x80, LENGTH = 0x7f, CONTROL = 0x08 };
enum { LENGTH_16 = 126, LENGTH_64 = 127 }; /* values of the length's seven bits */

static bool is_known(unsigned opcode) {
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

enum ws_result ws_decode(const uint8_t *bytes, size_t available, size_t max, struct ws_header *header, const char **error) {
    if (available < 2) return WS_MORE;
    unsigned opcode = bytes[0] & OPCODE;
    uint64_t length = bytes[1] & LENGTH;
    header->opcode = (enum ws_opcode)opcode;
    header->final = (bytes[0] & FINAL) != 0;
    header->size = length == LENGTH_16 ? 4 : length == LENGTH_64 ? 10 : 2;
    *error = NULL;
    if (bytes[0] & RESERVED) *error = "reserved bits are set";
    else if (!is_known(opcode)) *error = "unknown opcode";
    else if (bytes[1] & MASKED) *error = "a server's frame is masked";
    else if ((opcode & CONTROL) && (!header->final || length > WS_CONTROL_MAX)) *error = "bad control frame";
    if (*error) return WS_BAD;
    if (available < header->size) return WS_MORE;
    if (length == LENGTH_16) length = pg_get_u16(bytes + 2);
    else if (length == LENGTH_64) length = pg_get_u64(bytes + 2);
    if (length > max) {
        *error = "a frame is longer than allowed";
        return WS_BAD;
    }
    header->length = (size_t)length;
    return WS_OK;
}

size_t ws_header_size(size_t payload) {
    return (payload < LENGTH_16 ? 2u : payload <= UINT16_MAX ? 4u : 10u) + WS_MASK;
}

size_t ws_put_header(uint8_t *to, enum ws_opcode opcode, size_t payload, const uint8_t mask[WS_MASK]) {
    size_t size = ws_header_size(payload);
    to[0] = (uint8_t)(FINAL | opcode);
    if (payload < LENGTH_16) {
        to[1] = (uint8_t)(MASKED | payload);
    } else if (payload <= UINT16_MAX) {
        to[1] = MASKED | LENGTH_16;
        pg_put_u16(to + 2, (uint16_t)payload);
    } else {
        to[1] = MASKED | LENGTH_64;
        pg_put_u64(to + 2, payload);
    }
    memcpy(to + size - WS_MASK, mask, WS_MASK);
    return size;
}

void ws_mask(uint8_t *bytes, size_t length, const uint8_t mask[WS_MASK]) {
    uint64_t wide, word;
    memcpy(&wide, mask, WS_MASK);
    memcpy((uint8_t *)&wide + WS_MASK, mask, WS_MASK);
    size_t i = 0;
    for (; i + sizeof word <= length; i += sizeof word) { /* eight at a time, at any alignment */
        memcpy(&word, bytes + i, sizeof word);
        word ^= wide;
        memcpy(bytes + i, &word, sizeof word);
    }
    for (; i < length; i++) bytes[i] ^= mask[i % WS_MASK];
}
