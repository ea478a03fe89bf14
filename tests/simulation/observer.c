#include "observer.h"

#include "wire.h"

static void check_window(struct world *world, int direction, const struct pg_id *id, uint64_t stop) {
    struct request_plan *plan = find_request(world, id);
    if (!plan) return;
    if (stop > plan->given[direction] + PG_WINDOW) wrong(world, "more is under way than a window");
}

void observe_sent(struct world *world, int direction, const uint8_t *bytes, size_t length) {
    struct pg_frame frame;
    struct pg_head head;
    const char *bad = pg_frame_decode(bytes, length, &frame);
    if (bad) wrong(world, bad);
    else if (frame.type == PG_DATA) check_window(world, direction, &frame.exchange, frame.offset + frame.length);
    else if (frame.type == PG_HEAD && !pg_head_decode(&frame, &head))
        check_window(world, direction, &frame.exchange, head.body_bytes);
    else if (frame.type == PG_RESET && pg_reset_reason(&frame) == PG_PROTOCOL) {
        /* One life of the client cannot go on with a response that another had begun. */
        const struct request_plan *plan = find_request(world, &frame.exchange);
        if (!plan || !plan->life_lost) wrong(world, "one end says that the other broke the protocol");
    }
}

void observe_arrived(struct world *world, int direction, const uint8_t *bytes, size_t length, uint32_t from) {
    struct pg_frame frame;
    if (pg_frame_decode(bytes, length, &frame)) return;
    struct request_plan *plan = find_request(world, &frame.exchange);
    bool knows = !(frame.type == PG_RESUME && (frame.flags & PG_UNKNOWN)) && frame.type != PG_RESET;
    if (plan && from && knows) plan->heard_from = from;
    if (frame.type != PG_ACK) return;
    for (size_t i = 0; i < pg_ack_count(&frame); i++) {
        struct pg_ack ack = pg_ack_get(&frame, i);
        plan = find_request(world, &ack.exchange);
        if (!plan) continue;
        if (from) plan->heard_from = from;
        if (ack.received > plan->given[direction]) plan->given[direction] = ack.received;
    }
}

void observe_given(struct world *world, const uint8_t *bytes, size_t length, uint32_t to, bool by_list) {
    struct pg_frame frame;
    struct request_plan *plan = pg_frame_decode(bytes, length, &frame) ? NULL : find_request(world, &frame.exchange);
    if (!plan) return;
    /* Whoever had it may have done it. Only one that the handler had never heard of may be given to another: DESIGN section 5. */
    if (!plan->idempotent && plan->heard_from && plan->heard_from != to)
        wrong(world, "a POST is given to another life of the client than the one that has it");
    if (by_list && plan->answered) wrong(world, "a request waits though the visitor has some of the response");
}
