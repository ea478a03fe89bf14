#include "gate.h"

#include "http.h"
#include "units.h"

#include <string.h>
#include <strings.h>

enum { KEY_MAX = 127 }; /* libwebsockets hangs up without a word on longer ones */

bool gate_tunnel(const char *path, struct pg_id *tunnel) {
    const char *slash = strrchr(path, '/');
    return slash && pg_id_parse_uuid(slash + 1, strlen(slash + 1), tunnel);
}

static bool lists(const char *list, const char *word) {
    const struct pg_field wanted = {.name = word, .name_length = (uint16_t)strlen(word)};
    return pg_http_list_names(list, strlen(list), &wanted);
}

static const char *check_token(const struct pg_secret *secret, const char *authorization, const struct pg_id *tunnel,
                               uint64_t now) {
    static const char scheme[] = "Bearer ";
    if (!*authorization) return "no token was sent";
    if (strncasecmp(authorization, scheme, sizeof scheme - 1) != 0) return "the token must be sent as a Bearer token";
    return pg_token_check(secret, authorization + sizeof scheme - 1, tunnel, now);
}

static struct gate_verdict refuse(struct gate_verdict verdict, enum gate_status status, const char *sentence) {
    verdict.status = status;
    verdict.sentence = sentence;
    return verdict;
}

struct gate_verdict gate_judge(const struct pg_secret *secret, const struct gate_request *request, uint64_t now) {
    struct gate_verdict verdict = {.status = GATE_OPEN};
    if (!gate_tunnel(request->path, &verdict.tunnel))
        return refuse(verdict, GATE_NOT_FOUND, "the last part of the path is no tunnel id (a UUID)");
    verdict.has_tunnel = true;
    if (strcasecmp(request->upgrade, "websocket") != 0)
        return refuse(verdict, GATE_NO_WEBSOCKET, "tunnel clients attach here, by WebSocket");
    if (!lists(request->connection, "upgrade"))
        return refuse(verdict, GATE_BAD_REQUEST, "the Connection field does not name upgrade: a proxy took it away");
    if (strcmp(request->version, "13") != 0 || !*request->key || strlen(request->key) > KEY_MAX)
        return refuse(verdict, GATE_BAD_REQUEST, "this is no WebSocket handshake of version 13");
    if (!lists(request->protocols, GATE_SUBPROTOCOL))
        return refuse(verdict, GATE_BAD_REQUEST, "the subprotocol must be " GATE_SUBPROTOCOL ": is the client up to date?");
    if (!pg_id_parse_hex(request->instance, strlen(request->instance), &verdict.instance))
        return refuse(verdict, GATE_BAD_REQUEST, "the X-Pipegate-Instance field is not 32 hexadecimal digits");
    uint64_t attempt = 0;
    if (*request->attempt && (!pg_parse_count(request->attempt, &attempt) || attempt > UINT32_MAX))
        return refuse(verdict, GATE_BAD_REQUEST, "the X-Pipegate-Attempt field is no number of 32 bits");
    verdict.attempt = (uint32_t)attempt;
    const char *wrong = secret ? check_token(secret, request->authorization, &verdict.tunnel, now) : NULL;
    return wrong ? refuse(verdict, GATE_UNAUTHORIZED, wrong) : verdict;
}
