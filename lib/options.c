#include "options.h"

#include "units.h"
#include "version.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { OPTIONS_MAX = 48, VARIABLE_MAX = 64 };
enum { CODE_HELP = 256, CODE_VERSION, CODE_FIRST }; /* what getopt_long returns; beyond any letter */

static const char *log_level_text, *log_format_text, *config_path; /* set anew by each parse; never read outside of it */
static char config_text[PG_CONFIG_MAX + 2]; /* a byte too many, and the NUL; options point into it for as long as the program runs */

static const struct pg_option common[] = {
    {.name = "config", .kind = PG_OPTION_TEXT, .value = &config_path, .argument = "FILE",
     .help = "more options, in lines like: log-level = debug"},
    {.name = "log-level", .kind = PG_OPTION_TEXT, .value = &log_level_text, .argument = "LEVEL",
     .help = "error, warn, info or debug (info)"},
    {.name = "log-format", .kind = PG_OPTION_TEXT, .value = &log_format_text, .argument = "FORMAT",
     .help = "text or json (text)"},
};
enum { COMMON = sizeof common / sizeof *common, WHERE_MAX = 512 };

int pg_options_error(const struct pg_options *options, const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?'; /* it stays one line, whatever was given */
    fprintf(stderr, "%s: %s (try %s --help)\n", options->program, message, options->program);
    return PG_EXIT_USAGE;
}

static const struct pg_option *option_at(const struct pg_options *options, size_t i) {
    return i < options->count ? &options->table[i] : &common[i - options->count];
}

static void variable_name(const struct pg_option *option, char to[VARIABLE_MAX]) {
    if (option->variable) {
        snprintf(to, VARIABLE_MAX, "%s", option->variable);
        return;
    }
    int length = snprintf(to, VARIABLE_MAX, "PIPEGATE_%s", option->name);
    for (int i = 0; i < length && i < VARIABLE_MAX; i++)
        to[i] = to[i] == '-' ? '_' : (char)toupper((unsigned char)to[i]);
}

static bool parse_flag(const char *text, bool *value) {
    if (strcmp(text, "1") == 0 || strcasecmp(text, "true") == 0 || strcasecmp(text, "yes") == 0 || strcasecmp(text, "on") == 0)
        *value = true;
    else if (!*text || strcmp(text, "0") == 0 || strcasecmp(text, "false") == 0 || strcasecmp(text, "no") == 0 ||
             strcasecmp(text, "off") == 0)
        *value = false;
    else return false;
    return true;
}

static const char *expected(const struct pg_option *option) {
    switch (option->kind) {
    case PG_OPTION_FLAG: return "yes or no";
    case PG_OPTION_COUNT: return "a whole number";
    case PG_OPTION_SIZE: return "a size such as 48k or 10m";
    case PG_OPTION_DURATION: return "a duration such as 200ms, 30s or 21d";
    case PG_OPTION_TEXT: break;
    }
    return "a text";
}

/* As the option is written. */
static const char *bound(const struct pg_option *option, uint64_t value, char to[PG_DURATION_TEXT]) {
    if (option->kind == PG_OPTION_DURATION) return pg_duration_text(value, to);
    snprintf(to, PG_DURATION_TEXT, "%llu", (unsigned long long)value);
    return to;
}

/* `from` says where the text stood: "--port", "PIPEGATE_PORT" or "FILE line 3: port". */
static int assign(const struct pg_options *options, const struct pg_option *option, const char *from, const char *text) {
    uint64_t number = 0;
    bool good = true;
    switch (option->kind) {
    case PG_OPTION_FLAG: good = parse_flag(text, option->value); break;
    case PG_OPTION_TEXT: *(const char **)option->value = text; return PG_OPTIONS_RUN;
    case PG_OPTION_COUNT: good = pg_parse_count(text, &number); break;
    case PG_OPTION_SIZE: good = pg_parse_size(text, &number); break;
    case PG_OPTION_DURATION: good = pg_parse_duration(text, &number); break;
    }
    if (!good) return pg_options_error(options, "%s takes %s, not \"%s\"", from, expected(option), text);
    if (option->kind == PG_OPTION_FLAG) return PG_OPTIONS_RUN;
    char min[PG_DURATION_TEXT], max[PG_DURATION_TEXT];
    if (number < option->min && !option->max)
        return pg_options_error(options, "%s must be at least %s, not \"%s\"", from, bound(option, option->min, min), text);
    if (number < option->min || (option->max && number > option->max))
        return pg_options_error(options, "%s must be from %s to %s, not \"%s\"", from, bound(option, option->min, min),
                                bound(option, option->max, max), text);
    *(uint64_t *)option->value = number;
    return PG_OPTIONS_RUN;
}

