#include "fastcgi.h"

#include <errno.h>
#include <fcgiapp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct fastcgi {
    FCGX_Request fcgi; /* never copied or moved: its streams point back into it */
};

/* The beginning of what FCGX_Stream.data points to, the same in every libfcgi 2.4. We look at where the bytes that were read end and
 * at what is left of the record, and take from content_left what we read past libfcgi; fastcgi_initialise proves that this is right. */
struct reader_view {
    unsigned char *buffer;
    int size;
    unsigned char *allocated;
    unsigned char *stop;
    int type;
    int end_of_record_stop;
    int skip;
    int content_left;
    int padding_left;
};

/* Bytes that libfcgi has read from the socket and nobody has consumed, records' headers and padding included. */
static size_t hidden(const struct fastcgi *request) {
    const FCGX_Stream *in = request->fcgi.in;
    const struct reader_view *view = in->data;
    return (size_t)(view->stop - in->rdNext);
}

bool fastcgi_can_read(const struct fastcgi *request) {
    const FCGX_Stream *in = request->fcgi.in;
    const struct reader_view *view = in->data;
    int queued = 0;
    if (in->rdNext != in->stop || in->isClosed) return true;
    if (ioctl(request->fcgi.ipcFd, FIONREAD, &queued) != 0) queued = 0;
    size_t needed = view->content_left > 0 ? 1 : (size_t)view->padding_left + RECORD_HEADER;
    return hidden(request) + (size_t)queued >= needed;
}

/* Between two records: is the next one's header here with some of its content, or does it end the body? */
static bool next_record_is_ready(const struct fastcgi *request) {
    const FCGX_Stream *in = request->fcgi.in;
    const struct reader_view *view = in->data;
    uint8_t peeked[UINT8_MAX + RECORD_HEADER + 1];
    const uint8_t *bytes = in->rdNext;
    size_t padding = (size_t)view->padding_left, here = hidden(request), content;
    if (here == 0) {
        ssize_t got = recv(request->fcgi.ipcFd, peeked, padding + RECORD_HEADER + 1, MSG_PEEK | MSG_DONTWAIT);
        here = got > 0 ? (size_t)got : 0;
        bytes = peeked;
    }
    if (here < padding + RECORD_HEADER || !record_is_stdin(bytes + padding, fastcgi_id(request), &content)) return false;
    return content == 0 || here > padding + RECORD_HEADER;
}

/* Content of the record at hand that libfcgi has not read, nor anything behind it: straight from the socket. */
static size_t read_past(struct fastcgi *request, uint8_t *to, size_t max, enum fastcgi_body *state) {
    struct reader_view *view = request->fcgi.in->data;
    size_t wanted = (size_t)view->content_left < max ? (size_t)view->content_left : max;
    ssize_t got = recv(request->fcgi.ipcFd, to, wanted, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) *state = FASTCGI_BROKEN;
    if (got <= 0) return 0;
    view->content_left -= (int)got;
    return (size_t)got;
}

size_t fastcgi_read_ready(struct fastcgi *request, uint8_t *to, size_t max, enum fastcgi_body *state) {
    const FCGX_Stream *in = request->fcgi.in;
    const struct reader_view *view = in->data;
    size_t length = 0, got;
    *state = FASTCGI_MORE;
    do {
        bool past = in->rdNext == in->stop && view->content_left > 0 && hidden(request) == 0;
        if (past) got = read_past(request, to + length, max - length, state);
        else if (in->rdNext != in->stop || next_record_is_ready(request))
            got = fastcgi_read(request, to + length, max - length, state);
        else got = 0;
        length += got;
    } while (got > 0 && length < max && *state == FASTCGI_MORE);
    return length;
}

static bool write_all(int fd, const void *bytes, size_t length) {
    return write(fd, bytes, length) == (ssize_t)length;
}

static bool write_probe(int fd) {
    static const uint8_t probe[] = {1, 1, 0, 1, 0, 8, 0, 0, 0,   1,   0,   0,   0,   0, 0, 0, /* BEGIN: responder, not kept */
                                    1, 4, 0, 1, 0, 5, 0, 0, 1,   2,   'A', 'b', 'c',          /* PARAMS: A=bc */
                                    1, 4, 0, 1, 0, 0, 0, 0,                                   /* PARAMS: end */
                                    1, 5, 0, 1, 0, 3, 5, 0, 'x', 'y', 'z', 0,   0,   0, 0, 0, /* STDIN: xyz, 5 of padding */
                                    1, 5, 0, 1, 0, 0, 0, 0};                                  /* STDIN: end */
    return write_all(fd, probe, sizeof probe);
}

static bool layout_holds(struct fastcgi *request) {
    uint8_t bytes[8];
    enum fastcgi_body state;
    const struct reader_view *view = request->fcgi.in->data;
    bool holds = hidden(request) == 8 + 3 + 5 + 8 && fastcgi_read(request, bytes, 1, &state) == 1 &&
                 fastcgi_read(request, bytes + 1, 2, &state) == 2 && state == FASTCGI_MORE && memcmp(bytes, "xyz", 3) == 0 &&
                 hidden(request) == 5 + 8;
    return holds && view->content_left == 0 && view->padding_left == 5 && fastcgi_can_read(request) &&
           fastcgi_read(request, bytes, sizeof bytes, &state) == 0 && state == FASTCGI_END && hidden(request) == 0;
}

