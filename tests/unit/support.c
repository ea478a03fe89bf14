#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

void *__real_malloc(size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void __wrap_free(void *block);

static bool limited, ran_out;
static unsigned left;
static long alive;

void *__wrap_malloc(size_t size) {
    if (limited && left == 0) {
        ran_out = true;
        return NULL;
    }
    if (limited) left--;
    void *block = __real_malloc(size);
    if (block) alive++;
    return block;
}

void __wrap_free(void *block) {
    if (block) alive--;
    __real_free(block);
}

void memory_runs_out_after(unsigned good) {
    limited = true;
    ran_out = false;
    left = good;
}

void memory_is_back(void) {
    limited = false;
}

bool memory_ran_out(void) {
    return ran_out;
}

long blocks_alive(void) {
    return alive;
}

uint64_t random_next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t random_below(uint64_t *state, size_t below) {
    return (size_t)(random_next(state) % below);
}

void *exact_copy(const void *bytes, size_t length) {
    void *copy = malloc(length ? length : 1);
    if (!copy) abort();
    if (length) memcpy(copy, bytes, length);
    return copy;
}

static int new_file(const char *name) {
    int fd = memfd_create(name, 0);
    /* Appending: the position of such a file is not guarded against two threads that write. */
    if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0) abort();
    return fd;
}

static size_t read_back(int fd, char to[OUTPUT_MAX]) {
    ssize_t length = pread(fd, to, OUTPUT_MAX - 1, 0);
    if (length < 0) abort();
    to[length] = '\0';
    close(fd);
    return (size_t)length;
}

static void be_child(int out, int err, int (*body)(void *), void *argument) {
    /* cmocka's handlers would go on with the next test here, in the child. */
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    for (size_t i = 0; i < COUNT_OF(crashes); i++) signal(crashes[i], SIG_DFL);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    int status = body(argument);
    fflush(NULL);
    _exit(status); /* not exit: what the parent registered is the parent's */
}

const struct output *run_in_child(int (*body)(void *argument), void *argument) {
    static struct output output;
    int out = new_file("out"), err = new_file("err"), status = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) be_child(out, err, body, argument);
    if (waitpid(child, &status, 0) != child) abort();
    output.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    output.out_length = read_back(out, output.out);
    output.err_length = read_back(err, output.err);
    return &output;
}
