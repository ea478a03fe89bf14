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

enum { VARIABLE_MAX = 64, FILE_SHOWN_MAX = 400, ORIGIN_MAX = FILE_SHOWN_MAX + 2 * VARIABLE_MAX, MESSAGE_MAX = 1024 };
enum { CODE_HELP = 256, CODE_VERSION, CODE_FIRST }; /* what getopt_long returns; beyond any letter */

/* Their values are in struct pg_options_found. */
static const struct pg_option common[] = {
    {.name = "config", .kind = PG_OPTION_TEXT, .argument = "FILE", .help = "more options, in lines like: log-level = debug"},
    {.name = "log-level", .kind = PG_OPTION_TEXT, .argument = "LEVEL", .help = "error, warn, info or debug (info)"},
    {.name = "log-format", .kind = PG_OPTION_TEXT, .argument = "FORMAT", .help = "text or json (text)"},
};
enum { COMMON = sizeof common / sizeof *common };

/* It stays one line, whatever was given. */
static int print_error(const struct pg_options *options, char *message) {
    for (char *c = message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    fprintf(stderr, "%s: %s (try %s --help)\n", options->program, message, options->program);
    return PG_EXIT_USAGE;
}

int pg_options_error(const struct pg_options *options, const char *format, ...) {
    char message[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    return print_error(options, message);
}

static const struct pg_option *option_at(const struct pg_options *options, size_t i) {
    return i < options->count ? &options->table[i] : &common[i - options->count];
}

static void *value_at(const struct pg_options *options, size_t i) {
    struct pg_options_found *found = options->found;
    void *const values[COMMON] = {&found->config, &found->log_level, &found->log_format};
    return i < options->count ? options->table[i].value : values[i - options->count];
}

static void variable_name(const struct pg_option *option, char to[VARIABLE_MAX]) {
    if (option->variable) {
        snprintf(to, VARIABLE_MAX, "%s", option->variable);
        return;
    }
    int length = snprintf(to, VARIABLE_MAX, "PIPEGATE_%s", option->name);
    for (int i = 0; i < length && i < VARIABLE_MAX; i++) to[i] = to[i] == '-' ? '_' : (char)toupper((unsigned char)to[i]);
}

/* Where an option's value stood: "--port", "PIPEGATE_PORT" or "FILE line 3: port". */
static void origin(const struct pg_options *options, const void *value, char to[ORIGIN_MAX]) {
    size_t i = 0;
    while (i < options->count + COMMON && value_at(options, i) != value) i++;
    if (i == options->count + COMMON) abort(); /* no option's value */
    const struct pg_option *option = option_at(options, i);
    switch (options->found->from[i].place) {
    case PG_OPTIONS_DEFAULT:
    case PG_OPTIONS_ARGUMENT: snprintf(to, ORIGIN_MAX, "--%s", option->name); break;
    case PG_OPTIONS_VARIABLE: variable_name(option, to); break;
    case PG_OPTIONS_FILE:
        snprintf(to, ORIGIN_MAX, "%.*s line %u: %s", FILE_SHOWN_MAX, options->found->config, options->found->from[i].line,
                 option->name);
        break;
    }
}

int pg_options_wrong(const struct pg_options *options, const void *value, const char *format, ...) {
    char message[MESSAGE_MAX];
    origin(options, value, message);
    size_t length = strlen(message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + length, sizeof message - length, format, arguments);
    va_end(arguments);
    return print_error(options, message);
}

int pg_options_exclude(const struct pg_options *options, const void *value, const void *other) {
    char first[ORIGIN_MAX], second[ORIGIN_MAX];
    origin(options, value, first);
    origin(options, other, second);
    return pg_options_error(options, "%s and %s exclude each other", first, second);
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

/* `place` and `line` are where the text stood. */
static int assign(const struct pg_options *options, size_t i, const char *text, enum pg_options_place place, unsigned line) {
    const struct pg_option *option = option_at(options, i);
    void *value = value_at(options, i);
    uint64_t number = 0;
    bool good = true;
    options->found->from[i].place = place;
    options->found->from[i].line = line;
    switch (option->kind) {
    case PG_OPTION_FLAG: good = parse_flag(text, value); break;
    case PG_OPTION_TEXT: *(const char **)value = text; return PG_OPTIONS_RUN;
    case PG_OPTION_COUNT: good = pg_parse_count(text, &number); break;
    case PG_OPTION_SIZE: good = pg_parse_size(text, &number); break;
    case PG_OPTION_DURATION: good = pg_parse_duration(text, &number); break;
    }
    if (!good) return pg_options_wrong(options, value, " takes %s, not \"%s\"", expected(option), text);
    if (option->kind == PG_OPTION_FLAG) return PG_OPTIONS_RUN;
    char min[PG_DURATION_TEXT], max[PG_DURATION_TEXT];
    if (number < option->min && !option->max)
        return pg_options_wrong(options, value, " must be at least %s, not \"%s\"", bound(option, option->min, min), text);
    if (number < option->min || (option->max && number > option->max))
        return pg_options_wrong(options, value, " must be from %s to %s, not \"%s\"", bound(option, option->min, min),
                                bound(option, option->max, max), text);
    *(uint64_t *)value = number;
    return PG_OPTIONS_RUN;
}

static bool is_given(const struct pg_options *options, size_t i) {
    return options->found->from[i].place != PG_OPTIONS_DEFAULT;
}

/* Flags win: what was given as one is not looked at here. */
static int read_environment(const struct pg_options *options) {
    for (size_t i = 0; i < options->count + COMMON; i++) {
        if (is_given(options, i)) continue;
        const struct pg_option *option = option_at(options, i);
        char variable[VARIABLE_MAX];
        variable_name(option, variable);
        const char *text = *variable ? getenv(variable) : NULL;
        if (!text || (!*text && option->kind != PG_OPTION_FLAG)) continue;
        int status = assign(options, i, text, PG_OPTIONS_VARIABLE, 0);
        if (status != PG_OPTIONS_RUN) return status;
    }
    return PG_OPTIONS_RUN;
}

/* --- the file --- */

/* Reads the file into found->text. */
static int load_config(const struct pg_options *options) {
    const char *path = options->found->config;
    char *text = options->found->text;
    size_t length = 0;
    ssize_t got = -1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        while (length <= PG_CONFIG_MAX && (got = read(fd, text + length, PG_CONFIG_MAX + 1 - length)) > 0) length += (size_t)got;
    int why = errno;
    if (fd >= 0) close(fd);
    if (fd < 0 || got < 0) return pg_options_error(options, "--config %s cannot be read: %s", path, strerror(why));
    if (length > PG_CONFIG_MAX) return pg_options_error(options, "--config %s is longer than %d bytes", path, PG_CONFIG_MAX);
    text[length] = '\0';
    if (strlen(text) != length) return pg_options_error(options, "--config %s is no text", path);
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

static int line_error(const struct pg_options *options, unsigned number, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int line_error(const struct pg_options *options, unsigned number, const char *format, ...) {
    char what[MESSAGE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return pg_options_error(options, "%.*s line %u: %s", FILE_SHOWN_MAX, options->found->config, number, what);
}

/* `seen`: the options that lines before this one have set. */
static int read_line(const struct pg_options *options, unsigned number, char *line, bool *seen) {
    char *name = trim(line);
    if (!*name || *name == '#') return PG_OPTIONS_RUN;
    char *equals = strchr(name, '=');
    if (!equals) return line_error(options, number, "a line is \"name = value\"");
    *equals = '\0';
    name = trim(name);
    int found = find_option(options, name);
    bool known = found >= 0 && value_at(options, (size_t)found) != &options->found->config;
    if (!known && options->file_is_shared) return PG_OPTIONS_RUN;
    if (!known) return line_error(options, number, "there is no setting \"%.40s\"", name);
    if (seen[found]) return line_error(options, number, "%s is set a second time", name);
    seen[found] = true;
    char *value = trim(equals + 1);
    if (is_given(options, (size_t)found) || !*value) return PG_OPTIONS_RUN;
    return assign(options, (size_t)found, value, PG_OPTIONS_FILE, number);
}

/* What neither flags nor variables gave. */
static int read_config(const struct pg_options *options) {
    bool seen[PG_OPTIONS_MAX] = {false};
    char *rest = options->found->text;
    unsigned number = 0;
    int status = load_config(options);
    while (status == PG_OPTIONS_RUN && rest) status = read_line(options, ++number, strsep(&rest, "\n"), seen);
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
    const struct pg_options_found *found = options->found;
    const char *level = found->log_level, *format = found->log_format;
    if (level && !pg_log_parse_level(level, &options->log->level))
        return pg_options_wrong(options, &found->log_level, " takes error, warn, info or debug, not \"%s\"", level);
    if (format && strcmp(format, "json") != 0 && strcmp(format, "text") != 0)
        return pg_options_wrong(options, &found->log_format, " takes text or json, not \"%s\"", format);
    options->log->json = format && strcmp(format, "json") == 0;
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

static int read_arguments(const struct pg_options *options, int argc, char **argv) {
    struct option longs[2 * PG_OPTIONS_MAX + 3];
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
        size_t i = (size_t)(code - CODE_FIRST);
        bool flag = option_at(options, i)->kind == PG_OPTION_FLAG;
        int status = assign(options, i, flag ? "1" : optarg, PG_OPTIONS_ARGUMENT, 0);
        if (status != PG_OPTIONS_RUN) return status;
    }
    if (optind < argc) return pg_options_error(options, "\"%s\" is no option", argv[optind]);
    return PG_OPTIONS_RUN;
}

int pg_options_parse(const struct pg_options *options, int argc, char **argv) {
    struct pg_options_found *found = options->found;
    if (options->count + COMMON > PG_OPTIONS_MAX) abort();
    found->config = found->log_level = found->log_format = NULL;
    memset(found->from, 0, sizeof found->from);
    /* First the arguments: --help must work whatever the environment says, and of two errors one is told. */
    int status = read_arguments(options, argc, argv);
    if (status == PG_OPTIONS_RUN) status = read_environment(options);
    if (status == PG_OPTIONS_RUN && found->config && *found->config) status = read_config(options);
    return status == PG_OPTIONS_RUN ? apply_log(options) : status;
}
