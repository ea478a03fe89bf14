/* The memory that starting up needs and running does not. */
#ifndef CLIENT_FOOTPRINT_H
#define CLIENT_FOOTPRINT_H

/* Gives back the pages of program and libraries that only the start touched: symbol tables, initialisation. They are
 * unchanged and come back from the page cache where they are needed again. libcurl alone brings some 30 libraries, and
 * 7 of the 10 MB that are resident after the start are theirs. */
void footprint_release(void);

/* Bounds what malloc(3) keeps; to be called first of all. */
void footprint_init(void);

#endif
