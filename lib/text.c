#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct pg_text pg_text_in(char *data, size_t size) {
    data[0] = '\0';
    return (struct pg_text){.data = data, .size = size};
}

void pg_text_add(struct pg_text *text, const char *format, ...) {
    size_t room = text->size - text->length;
    va_list arguments;
    va_start(arguments, format);
    int needed = vsnprintf(text->data + text->length, room, format, arguments);
    va_end(arguments);
    if (needed >= 0 && (size_t)needed < room) {
        text->length += (size_t)needed;
        return;
    }
    text->data[text->length] = '\0';
    text->cut = true;
}

void pg_text_add_bytes(struct pg_text *text, const char *bytes, size_t length) {
    if (length >= text->size - text->length) {
        text->cut = true;
        return;
    }
    memcpy(text->data + text->length, bytes, length);
    text->length += length;
    text->data[text->length] = '\0';
}

static const char *entity(char c) {
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

void pg_text_add_html(struct pg_text *text, const char *bytes, size_t length) {
    struct pg_text longer = *text;
    longer.cut = false;
    for (size_t i = 0; i < length && !longer.cut; i++) {
        const char *named = entity(bytes[i]);
        if (named) pg_text_add_bytes(&longer, named, strlen(named));
        else pg_text_add_bytes(&longer, bytes + i, 1);
    }
    if (longer.cut) {
        text->data[text->length] = '\0';
        text->cut = true;
        return;
    }
    text->length = longer.length;
}
