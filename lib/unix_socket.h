/* Listening Unix stream sockets, as the programs make them. */
#ifndef PG_UNIX_SOCKET_H
#define PG_UNIX_SOCKET_H

#include <stdbool.h>
#include <sys/un.h>

enum { PG_UNIX_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path - 1, PG_UNIX_ERROR_MAX = 320, PG_UNIX_BACKLOG = 4096 };

/* Makes a listening socket at `path`: non-blocking, close-on-exec, with mode 0660 from the first moment (neither FastCGI nor the
 * broker's side of a web server has a login of its own). The file of a socket that nobody listens on is replaced. Returns the
 * descriptor, or -1 and a sentence in `error` that says what to do. */
int pg_unix_listen(const char *path, char error[PG_UNIX_ERROR_MAX]);

/* Connects (a non-blocking, close-on-exec descriptor). -1 and errno: EAGAIN when too many wait to be accepted already. A path longer
 * than PG_UNIX_PATH_MAX is ENAMETOOLONG. */
int pg_unix_connect(const char *path);

/* Is the descriptor a listening stream socket, of any family? */
bool pg_socket_is_listening(int fd);

/* The same, of the Unix family. */
bool pg_unix_is_listening(int fd);

#endif
