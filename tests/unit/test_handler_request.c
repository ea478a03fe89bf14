/* fcgi-handler/request.c: FastCGI parameters to the request that goes through the tunnel. */
#include "http.h"
#include "request.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TUNNEL "123e4567-e89b-12d3-a456-426614174000"

static struct request request; /* too large for a stack */
static const struct pg_id exchange = {{1}};

static enum request_result read_list(char **list) {
    return request_read(&request, list, &exchange, PG_HEAD_MAX);
}

#define READ(...) read_list((char **)(const char *[]){__VA_ARGS__, NULL})
#define READ_TARGET(uri) READ("REQUEST_METHOD=GET", "REQUEST_URI=" uri)

/* The value of the only field with this name; NULL when there is none. */
static const char *value_of(const char *name) {
    static char value[1024];
    int found = 0;
    for (size_t i = 0; i < request.field_count; i++) {
        if (!pg_http_name_is(&request.fields[i], name)) continue;
        snprintf(value, sizeof value, "%.*s", (int)request.fields[i].value_length, request.fields[i].value);
        found++;
    }
    assert_in_range(found, 0, 1);
    return found ? value : NULL;
}

static void assert_value(const char *name, const char *wanted) {
    const char *value = value_of(name);
    assert_non_null(value);
    assert_string_equal(value, wanted);
}

static void assert_target(const char *wanted) {
    assert_int_equal(request.kind, REQUEST_TUNNEL);
    assert_int_equal(request.open.target_length, strlen(wanted));
    assert_memory_equal(request.open.target, wanted, strlen(wanted));
}

static void targets_stay_as_they_came(void **state) {
    (void)state;
    assert_int_equal(READ_TARGET("/" TUNNEL "/a//b/%2F/../c?x=1&y=%00?"), REQUEST_FINE);
    assert_target("/a//b/%2F/../c?x=1&y=%00?");
    assert_int_equal(READ_TARGET("/" TUNNEL), REQUEST_FINE);
    assert_target("/");
    assert_int_equal(READ_TARGET("/" TUNNEL "?q"), REQUEST_FINE);
    assert_target("/?q");
    assert_int_equal(READ_TARGET("/" TUNNEL "/?"), REQUEST_FINE);
    assert_target("/?");
    assert_int_equal(READ_TARGET("/" TUNNEL "//evil.example/x"), REQUEST_FINE);
    assert_target("//evil.example/x");
    assert_int_equal(READ_TARGET("http://evil.example/" TUNNEL "/x"), REQUEST_FINE);
    assert_target("/x");
    assert_int_equal(READ_TARGET("/" TUNNEL "/\xc3\xa4"), REQUEST_FINE);
    assert_target("/\xc3\xa4");
}

static void what_names_no_tunnel_is_told(void **state) {
    (void)state;
    READ_TARGET("/");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ_TARGET("*");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ_TARGET("/" TUNNEL "0/x");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ_TARGET("//" TUNNEL "/x");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ_TARGET("http://host");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ_TARGET("/-/healthz");
    assert_int_equal(request.kind, REQUEST_OWN_PAGE);
    assert_int_equal(request.page, OWN_PAGE_HEALTH);
    READ_TARGET("/-/metrics");
    assert_int_equal(request.kind, REQUEST_OWN_PAGE);
    assert_int_equal(request.page, OWN_PAGE_METRICS);
    READ_TARGET("/-/readyz");
    assert_int_equal(request.kind, REQUEST_OWN_PAGE);
    assert_int_equal(request.page, OWN_PAGE_READY);
}

static void a_site_prefix_is_taken_off(void **state) {
    (void)state;
    assert_int_equal(READ("REQUEST_METHOD=GET", "REQUEST_URI=/t/" TUNNEL "/x", "PIPEGATE_PREFIX=/t"), REQUEST_FINE);
    assert_target("/x");
    assert_value("x-forwarded-prefix", "/t/" TUNNEL);
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/x", "PIPEGATE_PREFIX=/t");
    assert_int_equal(request.kind, REQUEST_NO_TUNNEL);
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/t/-/healthz", "PIPEGATE_PREFIX=/t");
    assert_int_equal(request.kind, REQUEST_OWN_PAGE);
    assert_int_equal(request.page, OWN_PAGE_HEALTH);
}

