#include "support.h"

#include "acceptor.h"
#include "unix_socket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum { VISITORS = 5 };

/* A socket, who connects to it, and what the acceptor says. */
struct scene {
    uv_loop_t loop;
    struct pg_acceptor acceptor;
    char directory[32], path[48];
    int listener;
    int visitors[VISITORS];
    unsigned accepted, failures;
    int why;
    void (*at_once)(struct pg_acceptor *acceptor); /* called from the first on_accept */
};

static void on_accept(void *owner, int fd) {
    struct scene *scene = owner;
    assert_int_equal(close(fd), 0);
    if (scene->accepted++ == 0 && scene->at_once) scene->at_once(&scene->acceptor);
}

static void on_failure(void *owner, int why) {
    struct scene *scene = owner;
    scene->failures++;
    scene->why = why;
}

static const struct pg_acceptor_events events = {.on_accept = on_accept, .on_failure = on_failure};

static int set_up(void **state) {
    char error[PG_UNIX_ERROR_MAX];
    struct scene *scene = calloc(1, sizeof *scene);
    snprintf(scene->directory, sizeof scene->directory, "/tmp/pg-acceptor-XXXXXX");
    if (!mkdtemp(scene->directory)) return -1;
    snprintf(scene->path, sizeof scene->path, "%s/s", scene->directory);
    scene->listener = pg_unix_listen(scene->path, error);
    if (scene->listener < 0 || uv_loop_init(&scene->loop) != 0) return -1;
    for (int i = 0; i < VISITORS; i++) scene->visitors[i] = pg_unix_connect(scene->path);
    *state = scene;
    return pg_acceptor_open(&scene->acceptor, &scene->loop, scene->listener, &events, scene) ? 0 : -1;
}

static int tear_down(void **state) {
    struct scene *scene = *state;
    pg_acceptor_close(&scene->acceptor);
    pg_acceptor_close(&scene->acceptor); /* no effect */
    close(scene->listener);
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    int status = uv_loop_close(&scene->loop);
    for (int i = 0; i < VISITORS; i++) close(scene->visitors[i]);
    unlink(scene->path);
    rmdir(scene->directory);
    free(scene);
    return status;
}

static void all_who_wait_are_accepted(void **state) {
    struct scene *scene = *state;
    uv_run(&scene->loop, UV_RUN_ONCE);
    assert_int_equal(scene->accepted, VISITORS);
    assert_int_equal(scene->failures, 0);
}

static void held_from_within_it_accepts_no_other(void **state) {
    struct scene *scene = *state;
    scene->at_once = pg_acceptor_hold;
    uv_run(&scene->loop, UV_RUN_ONCE);
    assert_int_equal(scene->accepted, 1);
    assert_int_equal(uv_run(&scene->loop, UV_RUN_NOWAIT), 0); /* nothing is watched */
    pg_acceptor_resume(&scene->acceptor);
    uv_run(&scene->loop, UV_RUN_ONCE);
    assert_int_equal(scene->accepted, VISITORS);
}

static void closed_from_within_it_accepts_no_other(void **state) {
    struct scene *scene = *state;
    scene->at_once = pg_acceptor_close;
    uv_run(&scene->loop, UV_RUN_DEFAULT);
    assert_int_equal(scene->accepted, 1);
    pg_acceptor_hold(&scene->acceptor);
    pg_acceptor_resume(&scene->acceptor);
    assert_int_equal(uv_run(&scene->loop, UV_RUN_NOWAIT), 0);
}

/* One turn of the loop while the process has no descriptor left. */
static void turn_without_descriptors(struct scene *scene) {
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = STDERR_FILENO + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    uv_run(&scene->loop, UV_RUN_ONCE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(scene->accepted, 0);
    assert_int_equal(scene->failures, 1);
    assert_int_equal(scene->why, EMFILE);
    assert_false(uv_is_active((uv_handle_t *)&scene->acceptor.poll)); /* it would turn in circles */
}

static void without_descriptors_it_waits(void **state) {
    struct scene *scene = *state;
    turn_without_descriptors(scene);
    pg_acceptor_resume(&scene->acceptor); /* which ends no pause */
    assert_false(uv_is_active((uv_handle_t *)&scene->acceptor.poll));
    while (scene->accepted == 0) assert_true(uv_run(&scene->loop, UV_RUN_ONCE));
    assert_int_equal(scene->accepted, VISITORS);
    assert_int_equal(scene->failures, 1);
}

static void held_while_it_waits_it_stays_held(void **state) {
    struct scene *scene = *state;
    turn_without_descriptors(scene);
    pg_acceptor_hold(&scene->acceptor);
    while (uv_run(&scene->loop, UV_RUN_ONCE)) continue; /* the pause's end is the last that happens */
    assert_int_equal(scene->accepted, 0);
    pg_acceptor_resume(&scene->acceptor);
    uv_run(&scene->loop, UV_RUN_ONCE);
    assert_int_equal(scene->accepted, VISITORS);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(all_who_wait_are_accepted),
        TEST(held_from_within_it_accepts_no_other),
        TEST(closed_from_within_it_accepts_no_other),
        TEST(without_descriptors_it_waits),
        TEST(held_while_it_waits_it_stays_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
