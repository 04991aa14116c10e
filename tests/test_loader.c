// The loader: order, contents and tails byte by byte; slow and fast consumers; failing devices;
// ending early. Also built and run under ThreadSanitizer (test_loader_tsan).
#include "base/clock.h"
#include "base/trace.h"
#include "data/loader.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SAMPLES = 103,
    RECORD = 24,
    CAPACITY = 16
};

struct slot_memory {
    uint8_t records[CAPACITY * RECORD];
    uint8_t labels[CAPACITY];
    uint32_t ids[CAPACITY];
    struct fm_step step;
    struct fm_slot slot;
};

// A set of samples, slots, and a device that counts what it is asked.
struct bench {
    uint8_t records[SAMPLES * RECORD];
    uint8_t labels[SAMPLES];
    struct fm_samples samples;
    struct slot_memory slots[FM_SLOTS];
    struct fm_loader_options options;
    pthread_mutex_t lock;
    int waits[FM_SLOTS];
    bool in_use[FM_SLOTS]; // released, and the device not done with it
    int fail_at;           // this wait fails (counted from 1); 0: none
    int delay_us;          // each wait takes that long
};

static void sleep_us(int us)
{
    struct timespec time = {us / 1000000, us % 1000000 * 1000L};
    nanosleep(&time, NULL);
}

static enum fm_status device_wait(void *context, int slot)
{
    struct bench *bench = context;
    sleep_us(bench->delay_us);
    pthread_mutex_lock(&bench->lock);
    bench->waits[slot]++;
    bench->in_use[slot] = false;
    int total = bench->waits[0] + bench->waits[1];
    pthread_mutex_unlock(&bench->lock);
    if (bench->fail_at && total >= bench->fail_at)
        return fm_fail(FM_BACKEND, "the device is gone (slot %d)", slot);
    return FM_OK;
}

// A slot that the caller is given was waited for, if the device had it.
static void expect_not_in_use(struct bench *bench, int slot)
{
    pthread_mutex_lock(&bench->lock);
    bool in_use = bench->in_use[slot];
    pthread_mutex_unlock(&bench->lock);
    assert_false(in_use && bench->options.slot_wait);
}

static void mark_in_use(struct bench *bench, int slot)
{
    pthread_mutex_lock(&bench->lock);
    bench->in_use[slot] = true;
    pthread_mutex_unlock(&bench->lock);
}

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    if (!bench)
        return -1;
    fm_error_clear();
    pthread_mutex_init(&bench->lock, NULL);
    for (int i = 0; i < SAMPLES * RECORD; i++)
        bench->records[i] = (uint8_t)((unsigned)i * 2654435761u >> 24);
    for (int i = 0; i < SAMPLES; i++)
        bench->labels[i] = (uint8_t)(i * 5 % 11);
    bench->samples = (struct fm_samples){SAMPLES, RECORD, bench->records, bench->labels};
    bench->options = (struct fm_loader_options){
        .samples = &bench->samples, .slot_wait = device_wait, .context = bench};
    for (int i = 0; i < FM_SLOTS; i++) {
        struct slot_memory *m = &bench->slots[i];
        m->slot = (struct fm_slot){CAPACITY, RECORD, m->records, m->labels, m->ids, &m->step, NULL};
        bench->options.slots[i] = &m->slot;
    }
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    pthread_mutex_destroy(&bench->lock);
    free(bench);
    return 0;
}

static struct fm_loader *open_loader(struct bench *bench)
{
    struct fm_loader *loader = NULL;
    assert_int_equal(fm_loader_open(&bench->options, &loader), FM_OK);
    assert_non_null(loader);
    return loader;
}

// A permutation of 0 to count - 1 that differs from pass to pass.
static void permute(uint32_t *ids, uint32_t count, uint32_t pass)
{
    for (uint32_t i = 0; i < count; i++)
        ids[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (i * 2654435761u + pass * 40503u) % i, kept = ids[i - 1];
        ids[i - 1] = ids[j];
        ids[j] = kept;
    }
}

static void expect_contents(
    const struct bench *bench, int slot, const uint32_t *ids, uint32_t count)
{
    const struct slot_memory *m = &bench->slots[slot];
    assert_int_equal(m->step.count, count);
    assert_memory_equal(m->ids, ids, count * sizeof *ids);
    for (uint32_t i = 0; i < count; i++) {
        assert_memory_equal(m->records + i * RECORD, bench->records + ids[i] * RECORD, RECORD);
        assert_int_equal(m->labels[i], bench->labels[ids[i]]);
    }
}

