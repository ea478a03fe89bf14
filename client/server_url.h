/* Where to attach: --server-url. Pure. */
#ifndef CLIENT_SERVER_URL_H
#define CLIENT_SERVER_URL_H

#include "id.h"

enum { SERVER_URL_TEXT = 2048 }; /* room for each text below, the NUL included */

struct server_url {
    bool tls;
    char host[256]; /* as in a URL: an IPv6 address has its brackets */
    uint16_t port;
    char prefix[1024]; /* the path before the tunnel: "" or "/some/path" */
    struct pg_id tunnel;
    bool made; /* the URL named no tunnel, so one was made */
};

/* Reads ws://, wss://, http:// or https://HOST[:PORT][/PREFIX][/UUID][/]. NULL, or what is wrong with it: a constant
 * sentence. */
const char *server_url_parse(const char *text, struct server_url *url);

/* The host as it goes into a Host field: with the port, where it is not the scheme's own. Returns `to`. */
char *server_url_host(const struct server_url *url, char to[SERVER_URL_TEXT]);

/* The path of the WebSocket: "/prefix/uuid". Returns `to`. */
char *server_url_path(const struct server_url *url, char to[SERVER_URL_TEXT]);

/* Where visitors go unless the server knows better: "https://host/prefix/uuid/". Returns `to`. */
char *server_url_public(const struct server_url *url, char to[SERVER_URL_TEXT]);

#endif
