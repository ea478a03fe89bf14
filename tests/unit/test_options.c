#include "support.h"

#include "options.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RAN = 100 };

/* The program under test: one option of each kind, with bounds, an alias, a variable of its own and one without. */
static uint64_t port = 80, size = 2048, wait_time = 30000;
static const char *server_url = "(default)", *secret = "", *private_text = "";
static bool quiet;
static struct pg_log log_ = {.program = "pg-test", .level = PG_LOG_INFO};

static const struct pg_option table[] = {
    {.name = "port", .kind = PG_OPTION_COUNT, .value = &port, .argument = "N", .help = "the port (80)", .min = 1, .max = 65535},
    {.name = "size", .kind = PG_OPTION_SIZE, .value = &size, .argument = "SIZE", .help = "how much (2k)", .min = 1024},
    {.name = "wait-time",
     .kind = PG_OPTION_DURATION,
     .value = &wait_time,
     .argument = "TIME",
     .help = "how long (30s)",
     .min = 100,
     .max = 3600000},
    {.name = "server-url",
     .kind = PG_OPTION_TEXT,
     .value = &server_url,
     .argument = "URL",
     .help = "where to",
     .alias = "server_url"},
    {.name = "secret",
     .kind = PG_OPTION_TEXT,
     .value = &secret,
     .argument = "TEXT",
     .help = "what nobody knows",
     .variable = "TEST_JWT_SECRET"},
    {.name = "private", .kind = PG_OPTION_TEXT, .value = &private_text, .argument = "TEXT", .help = "flag only", .variable = ""},
    {.name = "quiet", .kind = PG_OPTION_FLAG, .value = &quiet, .help = "say nothing"},
};
static struct pg_options_found found;
static const struct pg_options options = {.program = "pg-test",
                                          .usage = "pg-test --port N\npg-test --quiet\n",
                                          .about = "What it does.\n",
                                          .notes = "The notes.\n",
                                          .table = table,
                                          .count = COUNT_OF(table),
                                          .log = &log_,
                                          .found = &found};

struct run {
    const char *const *environment;
    const char *const *arguments;
};

static int parse_and_print(void *argument) {
    const struct run *run = argument;
    int argc = 0;
    clearenv();
    for (const char *const *e = run->environment; *e; e++) putenv((char *)*e);
    while (run->arguments[argc]) argc++;
    int status = pg_options_parse(&options, argc, (char **)run->arguments);
    if (status != PG_OPTIONS_RUN) return status;
    printf("port=%llu size=%llu wait=%llu url=%s secret=%s private=%s quiet=%d level=%d json=%d", (unsigned long long)port,
           (unsigned long long)size, (unsigned long long)wait_time, server_url, secret, private_text, quiet, (int)log_.level,
           log_.json);
    return RAN;
}

#define ENV(...)                                                                                                                   \
    (const char *const[]) {                                                                                                        \
        __VA_ARGS__, NULL                                                                                                          \
    }
#define ARGS(...)                                                                                                                  \
    (const char *const[]) {                                                                                                        \
        "pg-test", __VA_ARGS__, NULL                                                                                               \
    }
#define NONE ENV(NULL)

static const struct output *run(const char *const *environment, const char *const *arguments) {
    struct run what = {environment, arguments};
    return run_in_child(parse_and_print, &what);
}

static void assert_ran(const struct output *output, const char *wanted) {
    if (output->status != RAN) fail_msg("status %d: %s", output->status, output->err);
    assert_string_equal(output->err, "");
    if (!strstr(output->out, wanted)) fail_msg("\"%s\" is not in \"%s\"", wanted, output->out);
}

/* Exit 2, nothing on stdout, and this one line on stderr. */
static void assert_error(const struct output *output, const char *wanted) {
    char line[2048];
    snprintf(line, sizeof line, "pg-test: %s (try pg-test --help)\n", wanted);
    assert_string_equal(output->err, line);
    assert_string_equal(output->out, "");
    assert_int_equal(output->status, PG_EXIT_USAGE);
}

