#include "support.h"

#include "token.h"

#include <fcntl.h>
#include <jansson.h>
#include <jwt.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define UUID "123e4567-e89b-12d3-a456-426614174000"
enum { NOW = 1700000000, TTL = 3600, LEEWAY = 60 };

static const struct pg_id tunnel = {{0x12, 0x3e, 0x45, 0x67, 0xe8, 0x9b, 0x12, 0xd3, 0xa4, 0x56, 0x42, 0x66, 0x14, 0x17, 0x40}};
static struct pg_secret secret;

/* Made with Python's hmac for NOW and TTL: libjwt is not the only one that reads and writes these. */
static const char made_elsewhere[] =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJpc3MiOiJwaXBlZ2F0ZSIsImF1ZCI6InBpcGVnYXRlIiwic3ViIjoiMTIzZTQ1NjctZTg5Yi0xMmQzLWE0NTYt"
    "NDI2NjE0MTc0MDAwIiwibmJmIjoxNzAwMDAwMDAwLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMH0.BmpmwJVjec7_02Cqf9-"
    "NcgeWroHTlyaUZbU6"
    "h7CJL7A";
/* Its claims again, for tokens that differ in one. */
#define CLAIMS(rest) "{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"" UUID "\"" rest "}"
#define TIMES ",\"nbf\":1700000000,\"exp\":1700003600"

static const char *const not_signed = "the token is not signed by this server";
static const char *const not_hs256 = "the token is not signed with HS256";
static const char *const not_for_us = "the token is not for pipegate";
static const char *const no_expiry = "the token has no expiry";
static const char *const expired = "the token has expired";
static const char *const no_beginning = "the token's beginning (nbf) is no time";
static const char *const not_yet = "the token is not valid yet";
static const char *const no_tunnel = "the token names no tunnel";
static const char *const another = "the token is for another tunnel";
static const char *const too_long = "the token is too long";

static int setup(void **state) {
    (void)state;
    return pg_secret_set(SECRET, &secret) ? -1 : 0;
}

static void assert_says(const char *token, uint64_t now, const char *wanted) {
    char *copy = exact_copy(token, strlen(token) + 1);
    const char *said = pg_token_check(&secret, copy, &tunnel, now);
    free(copy);
    if (!wanted && said) fail_msg("%s: %s", said, token);
    if (wanted && !said) fail_msg("taken: %s", token);
    if (wanted) assert_string_equal(said, wanted);
}

/* A token with any algorithm, key and claims. */
static char *forge(jwt_alg_t algorithm, const char *key, const char *claims) {
    jwt_t *jwt;
    assert_int_equal(jwt_new(&jwt), 0);
    assert_int_equal(jwt_add_grants_json(jwt, claims), 0);
    assert_int_equal(jwt_set_alg(jwt, algorithm, (const unsigned char *)key, (int)strlen(key)), 0);
    char *token = jwt_encode_str(jwt);
    assert_non_null(token);
    jwt_free(jwt);
    return token;
}

static void assert_claims_say(const char *claims, const char *wanted) {
    char *token = forge(JWT_ALG_HS256, SECRET, claims);
    assert_says(token, NOW, wanted);
    free(token);
}

static void a_token_made_is_good_from_now_to_its_end(void **state) {
    (void)state;
    char *token = pg_token_make(&secret, &tunnel, NOW, TTL);
    assert_non_null(token);
    assert_null(strpbrk(token, " \n\t\"'"));
    assert_says(token, NOW, NULL);
    assert_says(token, NOW + TTL + LEEWAY - 1, NULL);
    assert_says(token, NOW + TTL + LEEWAY, expired);
    assert_says(token, UINT64_MAX - LEEWAY, expired);
    assert_says(token, NOW - LEEWAY, NULL);
    assert_says(token, NOW - LEEWAY - 1, not_yet);
    assert_says(token, 0, not_yet);
    free(token);
}

static void a_token_made_elsewhere_is_good_too(void **state) {
    (void)state;
    assert_says(made_elsewhere, NOW, NULL);
    assert_says(made_elsewhere, NOW + TTL + LEEWAY, expired);
}

