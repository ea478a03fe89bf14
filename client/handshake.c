#include "handshake.h"

#include "http.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char subprotocol[] = "pipegate.v1";
static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */

enum { ACCEPT = 29 }; /* base64 of a SHA-1, with its NUL */

static void base64(const uint8_t *from, size_t length, char *to) {
    EVP_EncodeBlock((unsigned char *)to, from, (int)length);
}

char *handshake_key(char key[HANDSHAKE_KEY]) {
    struct pg_id random = pg_id_random();
    base64(random.bytes, sizeof random.bytes, key);
    return key;
}

static void accept_for(const char *key, char to[ACCEPT]) {
    char input[HANDSHAKE_KEY + sizeof guid];
    uint8_t digest[SHA_DIGEST_LENGTH] = {0};
    snprintf(input, sizeof input, "%s%s", key, guid);
    EVP_Digest(input, strlen(input), digest, NULL, EVP_sha1(), NULL); /* failing, it gives what no server sends */
    base64(digest, sizeof digest, to);
}

void handshake_request(struct pg_text *to, const struct server_url *url, const struct pg_id *instance, uint32_t attempt,
                       const char *token, const char *key) {
    char host[SERVER_URL_TEXT], path[SERVER_URL_TEXT], hex[PG_ID_HEX + 1];
    pg_text_add(to, "GET %s HTTP/1.1\r\nHost: %s\r\n", server_url_path(url, path), server_url_host(url, host));
    pg_text_add(to, "Upgrade: websocket\r\nConnection: Upgrade\r\n");
    pg_text_add(to, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n", key);
    pg_text_add(to, "Sec-WebSocket-Protocol: %s\r\n", subprotocol);
    pg_text_add(to, "X-Pipegate-Instance: %s\r\n", pg_id_hex(instance, hex));
    pg_text_add(to, "X-Pipegate-Attempt: %u\r\n", (unsigned)attempt);
    if (token) pg_text_add(to, "Authorization: Bearer %s\r\n", token);
    pg_text_add(to, "\r\n");
}

/* The answer's head: lines from `at` to `end`, where its empty line begins. */
struct head {
    const char *at, *end;
};

/* Finds the first field of that name. */
static bool find(const struct head *head, const char *lower, struct pg_field *found) {
    const char *at = memchr(head->at, '\n', (size_t)(head->end - head->at));
    while (at && ++at < head->end) {
        const char *next = memchr(at, '\n', (size_t)(head->end - at));
        const char *stop = next ? next : head->end;
        const char *colon = memchr(at, ':', (size_t)(stop - at));
        if (colon && colon - at <= UINT16_MAX) {
            const char *value = colon + 1;
            while (value < stop && (*value == ' ' || *value == '\t')) value++;
            while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t' || stop[-1] == '\r')) stop--;
            *found = (struct pg_field){
                .name = at, .name_length = (uint16_t)(colon - at), .value = value, .value_length = (uint32_t)(stop - value)};
            if (pg_http_name_is(found, lower)) return true;
        }
        at = next;
    }
    return false;
}

static bool value_is(const struct head *head, const char *lower, const char *value) {
    struct pg_field field;
    return find(head, lower, &field) && field.value_length == strlen(value) &&
           strncasecmp(field.value, value, field.value_length) == 0;
}

static enum handshake_result bad(struct handshake_answer *answer, const char *said) {
    snprintf(answer->said, sizeof answer->said, "%s", said);
    return HANDSHAKE_BAD;
}

static enum handshake_result check_upgrade(const struct head *head, const char *key, struct handshake_answer *answer) {
    char expected[ACCEPT];
    struct pg_field field, upgrade = {.name = "upgrade", .name_length = 7};
    accept_for(key, expected);
    if (!value_is(head, "upgrade", "websocket")) return bad(answer, "it upgraded to something else than WebSocket");
    if (!find(head, "connection", &field) || !pg_http_list_names(field.value, field.value_length, &upgrade))
        return bad(answer, "its upgrade lacks \"Connection: Upgrade\"");
    if (!find(head, "sec-websocket-accept", &field) || field.value_length != strlen(expected) ||
        memcmp(field.value, expected, field.value_length) != 0)
        return bad(answer, "its Sec-WebSocket-Accept is wrong");
    if (!value_is(head, "sec-websocket-protocol", subprotocol))
        return bad(answer, "it is a WebSocket, but not a PipeGate broker's");
    if (find(head, "sec-websocket-extensions", &field)) return bad(answer, "it uses a WebSocket extension that was not offered");
    return HANDSHAKE_DONE;
}

static void say(struct handshake_answer *answer, const char *text, size_t length) {
    size_t used = 0;
    for (size_t i = 0; i < length && used + 1 < sizeof answer->said; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n' || c == '\r') break;
        answer->said[used++] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    answer->said[used] = '\0';
}

/* What a refusal says: a broker's own words, or where a redirect leads. */
static enum handshake_result refused(const struct head *head, const char *body, size_t body_length, bool ended,
                                     struct handshake_answer *answer) {
    struct pg_field field;
    uint64_t expected = 0;
    answer->ours = find(head, "x-pipegate-error", &field);
    if (answer->ours) {
        say(answer, field.value, field.value_length);
        bool known = find(head, "content-length", &field) && pg_http_parse_length(field.value, field.value_length, &expected);
        if (!ended && (!known || body_length < expected) && body_length < HANDSHAKE_SAID_MAX) return HANDSHAKE_MORE;
        if (body_length && find(head, "content-type", &field) && field.value_length >= 10 &&
            strncasecmp(field.value, "text/plain", 10) == 0)
            say(answer, body, body_length);
    } else if (answer->status >= 300 && answer->status < 400 && find(head, "location", &field)) {
        say(answer, field.value, field.value_length);
    }
    return HANDSHAKE_REFUSED;
}

enum handshake_result handshake_check(const char *bytes, size_t length, bool ended, const char *key,
                                      struct handshake_answer *answer) {
    *answer = (struct handshake_answer){0};
    static const char version[] = "HTTP/1.";
    size_t seen = length < strlen(version) ? length : strlen(version);
    if (memcmp(bytes, version, seen) != 0) return bad(answer, "it does not speak HTTP");
    const char *blank = memmem(bytes, length, "\r\n\r\n", 4);
    size_t head_length = blank ? (size_t)(blank + 4 - bytes) : length;
    if (head_length > HANDSHAKE_ANSWER_MAX) return bad(answer, "its answer's head is too long");
    if (!blank) return ended ? bad(answer, "it hung up in the middle of its answer") : HANDSHAKE_MORE;
    struct head head = {.at = bytes, .end = blank + 2};
    const char *status = bytes + strlen("HTTP/1.1 ");
    if (status + 3 > blank || status[-1] != ' ' || strspn(status, "0123456789") != 3)
        return bad(answer, "its answer has no status");
    answer->status = (unsigned)((status[0] - '0') * 100 + (status[1] - '0') * 10 + (status[2] - '0'));
    answer->consumed = head_length;
    if (answer->status == 101) return check_upgrade(&head, key, answer);
    return refused(&head, blank + 4, length - answer->consumed, ended, answer);
}
