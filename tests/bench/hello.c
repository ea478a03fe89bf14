/* What the benchmark measures a front's ceiling with: the plainest libfcgi program, a thread a request, on descriptor 0. */
#include <fcgiapp.h>
#include <pthread.h>

enum { THREADS = 32 };

static void *serve(void *unused) {
    FCGX_Request request;
    (void)unused;
    FCGX_InitRequest(&request, 0, 0);
    while (FCGX_Accept_r(&request) == 0) {
        FCGX_PutS("Content-Type: text/plain\r\nContent-Length: 35\r\n\r\nThis body is 35 bytes long, I say.\n", request.out);
        /* A front that has not written the empty end of the body yet would take our hang-up for an error. */
        while (FCGX_GetChar(request.in) >= 0) continue;
        /* Without this FCGX_Finish_r waits for the front to hang up. */
        FCGX_Detach(&request);
        FCGX_Finish_r(&request);
    }
    return NULL;
}

int main(void) {
    pthread_t threads[THREADS];
    FCGX_Init();
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, serve, NULL);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    return 0;
}
