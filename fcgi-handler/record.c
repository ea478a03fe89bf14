#include "record.h"

#include "bytes.h"

#include <string.h>

enum { VERSION = 1, BEGIN = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5 };

enum request_presence record_presence(const uint8_t *bytes, size_t length) {
    size_t at = 0;
    uint16_t request = 0;
    bool params_ended = false;
    while (length - at >= RECORD_HEADER) {
        const uint8_t *record = bytes + at;
        uint16_t id = pg_get_u16(record + 2);
        size_t content = pg_get_u16(record + 4);
        if (record[0] != VERSION) return REQUEST_MALFORMED;
        if (at == 0) {
            if (record[1] != BEGIN || id == 0) return REQUEST_MALFORMED;
            request = id;
        } else if (id != request || record[1] != (params_ended ? STDIN : PARAMS)) {
            /* Id 0 would be a management record; libfcgi's answer to GET_VALUES can overflow its buffer. */
            return REQUEST_MALFORMED;
        }
        size_t whole = RECORD_HEADER + content + record[6];
        if (whole > length - at) break;
        at += whole;
        if (record[1] == STDIN && content == 0) return REQUEST_WHOLE;
        if (record[1] == PARAMS && content == 0) params_ended = true;
    }
    return params_ended ? REQUEST_HEAD : REQUEST_PARTIAL;
}

bool record_is_stdin(const uint8_t header[RECORD_HEADER], uint16_t request, size_t *length) {
    *length = pg_get_u16(header + 4);
    return header[0] == VERSION && header[1] == STDIN && pg_get_u16(header + 2) == request;
}

bool record_is_empty_stdin(const uint8_t header[RECORD_HEADER], uint16_t request) {
    size_t length;
    return record_is_stdin(header, request, &length) && length == 0 && header[6] == 0;
}

enum record_skipped record_skip(struct record_skip *skip, const uint8_t *bytes, size_t length, size_t *used) {
    uint8_t header[RECORD_HEADER];
    *used = 0;
    for (;;) {
        size_t step = skip->left < length - *used ? skip->left : length - *used;
        skip->left -= step;
        *used += step;
        if (skip->left > 0) return RECORD_SKIP_MORE;
        if (skip->last) return RECORD_SKIP_OVER;
        size_t kept = skip->header_length, missing = RECORD_HEADER - kept;
        if (length - *used < missing) return RECORD_SKIP_MORE;
        memcpy(header, skip->header, kept);
        memcpy(header + kept, bytes + *used, missing);
        if (header[0] != VERSION) return RECORD_SKIP_BAD;
        if (header[1] == BEGIN && kept == 0) return RECORD_SKIP_OVER; /* Apache sends nothing more of a request that was answered */
        if (header[1] != STDIN) return RECORD_SKIP_BAD;
        *used += missing;
        skip->header_length = 0;
        skip->left = (size_t)pg_get_u16(header + 4) + header[6];
        skip->last = pg_get_u16(header + 4) == 0;
    }
}

void record_skip_keep(struct record_skip *skip, const uint8_t *bytes, size_t length) {
    memcpy(skip->header + skip->header_length, bytes, length);
    skip->header_length += length;
}

void record_put(uint8_t to[RECORD_HEADER], uint8_t type, uint16_t request, size_t length) {
    memset(to, 0, RECORD_HEADER);
    to[0] = VERSION;
    to[1] = type;
    pg_put_u16(to + 2, request);
    pg_put_u16(to + 4, (uint16_t)length);
}

void record_put_end(uint8_t to[RECORD_END_SIZE], uint16_t request) {
    memset(to, 0, RECORD_END_SIZE);
    record_put(to, RECORD_STDOUT, request, 0);
    record_put(to + RECORD_HEADER, END_REQUEST, request, RECORD_HEADER); /* its body is 8 bytes of 0 */
}
