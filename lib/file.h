/* Short text files: secrets, passwords, tokens. */
#ifndef PG_FILE_H
#define PG_FILE_H

#include <stdbool.h>
#include <stddef.h>

enum pg_file_result {
    PG_FILE_GOOD,
    PG_FILE_UNREADABLE, /* errno says why */
    PG_FILE_TOO_LONG,   /* for the room that there is */
    PG_FILE_NO_TEXT     /* it holds a NUL byte */
};

/* Reads a whole file of at most `room` - 1 bytes, takes off the ends of lines behind the text, and puts a NUL there. Whatever comes
 * out, `to` may hold a part of it: where that is a secret, the caller wipes it. */
enum pg_file_result pg_file_read(const char *path, char *to, size_t room);

/* Is it a file that can be read again and again, and without waiting? False for a pipe, a directory and what is not there. */
bool pg_file_is_regular(const char *path);

#endif