/* Flags win: what was given as one is not looked at here. Marks in `given` what was found. */
static int read_environment(const struct pg_options *options, bool *given) {
    for (size_t i = 0; i < options->count + COMMON; i++) {
        if (given[i]) continue;
        const struct pg_option *option = option_at(options, i);
        char variable[VARIABLE_MAX];
        variable_name(option, variable);
        const char *text = *variable ? getenv(variable) : NULL;
        if (!text || (!*text && option->kind != PG_OPTION_FLAG)) continue;
        given[i] = true;
        int status = assign(options, option, variable, text);
        if (status != PG_OPTIONS_RUN) return status;
    }
    return PG_OPTIONS_RUN;
}

/* --- the file --- */

/* Reads the file into config_text. */
static int load_config(const struct pg_options *options, const char *path) {
    size_t length = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        while (length <= PG_CONFIG_MAX && (got = read(fd, config_text + length, PG_CONFIG_MAX + 1 - length)) > 0)
            length += (size_t)got;
    int why = errno;
    if (fd >= 0) close(fd);
    if (fd < 0 || got < 0) return pg_options_error(options, "--config %s cannot be read: %s", path, strerror(why));
    if (length > PG_CONFIG_MAX) return pg_options_error(options, "--config %s is longer than %d bytes", path, PG_CONFIG_MAX);
    config_text[length] = '\0';
    if (strlen(config_text) != length) return pg_options_error(options, "--config %s is no text", path);
    return PG_OPTIONS_RUN;
}

static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1])) length--;
    text[length] = '\0';
    return text;
}

/* The option's place in the tables, or -1. */
static int find_option(const struct pg_options *options, const char *name) {
    for (size_t i = 0; i < options->count + COMMON; i++)
        if (strcmp(option_at(options, i)->name, name) == 0 ||
            (option_at(options, i)->alias && strcmp(option_at(options, i)->alias, name) == 0))
            return (int)i;
    return -1;
}

/* `where` is "FILE line N". */
static int read_line(const struct pg_options *options, const char *where, char *line, const bool *given, bool *seen) {
    char from[WHERE_MAX + VARIABLE_MAX];
    char *name = trim(line);
    if (!*name || *name == '#') return PG_OPTIONS_RUN;
    char *equals = strchr(name, '=');
    if (!equals) return pg_options_error(options, "%s: a line is \"name = value\"", where);
    *equals = '\0';
    name = trim(name);
    int found = find_option(options, name);
    bool known = found >= 0 && option_at(options, (size_t)found)->value != &config_path;
    if (!known && options->file_is_shared) return PG_OPTIONS_RUN;
    if (!known)
        return pg_options_error(options, "%s: there is no setting \"%.40s\"", where, name);
    if (seen[found]) return pg_options_error(options, "%s: %s is set a second time", where, name);
    seen[found] = true;
    char *value = trim(equals + 1);
    if (given[found] || !*value) return PG_OPTIONS_RUN;
    snprintf(from, sizeof from, "%s: %s", where, name);
    return assign(options, option_at(options, (size_t)found), from, value);
}

/* What neither flags nor variables gave. */
static int read_config(const struct pg_options *options, const bool *given) {
    bool seen[OPTIONS_MAX] = {false};
    char where[WHERE_MAX];
    char *rest = config_text;
    unsigned number = 0;
    int status = load_config(options, config_path);
    while (status == PG_OPTIONS_RUN && rest) {
        char *line = strsep(&rest, "\n");
        snprintf(where, sizeof where, "%.400s line %u", config_path, ++number);
        status = read_line(options, where, line, given, seen);
    }
    return status;
}

/* --- help, and the whole --- */

static void print_option(const char *name, const char *argument, const char *help) {
    char left[64];
    snprintf(left, sizeof left, "--%s%s%s", name, argument ? " " : "", argument ? argument : "");
    printf("  %-30s %s\n", left, help);
}

