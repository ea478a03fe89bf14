/* The header fields of a request to the local service, as libcurl wants them. */
#ifndef CLIENT_LOCAL_FIELDS_H
#define CLIENT_LOCAL_FIELDS_H

#include "local_request.h"

#include <curl/curl.h>

/* A list in one piece of memory, used again for one request after the other. Zeroed = empty. */
struct local_fields {
    struct curl_slist *list; /* points into `memory`; valid until the next build */
    char *memory;
    size_t room;
    struct pg_field *decoded; /* scratch */
    size_t decoded_room;
};

/* Builds the list from the fields of an OPEN that was checked: in order, repeated ones too; hop-by-hop fields, Host and
 * Content-Length left out; a Host of ours; nothing that libcurl would add by itself. `has_body`: it will send one.
 * False: no memory. */
bool local_fields_build(struct local_fields *fields, const struct pg_open *open, bool has_body,
                        const struct local_service_options *options);

/* Frees what is large. */
void local_fields_trim(struct local_fields *fields);
void local_fields_free(struct local_fields *fields);

#endif