static void without_anything_the_defaults_stand(void **state) {
    (void)state;
    assert_ran(run(NONE, ARGS(NULL)), "port=80 size=2048 wait=30000 url=(default) secret= private= quiet=0 level=2 json=0");
}

static void each_kind_is_read_from_flags(void **state) {
    (void)state;
    assert_ran(run(NONE, ARGS("--port", "3000", "--size=48k", "--wait-time", "200ms", "--server-url=wss://x", "--secret", "a b",
                              "--private", "", "--quiet", "--log-level", "debug", "--log-format=json")),
               "port=3000 size=49152 wait=200 url=wss://x secret=a b private= quiet=1 level=3 json=1");
}

static void each_kind_is_read_from_the_environment(void **state) {
    (void)state;
    assert_ran(run(ENV("PIPEGATE_PORT=3000", "PIPEGATE_SIZE=48k", "PIPEGATE_WAIT_TIME=200ms", "PIPEGATE_SERVER_URL=wss://x",
                       "TEST_JWT_SECRET=abc", "PIPEGATE_QUIET=1", "PIPEGATE_LOG_LEVEL=debug", "PIPEGATE_LOG_FORMAT=json"),
                   ARGS(NULL)),
               "port=3000 size=49152 wait=200 url=wss://x secret=abc private= quiet=1 level=3 json=1");
}

static void flags_win_over_the_environment(void **state) {
    (void)state;
    assert_ran(run(ENV("PIPEGATE_PORT=1", "PIPEGATE_SERVER_URL=env", "PIPEGATE_LOG_LEVEL=error", "PIPEGATE_LOG_FORMAT=json",
                       "PIPEGATE_QUIET=0"),
                   ARGS("--port=2", "--server-url", "flag", "--log-level=warn", "--log-format=text", "--quiet")),
               "port=2 size=2048 wait=30000 url=flag secret= private= quiet=1 level=1 json=0");
    assert_ran(run(NONE, ARGS("--port", "1", "--port", "2")), "port=2 "); /* the last one */
}

static void a_flag_makes_a_wrong_variable_harmless(void **state) {
    (void)state;
    assert_ran(run(ENV("PIPEGATE_PORT=nonsense", "PIPEGATE_QUIET=maybe", "PIPEGATE_LOG_LEVEL=loud"),
                   ARGS("--port=2", "--quiet", "--log-level=error")),
               "port=2 ");
}

static void a_variable_of_its_own_or_none_is_kept_to(void **state) {
    (void)state;
    assert_ran(run(ENV("PIPEGATE_SECRET=wrong", "PIPEGATE_PRIVATE=wrong", "PIPEGATE_server_url=wrong", "=wrong"), ARGS(NULL)),
               "url=(default) secret= private= ");
}

static void an_empty_variable_is_none(void **state) {
    (void)state;
    assert_ran(run(ENV("PIPEGATE_PORT=", "PIPEGATE_SIZE=", "PIPEGATE_WAIT_TIME=", "PIPEGATE_SERVER_URL=", "PIPEGATE_QUIET=",
                       "PIPEGATE_LOG_LEVEL=", "PIPEGATE_LOG_FORMAT="),
                   ARGS(NULL)),
               "port=80 size=2048 wait=30000 url=(default) secret= private= quiet=0 level=2 json=0");
}