static void the_longest_time_still_makes_a_good_token(void **state) {
    (void)state;
    char *token = pg_token_make(&secret, &tunnel, NOW, INT64_MAX / 1000);
    assert_says(token, NOW, NULL);
    free(token);
}

static void another_tunnel_is_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < PG_ID_SIZE; i++) {
        struct pg_id other = tunnel;
        other.bytes[i] ^= 1;
        char *token = pg_token_make(&secret, &other, NOW, TTL);
        assert_says(token, NOW, another);
        free(token);
    }
}

static void another_secret_is_refused(void **state) {
    (void)state;
    static const char *const keys[] = {SECRET "x", "0123456789abcdef0123456789abcdeF", "0123456789abcdef0123456789abcde",
                                       "0123456789abcdef", "x"};
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        char *token = forge(JWT_ALG_HS256, keys[i], CLAIMS(TIMES));
        assert_says(token, NOW, not_signed);
        free(token);
    }
}

static void only_hs256_is_taken(void **state) {
    (void)state;
    static const jwt_alg_t others[] = {JWT_ALG_HS384, JWT_ALG_HS512};
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        char *token = forge(others[i], SECRET, CLAIMS(TIMES)); /* signed well, with our secret */
        assert_says(token, NOW, not_hs256);
        free(token);
    }
}

/* {"alg":"none"} in four spellings, and RS256 with the signature of the HS256 token: never believed, signed or not. */
static void no_algorithm_is_no_signature(void **state) {
    (void)state;
    static const char *const headers[] = {"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0",
                                          "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0",
                                          "eyJhbGciOiJOT05FIiwidHlwIjoiSldUIn0",
                                          "eyJhbGciOiJuT25FIiwidHlwIjoiSldUIn0",
                                          "eyJhbGciOiJub25lIn0",
                                          "e30",
                                          "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9"};
    const char *claims = strchr(made_elsewhere, '.');
    const char *signature = strrchr(made_elsewhere, '.');
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        char token[1024];
        int unsigned_length = (int)(signature - claims);
        snprintf(token, sizeof token, "%s%s", headers[i], claims);
        assert_says(token, NOW, not_signed);
        snprintf(token, sizeof token, "%s%.*s.", headers[i], unsigned_length, claims);
        assert_says(token, NOW, not_signed);
        snprintf(token, sizeof token, "%s%.*s", headers[i], unsigned_length, claims);
        assert_says(token, NOW, not_signed);
    }
}

static void a_missing_or_wrong_claim_is_named(void **state) {
    (void)state;
    static const struct {
        const char *claims, *wanted;
    } table[] = {
        {CLAIMS(TIMES), NULL},
        {"{}", "the token is not for pipegate"},
        {"{\"aud\":\"pipegate\",\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":\"pipegate\",\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":\"Pipegate\",\"aud\":\"pipegate\",\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":\"pipegate\",\"aud\":\"other\",\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":\"pipegate\",\"aud\":[\"pipegate\"],\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":1,\"aud\":\"pipegate\",\"sub\":\"" UUID "\"" TIMES "}", "the token is not for pipegate"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\"" TIMES "}", "the token names no tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"\"" TIMES "}", "the token names no tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"*\"" TIMES "}", "the token names no tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"" UUID " \"" TIMES "}", "the token names no tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":7" TIMES "}", "the token names no tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"00000000-0000-0000-0000-000000000000\"" TIMES "}",
         "the token is for another tunnel"},
        {"{\"iss\":\"pipegate\",\"aud\":\"pipegate\",\"sub\":\"123E4567-E89B-12D3-A456-426614174000\"" TIMES "}", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(table); i++) assert_claims_say(table[i].claims, table[i].wanted);
    assert_string_equal(not_for_us, table[1].wanted);
    assert_string_equal(no_tunnel, table[8].wanted);
}

