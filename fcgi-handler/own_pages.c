#include "own_pages.h"

#include "exchange.h"
#include "http.h"
#include "process_metrics.h"
#include "version.h"

#include <string.h>

static void write_requests(struct pg_text *to, const struct handler_counters *counters) {
    const char *name = "pipegate_handler_requests_total";
    pg_metrics_counter_head(to, name, "Requests that are over, by outcome");
    pg_metrics_counter_line(to, name, "outcome", "relayed", counters->relayed);
    pg_metrics_counter_line(to, name, "outcome", "visitor-gone", counters->visitors_gone);
    pg_metrics_counter_line(to, name, "outcome", "broken", counters->broken);
    for (enum answer answer = 0; answer < ANSWERS; answer++)
        pg_metrics_counter_line(to, name, "outcome", answer_code(answer), counters->answered[answer]);
}

static void write_metrics(struct pg_text *to, const struct handler *handler) {
    const struct handler_counters *counters = &handler->counters;
    const struct pg_bus_counters *bus = pg_bus_counters(handler->bus);
    write_requests(to, counters);
    pg_metrics_gauge(to, "pipegate_handler_requests_in_flight", "Requests in flight", handler->in_flight);
    pg_metrics_gauge(to, "pipegate_handler_requests_in_flight_limit", "How many there may be (--max-in-flight)",
                     handler->config.max_in_flight);
    pg_metrics_gauge(to, "pipegate_handler_requests_waiting", "Requests that no client has acknowledged",
                     exchange_count_waiting(handler));
    pg_metrics_gauge(to, "pipegate_handler_connections", "FastCGI connections", front_connections(handler->front));
    pg_metrics_counter(to, "pipegate_handler_request_bytes_total", "Request body bytes", counters->request_bytes);
    pg_metrics_counter(to, "pipegate_handler_response_bytes_total", "Response body bytes", counters->response_bytes);
    pg_metrics_histogram(to, "pipegate_handler_response_seconds", "From the request's head to the response's", &counters->latency);
    pg_metrics_counter(to, "pipegate_handler_dropped_messages_total", "Messages from the bus that were not valid",
                       counters->dropped_messages);
    pg_metrics_counter(to, "pipegate_handler_resumed_total", "Times an exchange went on from the client's position",
                       counters->resumed);
    pg_metrics_counter(to, "pipegate_handler_path_changes_total", "Times an exchange went on by another way",
                       counters->path_changes);
    pg_metrics_counter_seconds(to, "pipegate_handler_path_wait_seconds_total", "How long these had not been heard of",
                               counters->waited_ms);
    pg_metrics_counter(to, "pipegate_handler_resent_bytes_total", "Request body bytes sent again", counters->resent_bytes);
    pg_metrics_counter(to, "pipegate_handler_duplicates_total", "Response frames that had come before", counters->duplicates);
    pg_metrics_counter(to, "pipegate_handler_dispatched_again_total", "Requests given to a client started anew",
                       counters->dispatched_again);
    pg_metrics_gauge(to, "pipegate_handler_bus_up", "1 while Redis answers", pg_bus_is_up(handler->bus));
    pg_metrics_counter(to, "pipegate_handler_bus_reconnects_total", "Times Redis was lost and found", bus->reconnects);
    pg_metrics_counter(to, "pipegate_handler_bus_messages_sent_total", "Messages sent", bus->messages_sent);
    pg_metrics_counter(to, "pipegate_handler_bus_messages_received_total", "Messages received", bus->messages_received);
    pg_metrics_counter(to, "pipegate_handler_bus_undelivered_total", "Messages that did not arrive", bus->undelivered);
    pg_metrics_gauge(to, "pipegate_handler_ready", "0 once it is about to end", handler->phase < PG_LEAVING);
    pg_process_metrics(to, handler->started_ms);
    pg_text_add(to, "# HELP pipegate_handler_build_info The version\n# TYPE pipegate_handler_build_info gauge\n"
                    "pipegate_handler_build_info{version=\"" PG_VERSION "\"} 1\n");
}

static void fail(struct own_page *page, unsigned status, const char *error, const char *sentence) {
    page->status = status;
    page->error = error;
    pg_text_add(&page->text, "%s\n", sentence);
}

static void write_health(struct own_page *page, const struct handler *handler) {
    if (pg_bus_is_up(handler->bus)) {
        pg_text_add(&page->text, "ok\n");
        return;
    }
    const char *why = pg_bus_error(handler->bus);
    fail(page, 503, "bus-unavailable", "Redis cannot be reached");
    if (*why) pg_text_add(&page->text, "%s\n", why);
}

void own_page_write(struct own_page *page, const struct handler *handler, enum own_page_kind kind) {
    page->status = 200;
    page->type = "text/plain; charset=utf-8";
    page->error = NULL;
    switch (kind) {
    case OWN_PAGE_READY:
        if (handler->phase >= PG_LEAVING) fail(page, 503, "draining", "about to end");
        else write_health(page, handler);
        break;
    case OWN_PAGE_HEALTH: write_health(page, handler); break;
    case OWN_PAGE_METRICS:
        page->type = "text/plain; version=0.0.4; charset=utf-8";
        write_metrics(&page->text, handler);
        break;
    case OWN_PAGE_NONE: fail(page, 404, "no-page", "/-/healthz, /-/readyz and /-/metrics are here"); break;
    }
}

void own_page_answer(struct handler *handler, struct visit *visit, enum own_page_kind kind) {
    char body[OWN_PAGE_MAX];
    struct own_page page = {.text = pg_text_in(body, sizeof body)};
    struct pg_text text = pg_text_in(handler->scratch, sizeof handler->scratch);
    const struct pg_open *open = &handler->request.open;
    own_page_write(&page, handler, kind);
    answer_write_plain(&text, page.status, page.error, page.type, page.text.data, page.text.length,
                       pg_http_is_head(open->method, open->method_length));
    size_t written = visit_write(visit, (const uint8_t *)text.data, text.length);
    if (written == text.length) visit_finish(visit);
    else visit_break(visit, VISIT_BREAK_AT_ONCE);
}
