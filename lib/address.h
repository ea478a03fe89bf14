/* Addresses to listen at: HOST:PORT, [IPV6]:PORT or unix:PATH. */
#ifndef PG_ADDRESS_H
#define PG_ADDRESS_H

#include "unix_socket.h"

enum { PG_ADDRESS_ERROR_MAX = PG_UNIX_ERROR_MAX };

/* Is this an address that could be listened at, by its form alone? NULL, or what is wrong with it. */
const char *pg_address_check(const char *address);

/* The path of unix:PATH, within `address`; NULL for others. */
const char *pg_address_path(const char *address);

/* Listens at an address that pg_address_check finds good: a non-blocking, close-on-exec descriptor, as pg_unix_listen makes it for a
 * path. Looks a host name up, so it may block: for the start of a program. -1, and a sentence in `error` that says what to do. */
int pg_address_listen(const char *address, char error[PG_ADDRESS_ERROR_MAX]);

#endif