static void a_flag_in_the_environment_has_its_words(void **state) {
    (void)state;
    static char on[][24] = {"PIPEGATE_QUIET=1", "PIPEGATE_QUIET=true", "PIPEGATE_QUIET=YES", "PIPEGATE_QUIET=True",
                            "PIPEGATE_QUIET=on"};
    static char off[][24] = {"PIPEGATE_QUIET=0", "PIPEGATE_QUIET=false", "PIPEGATE_QUIET=No", "PIPEGATE_QUIET=off"};
    for (size_t i = 0; i < COUNT_OF(on); i++) assert_ran(run(ENV(on[i]), ARGS(NULL)), "quiet=1");
    for (size_t i = 0; i < COUNT_OF(off); i++) assert_ran(run(ENV(off[i]), ARGS(NULL)), "quiet=0");
    assert_error(run(ENV("PIPEGATE_QUIET=maybe"), ARGS(NULL)), "PIPEGATE_QUIET takes yes or no, not \"maybe\"");
    assert_error(run(ENV("PIPEGATE_QUIET=2"), ARGS(NULL)), "PIPEGATE_QUIET takes yes or no, not \"2\"");
}

/* --- the file --- */

static char config[64];

static const char *const *with_config(const char *text) {
    static char flag[80];
    snprintf(config, sizeof config, "/tmp/pg-config-%ld", (long)getpid());
    snprintf(flag, sizeof flag, "--config=%s", config);
    FILE *file = fopen(config, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    static const char *arguments[3] = {"pg-test"};
    arguments[1] = flag;
    return arguments;
}

static void assert_config_error(const char *text, const char *wanted) {
    char line[512];
    const char *const *arguments = with_config(text);
    snprintf(line, sizeof line, "%s %s", config, wanted);
    assert_error(run(NONE, arguments), line);
}

static int remove_config(void **state) {
    (void)state;
    return unlink(config) == 0 || errno == ENOENT ? 0 : -1;
}

static void each_kind_is_read_from_the_file(void **state) {
    (void)state;
    assert_ran(run(NONE, with_config("# all of it\n\n  port = 3000\nsize=48k\r\n\twait-time =200ms\nserver-url = wss://x/?a=b # c\n"
                                     "secret= a b \nprivate = p\nquiet = yes\nlog-level = debug\nlog-format = json")),
               "port=3000 size=49152 wait=200 url=wss://x/?a=b # c secret=a b private=p quiet=1 level=3 json=1");
}

static void flags_and_variables_win_over_the_file(void **state) {
    (void)state;
    const char *const *arguments = with_config("port = 1\nsize = 1k\nwait-time = 1s\nserver-url = file\nsecret =\n");
    assert_ran(run(ENV("PIPEGATE_PORT=2", "PIPEGATE_SERVER_URL=variable", "TEST_JWT_SECRET=kept"), ARGS(arguments[1], "--port=3")),
               "port=3 size=1024 wait=1000 url=variable secret=kept ");
    char variable[96];
    snprintf(variable, sizeof variable, "PIPEGATE_CONFIG=%s", config);
    assert_ran(run(ENV(variable), ARGS(NULL)), "port=1 ");
    assert_ran(run(ENV(variable), ARGS("--config=")), "port=80 "); /* none */
}

static void a_wrong_line_is_named(void **state) {
    (void)state;
    assert_config_error("port = 1\nprot = 2\n", "line 2: there is no setting \"prot\"");
    assert_config_error("config = x\n", "line 1: there is no setting \"config\"");
    assert_config_error("server-url = x\nserver_url = x\n", "line 2: server_url is set a second time");
    assert_config_error("\nport 1", "line 2: a line is \"name = value\"");
    assert_config_error("port = http", "line 1: port takes a whole number, not \"http\"");
    assert_config_error("port = 0", "line 1: port must be from 1 to 65535, not \"0\"");
    assert_config_error("quiet = maybe", "line 1: quiet takes yes or no, not \"maybe\"");
    assert_config_error("port = 1\nport = 1", "line 2: port is set a second time");
    assert_config_error("SEKRET = TOP-SECRET\n", "line 1: there is no setting \"SEKRET\"");
}

static void a_file_that_cannot_be_read_is_an_error(void **state) {
    (void)state;
    static char longest[PG_CONFIG_MAX + 2];
    char wanted[128];
    assert_error(run(NONE, ARGS("--config=/nowhere/at/all")), "--config /nowhere/at/all cannot be read: No such file or directory");
    assert_error(run(NONE, ARGS("--config=/")), "--config / cannot be read: Is a directory");
    memset(longest, '#', PG_CONFIG_MAX);
    assert_ran(run(NONE, with_config(longest)), "port=80 ");
    longest[PG_CONFIG_MAX] = '#';
    const char *const *arguments = with_config(longest);
    snprintf(wanted, sizeof wanted, "--config %s is longer than 65536 bytes", config);
    assert_error(run(NONE, arguments), wanted);
}

static void an_alias_and_a_unique_beginning_are_accepted(void **state) {
    (void)state;
    assert_ran(run(NONE, ARGS("--server_url", "alias")), "url=alias");
    assert_ran(run(NONE, ARGS("--server_url=alias")), "url=alias");
    assert_ran(run(NONE, ARGS("--serv=short")), "url=short");
    assert_ran(run(NONE, ARGS("--qui")), "quiet=1");
}

static void bounds_hold_on_both_sides(void **state) {
    (void)state;
    static const char *const port_range = "--port must be from 1 to 65535, not \"%s\"";
    char wanted[128];
    assert_ran(run(NONE, ARGS("--port=1")), "port=1 ");
    assert_ran(run(NONE, ARGS("--port=65535")), "port=65535 ");
    snprintf(wanted, sizeof wanted, port_range, "0");
    assert_error(run(NONE, ARGS("--port=0")), wanted);
    snprintf(wanted, sizeof wanted, port_range, "65536");
    assert_error(run(NONE, ARGS("--port", "65536")), wanted);
    assert_ran(run(NONE, ARGS("--wait-time=100ms")), "wait=100 ");
    assert_ran(run(NONE, ARGS("--wait-time=1h")), "wait=3600000 ");
    assert_error(run(NONE, ARGS("--wait-time=99ms")), "--wait-time must be from 100ms to 1h, not \"99ms\"");
    assert_error(run(NONE, ARGS("--wait-time=3600001ms")), "--wait-time must be from 100ms to 1h, not \"3600001ms\"");
    assert_error(run(ENV("PIPEGATE_PORT=0"), ARGS(NULL)), "PIPEGATE_PORT must be from 1 to 65535, not \"0\"");
}

static void a_maximum_of_0_is_no_bound_and_is_not_told(void **state) {
    (void)state;
    assert_ran(run(NONE, ARGS("--size=1024")), "size=1024 ");
    assert_ran(run(NONE, ARGS("--size=8589934591g")), "size=9223372035781033984 ");
    assert_error(run(NONE, ARGS("--size=1023")), "--size must be at least 1024, not \"1023\"");
}

static void a_wrong_value_is_named_with_what_it_should_be(void **state) {
    (void)state;
    assert_error(run(NONE, ARGS("--port=http")), "--port takes a whole number, not \"http\"");
    assert_error(run(NONE, ARGS("--port", "")), "--port takes a whole number, not \"\"");
    assert_error(run(NONE, ARGS("--port=-1")), "--port takes a whole number, not \"-1\"");
    assert_error(run(NONE, ARGS("--size=10q")), "--size takes a size such as 48k or 10m, not \"10q\"");
    assert_error(run(NONE, ARGS("--wait-time=soon")), "--wait-time takes a duration such as 200ms, 30s or 21d, not \"soon\"");
    assert_error(run(ENV("PIPEGATE_WAIT_TIME=soon"), ARGS(NULL)),
                 "PIPEGATE_WAIT_TIME takes a duration such as 200ms, 30s or 21d, not \"soon\"");
    assert_error(run(NONE, ARGS("--log-level=loud")), "--log-level takes error, warn, info or debug, not \"loud\"");
    assert_error(run(NONE, ARGS("--log-format=xml")), "--log-format takes text or json, not \"xml\"");
    assert_error(run(NONE, ARGS("--log-level=")), "--log-level takes error, warn, info or debug, not \"\"");
}

static void what_is_no_option_is_refused(void **state) {
    (void)state;
    assert_error(run(NONE, ARGS("--nonsense")), "there is no option --nonsense, or it is short for several");
    assert_error(run(NONE, ARGS("--port=1", "--s")), "there is no option --s, or it is short for several");
    assert_error(run(NONE, ARGS("--log=x")), "there is no option --log, or it is short for several");
    assert_error(run(NONE, ARGS("-x")), "there is no option -x");
    assert_error(run(NONE, ARGS("-p3000")), "there is no option -p");
    assert_error(run(NONE, ARGS("3000")), "\"3000\" is no option");
    assert_error(run(NONE, ARGS("--quiet", "yes")), "\"yes\" is no option");
    assert_error(run(NONE, ARGS("--", "--port=1")), "\"--port=1\" is no option");
    assert_error(run(NONE, ARGS("")), "\"\" is no option");
    assert_error(run(NONE, ARGS("-")), "\"-\" is no option");
}

static void arguments_belong_where_they_belong(void **state) {
    (void)state;
    assert_error(run(NONE, ARGS("--port")), "--port needs an argument");
    assert_error(run(NONE, ARGS("--quiet", "--server_url")), "--server_url needs an argument");
    assert_error(run(NONE, ARGS("--quiet=1")), "--quiet takes no argument");
    assert_error(run(NONE, ARGS("--help=me")), "--help takes no argument");
    assert_error(run(NONE, ARGS("--version=1")), "--version takes no argument");
}

/* A slip of the finger is no reason to show a secret in a terminal or a unit's journal. */
static void a_secret_behind_a_wrong_name_is_not_repeated(void **state) {
    (void)state;
    assert_error(run(NONE, ARGS("--sekret=TOP-SECRET")), "there is no option --sekret, or it is short for several");
    assert_error(run(NONE, ARGS("--quiet=TOP-SECRET")), "--quiet takes no argument");
    assert_null(strstr(run(ENV("TEST_JWT_SECRET=TOP-SECRET"), ARGS("--help"))->out, "TOP-SECRET"));
    assert_error(run(ENV("TEST_JWT_SECRET=TOP-SECRET"), ARGS("--port=x", "--secret=TOP-SECRET")),
                 "--port takes a whole number, not \"x\"");
}

static void an_error_is_one_line_whatever_is_wrong(void **state) {
    (void)state;
    assert_error(run(NONE, ARGS("--port=1\npg-test: all is well\033[2K")),
                 "--port takes a whole number, not \"1?pg-test: all is well?[2K\"");
    assert_error(run(NONE, ARGS("a\r\nb")), "\"a??b\" is no option");
    assert_error(run(NONE, ARGS("-\n")), "there is no option -?");
    /* Both are wrong: one is told. */
    assert_error(run(ENV("PIPEGATE_PORT=x"), ARGS("--size=y")), "--size takes a size such as 48k or 10m, not \"y\"");
    assert_error(run(ENV("PIPEGATE_PORT=x", "PIPEGATE_SIZE=y"), ARGS(NULL)), "PIPEGATE_PORT takes a whole number, not \"x\"");
    static char longest[5000] = "--port=";
    memset(longest + 7, 'x', sizeof longest - 8);
    const struct output *output = run(NONE, ARGS(longest));
    assert_int_equal(output->status, PG_EXIT_USAGE);
    assert_ptr_equal(strchr(output->err, '\n'), output->err + output->err_length - 1);
}

static void help_names_every_option_once(void **state) {
    (void)state;
    static const char *const names[] = {"  --port N ",
                                        "  --size SIZE ",
                                        "  --wait-time TIME ",
                                        "  --server-url URL ",
                                        "  --secret TEXT ",
                                        "  --private TEXT ",
                                        "  --quiet ",
                                        "  --log-level LEVEL ",
                                        "  --log-format FORMAT ",
                                        "  --config FILE ",
                                        "  --help ",
                                        "  --version ",
                                        "Usage: pg-test --port N\n  or:  pg-test --quiet\n\nWhat it does.\n\nOptions:\n",
                                        "\nThe notes.\n",
                                        "what nobody knows"};
    const struct output *output = run(NONE, ARGS("--help"));
    assert_int_equal(output->status, 0);
    assert_string_equal(output->err, "");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        const char *first = strstr(output->out, names[i]);
        if (!first || strstr(first + 1, names[i])) fail_msg("\"%s\" is not there once:\n%s", names[i], output->out);
    }
    assert_null(strstr(output->out, "server_url"));
    assert_int_equal(run(NONE, ARGS("-h"))->status, 0);
    assert_non_null(strstr(run(NONE, ARGS("-h"))->out, "Usage: "));
}

