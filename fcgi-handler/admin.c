#include "admin.h"

#include "handler.h"
#include "own_pages.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static enum MHD_Result send_page(struct MHD_Connection *connection, const struct own_page *page) {
    struct MHD_Response *response = MHD_create_response_from_buffer(page->text.length, page->text.data, MHD_RESPMEM_MUST_COPY);
    if (!response) return MHD_NO;
    bool good = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, page->type) == MHD_YES &&
                MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store") == MHD_YES &&
                (!page->error || MHD_add_response_header(response, "X-Pipegate-Error", page->error) == MHD_YES);
    enum MHD_Result queued = good ? MHD_queue_response(connection, page->status, response) : MHD_NO;
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result on_request(void *owner, struct MHD_Connection *connection, const char *path, const char *method,
                                  const char *version, const char *body, size_t *body_length, void **request) {
    struct handler *handler = owner;
    struct own_page page;
    char bytes[OWN_PAGE_MAX];
    (void)version;
    (void)body;
    if (!*request) { /* the head; libmicrohttpd calls again at the end, where an answer belongs */
        *request = connection;
        return MHD_YES;
    }
    if (*body_length > 0) { /* of no use */
        *body_length = 0;
        return MHD_YES;
    }
    bool reads = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    page.text = pg_text_in(bytes, sizeof bytes);
    own_page_write(&page, handler, reads ? own_page_find(path) : OWN_PAGE_NONE);
    return send_page(connection, &page);
}

/* --- libmicrohttpd on libuv --- */

static void work(struct admin *admin) {
    MHD_UNSIGNED_LONG_LONG ms;
    MHD_run(admin->daemon);
    if (MHD_get_timeout(admin->daemon, &ms) == MHD_YES) uv_timer_start(&admin->timer, admin->timer.timer_cb, ms, 0);
    else uv_timer_stop(&admin->timer);
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    (void)status;
    (void)events;
    work(poll->data);
}

static void on_time(uv_timer_t *timer) {
    work(timer->data);
}

/* --- who connects: libmicrohttpd would stop for good, or turn in circles, when it has no descriptors left --- */

static void on_accept(void *owner, int fd) {
    struct admin *admin = owner;
    struct sockaddr_storage peer = {0};
    socklen_t size = sizeof peer;
    getpeername(fd, (struct sockaddr *)&peer, &size);
    MHD_add_connection(admin->daemon, fd, (struct sockaddr *)&peer, size); /* beyond the limit it closes it */
    work(admin);
}

static const struct pg_acceptor_events acceptor_events = {.on_accept = on_accept};

bool admin_open(struct admin *admin, struct handler *handler, uv_loop_t *loop, const char *address,
                char error[PG_ADDRESS_ERROR_MAX]) {
    const char *path = pg_address_path(address);
    *admin = (struct admin){.listener = pg_address_listen(address, error)};
    if (admin->listener < 0) return false;
    admin->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, handler, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)ADMIN_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)ADMIN_TIMEOUT_SECONDS,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)ADMIN_MEMORY_MAX, MHD_OPTION_END);
    if (!admin->daemon) {
        snprintf(error, PG_ADDRESS_ERROR_MAX, "libmicrohttpd cannot serve at %s", address);
        close(admin->listener);
        return false;
    }
    if (path) strcpy(admin->made, path);
    pg_acceptor_open(&admin->acceptor, loop, admin->listener, &acceptor_events, admin);
    uv_poll_init(loop, &admin->poll, MHD_get_daemon_info(admin->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    uv_timer_init(loop, &admin->timer);
    admin->poll.data = admin->timer.data = admin;
    admin->timer.timer_cb = on_time;
    uv_poll_start(&admin->poll, UV_READABLE, on_readable);
    return true;
}

void admin_close(struct admin *admin) {
    if (!admin->daemon) return;
    if (*admin->made) unlink(admin->made);
    pg_acceptor_close(&admin->acceptor);
    uv_close((uv_handle_t *)&admin->poll, NULL);
    uv_close((uv_handle_t *)&admin->timer, NULL);
    close(admin->listener);
    MHD_stop_daemon(admin->daemon); /* and every connection */
    admin->daemon = NULL;
}
