#include "target.h"

#include "http.h"
#include "units.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char *parse_unix(const char *path, struct target *target) {
    size_t length = strlen(path);
    if (length == 0) return "unix: needs the path of a socket";
    if (length >= sizeof target->socket) return "the socket's path is longer than Unix sockets allow (107 bytes)";
    memcpy(target->socket, path, length + 1);
    snprintf(target->name, sizeof target->name, "unix:%s", path);
    snprintf(target->base_url, sizeof target->base_url, "http://localhost/");
    snprintf(target->host, sizeof target->host, "localhost");
    return NULL;
}

/* Is it ":PORT" or nothing? */
static bool is_port(const char *text, size_t length) {
    char digits[6];
    uint64_t port = 0;
    if (length == 0) return true;
    if (text[0] != ':' || length - 1 >= sizeof digits) return false;
    memcpy(digits, text + 1, length - 1);
    digits[length - 1] = '\0';
    return pg_parse_count(digits, &port) && port > 0 && port <= 65535;
}

static const char *parse_authority(const char *text, size_t length, struct target *target) {
    static const char in_name[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
    static const char in_address[] = "0123456789abcdefABCDEF:.";
    size_t host = strspn(text, in_name);
    if (text[0] == '[') {
        host = 1 + strspn(text + 1, in_address);
        host = text[host] == ']' ? host + 1 : 0;
    }
    if (memchr(text, '@', length)) return "a user name does not belong into it";
    if (host == 0 || host > length || length > 260) return "its host is no name or address";
    if (!is_port(text + host, length - host)) return "its port is out of range";
    const char *scheme = target->tls ? "https" : "http";
    const char *usual = target->tls ? ":443" : ":80";
    int shown = (int)length;
    if (length - host == strlen(usual) && strncmp(text + host, usual, strlen(usual)) == 0) shown = (int)host;
    snprintf(target->base_url, sizeof target->base_url, "%s://%.*s/", scheme, (int)length, text);
    snprintf(target->name, sizeof target->name, "%s://%.*s", scheme, (int)length, text);
    snprintf(target->host, sizeof target->host, "%.*s", shown, text);
    return NULL;
}

static const char *parse_path(const char *path, struct target *target) {
    size_t length = strlen(path);
    if (strpbrk(path, "?#")) return "it must not have a query or a fragment";
    if (length && !pg_http_is_target(path, length)) return "its path has a space or a control character";
    while (length && path[length - 1] == '/') length--; /* every request's target brings its own slash */
    if (length >= sizeof target->prefix) return "its path is too long";
    memcpy(target->prefix, path, length);
    target->prefix[length] = '\0';
    return NULL;
}

const char *target_parse(const char *text, struct target *target) {
    *target = (struct target){0};
    if (strncasecmp(text, "unix:", 5) == 0) return parse_unix(text + 5, target);
    target->tls = strncasecmp(text, "https://", 8) == 0;
    if (!target->tls && strncasecmp(text, "http://", 7) != 0) return "it must begin with http://, https:// or unix:";
    const char *authority = text + (target->tls ? 8 : 7);
    size_t length = strcspn(authority, "/?#");
    const char *error = parse_authority(authority, length, target);
    return error ? error : parse_path(authority + length, target);
}

void target_from_port(unsigned port, struct target *target) {
    char text[64];
    snprintf(text, sizeof text, "http://localhost:%u", port);
    (void)target_parse(text, target);
}