/* In the form that help2man(1) makes a manual page of. */
static int print_help(const struct pg_options *options) {
    const char *before = "Usage: ";
    for (const char *line = options->usage; *line; line = strchr(line, '\n') + 1) {
        printf("%s%.*s", before, (int)strcspn(line, "\n") + 1, line);
        before = "  or:  ";
    }
    printf("\n%s\nOptions:\n", options->about);
    for (size_t i = 0; i < options->count + COMMON; i++) {
        const struct pg_option *option = option_at(options, i);
        print_option(option->name, option->argument, option->help);
    }
    print_option("help", NULL, "this text");
    print_option("version", NULL, "the version");
    printf("\nEach is also an environment variable (--some-name is PIPEGATE_SOME_NAME) and a line of the --config file\n"
           "(some-name = value). The command line wins over the environment, and that over the file.\n");
    if (options->notes) printf("\n%s", options->notes);
    return 0;
}

static int apply_log(const struct pg_options *options) {
    if (log_level_text && !pg_log_parse_level(log_level_text, &options->log->level))
        return pg_options_error(options, "--log-level takes error, warn, info or debug, not \"%s\"", log_level_text);
    if (log_format_text && strcmp(log_format_text, "json") != 0 && strcmp(log_format_text, "text") != 0)
        return pg_options_error(options, "--log-format takes text or json, not \"%s\"", log_format_text);
    options->log->json = log_format_text && strcmp(log_format_text, "json") == 0;
    return PG_OPTIONS_RUN;
}

/* Fills `to` for getopt_long; codes are CODE_FIRST + index in our tables. */
static void long_options(const struct pg_options *options, struct option *to) {
    for (size_t i = 0; i < options->count + COMMON; i++) {
        const struct pg_option *option = option_at(options, i);
        int has = option->kind == PG_OPTION_FLAG ? no_argument : required_argument;
        *to++ = (struct option){option->name, has, NULL, CODE_FIRST + (int)i};
        if (option->alias) *to++ = (struct option){option->alias, has, NULL, CODE_FIRST + (int)i};
    }
    *to++ = (struct option){"help", no_argument, NULL, CODE_HELP};
    *to++ = (struct option){"version", no_argument, NULL, CODE_VERSION};
    *to = (struct option){0};
}

/* What getopt_long did not like, `argument` being the last it read. A value behind '=' is not repeated: it may be a secret. */
static int refuse(const struct pg_options *options, int code, const char *argument) {
    int name = (int)strcspn(argument, "=");
    if (code == ':') return pg_options_error(options, "%.*s needs an argument", name, argument);
    if (optopt >= CODE_HELP) return pg_options_error(options, "%.*s takes no argument", name, argument);
    if (optopt) return pg_options_error(options, "there is no option -%c", optopt);
    return pg_options_error(options, "there is no option %.*s, or it is short for several", name, argument);
}

/* Marks in `given` what was. */
static int read_arguments(const struct pg_options *options, int argc, char **argv, bool *given) {
    struct option longs[2 * OPTIONS_MAX + 3];
    int code;
    long_options(options, longs);
    opterr = 0;
    optind = 1;
    while ((code = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
        if (code == 'h' || code == CODE_HELP) return print_help(options);
        if (code == CODE_VERSION) {
            printf("%s %s\n", options->program, PG_VERSION);
            return 0;
        }
        if (code == ':' || code == '?') return refuse(options, code, argv[optind - 1]);
        const struct pg_option *option = option_at(options, (size_t)(code - CODE_FIRST));
        given[code - CODE_FIRST] = true;
        char name[VARIABLE_MAX];
        snprintf(name, sizeof name, "--%s", option->name);
        int status = assign(options, option, name, option->kind == PG_OPTION_FLAG ? "1" : optarg);
        if (status != PG_OPTIONS_RUN) return status;
    }
    if (optind < argc) return pg_options_error(options, "\"%s\" is no option", argv[optind]);
    return PG_OPTIONS_RUN;
}

int pg_options_parse(const struct pg_options *options, int argc, char **argv) {
    if (options->count + COMMON > OPTIONS_MAX) abort();
    log_level_text = log_format_text = config_path = NULL;
    bool given[OPTIONS_MAX] = {false};
    /* First the arguments: --help must work whatever the environment says, and of two errors one is told. */
    int status = read_arguments(options, argc, argv, given);
    if (status == PG_OPTIONS_RUN) status = read_environment(options, given);
    if (status == PG_OPTIONS_RUN && config_path && *config_path) status = read_config(options, given);
    return status == PG_OPTIONS_RUN ? apply_log(options) : status;
}
