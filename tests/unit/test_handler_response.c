/* fcgi-handler/response.c: a HEAD from a client, who is not trusted, to a CGI head. */
#include "response.h"
#include "support.h"

#include <string.h>

static char written[2 * PG_HEAD_MAX];
static struct response response;

struct pair {
    const char *name, *value;
};

static const char *write_pairs(const char *method, uint16_t status, const char *body, bool whole, const struct pair *pairs,
                               size_t count) {
    static uint8_t payload[PG_DATA_MAX];
    struct pg_field fields[16];
    struct pg_head head = {.status = status};
    for (size_t i = 0; i < count; i++)
        fields[i] = (struct pg_field){.name = pairs[i].name,
                                      .name_length = (uint16_t)strlen(pairs[i].name),
                                      .value = pairs[i].value,
                                      .value_length = (uint32_t)strlen(pairs[i].value)};
    size_t size = pg_head_size(fields, count);
    pg_head_put(payload, &head, fields, count);
    memcpy(payload + size, body, strlen(body));
    struct pg_frame frame = {.type = PG_HEAD, .payload = payload, .length = size + strlen(body)};
    assert_null(pg_head_decode(&frame, &head));
    struct pg_text text = pg_text_in(written, sizeof written);
    return response_write_head(&text, &head, whole, strcmp(method, "HEAD") == 0, &response);
}

#define PAIRS(...) ((const struct pair[]){__VA_ARGS__}), sizeof((const struct pair[]){__VA_ARGS__}) / sizeof(struct pair)

static void fields_keep_order_and_duplicates(void **state) {
    (void)state;
    assert_null(write_pairs("GET", 200, "hi", true, PAIRS({"B", "1"}, {"Set-Cookie", "x"}, {"A", ""}, {"Set-Cookie", "y"})));
    assert_string_equal(written, "Status: 200 OK\r\nB: 1\r\nSet-Cookie: x\r\nA: \r\nSet-Cookie: y\r\nContent-Length: 2\r\n\r\n");
    assert_true(response.content_length == 2);
}

static void hop_by_hop_and_status_are_dropped(void **state) {
    (void)state;
    assert_null(write_pairs("GET", 404, "", true,
                            PAIRS({"Status", "200"}, {"Connection", "X-Hop"}, {"X-Hop", "1"}, {"Transfer-Encoding", "chunked"},
                                  {"Trailer", "x"}, {"X-Pipegate-Error", "timeout"})));
    assert_string_equal(written, "Status: 404 Not Found\r\nContent-Length: 0\r\n\r\n");
}

static void a_stream_has_no_length(void **state) {
    (void)state;
    assert_null(write_pairs("GET", 200, "", false, PAIRS({"Content-Type", "text/event-stream"})));
    assert_string_equal(written, "Status: 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    assert_true(response.content_length == PG_LENGTH_UNKNOWN);
}

static void responses_without_a_body_keep_their_length(void **state) {
    (void)state;
    assert_null(write_pairs("HEAD", 200, "", true, PAIRS({"Content-Length", "1234"})));
    assert_string_equal(written, "Status: 200 OK\r\nContent-Length: 1234\r\n\r\n");
    assert_true(response.no_body);
    assert_null(write_pairs("GET", 304, "", true, PAIRS({"Content-Length", "77"})));
    assert_string_equal(written, "Status: 304 Not Modified\r\nContent-Length: 77\r\n\r\n");
    assert_null(write_pairs("GET", 204, "", true, PAIRS({"Content-Length", "0"})));
    assert_string_equal(written, "Status: 204 No Content\r\n\r\n");
}

static void a_lying_length_is_refused(void **state) {
    (void)state;
    assert_non_null(write_pairs("GET", 200, "hi", true, PAIRS({"Content-Length", "3"})));
    assert_non_null(write_pairs("GET", 200, "", false, PAIRS({"Content-Length", "3"}, {"Content-Length", "4"})));
    assert_non_null(write_pairs("GET", 200, "", false, PAIRS({"Content-Length", "-3"})));
    assert_null(write_pairs("GET", 200, "", false, PAIRS({"Content-Length", "3"}, {"Content-Length", "3"})));
    assert_string_equal(written, "Status: 200 OK\r\nContent-Length: 3\r\n\r\n");
}

static void splitting_is_refused(void **state) {
    (void)state;
    assert_non_null(write_pairs("GET", 200, "", true, PAIRS({"A", "b\r\nSet-Cookie: evil"})));
    assert_non_null(write_pairs("GET", 200, "", true, PAIRS({"A\r\nB", "b"})));
    assert_non_null(write_pairs("GET", 200, "", true, PAIRS({"", "b"})));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_keep_order_and_duplicates), cmocka_unit_test(hop_by_hop_and_status_are_dropped),
        cmocka_unit_test(a_stream_has_no_length),           cmocka_unit_test(responses_without_a_body_keep_their_length),
        cmocka_unit_test(a_lying_length_is_refused),        cmocka_unit_test(splitting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
