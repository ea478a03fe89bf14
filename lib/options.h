/* Options as flags, as PIPEGATE_* environment variables and in a file; flags win over variables, and these over the file. One table
 * per program says all there is, and --help is made from it. getopt_long(3) does the parsing. */
#ifndef PG_OPTIONS_H
#define PG_OPTIONS_H

#include "log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pg_option_kind {
    PG_OPTION_FLAG,    /* bool; no argument; elsewhere 1/true/yes/on, or 0/false/no/off and in the environment "" */
    PG_OPTION_TEXT,    /* const char *: borrowed from argv, the environment, or the file's text, which is kept */
    PG_OPTION_COUNT,   /* uint64_t */
    PG_OPTION_SIZE,    /* uint64_t, bytes */
    PG_OPTION_DURATION /* uint64_t, ms */
};

struct pg_option {
    const char *name; /* without dashes: "first-byte-timeout"; the variable is PIPEGATE_FIRST_BYTE_TIMEOUT */
    enum pg_option_kind kind;
    void *value;          /* of the kind's type, holding the default */
    const char *argument; /* for --help: "PATH"; NULL for a flag */
    const char *help;     /* one line, the default included */
    uint64_t min, max;    /* numbers only; max 0 = no bound */
    const char *alias;    /* another name that is accepted and not shown; or NULL */
    const char *variable; /* environment variable where it is not the usual one; "" = none; NULL = the usual one */
};

struct pg_options {
    const char *program;
    const char *usage; /* one way to call it a line, each ended by '\n' */
    const char *about; /* what it does, in whole lines: before the options */
    const char *notes; /* whole lines behind the options; may be NULL */
    const struct pg_option *table;
    size_t count;
    bool file_is_shared; /* the file may have settings that are not ours: it is another command's of the same program */
    struct pg_log *log;  /* receives --log-level and --log-format, which every program has as it has --config */
    struct pg_options_found *found;
};

enum {
    PG_EXIT_USAGE = 2,
    PG_CONFIG_MAX = 65536, /* bytes of a --config file */
    PG_OPTIONS_MAX = 48    /* of one program, those that every program has included */
};
enum { PG_OPTIONS_RUN = -1 };

enum pg_options_place { PG_OPTIONS_DEFAULT, PG_OPTIONS_ARGUMENT, PG_OPTIONS_VARIABLE, PG_OPTIONS_FILE };

/* What one parse found besides the values. The caller keeps it as long as these: texts from the file point into it. */
struct pg_options_found {
    const char *config, *log_level, *log_format; /* what all programs have; NULL where not given */
    struct {
        enum pg_options_place place;
        unsigned line;            /* of the file */
    } from[PG_OPTIONS_MAX];       /* where each option's value stood */
    char text[PG_CONFIG_MAX + 2]; /* of the file; a byte too many, and the NUL */
};

/* Reads argv, then of the environment what argv did not give, then of the file (--config, PIPEGATE_CONFIG) what neither did: lines
 * `name = value` with the options' names (a flag's value is yes or no), empty ones, and comments that begin with '#'. Handles
 * --help and --version (stdout). Returns PG_OPTIONS_RUN to go on, or the exit status: 0 after --help and --version, PG_EXIT_USAGE
 * after one line on stderr that says which option is wrong, where, and what it takes. Arguments that are no options are an error. */
int pg_options_parse(const struct pg_options *options, int argc, char **argv);

/* Prints "PROGRAM: MESSAGE (try PROGRAM --help)" on stderr and returns PG_EXIT_USAGE. */
int pg_options_error(const struct pg_options *options, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same of an option's value, after pg_options_parse: before the message stands where the value was given ("--port",
 * "PIPEGATE_PORT" or "FILE line 3: port"), and the message goes on directly behind. `value` is the option's. */
int pg_options_wrong(const struct pg_options *options, const void *value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same where two options were given of which there may be one: "PIPEGATE_PORT and --target exclude each other". */
int pg_options_exclude(const struct pg_options *options, const void *value, const void *other);

#endif
