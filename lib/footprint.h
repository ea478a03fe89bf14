/* The memory that starting up needs and running does not. */
#ifndef PG_FOOTPRINT_H
#define PG_FOOTPRINT_H

/* Gives back the pages of program and libraries that only the start touched, and the free ones of the heap: symbol tables,
 * initialisation. They are unchanged and come back from the page cache where they are needed again. libcurl alone brings some 30
 * libraries, and 7 of pg-client's 10 MB that are resident after the start are theirs; of pg-broker's 8, 4 are libcrypto's. */
void pg_footprint_release(void);

#endif