static void bad_requests_are_refused(void **state) {
    (void)state;
    assert_int_equal(READ("REQUEST_METHOD=GE T", "REQUEST_URI=/" TUNNEL "/"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_METHOD=", "REQUEST_URI=/" TUNNEL "/"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_URI=/" TUNNEL "/"), REQUEST_BAD);
    assert_int_equal(READ_TARGET("/" TUNNEL "/a b"), REQUEST_BAD);
    assert_int_equal(READ_TARGET("/" TUNNEL "/a\x01"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_X=a\r\nEvil: 1"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_A B=1"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=+1"), REQUEST_BAD);
    assert_int_equal(READ("REQUEST_METHOD=\xff", "REQUEST_URI=/" TUNNEL "/"), REQUEST_BAD);
}

static void hop_by_hop_and_ours_go_no_further(void **state) {
    (void)state;
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_CONNECTION=close, X-Hop, X-Forwarded-For", "HTTP_X_HOP=1",
         "HTTP_TE=trailers", "HTTP_UPGRADE=h2c", "HTTP_EXPECT=100-continue", "HTTP_PROXY=http://evil", "HTTP_X_PIPEGATE_ERROR=x",
         "HTTP_X_FORWARDED_PROTO=https", "HTTP_X_FORWARDED_PREFIX=/evil", "HTTP_X_FORWARDED_FOR=6.6.6.6", "HTTP_X_KEPT=1",
         "HTTP_HOST=public.example", "REMOTE_ADDR=1.2.3.4");
    assert_null(value_of("connection"));
    assert_null(value_of("x-hop"));
    assert_null(value_of("te"));
    assert_null(value_of("upgrade"));
    assert_null(value_of("expect"));
    assert_null(value_of("proxy"));
    assert_null(value_of("x-pipegate-error"));
    assert_null(value_of("host"));
    assert_value("x-kept", "1");
    assert_value("x-forwarded-proto", "http");
    assert_value("x-forwarded-prefix", "/" TUNNEL);
    assert_value("x-forwarded-for", "6.6.6.6, 1.2.3.4");
    assert_value("x-forwarded-host", "public.example");
    assert_value("x-pipegate-correlation-id", "01000000-0000-0000-0000-000000000000");
}

static void the_address_is_not_added_twice(void **state) {
    (void)state;
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_X_FORWARDED_FOR=9.9.9.9, 1.2.3.4", "REMOTE_ADDR=1.2.3.4",
         "HTTPS=on");
    assert_value("x-forwarded-for", "9.9.9.9, 1.2.3.4");
    assert_value("x-forwarded-proto", "https");
}

static void cookies_become_one_field(void **state) {
    (void)state;
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_COOKIE=a=1, b=2", "HTTP_COOKIE=c=3");
    assert_value("cookie", "a=1; b=2; c=3");
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/" TUNNEL "/", "HTTP_COOKIE=j={\"x\":1, \"y\":2}");
    assert_value("cookie", "j={\"x\":1, \"y\":2}");
}

static void the_body_is_announced(void **state) {
    (void)state;
    READ_TARGET("/" TUNNEL "/");
    assert_false(request.has_body);
    assert_true(request.open.body_length == PG_LENGTH_UNKNOWN);
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=0", "SERVER_SOFTWARE=Apache/2.4.62");
    assert_true(request.has_body);
    assert_true(request.open.body_length == 0);
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=-1", "SERVER_SOFTWARE=Caddy/v2.6.2");
    assert_true(request.chunked);
    /* These say 0 for every request without a body: only the visitor's own field tells. */
    static const char *const invent[] = {"SERVER_SOFTWARE=Caddy/v2.6.2", "SERVER_SOFTWARE=lighttpd/1.4.69"};
    for (size_t i = 0; i < COUNT_OF(invent); i++) {
        READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=0", (char *)invent[i]);
        assert_true(!request.has_body && request.open.body_length == PG_LENGTH_UNKNOWN);
        READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=0", "HTTP_CONTENT_LENGTH=0", (char *)invent[i]);
        assert_true(request.has_body && request.open.body_length == 0);
    }
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "HTTP_TRANSFER_ENCODING=chunked");
    assert_true(request.chunked && request.has_body);
    assert_null(value_of("transfer-encoding"));
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=9223372036854775807");
    assert_true(request.open.body_length == INT64_MAX);
    assert_int_equal(READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_LENGTH=9223372036854775808"), REQUEST_BAD);
}

static void an_invented_content_type_is_not_believed(void **state) {
    (void)state;
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_TYPE=a/b", "SERVER_SOFTWARE=Caddy/v2.6.2");
    assert_null(value_of("content-type"));
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_TYPE=a/b", "SERVER_SOFTWARE=Apache");
    assert_value("content-type", "a/b");
    READ("REQUEST_METHOD=POST", "REQUEST_URI=/" TUNNEL "/", "CONTENT_TYPE=a/b", "HTTP_CONTENT_TYPE=c/d", "SERVER_SOFTWARE=Caddy");
    assert_value("content-type", "c/d");
}