// Takes a whole pass, checking every byte while the slot is taken, and fills in the step as a
// trainer does.
static void take_pass(struct bench *bench, struct fm_loader *loader, const uint32_t *ids,
    uint32_t count, uint32_t batch, int compute_us)
{
    int slot = -1;
    assert_int_equal(fm_loader_begin(loader, ids, count, batch), FM_OK);
    for (uint32_t at = 0; at < count; at += batch) {
        uint32_t expected = count - at < batch ? count - at : batch;
        assert_int_equal(fm_loader_next(loader, &slot), FM_OK);
        assert_in_range(slot, 0, FM_SLOTS - 1);
        expect_not_in_use(bench, slot);
        bench->slots[slot].step.learning_rate = 0.5f;
        sleep_us(compute_us);
        expect_contents(bench, slot, ids + at, expected);
        mark_in_use(bench, slot);
        fm_loader_release(loader, slot);
    }
    assert_int_equal(fm_loader_next(loader, &slot), FM_OK);
    assert_int_equal(slot, -1);
    assert_int_equal(fm_loader_next(loader, &slot), FM_OK); // and stays at the end
    assert_int_equal(slot, -1);
}

// Where the device keeps the data set, slots take ids alone: no sample is read.
static void slots_without_records_take_ids_alone(void **state)
{
    struct bench *bench = *state;
    bench->samples.records = bench->samples.labels = NULL; // a read would be seen
    for (int i = 0; i < FM_SLOTS; i++)
        bench->slots[i].slot.records = bench->slots[i].slot.labels = NULL;
    struct fm_loader *loader = open_loader(bench);
    static const uint32_t ids[5] = {3, 0, 4, 1, 2};
    assert_int_equal(fm_loader_begin(loader, ids, 5, 3), FM_OK);
    for (uint32_t at = 0; at < 5; at += 3) {
        int slot;
        assert_int_equal(fm_loader_next(loader, &slot), FM_OK);
        const struct slot_memory *m = &bench->slots[slot];
        assert_int_equal(m->step.count, at == 0 ? 3 : 2);
        assert_memory_equal(m->ids, ids + at, m->step.count * sizeof *ids);
        fm_loader_release(loader, slot);
    }
    fm_loader_close(loader);
}

static void batches_come_in_order_with_their_tails(void **state)
{
    struct bench *bench = *state;
    static const uint32_t batches[] = {1, 7, 16, 15, 2};
    uint32_t ids[SAMPLES];
    struct fm_loader *loader = open_loader(bench);
    for (uint32_t pass = 0; pass < 5; pass++) { // odd and even numbers of batches
        permute(ids, SAMPLES, pass);
        take_pass(bench, loader, ids, SAMPLES, batches[pass], 0);
        take_pass(bench, loader, ids, SAMPLES / 2, batches[pass], 0);
    }
    take_pass(bench, loader, ids, 3, 16, 0); // a tail only
    take_pass(bench, loader, ids, 0, 16, 0); // nothing at all
    take_pass(bench, loader, ids, 32, 16, 0);
    take_pass(bench, loader, ids, SAMPLES, 10, 2000); // a consumer slower than the loader
    fm_loader_close(loader);
}

static void ids_may_repeat(void **state)
{
    struct bench *bench = *state;
    const uint32_t ids[] = {5, 5, 102, 0, 5};
    struct fm_loader *loader = open_loader(bench);
    take_pass(bench, loader, ids, 5, 2, 0);
    fm_loader_close(loader);
}

static void a_slow_device_is_waited_for_before_each_refill(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    bench->delay_us = 2000;
    permute(ids, SAMPLES, 1);
    struct fm_loader *loader = open_loader(bench);
    take_pass(bench, loader, ids, SAMPLES, 10, 0);
    fm_loader_close(loader);
    // 11 batches; the first of each slot needs no wait.
    assert_int_equal(bench->waits[0] + bench->waits[1], 11 - FM_SLOTS);
}

static int waits_of(struct bench *bench, int slot)
{
    pthread_mutex_lock(&bench->lock);
    int waits = bench->waits[slot];
    pthread_mutex_unlock(&bench->lock);
    return waits;
}