static void an_expiry_is_a_whole_number_in_the_future(void **state) {
    (void)state;
    assert_claims_say(CLAIMS(""), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":0"), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":-1"), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":\"1700003600\""), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":1700003600.5"), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":null"), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":true"), no_expiry);
    assert_claims_say(CLAIMS(",\"exp\":1"), expired);
    assert_claims_say(CLAIMS(",\"exp\":1699999940"), expired);
    assert_claims_say(CLAIMS(",\"exp\":1699999941"), NULL);
    assert_claims_say(CLAIMS(",\"exp\":9223372036854775807"), NULL);
}

/* Not every tool writes an nbf (RFC 7519 makes it optional); one that is there is kept to. */
static void a_beginning_may_be_missing_but_not_unreadable(void **state) {
    (void)state;
    assert_claims_say(CLAIMS(",\"exp\":1700003600"), NULL);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":1700000060"), NULL);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":1700000061"), not_yet);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":9223372036854775807"), not_yet);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":1"), NULL);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":0"), no_beginning);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":-1"), no_beginning);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":\"1900000000\""), no_beginning);
    assert_claims_say(CLAIMS(",\"exp\":1700003600,\"nbf\":1900000000.5"), no_beginning);
}

static void garbage_is_refused(void **state) {
    (void)state;
    static const char *const garbage[] = {"",
                                          " ",
                                          ".",
                                          "..",
                                          "...",
                                          "....",
                                          "a",
                                          "a.b",
                                          "a.b.c",
                                          "a.b.c.d",
                                          "Bearer x.y.z",
                                          "\xff\xfe.\x80.\x01",
                                          "e30.e30.",
                                          "e30.e30.e30",
                                          "bm90.anNvbg.eA",
                                          "%00.%00.%00",
                                          "eyJhbGciOiJIUzI1NiJ9..",
                                          "eyJhbGciOiJIUzI1NiJ9.e30.",
                                          "eyJhbGciOiJIUzI1NiJ9.e30.eA",
                                          "\n\n",
                                          "=.=.="};
    for (size_t i = 0; i < COUNT_OF(garbage); i++) assert_says(garbage[i], NOW, not_signed);
}

static void a_token_cut_or_changed_anywhere_is_refused(void **state) {
    (void)state;
    static const char others[] = "A_.=9z";
    char token[sizeof made_elsewhere + 2];
    size_t length = sizeof made_elsewhere - 1;
    for (size_t at = 0; at < length; at++) {
        memcpy(token, made_elsewhere, sizeof made_elsewhere);
        token[at] = '\0';
        assert_says(token, NOW, not_signed);
        for (size_t i = 0; i < sizeof others - 1; i++) {
            memcpy(token, made_elsewhere, sizeof made_elsewhere);
            if (token[at] == others[i]) continue;
            token[at] = others[i];
            assert_says(token, NOW, not_signed);
        }
    }
    static const char tails[] = "A.=\n ";
    for (size_t i = 0; i < sizeof tails - 1; i++) {
        snprintf(token, sizeof token, "%s%c", made_elsewhere, tails[i]);
        assert_says(token, NOW, not_signed);
    }
}

/* A good token up to the longest that is read, and a good one beyond it. */
static void a_longer_token_is_refused_unread(void **state) {
    (void)state;
    char claims[8192], padding[6000];
    bool seen_longest = false, seen_longer = false;
    for (size_t pad = 2700; pad < 2900; pad++) {
        memset(padding, 'x', pad);
        padding[pad] = '\0';
        snprintf(claims, sizeof claims, CLAIMS(TIMES ",\"pad\":\"%s\""), padding);
        char *token = forge(JWT_ALG_HS256, SECRET, claims);
        size_t length = strlen(token);
        seen_longest = seen_longest || length == PG_TOKEN_MAX || length == PG_TOKEN_MAX - 1;
        seen_longer = seen_longer || length == PG_TOKEN_MAX + 1 || length == PG_TOKEN_MAX + 2;
        assert_says(token, NOW, length > PG_TOKEN_MAX ? too_long : NULL);
        free(token);
    }
    assert_true(seen_longest && seen_longer);
    memset(claims, 'a', sizeof claims);
    claims[PG_TOKEN_MAX] = '\0';
    assert_says(claims, NOW, not_signed);
    claims[PG_TOKEN_MAX] = 'a';
    claims[PG_TOKEN_MAX + 1] = '\0';
    assert_says(claims, NOW, too_long);
}

