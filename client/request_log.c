#include "request_log.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    HELD_MAX = 65536,
    LINE_MAX_BYTES = 1200,
    GATHER_MS = 20,  /* lines of so long are written together: a write(2) each would be a tenth of a request's cost */
    STALLED_MS = 250 /* before the next try to write to who does not read */
};

struct request_log {
    uv_timer_t timer;
    int fd;
    bool own_fd;
    bool is_socket;
    bool quiet;
    bool gone; /* nobody will ever read */
    uint64_t dropped;
    time_t second; /* of `clock` */
    char clock[16];
    size_t length;
    char held[HELD_MAX];
};

/* Waiting for a reader must not hold up the loop, and O_NONBLOCK on stdout itself would be O_NONBLOCK for everyone who
 * shares the terminal: a pipe or terminal is opened once more, for us alone. A file never makes one wait. */
static void open_stdout(struct request_log *log) {
    struct stat status;
    log->fd = STDOUT_FILENO;
    if (fstat(STDOUT_FILENO, &status) != 0) {
        log->gone = true;
    } else if (S_ISSOCK(status.st_mode)) {
        log->is_socket = true;
    } else if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
        int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0) return;
        log->fd = fd;
        log->own_fd = true;
    }
}

struct request_log *request_log_new(uv_loop_t *loop, bool quiet) {
    struct request_log *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    log->quiet = quiet;
    open_stdout(log);
    uv_timer_init(loop, &log->timer);
    log->timer.data = log;
    return log;
}

static void on_timer(uv_timer_t *timer);

static void flush(struct request_log *log) {
    while (log->length && !log->gone) {
        ssize_t written = log->is_socket ? send(log->fd, log->held, log->length, MSG_DONTWAIT | MSG_NOSIGNAL)
                                         : write(log->fd, log->held, log->length);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == EAGAIN) {
            uv_timer_start(&log->timer, on_timer, STALLED_MS, 0);
            return;
        }
        if (written < 0) log->gone = true;
        else memmove(log->held, log->held + written, log->length -= (size_t)written);
    }
    if (log->gone) log->length = 0;
}

static void append(struct request_log *log, const struct pg_text *line) {
    if (log->gone) return;
    if (log->length + line->length > HELD_MAX) flush(log);
    if (log->length + line->length > HELD_MAX) {
        log->dropped++;
        return;
    }
    memcpy(log->held + log->length, line->data, line->length);
    log->length += line->length;
    if (!uv_is_active((uv_handle_t *)&log->timer)) uv_timer_start(&log->timer, on_timer, GATHER_MS, 0);
}

static void tell_dropped(struct request_log *log) {
    char bytes[96];
    struct pg_text line = pg_text_in(bytes, sizeof bytes);
    pg_text_add(&line, "(%llu lines left out: nobody read them)\n", (unsigned long long)log->dropped);
    log->dropped = 0;
    append(log, &line);
}

static void on_timer(uv_timer_t *timer) {
    struct request_log *log = timer->data;
    flush(log);
    if (log->dropped && log->length == 0) tell_dropped(log);
}

static const char *clock_text(struct request_log *log) {
    time_t now = time(NULL);
    struct tm local;
    if (now != log->second && localtime_r(&now, &local)) {
        strftime(log->clock, sizeof log->clock, "%H:%M:%S", &local);
        log->second = now;
    }
    return log->clock;
}

void request_log_add(struct request_log *log, const struct request_log_entry *entry) {
    char bytes[LINE_MAX_BYTES];
    if (log->quiet || log->gone) return;
    struct pg_text line = pg_text_in(bytes, sizeof bytes);
    pg_text_add(&line, "%s %s", clock_text(log), entry->label);
    if (entry->status) pg_text_add(&line, " %u", entry->status);
    else pg_text_add(&line, " -");
    pg_text_add(&line, " %llu ms %llu B", (unsigned long long)(entry->us / 1000), (unsigned long long)entry->bytes);
    if (entry->note) pg_text_add(&line, " (%s)", entry->note);
    for (size_t i = 0; i < line.length; i++) { /* what a visitor sent must not move the cursor or forge a line */
        unsigned char c = (unsigned char)bytes[i];
        if (c < 0x20 || c >= 0x7f) bytes[i] = '?';
    }
    pg_text_add(&line, "\n");
    append(log, &line);
}

void request_log_say(struct request_log *log, const char *text) {
    char bytes[LINE_MAX_BYTES * 4];
    struct pg_text line = pg_text_in(bytes, sizeof bytes);
    pg_text_add(&line, "%s\n", text);
    append(log, &line);
    flush(log);
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void request_log_close(struct request_log *log) {
    flush(log);
    if (log->own_fd) close(log->fd);
    uv_close((uv_handle_t *)&log->timer, on_closed);
}
