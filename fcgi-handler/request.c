#include "request.h"

#include "http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The parameters that are no HTTP_ fields. */
struct params {
    const char *method;
    const char *uri;
    const char *prefix;
    const char *remote;
    const char *scheme;
    const char *https;
    const char *software;
    const char *protocol;
    const char *content_length;
    const char *content_type;
    const char *host;
    const char *forwarded_for;
    const char *http_content_length;
    const char *http_content_type;
    const char *transfer_encoding;
    const char *accept;
};

struct param_name {
    const char *name;
    size_t length;
    size_t offset;
};

#define PARAM(name, member)                                                                                                        \
    { name, sizeof(name) - 1, offsetof(struct params, member) }
static const struct param_name param_names[] = {
    PARAM("REQUEST_METHOD", method),
    PARAM("REQUEST_URI", uri),
    PARAM("PIPEGATE_PREFIX", prefix),
    PARAM("REMOTE_ADDR", remote),
    PARAM("REQUEST_SCHEME", scheme),
    PARAM("HTTPS", https),
    PARAM("SERVER_PROTOCOL", protocol),
    PARAM("SERVER_SOFTWARE", software),
    PARAM("CONTENT_LENGTH", content_length),
    PARAM("CONTENT_TYPE", content_type),
    PARAM("HTTP_HOST", host),
    PARAM("HTTP_X_FORWARDED_FOR", forwarded_for),
    PARAM("HTTP_CONTENT_LENGTH", http_content_length),
    PARAM("HTTP_CONTENT_TYPE", http_content_type),
    PARAM("HTTP_TRANSFER_ENCODING", transfer_encoding),
    PARAM("HTTP_ACCEPT", accept),
};
#undef PARAM

/* A front sends some forty for each request. */
static void find_params(char **list, struct params *params) {
    memset(params, 0, sizeof *params);
    for (; *list; list++) {
        const char *equals = strchr(*list, '=');
        size_t length = equals ? (size_t)(equals - *list) : 0;
        for (size_t i = 0; i < sizeof param_names / sizeof *param_names; i++) {
            if (param_names[i].length != length || memcmp(*list, param_names[i].name, length) != 0) continue;
            const char **member = (const char **)(void *)((char *)params + param_names[i].offset);
            *member = equals + 1;
            break;
        }
    }
}

static bool is_caddy(const struct params *params) {
    return params->software && strncmp(params->software, "Caddy", 5) == 0;
}

static bool is_lighttpd(const struct params *params) {
    return params->software && strncmp(params->software, "lighttpd", 8) == 0;
}

/* --- text and fields --- */

/* Room for `length` bytes in the request's text, or NULL. */
static char *reserve(struct request *request, size_t length) {
    if (length > sizeof request->text - request->text_length) return NULL;
    char *at = request->text + request->text_length;
    request->text_length += length;
    return at;
}

static bool add_field(struct request *request, const char *name, size_t name_length, const char *value, size_t value_length) {
    if (request->field_count == REQUEST_FIELDS_MAX || name_length > UINT16_MAX || value_length > PG_HEAD_MAX) return false;
    request->fields[request->field_count++] = (struct pg_field){
        .name = name, .name_length = (uint16_t)name_length, .value = value, .value_length = (uint32_t)value_length};
    return true;
}

static bool add_named(struct request *request, const char *name, const char *value) {
    return add_field(request, name, strlen(name), value, strlen(value));
}

