#include "access_log.h"

#include "http.h"

#include <stdio.h>

void access_remember(struct access *access, const struct request *request) {
    const struct pg_open *open = &request->open;
    snprintf(access->method, sizeof access->method, "%.*s", (int)open->method_length, open->method);
    for (char *c = access->method; *c; c++)
        if (!pg_http_is_token(c, 1)) *c = '?'; /* it may have been refused for that */
    snprintf(access->visitor, sizeof access->visitor, "%.*s", (int)open->visitor_length, open->visitor);
}

void access_write(const struct pg_log *log, const struct access_line *line) {
    const struct pg_log_field fields[] = {{.key = "method", .text = line->access->method},
                                          {.key = "status", .number = line->status},
                                          {.key = "outcome", .text = line->outcome},
                                          {.key = "request_bytes", .number = line->request_bytes},
                                          {.key = "response_bytes", .number = line->response_bytes},
                                          {.key = "seconds", .number = line->us, .is_us = true}};
    const struct pg_log_about about = {.tunnel = line->tunnel,
                                       .exchange = line->exchange,
                                       .peer = line->access->visitor,
                                       .fields = fields,
                                       .fields_count = sizeof fields / sizeof *fields};
    pg_log(log, PG_LOG_INFO, &about, "request");
}
