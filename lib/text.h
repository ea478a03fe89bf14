/* Text of bounded length, built piece by piece. */
#ifndef PG_TEXT_H
#define PG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct pg_text {
    char *data; /* the caller's; always ends in NUL */
    size_t length;
    size_t size; /* of data, the NUL included */
    bool cut;    /* something did not fit and was left out whole */
};

/* An empty text in `size` bytes (at least 1) of the caller's. */
struct pg_text pg_text_in(char *data, size_t size);

/* Append all of it, or nothing and set `cut`. */
void pg_text_add(struct pg_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void pg_text_add_bytes(struct pg_text *text, const char *bytes, size_t length);

/* Appends with &, <, >, " and ' as HTML entities; all of it or nothing, too. */
void pg_text_add_html(struct pg_text *text, const char *bytes, size_t length);

#endif