/* HTTP_ACCEPT_ENCODING -> Accept-Encoding: the front has lost how it was written. */
static bool add_http_param(struct request *request, const char *name, size_t length, const char *value) {
    char *text = reserve(request, length);
    if (!text) return false;
    for (size_t i = 0; i < length; i++) {
        bool first = i == 0 || name[i - 1] == '_';
        char c = name[i];
        if (c == '_') c = '-';
        else if (!first && c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        text[i] = c;
    }
    return add_field(request, text, length, value, strlen(value));
}

/* Fields that are ours to set or that frame the message; what visitors send of them goes no further. `Proxy` would become
 * HTTP_PROXY in a CGI program behind the tunnel (httpoxy, CVE-2016-5385). */
static bool is_ours(const struct pg_field *field) {
    static const char *const names[] = {
        "content-length",   "content-type",      "host", "proxy", "cookie", "x-forwarded-for", "x-forwarded-proto",
        "x-forwarded-host", "x-forwarded-prefix"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (pg_http_name_is(field, names[i])) return true;
    return field->name_length >= 11 && strncasecmp(field->name, "x-pipegate-", 11) == 0;
}

/* Caddy joins repeated fields with ", "; in a Cookie that must be "; " (RFC 9110 5.3, RFC 6265 5.4). A cookie's own value holds
 * no ", name=" unless it is JSON, whose names are quoted. */
static void split_cookies(char *text, size_t length) {
    for (size_t i = 0; i + 2 < length; i++) {
        if (text[i] != ',' || text[i + 1] != ' ') continue;
        size_t name = i + 2;
        while (name < length && text[name] != '=' && text[name] != ';' && text[name] != ',') name++;
        if (name < length && text[name] == '=' && pg_http_is_token(text + i + 2, name - i - 2)) text[i] = ';';
    }
}

/* All Cookie parameters as one field. */
static bool add_cookies(struct request *request, char **params) {
    char *first = NULL;
    size_t length = 0;
    for (; *params; params++) {
        if (strncmp(*params, "HTTP_COOKIE=", 12) != 0) continue;
        const char *value = *params + 12;
        size_t add = strlen(value);
        char *text = reserve(request, add + (first ? 2 : 0));
        if (!text) return false;
        if (first) {
            memcpy(text, "; ", 2);
            text += 2;
            length += 2;
        } else {
            first = text;
        }
        memcpy(text, value, add);
        length += add;
    }
    if (!first) return true;
    split_cookies(first, length);
    return add_field(request, "Cookie", 6, first, length);
}

static bool add_fields(struct request *request, char **params) {
    for (char **param = params; *param; param++) {
        if (strncmp(*param, "HTTP_", 5) != 0) continue;
        const char *name = *param + 5;
        const char *equals = strchr(name, '=');
        if (!equals || equals == name) continue;
        if (!add_http_param(request, name, (size_t)(equals - name), equals + 1)) return false;
    }
    return true;
}

/* Caddy makes an empty User-Agent of none, so that Go adds none of its own. */
static bool is_invented(const struct pg_field *field, bool caddy) {
    return caddy && field->value_length == 0 && pg_http_name_is(field, "user-agent");
}

static void drop_ours(struct request *request, bool caddy) {
    size_t kept = 0;
    for (size_t i = 0; i < request->field_count; i++)
        if (!is_ours(&request->fields[i]) && !is_invented(&request->fields[i], caddy)) request->fields[kept++] = request->fields[i];
    request->field_count = kept;
}

/* The front may have added the address already (Caddy does); then the last member is the one it saw. */
static bool add_forwarded_for(struct request *request, const struct params *params) {
    const char *before = params->forwarded_for ? params->forwarded_for : "";
    const char *remote = params->remote ? params->remote : "";
    size_t before_length = strlen(before), remote_length = strlen(remote);
    if (!remote_length && !before_length) return true;
    const char *last = strrchr(before, ',');
    last = last ? last + 1 + strspn(last + 1, " \t") : before;
    if (!remote_length || strcmp(last, remote) == 0) return add_named(request, "X-Forwarded-For", before);
    char *text = reserve(request, before_length + remote_length + 3);
    if (!text) return false;
    int length = snprintf(text, before_length + remote_length + 3, "%s%s%s", before, before_length ? ", " : "", remote);
    return add_field(request, "X-Forwarded-For", 15, text, (size_t)length);
}

static bool add_own_fields(struct request *request, const struct params *params, const char *prefix, size_t prefix_length,
                           const struct pg_id *exchange) {
    bool https = (params->https && *params->https && strcasecmp(params->https, "off") != 0) ||
                 (params->scheme && strcasecmp(params->scheme, "https") == 0);
    char *id = reserve(request, PG_UUID_TEXT + 1);
    if (!id) return false;
    pg_id_uuid(exchange, id);
    return add_forwarded_for(request, params) && add_named(request, "X-Forwarded-Proto", https ? "https" : "http") &&
           (!params->host || add_named(request, "X-Forwarded-Host", params->host)) &&
           add_field(request, "X-Forwarded-Prefix", 18, prefix, prefix_length) &&
           add_named(request, "X-Pipegate-Correlation-Id", id);
}

/* --- target --- */

/* Absolute form (RFC 9112 3.2.2): keeps its path. */
static const char *path_of(const char *uri) {
    const char *colon = strstr(uri, "://");
    if (*uri == '/' || !colon) return uri;
    const char *path = strpbrk(colon + 3, "/?");
    return path ? path : "/";
}

enum own_page_kind own_page_find(const char *path) {
    if (strcmp(path, "/-/healthz") == 0) return OWN_PAGE_HEALTH;
    if (strcmp(path, "/-/readyz") == 0) return OWN_PAGE_READY;
    return strcmp(path, "/-/metrics") == 0 ? OWN_PAGE_METRICS : OWN_PAGE_NONE;
}

static enum request_kind find_tunnel(struct request *request, const char *path, const char **behind) {
    request->page = own_page_find(path);
    if (request->page != OWN_PAGE_NONE) return REQUEST_OWN_PAGE;
    if (*path != '/' || strlen(path) < 1 + PG_UUID_TEXT) return REQUEST_NO_TUNNEL;
    if (!pg_id_parse_uuid(path + 1, PG_UUID_TEXT, &request->tunnel)) return REQUEST_NO_TUNNEL;
    *behind = path + 1 + PG_UUID_TEXT;
    return **behind == '\0' || **behind == '/' || **behind == '?' ? REQUEST_TUNNEL : REQUEST_NO_TUNNEL;
}

/* Sets kind, tunnel and target; *prefix is the part of the path before the target. */
static bool read_target(struct request *request, const struct params *params, const char **prefix, size_t *prefix_length) {
    const char *behind = NULL;
    const char *path = path_of(params->uri);
    size_t site = params->prefix ? strlen(params->prefix) : 0;
    *prefix = path;
    *prefix_length = 0;
    request->kind = REQUEST_NO_TUNNEL;
    if (site && strncmp(path, params->prefix, site) != 0) return true;
    request->kind = find_tunnel(request, path + site, &behind);
    if (request->kind != REQUEST_TUNNEL) return true;
    *prefix_length = (size_t)(behind - path);
    if (*behind == '/') {
        request->open.target = behind;
        request->open.target_length = strlen(behind);
        return true;
    }
    char *text = reserve(request, strlen(behind) + 2);
    if (!text) return false;
    text[0] = '/';
    strcpy(text + 1, behind);
    request->open.target = text;
    request->open.target_length = strlen(text);
    return true;
}

/* --- body and content --- */

/* Caddy's releases from 2.7.6 on abort the visitor's connection when ours breaks; those before end the response as if it were complete.
 * Debian's 2.6.2 does not tell its version. */
static bool is_old_caddy(const struct params *params) {
    int major = 0, minor = 0, patch = 0;
    if (!is_caddy(params)) return false;
    if (sscanf(params->software, "Caddy/v%d.%d.%d", &major, &minor, &patch) != 3) return true;
    return major < 2 || (major == 2 && (minor < 7 || (minor == 7 && patch < 6)));
}

/* lighttpd ends an HTTP/2 stream as if it were complete when the program behind it fails, and gives an HTTP/1.1 response whose head it
 * has not sent yet the length of what is there. */
static enum visit_break breaks_of(const struct params *params) {
    if (is_old_caddy(params)) return VISIT_BREAK_NEVER;
    if (!is_lighttpd(params)) return VISIT_BREAK_AT_ONCE;
    return params->protocol && strncmp(params->protocol, "HTTP/2", 6) == 0 ? VISIT_BREAK_NEVER : VISIT_BREAK_LATE;
}

static bool read_body_length(struct request *request, const struct params *params) {
    const char *text = params->content_length && *params->content_length ? params->content_length : params->http_content_length;
    bool coded = params->transfer_encoding && *params->transfer_encoding;
    request->open.body_length = PG_LENGTH_UNKNOWN;
    request->has_body = request->chunked = false;
    if (coded || (text && strcmp(text, "-1") == 0)) { /* -1: Caddy's way to say chunked */
        request->has_body = request->chunked = true;
        return true;
    }
    if (!text || !*text) return true;
    if (!pg_http_parse_length(text, strlen(text), &request->open.body_length)) return false;
    /* Caddy and lighttpd say 0 also where the visitor sent no Content-Length; its own field tells them apart. */
    if (request->open.body_length == 0 && (is_caddy(params) || is_lighttpd(params)) && !params->http_content_length)
        request->open.body_length = PG_LENGTH_UNKNOWN;
    else request->has_body = true;
    return true;
}

/* Caddy invents a CONTENT_TYPE where the visitor sent none; Apache gives no HTTP_CONTENT_TYPE. */
static bool add_content_type(struct request *request, const struct params *params) {
    if (params->http_content_type) return add_named(request, "Content-Type", params->http_content_type);
    if (is_caddy(params) || !params->content_type || !*params->content_type) return true;
    return add_named(request, "Content-Type", params->content_type);
}

static const char *find_wrong(const struct request *request) {
    if (!pg_http_is_token(request->open.method, request->open.method_length)) return "the method is not valid";
    if (request->kind == REQUEST_TUNNEL && !pg_http_is_target(request->open.target, request->open.target_length))
        return "the request target holds a control byte or a space";
    for (size_t i = 0; i < request->field_count; i++) {
        const struct pg_field *field = &request->fields[i];
        if (!pg_http_is_token(field->name, field->name_length)) return "a header field's name is not valid";
        if (!pg_http_is_value(field->value, field->value_length)) return "a header field's value holds a line break";
    }
    return NULL;
}

enum request_result request_read(struct request *request, char **list, const struct pg_id *exchange, size_t head_max) {
    struct params params;
    const char *prefix;
    size_t prefix_length;
    find_params(list, &params);
    request->text_length = 0;
    request->field_count = 0;
    request->wrong = "the web server sent no REQUEST_METHOD or REQUEST_URI: see its pipegate configuration";
    request->wants_html = params.accept && strstr(params.accept, "text/html");
    request->head_ends_body = params.software && strncmp(params.software, "nginx", 5) == 0;
    request->breaks = breaks_of(&params);
    request->open = (struct pg_open){.method = params.method ? params.method : "GET",
                                     .target = "/",
                                     .target_length = 1,
                                     .visitor = params.remote ? params.remote : ""};
    request->open.method_length = strlen(request->open.method);
    request->open.visitor_length = strlen(request->open.visitor);
    request->kind = REQUEST_NO_TUNNEL;
    if (!params.method || !params.uri) return REQUEST_BAD;
    if (request->open.method_length > UINT16_MAX || request->open.visitor_length > UINT16_MAX) return REQUEST_TOO_LARGE;
    if (!read_body_length(request, &params)) {
        request->wrong = "the Content-Length is not valid";
        return REQUEST_BAD;
    }
    if (!read_target(request, &params, &prefix, &prefix_length) || !add_fields(request, list)) return REQUEST_TOO_LARGE;
    request->field_count = pg_http_strip_hop_by_hop(request->fields, request->field_count);
    drop_ours(request, is_caddy(&params));
    if (!add_content_type(request, &params) || !add_cookies(request, list) ||
        !add_own_fields(request, &params, prefix, prefix_length, exchange) ||
        pg_open_size(&request->open, request->fields, request->field_count) > head_max)
        return REQUEST_TOO_LARGE;
    request->wrong = find_wrong(request);
    return request->wrong ? REQUEST_BAD : REQUEST_FINE;
}