static void how_fronts_must_be_told_of_a_break_is_known(void **state) {
    (void)state;
    static const struct {
        const char *software, *protocol;
        enum visit_break breaks;
    } cases[] = {{"Caddy/v2.6.2", "HTTP/1.1", VISIT_BREAK_NEVER},    {"Caddy", "HTTP/1.1", VISIT_BREAK_NEVER},
                 {"Caddy/v2.7.5", "HTTP/1.1", VISIT_BREAK_NEVER},    {"Caddy/v2.7.6", "HTTP/2.0", VISIT_BREAK_AT_ONCE},
                 {"Caddy/v2.10.0", "HTTP/1.1", VISIT_BREAK_AT_ONCE}, {"Caddy/(devel)", "HTTP/1.1", VISIT_BREAK_NEVER},
                 {"Apache/2.4.62", "HTTP/2.0", VISIT_BREAK_AT_ONCE}, {"nginx/1.22.1", "HTTP/2.0", VISIT_BREAK_AT_ONCE},
                 {"lighttpd/1.4.69", "HTTP/1.1", VISIT_BREAK_LATE},  {"lighttpd/1.4.69", "HTTP/2.0", VISIT_BREAK_NEVER},
                 {"lighttpd", "HTTP/2", VISIT_BREAK_NEVER}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char software[64], protocol[64];
        snprintf(software, sizeof software, "SERVER_SOFTWARE=%s", cases[i].software);
        snprintf(protocol, sizeof protocol, "SERVER_PROTOCOL=%s", cases[i].protocol);
        READ("REQUEST_METHOD=GET", "REQUEST_URI=/", software, protocol);
        if (request.breaks != cases[i].breaks) fail_msg("%s, %s", software, protocol);
    }
}

static void nginx_is_known(void **state) {
    (void)state;
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/", "SERVER_SOFTWARE=nginx/1.22.1");
    assert_true(request.head_ends_body);
    READ("REQUEST_METHOD=GET", "REQUEST_URI=/", "SERVER_SOFTWARE=Apache");
    assert_false(request.head_ends_body);
}

/* A request whose OPEN head is exactly `size` bytes, by way of one long field. */
static enum request_result read_of_size(size_t size, size_t head_max) {
    char *field = malloc(2 * PG_HEAD_MAX);
    char *list[] = {(char *)"REQUEST_METHOD=GET", (char *)"REQUEST_URI=/" TUNNEL "/", field, NULL};
    assert_non_null(field);
    strcpy(field, "HTTP_X=");
    request_read(&request, list, &exchange, PG_HEAD_MAX);
    size_t empty = pg_open_size(&request.open, request.fields, request.field_count);
    memset(field + 7, 'v', size - empty);
    field[7 + size - empty] = '\0';
    enum request_result result = request_read(&request, list, &exchange, head_max);
    free(field);
    return result;
}

static void the_limit_has_two_sides(void **state) {
    (void)state;
    assert_int_equal(read_of_size(PG_HEAD_MAX, PG_HEAD_MAX), REQUEST_FINE);
    assert_int_equal(read_of_size(PG_HEAD_MAX + 1, PG_HEAD_MAX), REQUEST_TOO_LARGE);
    assert_int_equal(read_of_size(4096, 4096), REQUEST_FINE);
    assert_int_equal(read_of_size(4097, 4096), REQUEST_TOO_LARGE);
}

static enum request_result read_with_fields(size_t count) {
    char *list[REQUEST_FIELDS_MAX + 8] = {(char *)"REQUEST_METHOD=GET", (char *)"REQUEST_URI=/" TUNNEL "/"};
    for (size_t i = 0; i < count; i++) list[2 + i] = (char *)"HTTP_A=b";
    return read_list(list);
}

static void too_many_fields_are_refused(void **state) {
    (void)state;
    enum { OWN = 3 }; /* X-Forwarded-Proto, -Prefix, X-Pipegate-Correlation-Id */
    assert_int_equal(read_with_fields(REQUEST_FIELDS_MAX - OWN), REQUEST_FINE);
    assert_int_equal(read_with_fields(REQUEST_FIELDS_MAX - OWN + 1), REQUEST_TOO_LARGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_stay_as_they_came),
        cmocka_unit_test(what_names_no_tunnel_is_told),
        cmocka_unit_test(a_site_prefix_is_taken_off),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(hop_by_hop_and_ours_go_no_further),
        cmocka_unit_test(the_address_is_not_added_twice),
        cmocka_unit_test(cookies_become_one_field),
        cmocka_unit_test(the_body_is_announced),
        cmocka_unit_test(an_invented_content_type_is_not_believed),
        cmocka_unit_test(how_fronts_must_be_told_of_a_break_is_known),
        cmocka_unit_test(nginx_is_known),
        cmocka_unit_test(the_limit_has_two_sides),
        cmocka_unit_test(too_many_fields_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
