#include "address.h"

#include "units.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ADDRESS_MAX = 300, PORT_MAX = 65535 };

static int fail(char error[PG_ADDRESS_ERROR_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char error[PG_ADDRESS_ERROR_MAX], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, PG_ADDRESS_ERROR_MAX, format, arguments);
    va_end(arguments);
    return -1;
}

/* Cuts "host:port" or "[host]:port" into the two, both ending in NUL. */
static bool cut_address(char *text, char **host, char **port) {
    char *colon = strrchr(text, ':');
    uint64_t number;
    if (!colon || colon == text || !pg_parse_count(colon + 1, &number) || number > PORT_MAX) return false;
    *colon = '\0';
    *port = colon + 1;
    *host = text;
    if (*text != '[') return strchr(text, ':') == NULL; /* an IPv6 address needs its brackets */
    if (colon[-1] != ']') return false;
    colon[-1] = '\0';
    *host = text + 1;
    return **host != '\0';
}

const char *pg_address_path(const char *address) {
    static const char prefix[] = "unix:";
    return strncmp(address, prefix, sizeof prefix - 1) == 0 ? address + sizeof prefix - 1 : NULL;
}

const char *pg_address_check(const char *address) {
    char copy[ADDRESS_MAX], *host = NULL, *port = NULL;
    const char *path = pg_address_path(address);
    if (path) return *path && strlen(path) <= PG_UNIX_PATH_MAX ? NULL : "the path of a Unix socket has 1 to 107 bytes";
    if (strlen(address) >= sizeof copy) return "the address is too long";
    strcpy(copy, address);
    return cut_address(copy, &host, &port) ? NULL : "it takes HOST:PORT, [IPV6]:PORT or unix:PATH";
}

static int listen_tcp(const struct addrinfo *found, const char *text, char error[PG_ADDRESS_ERROR_MAX]) {
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return fail(error, "no socket can be made for %s: %s", text, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (found->ai_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, found->ai_addr, found->ai_addrlen) == 0 && listen(fd, PG_UNIX_BACKLOG) == 0) return fd;
    int why = errno;
    close(fd);
    if (why == EADDRINUSE) return fail(error, "%s is in use: stop the process that listens there or choose another port", text);
    return fail(error, "cannot listen at %s: %s", text, strerror(why));
}

int pg_address_listen(const char *address, char error[PG_ADDRESS_ERROR_MAX]) {
    char copy[ADDRESS_MAX], *host = NULL, *port = NULL;
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    const char *path = pg_address_path(address);
    if (path) return pg_unix_listen(path, error);
    strcpy(copy, address);
    cut_address(copy, &host, &port);
    int status = getaddrinfo(host, port, &hints, &found);
    if (status != 0) return fail(error, "the host in %.200s cannot be found: %s", address, gai_strerror(status));
    int fd = listen_tcp(found, address, error);
    freeaddrinfo(found);
    return fd;
}
