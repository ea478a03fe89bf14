#include "answer.h"

#include <microhttpd.h>
#include <string.h>

enum { PAGE_MAX = 5000 };

struct kind {
    unsigned status;
    const char *code;
    const char *title;
    const char *text;
    bool retry;
};

static const struct kind kinds[ANSWERS] = {
    [ANSWER_NO_TUNNEL] = {404, "no-tunnel", "There is no tunnel here",
                          "The address names no tunnel, or its client has not been attached lately. Check the address, "
                          "and that pg-client is running.",
                          false},
    [ANSWER_CLIENT_AWAY] = {503, "client-away", "The tunnel's client is away",
                            "The client of this tunnel was here lately but did not come back in time. Try again.", true},
    [ANSWER_OVERLOADED] = {503, "overloaded", "Too many requests",
                           "Too many requests are waiting or in flight. Try again in a moment.", true},
    [ANSWER_HEADER_TOO_LARGE] = {431, "header-too-large", "The request's header is too large",
                                 "The request's target and header fields together are larger than the limit.", false},
    [ANSWER_BODY_TOO_LARGE] = {413, "body-too-large", "The request's body is too large",
                               "The request's body is larger than the limit.", false},
    [ANSWER_BAD_REQUEST] = {400, "bad-request", "The request is not valid", "The request cannot be passed on as it is.", false},
    [ANSWER_LOCAL_SERVICE] = {502, "local-service", "The local service did not answer",
                              "The tunnel works, but the service behind it gave no valid response.", false},
    [ANSWER_TIMEOUT] = {504, "timeout", "The local service took too long",
                        "The tunnel works, but the service behind it sent no response in time.", false},
    [ANSWER_BUS_UNAVAILABLE] = {503, "bus-unavailable", "The tunnel server is not ready",
                                "The server cannot reach its message bus. Try again in a moment.", true},
    [ANSWER_CLIENT_LOST] = {502, "client-lost", "The tunnel's client was lost",
                            "The client went away while it worked on this request.", false},
};

const char *answer_code(enum answer answer) {
    return kinds[answer].code;
}

unsigned answer_status(enum answer answer) {
    return kinds[answer].status;
}

static void write_html(struct pg_text *page, const struct kind *kind, const char *detail, size_t length) {
    pg_text_add(page,
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">"
                "<meta name=\"viewport\" content=\"width=device-width\"><title>%d %s</title>"
                "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em;color:#223}"
                "h1{font-size:1.4em}code{background:#eef;padding:.1em .3em}</style><h1>%s</h1><p>%s</p>",
                kind->status, kind->title, kind->title, kind->text);
    if (length) {
        pg_text_add(page, "<p><code>");
        pg_text_add_html(page, detail, length);
        pg_text_add(page, "</code></p>");
    }
    pg_text_add(page, "<p><small>PipeGate &middot; %u %s</small></p></html>\n", kind->status, kind->code);
}

static void write_text(struct pg_text *page, const struct kind *kind, const char *detail, size_t length) {
    pg_text_add(page, "%u %s\n%s\n", kind->status, kind->title, kind->text);
    if (length) {
        pg_text_add_bytes(page, detail, length);
        pg_text_add(page, "\n");
    }
}

/* Detail comes from a client: a line of printable text, cut where it gets long. */
static size_t clean(char *to, size_t size, const char *detail, size_t length) {
    if (length > size) length = size;
    for (size_t i = 0; i < length; i++) to[i] = (unsigned char)detail[i] < 0x20 || detail[i] == 0x7f ? ' ' : detail[i];
    return length;
}

void answer_write(struct pg_text *to, enum answer answer, const char *detail, size_t detail_length, bool html, bool head_only) {
    const struct kind *kind = &kinds[answer];
    char body[PAGE_MAX], cleaned[512];
    struct pg_text page = pg_text_in(body, sizeof body);
    detail_length = clean(cleaned, sizeof cleaned, detail, detail_length);
    (html ? write_html : write_text)(&page, kind, cleaned, detail_length);
    pg_text_add(to,
                "Status: %d %s\r\nContent-Type: text/%s; charset=utf-8\r\nX-Pipegate-Error: %s\r\n"
                "Cache-Control: no-store\r\n%sContent-Length: %zu\r\n\r\n",
                kind->status, kind->title, html ? "html" : "plain", kind->code, kind->retry ? "Retry-After: 5\r\n" : "",
                page.length);
    if (!head_only) pg_text_add_bytes(to, page.data, page.length);
}

void answer_write_plain(struct pg_text *to, unsigned status, const char *error, const char *type, const char *body, size_t length,
                        bool head_only) {
    pg_text_add(to, "Status: %u %s\r\n", status, MHD_get_reason_phrase_for(status));
    if (error) pg_text_add(to, "X-Pipegate-Error: %s\r\n", error);
    pg_text_add(to, "Content-Type: %s\r\nCache-Control: no-store\r\nContent-Length: %zu\r\n\r\n", type, length);
    if (!head_only) pg_text_add_bytes(to, body, length);
}
