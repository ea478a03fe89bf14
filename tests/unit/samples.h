/* Frames made by hand after lib/WIRE.md, without the encoder under test. */
#ifndef PG_SAMPLES_H
#define PG_SAMPLES_H

#include "wire.h"

enum { SAMPLE_MAX = PG_FRAME_MAX + 256, SAMPLE_EXCHANGE = 0x11, SAMPLE_HANDLER = 0x22 };

struct sample {
    uint8_t bytes[SAMPLE_MAX];
    size_t length;
};

/* Is a frame of this type about one exchange, does it belong to a handler, has it an offset (WIRE.md, "Frame")? */
bool sample_has_exchange(enum pg_type type);
bool sample_has_handler(enum pg_type type);
bool sample_has_offset(enum pg_type type);

/* A frame with a correct header and this payload (NULL: zero bytes). */
void sample_make(struct sample *sample, enum pg_type type, uint16_t flags, const void *payload, size_t length);

/* A typical frame of the type, with everything in it that it can hold. */
void sample_typical(struct sample *sample, enum pg_type type);

/* Cuts or extends the payload and writes the length into the header. */
void sample_set_payload_length(struct sample *sample, size_t length);

/* Copies the frame into memory of exactly its length, decodes it there into *frame and returns what the decoder says.
 * The copy lives until the next call, so that decoded structs may be used. */
const char *sample_decode(const struct sample *sample, struct pg_frame *frame);
const char *sample_decode_bytes(const uint8_t *bytes, size_t length, struct pg_frame *frame);

/* Frees the last copy. */
void sample_done(void);

#endif
