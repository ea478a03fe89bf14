#include "fastcgi.h"

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

/* The beginning of what FCGX_Stream.data points to, the same in every libfcgi 2.4. We only look, at where the bytes that were
 * read end and at what is left of the record; fastcgi_initialise proves that the layout holds. */
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

static bool write_probe(int fd) {
    static const uint8_t probe[] = {1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, /* BEGIN: responder, not kept */
                                    1, 4, 0, 1, 0, 5, 0, 0, 1, 2, 'A', 'b', 'c',    /* PARAMS: A=bc */
                                    1, 4, 0, 1, 0, 0, 0, 0,                         /* PARAMS: end */
                                    1, 5, 0, 1, 0, 3, 5, 0, 'x', 'y', 'z', 0, 0, 0, 0, 0, /* STDIN: xyz, 5 of padding */
                                    1, 5, 0, 1, 0, 0, 0, 0};                        /* STDIN: end */
    return write(fd, probe, sizeof probe) == (ssize_t)sizeof probe;
}

static bool layout_holds(struct fastcgi *request) {
    uint8_t bytes[8];
    enum fastcgi_body state;
    const struct reader_view *view = request->fcgi.in->data;
    bool holds = hidden(request) == 8 + 3 + 5 + 8 && fastcgi_read(request, bytes, 1, &state) == 1 &&
                 fastcgi_read(request, bytes + 1, 2, &state) == 2 && state == FASTCGI_MORE &&
                 memcmp(bytes, "xyz", 3) == 0 && hidden(request) == 5 + 8;
    return holds && view->content_left == 0 && view->padding_left == 5 && fastcgi_can_read(request) && fastcgi_read(request, bytes, sizeof bytes, &state) == 0 && state == FASTCGI_END &&
           hidden(request) == 0;
}

const char *fastcgi_initialise(void) {
    int pair[2];
    const char *wrong = "libfcgi does not lay out its streams as expected: this version is not supported";
    if (FCGX_Init() != 0) return "libfcgi cannot be initialised";
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return "no more file descriptors";
    struct fastcgi *request = write_probe(pair[1]) ? fastcgi_accept(pair[0]) : NULL;
    if (request) {
        if (layout_holds(request)) wrong = NULL;
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
    else if (here > 0 ||
             recv(request->fcgi.ipcFd, record, sizeof record, MSG_PEEK | MSG_DONTWAIT) != (ssize_t)sizeof record)
        return false;
    return record_is_empty_stdin(record);
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
    *skip = (struct record_skip){
        .left = (size_t)(in->stop - in->rdNext) + (size_t)view->content_left + (size_t)view->padding_left};
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