static void no_sentence_tells_the_secret_or_the_token(void **state) {
    (void)state;
    const char *const sentences[] = {not_signed,   not_hs256, not_for_us, no_expiry, expired,
                                     no_beginning, not_yet,   no_tunnel,  another,   too_long};
    for (size_t i = 0; i < COUNT_OF(sentences); i++) {
        assert_null(strstr(sentences[i], SECRET));
        assert_null(strchr(sentences[i], '%'));
    }
    assert_null(strstr(made_elsewhere, SECRET));
}

static void a_secret_has_its_lengths(void **state) {
    (void)state;
    struct pg_secret read;
    char *text = malloc(PG_SECRET_MAX + 2);
    memset(text, 's', PG_SECRET_MAX + 2);
    for (size_t length = 0; length <= PG_SECRET_MAX + 1; length += length == 20 ? PG_SECRET_MAX - 24 : 1) {
        text[length] = '\0';
        const char *wrong = pg_secret_set(text, &read);
        text[length] = 's';
        assert_int_equal(wrong == NULL, length >= PG_SECRET_MIN && length <= PG_SECRET_MAX);
        if (wrong) assert_non_null(strstr(wrong, length < PG_SECRET_MIN ? "too short" : "longer than 4096 bytes"));
        else assert_int_equal(read.length, length);
        if (!wrong) assert_memory_equal(read.bytes, text, length);
    }
    free(text);
}

/* Writes the bytes to a file and reads the secret from it. */
static const char *read_secret(const char *bytes, size_t length, struct pg_secret *read) {
    char path[64];
    int fd = memfd_create("secret", 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    const char *wrong = pg_secret_read(path, read);
    close(fd);
    return wrong;
}

static void a_secret_file_ends_with_its_line(void **state) {
    (void)state;
    static const char *const endings[] = {"", "\n", "\r\n"};
    static char bytes[PG_SECRET_MAX + 8];
    struct pg_secret read;
    for (size_t i = 0; i < COUNT_OF(endings); i++) {
        size_t ending = strlen(endings[i]);
        static const size_t lengths[] = {PG_SECRET_MIN - 1, PG_SECRET_MIN, 64, PG_SECRET_MAX, PG_SECRET_MAX + 1};
        for (size_t j = 0; j < COUNT_OF(lengths); j++) {
            memset(bytes, 0xe9, sizeof bytes);
            memcpy(bytes + lengths[j], endings[i], ending);
            const char *wrong = read_secret(bytes, lengths[j] + ending, &read);
            if (lengths[j] < PG_SECRET_MIN) assert_non_null(strstr(wrong, "too short"));
            else if (lengths[j] > PG_SECRET_MAX) assert_non_null(strstr(wrong, "longer than 4096 bytes"));
            else assert_null(wrong);
            if (wrong) continue;
            assert_int_equal(read.length, lengths[j]);
            assert_memory_equal(read.bytes, bytes, read.length);
        }
    }
    /* Spaces are part of it; so is a line break that is not the last. */
    assert_null(read_secret(" 0123456789\n01234 \n", 19, &read));
    assert_int_equal(read.length, 18);
}

static void a_longer_file_is_not_read_in_part(void **state) {
    (void)state;
    static char bytes[2 * PG_SECRET_MAX];
    struct pg_secret read;
    memset(bytes, 's', sizeof bytes);
    bytes[PG_SECRET_MAX] = '\n'; /* the first line alone would do */
    assert_non_null(read_secret(bytes, sizeof bytes, &read));
    assert_non_null(read_secret(bytes, PG_SECRET_MAX + 2, &read));
}

/* Writes the first byte of the secret, waits until it is read, and writes the rest. */
static void *write_in_pieces(void *argument) {
    int fd = *(int *)argument, unread = 1;
    ssize_t first = write(fd, SECRET, 1);
    while (unread > 0 && ioctl(fd, FIONREAD, &unread) == 0) sched_yield();
    ssize_t rest = write(fd, &(SECRET "\n")[1], sizeof SECRET - 1);
    close(fd);
    return first == 1 && rest == sizeof SECRET - 1 ? argument : NULL;
}

/* As with --secret-file <(pass show pipegate): a pipe gives what there is, not what was asked for. */
static void a_secret_may_come_in_pieces(void **state) {
    (void)state;
    char path[64];
    int ends[2];
    void *wrote;
    pthread_t writer;
    struct pg_secret read;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_in_pieces, &ends[1]), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    assert_null(pg_secret_read(path, &read));
    assert_int_equal(pthread_join(writer, &wrote), 0);
    assert_non_null(wrote);
    assert_int_equal(read.length, strlen(SECRET));
    assert_memory_equal(read.bytes, SECRET, read.length);
    close(ends[0]);
}

