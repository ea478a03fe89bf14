#include "server_url.h"

#include "http.h"
#include "text.h"
#include "units.h"

#include <string.h>
#include <strings.h>

struct scheme {
    const char *prefix;
    bool tls;
};

static const struct scheme schemes[] = {{"wss://", true}, {"ws://", false}, {"https://", true}, {"http://", false}};

static uint16_t usual_port(const struct server_url *url) {
    return url->tls ? 443 : 80;
}

static bool is_host(const char *text, size_t length) {
    static const char in_name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char in_address[] = "0123456789abcdefABCDEF:.";
    if (length > 3 && text[0] == '[' && text[length - 1] == ']') return strspn(text + 1, in_address) == length - 2;
    return length > 0 && strspn(text, in_name) >= length;
}

/* `authority` is HOST[:PORT], `length` bytes of it. */
static const char *parse_authority(const char *authority, size_t length, struct server_url *url) {
    const char *bracket = memchr(authority, ']', length);
    const char *from = bracket ? bracket : authority;
    const char *colon = memchr(from, ':', length - (size_t)(from - authority));
    size_t host = colon ? (size_t)(colon - authority) : length;
    if (memchr(authority, '@', length)) return "a user name does not belong into it: use --token";
    if (!is_host(authority, host)) return "its host is no name or address";
    if (host >= sizeof url->host) return "its host is too long";
    memcpy(url->host, authority, host);
    url->host[host] = '\0';
    url->port = usual_port(url);
    if (!colon) return NULL;
    char digits[6];
    uint64_t port = 0;
    size_t count = length - host - 1;
    if (count >= sizeof digits) return "its port is out of range";
    memcpy(digits, colon + 1, count);
    digits[count] = '\0';
    if (!pg_parse_count(digits, &port) || port == 0 || port > UINT16_MAX) return "its port is out of range";
    url->port = (uint16_t)port;
    return NULL;
}

/* What was meant to be a UUID and is none must not silently become a prefix. */
static bool looks_like_uuid(const char *text, size_t length) {
    return length >= 30 && length <= 40 && strspn(text, "0123456789abcdefABCDEF-{}") >= length;
}

static const char *parse_path(const char *path, struct server_url *url) {
    size_t length = strlen(path);
    if (strpbrk(path, "?#")) return "it must not have a query or a fragment";
    if (length && !pg_http_is_target(path, length)) return "its path has a space or a control character";
    while (length && path[length - 1] == '/') length--;
    size_t last = length; /* where the last segment begins */
    while (last && path[last - 1] != '/') last--;
    url->made = !pg_id_parse_uuid(path + last, length - last, &url->tunnel);
    if (url->made && looks_like_uuid(path + last, length - last)) return "what ends it is not a UUID";
    if (url->made) url->tunnel = pg_id_random();
    else length = last ? last - 1 : 0;
    if (length >= sizeof url->prefix) return "its path is too long";
    memcpy(url->prefix, path, length);
    url->prefix[length] = '\0';
    return NULL;
}

const char *server_url_parse(const char *text, struct server_url *url) {
    const struct scheme *scheme = NULL;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes && !scheme; i++)
        if (strncasecmp(text, schemes[i].prefix, strlen(schemes[i].prefix)) == 0) scheme = &schemes[i];
    if (!scheme) return "it must begin with wss:// or ws://";
    const char *authority = text + strlen(scheme->prefix);
    size_t length = strcspn(authority, "/?#");
    *url = (struct server_url){.tls = scheme->tls};
    const char *error = parse_authority(authority, length, url);
    return error ? error : parse_path(authority + length, url);
}

/* Each text fits: host, port, prefix and UUID take less than 1,400 bytes. */
char *server_url_host(const struct server_url *url, char to[SERVER_URL_TEXT]) {
    struct pg_text text = pg_text_in(to, SERVER_URL_TEXT);
    pg_text_add(&text, "%s", url->host);
    if (url->port != usual_port(url)) pg_text_add(&text, ":%u", url->port);
    return to;
}

char *server_url_path(const struct server_url *url, char to[SERVER_URL_TEXT]) {
    struct pg_text text = pg_text_in(to, SERVER_URL_TEXT);
    char tunnel[PG_UUID_TEXT + 1];
    pg_text_add(&text, "%s/%s", url->prefix, pg_id_uuid(&url->tunnel, tunnel));
    return to;
}

char *server_url_public(const struct server_url *url, char to[SERVER_URL_TEXT]) {
    struct pg_text text = pg_text_in(to, SERVER_URL_TEXT);
    char host[SERVER_URL_TEXT], path[SERVER_URL_TEXT];
    pg_text_add(&text, "%s://%s", url->tls ? "https" : "http", server_url_host(url, host));
    pg_text_add(&text, "%s/", server_url_path(url, path));
    return to;
}