static void help_and_version_work_whatever_else_is_wrong(void **state) {
    (void)state;
    const struct output *output = run(ENV("PIPEGATE_PORT=x", "PIPEGATE_LOG_LEVEL=loud"), ARGS("--port=1", "--help", "--nonsense"));
    assert_int_equal(output->status, 0);
    assert_string_equal(output->err, "");
    assert_non_null(strstr(output->out, "Usage: "));
    output = run(ENV("PIPEGATE_PORT=x"), ARGS("--version"));
    assert_int_equal(output->status, 0);
    assert_string_equal(output->err, "");
    assert_int_equal(strncmp(output->out, "pg-test ", 8), 0);
    assert_true(output->out[8] >= '0' && output->out[8] <= '9');
    assert_ptr_equal(strchr(output->out, '\n'), output->out + output->out_length - 1);
}

static void every_log_level_has_its_word(void **state) {
    (void)state;
    static const char *const words[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "level=%d", i);
        assert_ran(run(NONE, ARGS("--log-level", words[i])), wanted);
    }
    assert_ran(run(NONE, ARGS("--log-format", "text")), "json=0");
}

/* `count` options, each with an alias; the last one is given by it. */
static int parse_large_table(void *argument) {
    static struct pg_option many[64];
    static char names[64][32], aliases[64][32];
    static uint64_t values[64];
    size_t count = *(size_t *)argument;
    char given[48];
    clearenv();
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "name%zu", i);
        snprintf(aliases[i], sizeof aliases[i], "also%zu", i);
        many[i] =
            (struct pg_option){.name = names[i], .kind = PG_OPTION_COUNT, .value = &values[i], .help = "", .alias = aliases[i]};
    }
    snprintf(given, sizeof given, "--also%zu=7", count - 1);
    const struct pg_options large = {
        .program = "p", .usage = "", .about = "", .table = many, .count = count, .log = &log_, .found = &found};
    int status = pg_options_parse(&large, 2, (char *[]){names[0], given, NULL});
    return status == PG_OPTIONS_RUN && values[count - 1] == 7 ? RAN : status;
}

