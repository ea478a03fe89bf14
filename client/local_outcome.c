#include "local_outcome.h"

#include <errno.h>

enum { TOO_LARGE = 100 /* CURLE_TOO_LARGE, which libcurl has since 8.6 */ };

static const char *why_not_connected(long os_errno) {
    switch (os_errno) {
    case ENOENT: return "is not there: its socket does not exist";
    case EACCES: return "may not be reached by pg-client: its socket's permissions forbid it";
    case EHOSTUNREACH:
    case ENETUNREACH: return "cannot be reached from here";
    case EMFILE:
    case ENFILE: return "was not reached: pg-client has too many files open";
    default: return "refused the connection";
    }
}

/* Before the first byte of a response. */
static enum pg_reason explain_early(const struct local_failure *failure, const char **phrase) {
    switch (failure->result) {
    case CURLE_COULDNT_RESOLVE_HOST: *phrase = "cannot be found: its name does not resolve"; return PG_REFUSED;
    case CURLE_COULDNT_CONNECT: *phrase = why_not_connected(failure->os_errno); return PG_REFUSED;
    case CURLE_OPERATION_TIMEDOUT: *phrase = "did not accept a connection in time"; return PG_REFUSED;
    case CURLE_GOT_NOTHING: *phrase = "hung up before it answered"; return PG_REFUSED;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_FAIL_REWIND: *phrase = "broke the connection before it answered"; return PG_REFUSED;
    case CURLE_PEER_FAILED_VERIFICATION:
        *phrase = "has a certificate that pg-client does not trust (--target-insecure would)";
        return PG_REFUSED;
    case CURLE_SSL_CONNECT_ERROR: *phrase = "did not complete the TLS handshake"; return PG_REFUSED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY: *phrase = "does not speak HTTP/1.1"; return PG_MALFORMED;
    default: *phrase = "could not be asked"; return PG_REFUSED;
    }
}

/* In the middle of the body. */
static enum pg_reason explain_late(const struct local_failure *failure, const char **phrase) {
    bool hung_up =
        failure->result == CURLE_PARTIAL_FILE || failure->result == CURLE_RECV_ERROR || failure->result == CURLE_SEND_ERROR;
    *phrase = hung_up ? "hung up in the middle of its response" : "sent a response body that is malformed";
    return PG_BROKEN;
}

enum pg_reason local_outcome_explain(const struct local_failure *failure, const char **phrase) {
    if (failure->out_of_memory) {
        *phrase = "answered, but pg-client is out of memory";
        return PG_BROKEN;
    }
    if (failure->wrong) {
        *phrase = failure->wrong;
        return PG_MALFORMED;
    }
    if (failure->head->awaits == RESPONSE_HEAD_DONE) return explain_late(failure, phrase);
    if (failure->result == CURLE_OUT_OF_MEMORY || (int)failure->result == TOO_LARGE) { /* a line beyond its own limit */
        *phrase = "sent a response head that is too large";
        return PG_MALFORMED;
    }
    if (failure->result == CURLE_WEIRD_SERVER_REPLY || failure->result == CURLE_UNSUPPORTED_PROTOCOL)
        return explain_early(failure, phrase);
    if (failure->result == CURLE_OK || failure->head->awaits == RESPONSE_HEAD_FIELDS) {
        *phrase = "hung up in the middle of its response's head";
        return PG_BROKEN;
    }
    return explain_early(failure, phrase);
}
