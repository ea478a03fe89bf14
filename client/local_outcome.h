/* What a failed request to the local service means to the visitor. Pure. */
#ifndef CLIENT_LOCAL_OUTCOME_H
#define CLIENT_LOCAL_OUTCOME_H

#include "response_head.h"

#include <curl/curl.h>

struct local_failure {
    CURLcode result;
    long os_errno;      /* of a connection that was not made */
    const char *wrong;  /* we ended it: why, as a phrase after "the local service"; or NULL */
    bool out_of_memory; /* we ended it */
    const struct response_head *head;
};

/* The reason for the RESET, and a constant phrase that goes on "the local service ...". */
enum pg_reason local_outcome_explain(const struct local_failure *failure, const char **phrase);

#endif