/* A mistake of ours, not of a user: a program whose table is too large ends at its first start. */
static void a_table_has_45_options_at_most(void **state) {
    (void)state;
    size_t most = 45, more = 46;
    assert_int_equal(run_in_child(parse_large_table, &most)->status, RAN);
    assert_int_equal(run_in_child(parse_large_table, &more)->status, -SIGABRT);
}

static int error_directly(void *argument) {
    (void)argument;
    return pg_options_error(&options, "%s and %d", "this", 7);
}

static void an_error_of_the_program_reads_like_ours(void **state) {
    (void)state;
    assert_error(run_in_child(error_directly, NULL), "this and 7");
}

static int blame_port_and_size(void *argument) {
    int status = parse_and_print(argument);
    if (status != RAN) return status;
    pg_options_wrong(&options, &port, ": %s and %d", "this", 7);
    return pg_options_wrong(&options, &size, " is odd");
}

static void a_value_that_the_program_refuses_is_named_by_where_it_stood(void **state) {
    (void)state;
    const struct run flag = {ENV("PIPEGATE_SIZE=1k"), ARGS("--port=1")};
    const struct run both = {ENV("PIPEGATE_PORT=2"), with_config("port = 1\n\n\n size = 1k\n")};
    const struct run none = {NONE, ARGS(NULL)};
    char wanted[512];
    assert_string_equal(run_in_child(blame_port_and_size, (void *)&flag)->err,
                        "pg-test: --port: this and 7 (try pg-test --help)\npg-test: PIPEGATE_SIZE is odd (try pg-test --help)\n");
    assert_string_equal(run_in_child(blame_port_and_size, (void *)&none)->err,
                        "pg-test: --port: this and 7 (try pg-test --help)\npg-test: --size is odd (try pg-test --help)\n");
    snprintf(wanted, sizeof wanted,
             "pg-test: PIPEGATE_PORT: this and 7 (try pg-test --help)\n"
             "pg-test: %s line 4: size is odd (try pg-test --help)\n",
             config);
    assert_string_equal(run_in_child(blame_port_and_size, (void *)&both)->err, wanted);
}