// A released slot is refilled while the consumer still computes on the other and asks for nothing.
static void the_next_batch_is_fetched_while_one_is_in_use(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    int first = -1, second = -1;
    permute(ids, SAMPLES, 2);
    struct fm_loader *loader = open_loader(bench);
    assert_int_equal(fm_loader_begin(loader, ids, SAMPLES, 10), FM_OK);
    assert_int_equal(fm_loader_next(loader, &first), FM_OK);
    assert_int_equal(fm_loader_next(loader, &second), FM_OK);
    fm_loader_release(loader, first);
    double start = fm_clock_seconds();
    while (waits_of(bench, first) == 0 && fm_clock_seconds() - start < 20)
        sleep_us(1000);
    assert_int_equal(waits_of(bench, first), 1);
    expect_contents(bench, second, ids + 10, 10);
    fm_loader_close(loader);
}

static void the_time_waited_is_counted(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    bench->delay_us = 20000;
    permute(ids, SAMPLES, 3);
    struct fm_loader *loader = open_loader(bench);
    assert_true(fm_loader_waited(loader) == 0);
    double start = fm_clock_seconds();
    take_pass(bench, loader, ids, SAMPLES, 10, 0);
    double passed = fm_clock_seconds() - start, waited = fm_loader_waited(loader);
    fm_loader_close(loader);
    // Nine refills of 20 ms each, while the consumer does nothing; a quarter of that is left for a
    // machine so busy that the consumer itself is kept from asking.
    assert_true(waited > 9 * 0.020 * 0.25);
    assert_true(waited <= passed);
}

// Only the caller holds a taken slot: nothing changes it, however long it is held.
static void taken_slots_are_left_alone(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    int first = -1, second = -1, third = -1;
    permute(ids, SAMPLES, 4);
    struct fm_loader *loader = open_loader(bench);
    assert_int_equal(fm_loader_begin(loader, ids, SAMPLES, 10), FM_OK);
    assert_int_equal(fm_loader_next(loader, &first), FM_OK);
    assert_int_equal(fm_loader_next(loader, &second), FM_OK);
    assert_int_not_equal(first, second);
    sleep_us(5000);
    expect_contents(bench, first, ids, 10);
    expect_contents(bench, second, ids + 10, 10);
    assert_int_equal(fm_loader_next(loader, &third), FM_USAGE); // it would wait forever
    assert_non_null(strstr(fm_error_message(), "none was released"));
    fm_error_clear();
    fm_loader_release(loader, first);
    assert_int_equal(fm_loader_next(loader, &third), FM_OK);
    assert_int_equal(third, first);
    expect_contents(bench, third, ids + 20, 10);
    fm_loader_close(loader);
}

static void a_failing_device_is_reported_to_the_caller(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    int slot = -1;
    bench->fail_at = 2;
    permute(ids, SAMPLES, 5);
    struct fm_loader *loader = open_loader(bench);
    assert_int_equal(fm_loader_begin(loader, ids, SAMPLES, 10), FM_OK);
    for (uint32_t i = 0; i < 3; i++) { // what is filled before the failure still comes
        assert_int_equal(fm_loader_next(loader, &slot), FM_OK);
        expect_contents(bench, slot, ids + 10 * i, 10);
        fm_loader_release(loader, slot);
    }
    assert_int_equal(fm_loader_next(loader, &slot), FM_BACKEND);
    assert_int_equal(slot, -1);
    assert_non_null(strstr(fm_error_message(), "the device is gone (slot 1)"));
    fm_error_clear();
    assert_int_equal(fm_loader_next(loader, &slot), FM_BACKEND); // and stays so
    assert_non_null(strstr(fm_error_message(), "the device is gone"));
    fm_loader_close(loader);
}

static void closing_works_at_any_moment(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    permute(ids, SAMPLES, 6);
    fm_loader_close(NULL);
    fm_loader_close(open_loader(bench)); // before the first pass
    for (int taken = 0; taken < 11; taken++) {
        for (int delay = 0; delay < 3; delay++) {
            int slot = -1;
            bench->delay_us = 300 * delay;
            struct fm_loader *loader = open_loader(bench);
            assert_int_equal(fm_loader_begin(loader, ids, SAMPLES, 10), FM_OK);
            for (int i = 0; i < taken; i++) {
                assert_int_equal(fm_loader_next(loader, &slot), FM_OK);
                if (i + 1 < taken) // the last one is still held
                    fm_loader_release(loader, slot);
            }
            fm_loader_close(loader);
        }
    }
}