/* The content of a record comes in two parts, and libfcgi has read the first: the second can be read past it. */
static bool can_be_read_past(int fd, int peer) {
    static const uint8_t first[] = {1, 1, 0, 1, 0, 8, 0, 0, 0,  1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 0, 0, 0, /* BEGIN, no PARAMS */
                                    1, 5, 0, 1, 0, 5, 3, 0, 'v'},                                            /* STDIN: vwxyz */
        second[] = {'w', 'x', 'y', 'z', 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0}; /* 3 of padding, and the end */
    uint8_t bytes[8];
    enum fastcgi_body state;
    struct fastcgi *request = write_all(peer, first, sizeof first) ? fastcgi_accept(fd) : NULL;
    if (!request) return false;
    bool holds = fastcgi_read_ready(request, bytes, sizeof bytes, &state) == 1 && bytes[0] == 'v' && state == FASTCGI_MORE &&
                 fastcgi_read_ready(request, bytes, sizeof bytes, &state) == 0 && state == FASTCGI_MORE &&
                 write_all(peer, second, sizeof second) && fastcgi_read_ready(request, bytes, sizeof bytes, &state) == 4 &&
                 state == FASTCGI_END && memcmp(bytes, "wxyz", 4) == 0 && hidden(request) == 0;
    fastcgi_free(request);
    return holds;
}

const char *fastcgi_initialise(void) {
    int pair[2];
    const char *wrong = "libfcgi does not lay out its streams as expected: this version is not supported";
    if (FCGX_Init() != 0) return "libfcgi cannot be initialised";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return "no more file descriptors";
    struct fastcgi *request = write_probe(pair[1]) ? fastcgi_accept(pair[0]) : NULL;
    if (request) {
        if (layout_holds(request) && can_be_read_past(pair[0], pair[1])) wrong = NULL;
        fastcgi_free(request);
        close(pair[0]);
    }
    close(pair[1]);
    return wrong;
}

struct fastcgi *fastcgi_accept(int fd) {
    struct fastcgi *request = malloc(sizeof *request);
    if (!request || FCGX_InitRequest(&request->fcgi, -1, 0) != 0) {
        free(request);
        close(fd);
        return NULL;
    }
    request->fcgi.ipcFd = fd;
    request->fcgi.keepConnection = 1; /* or FCGX_Accept_r would close it first */
    FCGX_Detach(&request->fcgi);      /* on failure close at once, without waiting up to 2 s for the peer */
    if (FCGX_Accept_r(&request->fcgi) != 0) {
        free(request); /* with no listening socket, a failure has closed fd */
        return NULL;
    }
    return request;
}

void fastcgi_free(struct fastcgi *request) {
    FCGX_Free(&request->fcgi, 0);
    free(request);
}

char **fastcgi_params(const struct fastcgi *request) {
    return request->fcgi.envp;
}

uint16_t fastcgi_id(const struct fastcgi *request) {
    return (uint16_t)request->fcgi.requestId;
}

bool fastcgi_keeps(const struct fastcgi *request) {
    return request->fcgi.keepConnection != 0;
}

bool fastcgi_end_is_next(const struct fastcgi *request) {
    uint8_t record[RECORD_HEADER];
    size_t here = hidden(request);
    if (here >= sizeof record) memcpy(record, request->fcgi.in->rdNext, sizeof record);
    else if (here > 0 || recv(request->fcgi.ipcFd, record, sizeof record, MSG_PEEK | MSG_DONTWAIT) != (ssize_t)sizeof record)
        return false;
    return record_is_empty_stdin(record, fastcgi_id(request));
}

size_t fastcgi_read(struct fastcgi *request, uint8_t *to, size_t max, enum fastcgi_body *state) {
    FCGX_Stream *in = request->fcgi.in;
    *state = FASTCGI_MORE;
    if (in->rdNext == in->stop) {
        int first = FCGX_GetChar(in); /* reads records until there is a byte */
        if (first == EOF) {
            *state = FCGX_GetError(in) == 0 ? FASTCGI_END : FASTCGI_BROKEN;
            return 0;
        }
        *to++ = (uint8_t)first;
        max--;
        if (in->rdNext == in->stop || max == 0) return 1;
        size_t more = (size_t)(in->stop - in->rdNext) < max ? (size_t)(in->stop - in->rdNext) : max;
        return 1 + (size_t)FCGX_GetStr((char *)to, (int)more, in);
    }
    size_t here = (size_t)(in->stop - in->rdNext) < max ? (size_t)(in->stop - in->rdNext) : max;
    return (size_t)FCGX_GetStr((char *)to, (int)here, in);
}

enum record_skipped fastcgi_skip(const struct fastcgi *request, struct record_skip *skip) {
    const FCGX_Stream *in = request->fcgi.in;
    const struct reader_view *view = in->data;
    size_t here = hidden(request), used;
    *skip = (struct record_skip){.left = (size_t)(in->stop - in->rdNext) + (size_t)view->content_left + (size_t)view->padding_left};
    enum record_skipped skipped = record_skip(skip, in->rdNext, here, &used);
    if (skipped == RECORD_SKIP_MORE) record_skip_keep(skip, in->rdNext + used, here - used);
    else if (used != here) skipped = RECORD_SKIP_BAD;
    return skipped;
}

void fastcgi_put(struct fastcgi *request, const char *bytes, size_t length) {
    FCGX_PutStr(bytes, (int)length, request->fcgi.out);
}

bool fastcgi_end(struct fastcgi *request) {
    FCGX_FClose(request->fcgi.err);
    FCGX_FClose(request->fcgi.out); /* the last one closed ends the request; libfcgi says so in one write */
    return FCGX_GetError(request->fcgi.out) == 0;
}
