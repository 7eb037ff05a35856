/* Preloaded into a process, makes the operating system fail: the k-th call that touches a chosen file fails with an
 * error number and so does every later one, as on a full disk; or the process gets a signal (SIGKILL unless told
 * otherwise) before or after the call. Chosen by the environment, or from inside by fault_arm(). FAULT_CLOCK makes the wall clock jump by a day, back
 * and forth, at every look at it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static char part[256];         /* of the paths that count; empty: none */
static char calls[256];        /* of "write fsync rename truncate", those that count */
static long at, seen;          /* the first call to fail, from 1; 0 counts only */
static int number, after_it;   /* error number; 0: the signal */
static int sent = SIGKILL;
static const char *told;       /* a byte is appended to this file for each call that counts */
static int jumping;
static long looks;

void fault_arm(const char *path_part, const char *which, long k, int error) {
    snprintf(part, sizeof part, "%s", path_part);
    snprintf(calls, sizeof calls, "%s", which);
    at = k, number = error, seen = 0;
}

long fault_seen(void) { return seen; }

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("FAULT_PATH"), *which = getenv("FAULT_CALLS"), *k = getenv("FAULT_AT");
    const char *error = getenv("FAULT_ERRNO");
    told = getenv("FAULT_COUNT");
    after_it = getenv("FAULT_AFTER") != NULL;
    if (getenv("FAULT_SIGNAL")) sent = atoi(getenv("FAULT_SIGNAL"));
    jumping = getenv("FAULT_CLOCK") != NULL;
    if (path && which) fault_arm(path, which, k ? atol(k) : 0, error ? atoi(error) : 0);
}

/* Whether this call fails now; it then has errno. */
static int fails(const char *name, const char *path) {
    if (!part[0] || !strstr(calls, name) || !strstr(path, part)) return 0;
    long mine = __sync_add_and_fetch(&seen, 1);
    if (told) {
        static int (*real)(const char *, int, ...);
        if (!real) real = dlsym(RTLD_NEXT, "open");
        int file = real(told, O_WRONLY | O_APPEND | O_CREAT, 0644);
        static ssize_t (*put)(int, const void *, size_t);
        if (!put) put = dlsym(RTLD_NEXT, "write");
        if (file >= 0 && put(file, ".", 1)) close(file);
    }
    if (!at || mine < at) return 0;
    if (number == 0) {
        if (!after_it && mine == at) kill(getpid(), sent);
        return 0;
    }
    errno = number;
    return 1;
}

static int file_fails(const char *name, int file) {
    if (!part[0]) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(name, path);
}

static void after(void) {
    static long last;
    if (after_it && at && number == 0 && seen == at && last != at) last = at, kill(getpid(), sent);
}

#define REAL(type, name, ...)                                                                                          \
    static type (*real)(__VA_ARGS__);                                                                                  \
    if (!real) real = dlsym(RTLD_NEXT, name);

ssize_t write(int file, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t)
    if (file_fails("write", file)) return -1;
    ssize_t done = real(file, data, size);
    after();
    return done;
}

#define PWRITE(name, offset_type)                                                                                      \
    ssize_t name(int file, const void *data, size_t size, offset_type offset) {                                        \
        REAL(ssize_t, #name, int, const void *, size_t, offset_type)                                                   \
        if (file_fails("write", file)) {                                                                               \
            if (seen == at && size > 1) real(file, data, size / 2, offset); /* torn, as by a disk that fills up */     \
            errno = number;                                                                                            \
            return -1;                                                                                                 \
        }                                                                                                              \
        ssize_t done = real(file, data, size, offset);                                                                 \
        after();                                                                                                       \
        return done;                                                                                                   \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define ON_FILE(name, call, parameters, arguments, ...)                                                                \
    int name parameters {                                                                                              \
        REAL(int, #name, __VA_ARGS__)                                                                                  \
        if (file_fails(call, file)) return -1;                                                                         \
        int done = real arguments;                                                                                     \
        after();                                                                                                       \
        return done;                                                                                                   \
    }
ON_FILE(fsync, "fsync", (int file), (file), int)
ON_FILE(fdatasync, "fsync", (int file), (file), int)
ON_FILE(ftruncate, "truncate", (int file, off_t size), (file, size), int, off_t)
ON_FILE(ftruncate64, "truncate", (int file, off64_t size), (file, size), int, off64_t)

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *)
    if (fails("rename", from)) return -1;
    int done = real(from, to);
    after();
    return done;
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *)
    if (fails("rename", from)) return -1;
    int done = real(from_folder, from, to_folder, to);
    after();
    return done;
}

static time_t jump(void) { return __sync_add_and_fetch(&looks, 1) % 2 ? 86400 : -86400; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *)
    int done = real(clock, now);
    if (jumping && clock == CLOCK_REALTIME) now->tv_sec += jump();
    return done;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    REAL(int, "gettimeofday", struct timeval *, void *)
    int done = real(now, zone);
    if (jumping) now->tv_sec += jump();
    return done;
}

time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
