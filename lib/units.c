#include "units.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit durations[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}, {"d", 86400000}};
static const struct unit sizes[] = {{"", 1}, {"k", 1024}, {"m", 1024 * 1024}, {"g", 1024 * 1024 * 1024}};
static const struct unit counts[] = {{"", 1}};

static bool parse(const char *text, const struct unit *units, size_t unit_count, uint64_t *value) {
    uint64_t number = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18) return false; /* 18 digits cannot overflow */
    for (size_t i = 0; i < digits; i++) number = number * 10 + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < unit_count; i++) {
        if (strcasecmp(text + digits, units[i].suffix) != 0) continue;
        if (number > UINT64_MAX / 2 / units[i].factor) return false;
        *value = number * units[i].factor;
        return true;
    }
    return false;
}

bool pg_parse_duration(const char *text, uint64_t *ms) {
    return parse(text, durations, sizeof durations / sizeof *durations, ms);
}

char *pg_duration_text(uint64_t ms, char to[PG_DURATION_TEXT]) {
    size_t i = sizeof durations / sizeof *durations - 1;
    while (ms % durations[i].factor != 0 || (ms == 0 && durations[i].factor > 1000)) i--; /* 0 is 0s */
    snprintf(to, PG_DURATION_TEXT, "%llu%s", (unsigned long long)(ms / durations[i].factor), durations[i].suffix);
    return to;
}

bool pg_parse_size(const char *text, uint64_t *bytes) {
    return parse(text, sizes, sizeof sizes / sizeof *sizes, bytes);
}

bool pg_parse_count(const char *text, uint64_t *count) {
    return parse(text, counts, sizeof counts / sizeof *counts, count);
}
