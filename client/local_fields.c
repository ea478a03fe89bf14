#include "local_fields.h"

#include "http.h"

#include <stdlib.h>
#include <string.h>

enum { EXTRA_FIELDS = 4, KEEP_ROOM = 8192, KEEP_DECODED = 64, HOST_MAX = 512 };

/* Where the next node and the next text go. */
struct builder {
    struct curl_slist *node;
    char *text;
};

static void add(struct builder *to, const char *name, size_t name_length, const char *value, size_t value_length) {
    struct curl_slist *node = to->node++;
    node->data = to->text;
    node->next = to->node; /* the last one is put right at the end */
    memcpy(to->text, name, name_length);
    to->text += name_length;
    while (value_length && (*value == ' ' || *value == '\t')) value++, value_length--;
    *to->text++ = value_length ? ':' : ';'; /* "Name;" is libcurl's way to send an empty field */
    if (value_length) {
        *to->text++ = ' ';
        memcpy(to->text, value, value_length);
        to->text += value_length;
    }
    *to->text++ = '\0';
}

/* "Name:" takes away what libcurl sends by itself, where the visitor sent no such field. */
static void suppress(struct builder *to, const char *line) {
    struct curl_slist *node = to->node++;
    node->data = to->text;
    node->next = to->node;
    to->text = stpcpy(to->text, line) + 1;
}

static bool make_room(struct local_fields *fields, size_t needed) {
    if (needed <= fields->room) return true;
    char *grown = malloc(needed);
    if (!grown) return false;
    free(fields->memory);
    fields->memory = grown;
    fields->room = needed;
    return true;
}

static bool decode(struct local_fields *fields, const struct pg_open *open, size_t *count) {
    struct pg_fields list = open->fields;
    if (fields->decoded_room < list.left || !fields->decoded) {
        size_t room = list.left < KEEP_DECODED ? KEEP_DECODED : list.left;
        struct pg_field *grown = realloc(fields->decoded, room * sizeof *grown);
        if (!grown) return false;
        fields->decoded = grown;
        fields->decoded_room = room;
    }
    size_t found = 0;
    while (list.left && pg_fields_next(&list, &fields->decoded[found])) found++;
    *count = pg_http_strip_hop_by_hop(fields->decoded, found);
    return true;
}

static const struct pg_field *find(const struct local_fields *fields, size_t count, const char *lower) {
    for (size_t i = 0; i < count; i++)
        if (pg_http_name_is(&fields->decoded[i], lower)) return &fields->decoded[i];
    return NULL;
}

/* What the Host field shall say. */
static const char *choose_host(const struct local_fields *fields, size_t count, const struct local_service_options *options,
                               size_t *length) {
    const char *host = options->host == LOCAL_HOST_VALUE ? options->host_value : options->target->host;
    if (options->host == LOCAL_HOST_VISITOR) {
        const struct pg_field *visitor = find(fields, count, "x-forwarded-host");
        if (visitor && visitor->value_length <= HOST_MAX && pg_http_is_target(visitor->value, visitor->value_length)) {
            *length = visitor->value_length;
            return visitor->value;
        }
    }
    *length = strlen(host);
    return host;
}

bool local_fields_build(struct local_fields *fields, const struct pg_open *open, bool has_body,
                        const struct local_service_options *options) {
    size_t count, host_length;
    if (!decode(fields, open, &count)) return false;
    const char *host = choose_host(fields, count, options, &host_length);
    size_t nodes = (count + EXTRA_FIELDS) * sizeof(struct curl_slist);
    size_t texts = host_length + sizeof "Host: Accept: Expect: Content-Type: ";
    for (size_t i = 0; i < count; i++) texts += fields->decoded[i].name_length + fields->decoded[i].value_length + 3u;
    if (!make_room(fields, nodes + texts)) return false;

    /* malloc aligned the memory for any type, and the nodes come first */
    struct builder to = {.node = (struct curl_slist *)(void *)fields->memory, .text = fields->memory + nodes};
    fields->list = to.node;
    add(&to, "Host", 4, host, host_length);
    for (size_t i = 0; i < count; i++) {
        const struct pg_field *field = &fields->decoded[i];
        if (pg_http_name_is(field, "host") || pg_http_name_is(field, "content-length")) continue;
        add(&to, field->name, field->name_length, field->value, field->value_length);
    }
    if (!find(fields, count, "accept")) suppress(&to, "Accept:");
    if (has_body) suppress(&to, "Expect:");
    if (has_body && !find(fields, count, "content-type")) suppress(&to, "Content-Type:");
    to.node[-1].next = NULL;
    return true;
}

void local_fields_trim(struct local_fields *fields) {
    if (fields->room > KEEP_ROOM || fields->decoded_room > KEEP_DECODED) local_fields_free(fields);
}

void local_fields_free(struct local_fields *fields) {
    free(fields->memory);
    free(fields->decoded);
    *fields = (struct local_fields){0};
}