static void a_file_that_is_no_secret_is_named(void **state) {
    (void)state;
    struct pg_secret read;
    assert_non_null(strstr(pg_secret_read("/nonexistent/secret", &read), "No such file"));
    assert_non_null(strstr(pg_secret_read("", &read), "No such file"));
    assert_non_null(strstr(pg_secret_read("/tmp", &read), "Is a directory"));
    assert_non_null(strstr(read_secret("0123456789abcdef\0more", 21, &read), "NUL"));
    assert_non_null(strstr(read_secret("", 0, &read), "too short"));
    assert_non_null(strstr(read_secret("\n\n\n", 3, &read), "too short"));
}

static unsigned left;
static bool failed;

static void *limited_malloc(size_t size) {
    if (left == 0) failed = true;
    else left--;
    return failed ? NULL : malloc(size);
}

enum { CHECKED_WITH_MEMORY = 20, REFUSED_WITHOUT, BELIEVED_WITHOUT };

/* A good token, while jansson's allocations fail from one on. (What libjwt itself allocates is out of reach. Making a
 * token is left out: libjwt 1.10 crashes there, and only `pg-broker token` does it.) */
static int check_without_memory(void *argument) {
    left = *(unsigned *)argument;
    json_set_alloc_funcs(limited_malloc, free);
    bool good = pg_token_check(&secret, made_elsewhere, &tunnel, NOW) == NULL;
    if (!failed) return CHECKED_WITH_MEMORY;
    return good ? BELIEVED_WITHOUT : REFUSED_WITHOUT;
}

static void without_memory_nothing_is_believed(void **state) {
    (void)state;
    int status = REFUSED_WITHOUT;
    for (unsigned good = 0; status != CHECKED_WITH_MEMORY; good++) {
        status = run_in_child(check_without_memory, &good)->status;
        assert_in_range(status, CHECKED_WITH_MEMORY, REFUSED_WITHOUT);
        assert_true(good < 1000);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_made_is_good_from_now_to_its_end),
        cmocka_unit_test(a_token_made_elsewhere_is_good_too),
        cmocka_unit_test(the_longest_time_still_makes_a_good_token),
        cmocka_unit_test(another_tunnel_is_refused),
        cmocka_unit_test(another_secret_is_refused),
        cmocka_unit_test(only_hs256_is_taken),
        cmocka_unit_test(no_algorithm_is_no_signature),
        cmocka_unit_test(a_missing_or_wrong_claim_is_named),
        cmocka_unit_test(an_expiry_is_a_whole_number_in_the_future),
        cmocka_unit_test(a_beginning_may_be_missing_but_not_unreadable),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(a_token_cut_or_changed_anywhere_is_refused),
        cmocka_unit_test(a_longer_token_is_refused_unread),
        cmocka_unit_test(no_sentence_tells_the_secret_or_the_token),
        cmocka_unit_test(a_secret_has_its_lengths),
        cmocka_unit_test(a_secret_file_ends_with_its_line),
        cmocka_unit_test(a_longer_file_is_not_read_in_part),
        cmocka_unit_test(a_secret_may_come_in_pieces),
        cmocka_unit_test(a_file_that_is_no_secret_is_named),
        cmocka_unit_test(without_memory_nothing_is_believed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