static void slots_need_no_device(void **state)
{
    struct bench *bench = *state;
    uint32_t ids[SAMPLES];
    bench->options.slot_wait = NULL;
    permute(ids, SAMPLES, 7);
    struct fm_loader *loader = open_loader(bench);
    take_pass(bench, loader, ids, SAMPLES, 10, 0);
    fm_loader_close(loader);
    assert_int_equal(bench->waits[0] + bench->waits[1], 0);
}

// Opening and closing a trace while the loader runs, and the events of both threads in it.
static void both_threads_are_traced(void **state)
{
    struct bench *bench = *state;
    static const char *const names[] = {
        "\"main\"", "\"loader\"", "\"gather\"", "\"wait for data\"", "\"wait for slot\""};
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/loader-trace-%d.json", FM_TEST_BINARY_DIR, (int)getpid());
    uint32_t ids[SAMPLES];
    permute(ids, SAMPLES, 3);
    for (int round = 0; round < 3; round++) {
        memset(bench->in_use, 0, sizeof bench->in_use); // another loader, whose slots are free
        struct fm_loader *loader = round == 1 ? open_loader(bench) : NULL;
        assert_int_equal(fm_trace_open(path), FM_OK);
        if (!loader)
            loader = open_loader(bench);
        bench->delay_us = 0; // the loader waits
        take_pass(bench, loader, ids, SAMPLES, 10, 1000);
        bench->delay_us = 1000; // the caller waits
        take_pass(bench, loader, ids, SAMPLES, 10, 0);
        if (round == 2)
            fm_loader_close(loader);
        assert_int_equal(fm_trace_close(), FM_OK);
        if (round != 2)
            fm_loader_close(loader);
    }

    static char text[1 << 16];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    remove(path);
    text[size] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!strstr(text, names[i]))
            fail_msg("%s is not in the trace: %s", names[i], text);
}

static void misuse_is_refused(void **state)
{
    struct bench *bench = *state;
    const uint32_t ids[] = {0, SAMPLES - 1, SAMPLES};
    int slot = -1;
    struct fm_loader *loader = open_loader(bench), *none = loader;
    assert_int_equal(fm_loader_begin(loader, ids, 3, 2), FM_USAGE);
    assert_non_null(strstr(fm_error_message(), "id 103 at 2 of 103 samples"));
    fm_error_clear();
    assert_int_equal(fm_loader_begin(loader, ids, 2, 0), FM_USAGE);
    fm_error_clear();
    assert_int_equal(fm_loader_begin(loader, ids, 2, CAPACITY + 1), FM_USAGE);
    assert_non_null(strstr(fm_error_message(), "batch 17, expected 1 to 16"));
    fm_error_clear();
    assert_int_equal(fm_loader_begin(loader, ids, 2, 1), FM_OK);
    assert_int_equal(fm_loader_begin(loader, ids, 2, 1), FM_USAGE);
    assert_non_null(strstr(fm_error_message(), "at 0 of 2"));
    assert_int_equal(fm_loader_next(loader, &slot), FM_OK); // the former pass goes on
    fm_loader_close(loader);

    fm_error_clear();
    bench->slots[1].slot.record_size = RECORD + 1;
    assert_int_equal(fm_loader_open(&bench->options, &none), FM_USAGE);
    assert_null(none);
    assert_non_null(
        strstr(fm_error_message(), "slot 1 has records of 25 bytes, the samples of 24"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        T(slots_without_records_take_ids_alone),
        T(batches_come_in_order_with_their_tails),
        T(ids_may_repeat),
        T(a_slow_device_is_waited_for_before_each_refill),
        T(the_next_batch_is_fetched_while_one_is_in_use),
        T(the_time_waited_is_counted),
        T(taken_slots_are_left_alone),
        T(a_failing_device_is_reported_to_the_caller),
        T(closing_works_at_any_moment),
        T(slots_need_no_device),
        T(both_threads_are_traced),
        T(misuse_is_refused),
#undef T
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