static int exclude_port_and_size(void *argument) {
    int status = parse_and_print(argument);
    return status != RAN ? status : pg_options_exclude(&options, &port, &size);
}

static void options_that_exclude_each_other_are_named_by_where_they_stood(void **state) {
    (void)state;
    const struct run run = {ENV("PIPEGATE_PORT=2"), with_config("size = 1k\n")};
    char wanted[512];
    snprintf(wanted, sizeof wanted, "pg-test: PIPEGATE_PORT and %s line 1: size exclude each other (try pg-test --help)\n", config);
    assert_string_equal(run_in_child(exclude_port_and_size, (void *)&run)->err, wanted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_anything_the_defaults_stand),
        cmocka_unit_test(each_kind_is_read_from_flags),
        cmocka_unit_test(each_kind_is_read_from_the_environment),
        cmocka_unit_test(flags_win_over_the_environment),
        cmocka_unit_test(a_flag_makes_a_wrong_variable_harmless),
        cmocka_unit_test(a_variable_of_its_own_or_none_is_kept_to),
        cmocka_unit_test(an_empty_variable_is_none),
        cmocka_unit_test(a_flag_in_the_environment_has_its_words),
        cmocka_unit_test_teardown(each_kind_is_read_from_the_file, remove_config),
        cmocka_unit_test_teardown(flags_and_variables_win_over_the_file, remove_config),
        cmocka_unit_test_teardown(a_wrong_line_is_named, remove_config),
        cmocka_unit_test_teardown(a_file_that_cannot_be_read_is_an_error, remove_config),
        cmocka_unit_test(an_alias_and_a_unique_beginning_are_accepted),
        cmocka_unit_test(bounds_hold_on_both_sides),
        cmocka_unit_test(a_maximum_of_0_is_no_bound_and_is_not_told),
        cmocka_unit_test(a_wrong_value_is_named_with_what_it_should_be),
        cmocka_unit_test(what_is_no_option_is_refused),
        cmocka_unit_test(arguments_belong_where_they_belong),
        cmocka_unit_test(a_secret_behind_a_wrong_name_is_not_repeated),
        cmocka_unit_test(an_error_is_one_line_whatever_is_wrong),
        cmocka_unit_test(help_names_every_option_once),
        cmocka_unit_test(help_and_version_work_whatever_else_is_wrong),
        cmocka_unit_test(every_log_level_has_its_word),
        cmocka_unit_test(a_table_has_45_options_at_most),
        cmocka_unit_test(an_error_of_the_program_reads_like_ours),
        cmocka_unit_test_teardown(a_value_that_the_program_refuses_is_named_by_where_it_stood, remove_config),
        cmocka_unit_test_teardown(options_that_exclude_each_other_are_named_by_where_they_stood, remove_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
