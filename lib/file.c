#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum pg_file_result pg_file_read(const char *path, char *to, size_t room) {
    size_t length = 0;
    ssize_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return PG_FILE_UNREADABLE;
    while (length < room && (got = read(fd, to + length, room - length)) > 0) length += (size_t)got;
    int why = errno;
    close(fd);
    errno = why;
    if (got < 0) return PG_FILE_UNREADABLE;
    if (length == room) return PG_FILE_TOO_LONG;
    while (length > 0 && (to[length - 1] == '\n' || to[length - 1] == '\r')) length--;
    to[length] = '\0';
    return strlen(to) == length ? PG_FILE_GOOD : PG_FILE_NO_TEXT;
}

bool pg_file_is_regular(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}
