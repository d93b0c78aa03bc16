/* Loaded before libfaketime (0.9.10), which knows no C11 waits and breaks clock_nanosleep when CLOCK_MONOTONIC is real.
 * librdkafka waits with the first until a time of day, Python's time.sleep uses the second. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* In glibc both kinds of condition and of mutex are the same; libfaketime turns the time back into the real one. */
int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until) {
    int result = pthread_cond_timedwait((pthread_cond_t *)cond, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *rest) {
    return syscall(SYS_clock_nanosleep, clock, flags, time, rest) == 0 ? 0 : errno;
}
