#include "admin.h"

#include "broker.h"
#include "metrics.h"
#include "process_metrics.h"
#include "version.h"

#include <string.h>

static void put_health(const struct broker *broker, struct websocket_answer *answer) {
    if (broker->bus && pg_bus_is_up(broker->bus)) {
        pg_text_add(&answer->body, "ok\n");
        return;
    }
    const char *why = broker->bus ? pg_bus_error(broker->bus) : "";
    answer->status = GATE_UNAVAILABLE;
    answer->error = "bus-unavailable";
    pg_text_add(&answer->body, "Redis cannot be reached%s%s\n", *why ? ": " : "", why);
}

static void put_readiness(const struct broker *broker, struct websocket_answer *answer) {
    if (broker->phase < PG_LEAVING) {
        put_health(broker, answer);
        return;
    }
    answer->status = GATE_UNAVAILABLE;
    answer->error = "draining";
    pg_text_add(&answer->body, "about to end\n");
}

static void put_bus(struct pg_text *to, const struct pg_bus *bus) {
    static const struct pg_bus_counters none;
    const struct pg_bus_counters *counters = bus ? pg_bus_counters(bus) : &none;
    pg_metrics_gauge(to, "pipegate_broker_bus_up", "Whether Redis can be reached.", bus && pg_bus_is_up(bus));
    pg_metrics_counter(to, "pipegate_broker_bus_reconnects_total", "Times Redis was lost and found again.", counters->reconnects);
    pg_metrics_counter_head(to, "pipegate_broker_bus_messages_total", "Messages sent to and received from Redis.");
    pg_metrics_counter_line(to, "pipegate_broker_bus_messages_total", "direction", "sent", counters->messages_sent);
    pg_metrics_counter_line(to, "pipegate_broker_bus_messages_total", "direction", "received", counters->messages_received);
    pg_metrics_counter_head(to, "pipegate_broker_bus_bytes_total", "Bytes of these messages.");
    pg_metrics_counter_line(to, "pipegate_broker_bus_bytes_total", "direction", "sent", counters->bytes_sent);
    pg_metrics_counter_line(to, "pipegate_broker_bus_bytes_total", "direction", "received", counters->bytes_received);
    pg_metrics_counter(to, "pipegate_broker_bus_undelivered_total", "Messages that did not reach their process.",
                       counters->undelivered);
}

static void put_traffic(struct pg_text *to, const struct counters *counters) {
    pg_metrics_counter(to, "pipegate_broker_requests_total", "Requests given to clients.", counters->requests);
    pg_metrics_counter(to, "pipegate_broker_requests_not_taken_total",
                       "Requests for a client that had just gone, or had too much before it: their handlers were told.",
                       counters->not_taken);
    pg_metrics_counter_head(to, "pipegate_broker_frames_total", "Frames on the clients' WebSockets.");
    pg_metrics_counter_line(to, "pipegate_broker_frames_total", "direction", "to_client", counters->frames_to_client);
    pg_metrics_counter_line(to, "pipegate_broker_frames_total", "direction", "from_client", counters->frames_from_client);
    pg_metrics_counter_head(to, "pipegate_broker_bytes_total", "Bytes of these frames.");
    pg_metrics_counter_line(to, "pipegate_broker_bytes_total", "direction", "to_client", counters->bytes_to_client);
    pg_metrics_counter_line(to, "pipegate_broker_bytes_total", "direction", "from_client", counters->bytes_from_client);
    pg_metrics_counter(to, "pipegate_broker_stalls_total", "Times a client was not read because too much waited for Redis.",
                       counters->stalls);
}

static void put_losses(struct pg_text *to, const struct counters *counters) {
    static const char *const reasons[DROP_REASONS] = {[DROP_EXPIRED] = "expired",
                                                      [DROP_NO_SESSION] = "no_session",
                                                      [DROP_MALFORMED] = "malformed",
                                                      [DROP_BUS_DOWN] = "bus_down",
                                                      [DROP_UNDELIVERED] = "undelivered"};
    pg_metrics_counter_head(to, "pipegate_broker_dropped_total", "Frames (undelivered: pushes of them) that were dropped.");
    for (int i = 0; i < DROP_REASONS; i++)
        pg_metrics_counter_line(to, "pipegate_broker_dropped_total", "reason", reasons[i], counters->dropped[i]);
    pg_metrics_counter_head(to, "pipegate_broker_clients_dropped_total", "Clients that the broker cut off.");
    pg_metrics_counter_line(to, "pipegate_broker_clients_dropped_total", "reason", "hostile", counters->hostile);
    pg_metrics_counter_line(to, "pipegate_broker_clients_dropped_total", "reason", "silent", counters->silent);
    pg_metrics_counter_line(to, "pipegate_broker_clients_dropped_total", "reason", "slow", counters->overflow);
}

static void put_metrics(const struct broker *broker, struct pg_text *to) {
    static const char *const outcomes[ATTACH_OUTCOMES] = {[ATTACH_OK] = "attached",
                                                          [ATTACH_AGAIN] = "attached_again",
                                                          [ATTACH_TAKEN] = "taken",
                                                          [ATTACH_BAD_REQUEST] = "bad_request",
                                                          [ATTACH_UNAUTHORIZED] = "unauthorized",
                                                          [ATTACH_FULL] = "full"};
    pg_text_add(to, "# HELP pipegate_broker_build_info The version.\n# TYPE pipegate_broker_build_info gauge\n"
                    "pipegate_broker_build_info{version=\"" PG_VERSION "\"} 1\n");
    pg_metrics_gauge(to, "pipegate_broker_clients", "Clients that are connected.", broker->sessions);
    pg_metrics_gauge(to, "pipegate_broker_clients_limit", "How many there may be.", broker->max_clients);
    pg_metrics_gauge(to, "pipegate_broker_connections", "Connections of any kind.", websocket_server_count(broker->server));
    pg_metrics_counter_head(to, "pipegate_broker_attaches_total", "Attempts to attach, by outcome.");
    for (int i = 0; i < ATTACH_OUTCOMES; i++)
        pg_metrics_counter_line(to, "pipegate_broker_attaches_total", "outcome", outcomes[i], broker->counters.attaches[i]);
    put_traffic(to, &broker->counters);
    put_losses(to, &broker->counters);
    put_bus(to, broker->bus);
    pg_metrics_gauge(to, "pipegate_broker_ready", "0 once it is about to end.", broker->phase < PG_LEAVING);
    pg_process_metrics(to, broker->started_ms);
}

void admin_answer(void *owner, const char *path, struct websocket_answer *answer) {
    const struct broker *broker = owner;
    if (strcmp(path, "/-/healthz") == 0) {
        put_health(broker, answer);
    } else if (strcmp(path, "/-/readyz") == 0) {
        put_readiness(broker, answer);
    } else if (strcmp(path, "/-/metrics") == 0) {
        answer->type = "text/plain; version=0.0.4; charset=utf-8";
        put_metrics(broker, &answer->body);
    } else {
        answer->status = GATE_NOT_FOUND;
        pg_text_add(&answer->body, "/-/healthz, /-/readyz and /-/metrics are here\n");
    }
}
