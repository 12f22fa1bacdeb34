/* Let one call of the C library fail, of all that a command makes: for tests/faults/shim.py.

   Loaded by LD_PRELOAD into a process that has imported the program and forks one copy of itself
   per command. The calls that are counted are those on paths below one folder, on descriptors that
   they returned, on pipes, sockets and semaphores made by the command and its processes, on
   standard output, and the forks. Imports of libraries are on other paths, and are not counted.

   Calls are counted per role, which is the depth of forks below the command, so that the n-th call
   of one process is the same one in every repetition. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ROLES 3
#define LOGGED 16384
#define LENGTH 112
#define DESCRIPTORS 65536
enum { SHORT = -1, KILLED = -2 };

struct control {
    int armed, role, kind, fired;
    long at;
    long counts[ROLES];
    char root[256];
    char what[LENGTH];
    char log[ROLES][LOGGED][LENGTH];
};

static struct control *shared;
static int depth;
static unsigned char watched[DESCRIPTORS];

static void forked(void) { depth++; }

__attribute__((constructor)) static void loaded(void) { pthread_atfork(NULL, NULL, forked); }

/* From here on this process is the command, whose calls are counted in `control`. */
void fault_begin(struct control *control)
{
    memset(watched, 0, sizeof watched);
    watched[1] = 1;
    depth = 0;
    shared = control;
    __atomic_store_n(&shared->armed, 1, __ATOMIC_SEQ_CST);
}

long fault_size(void) { return sizeof(struct control); }

static int below(const char *path)
{
    if (!shared || !shared->armed || !path)
        return 0;
    if (path[0] != '/')
        return 1;
    return strncmp(path, shared->root, strlen(shared->root)) == 0;
}

static int is_watched(int fd) { return shared && fd >= 0 && fd < DESCRIPTORS && watched[fd]; }

static int watch(int fd, int yes)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        watched[fd] = yes;
    return fd;
}

/* Short writes are those of files: to a pipe, so few bytes are written at once or not at all. */
static int is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* Count a call. Return 0 if it goes ahead, an error number, or SHORT for a write. */
static int hit(const char *name, const char *path, int writes)
{
    if (!shared || !shared->armed)
        return 0;
    int saved = errno, role = depth < ROLES ? depth : ROLES - 1;
    long number = __atomic_fetch_add(&shared->counts[role], 1, __ATOMIC_SEQ_CST);
    char line[LENGTH];
    size_t skipped = strlen(shared->root);
    const char *shown = path ? (strncmp(path, shared->root, skipped) ? path : path + skipped) : "";
    snprintf(line, sizeof line, "%s%s %s", writes ? "+" : "", name, shown);
    if (number < LOGGED)
        memcpy(shared->log[role][number], line, LENGTH);
    errno = saved;
    if (!shared->kind || role != shared->role || number != shared->at)
        return 0;
    if (__atomic_exchange_n(&shared->fired, 1, __ATOMIC_SEQ_CST))
        return 0;
    if (shared->kind == SHORT && !writes) {
        shared->fired = 2; /* not applicable */
        return 0;
    }
    memcpy(shared->what, line, LENGTH);
    if (shared->kind == KILLED) {
        kill(getpid(), SIGKILL);
        pause();
    }
    return shared->kind;
}

#define REAL(type, name, ...)                                                                      \
    static type (*real)(__VA_ARGS__);                                                              \
    if (!real)                                                                                     \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

#define FAIL(kind, value)                                                                          \
    do {                                                                                           \
        int _kind = (kind);                                                                        \
        if (_kind > 0) {                                                                           \
            errno = _kind;                                                                         \
            return value;                                                                          \
        }                                                                                          \
    } while (0)

/* Opening */

#define OPEN(NAME)                                                                                 \
    int NAME(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        REAL(int, #NAME, const char *, int, ...);                                                  \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0;                  \
        va_end(list);                                                                              \
        if (!below(path))                                                                          \
            return watch(real(path, flags, mode), 0);                                              \
        FAIL(hit("open", path, 0), -1);                                                            \
        return watch(real(path, flags, mode), 1);                                                  \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(NAME)                                                                               \
    int NAME(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        REAL(int, #NAME, int, const char *, int, ...);                                             \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, mode_t) : 0;                  \
        va_end(list);                                                                              \
        if (!(path[0] == '/' || folder == AT_FDCWD ? below(path) : is_watched(folder)))            \
            return watch(real(folder, path, flags, mode), 0);                                      \
        FAIL(hit("open", path, 0), -1);                                                            \
        return watch(real(folder, path, flags, mode), 1);                                          \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(NAME)                                                                                \
    FILE *NAME(const char *path, const char *mode)                                                 \
    {                                                                                              \
        REAL(FILE *, #NAME, const char *, const char *);                                           \
        if (below(path))                                                                           \
            FAIL(hit("fopen", path, 0), NULL);                                                     \
        return real(path, mode);                                                                   \
    }
FOPEN(fopen)
FOPEN(fopen64)

DIR *opendir(const char *path)
{
    REAL(DIR *, "opendir", const char *);
    if (below(path))
        FAIL(hit("opendir", path, 0), NULL);
    return real(path);
}

DIR *fdopendir(int fd)
{
    REAL(DIR *, "fdopendir", int);
    if (is_watched(fd))
        FAIL(hit("opendir", NULL, 0), NULL);
    return real(fd);
}

int close(int fd)
{
    REAL(int, "close", int);
    watch(fd, 0);
    return real(fd);
}

int dup(int fd)
{
    REAL(int, "dup", int);
    return watch(real(fd), is_watched(fd));
}

int dup2(int from, int to)
{
    REAL(int, "dup2", int, int);
    return watch(real(from, to), is_watched(from));
}

int dup3(int from, int to, int flags)
{
    REAL(int, "dup3", int, int, int);
    return watch(real(from, to, flags), is_watched(from));
}

/* Reading and writing */

#define DATA(TYPE, NAME, WRITES, PARAMETERS, ARGUMENTS, HALF)                                      \
    TYPE NAME PARAMETERS                                                                           \
    {                                                                                              \
        static TYPE(*real) PARAMETERS;                                                             \
        if (!real)                                                                                 \
            real = (TYPE(*) PARAMETERS)dlsym(RTLD_NEXT, #NAME);                                    \
        if (is_watched(fd)) {                                                                      \
            int kind = hit(#NAME, NULL, WRITES && is_file(fd));                                                   \
            FAIL(kind, -1);                                                                        \
            if (kind == SHORT)                                                                     \
                HALF;                                                                              \
        }                                                                                          \
        return real ARGUMENTS;                                                                     \
    }
#define HALVED size = size > 1 ? size / 2 : size
DATA(ssize_t, read, 0, (int fd, void *to, size_t size), (fd, to, size), )
DATA(ssize_t, pread, 0, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), )
DATA(ssize_t, pread64, 0, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), )
DATA(ssize_t, write, 1, (int fd, const void *from, size_t size), (fd, from, size), HALVED)
DATA(ssize_t, pwrite, 1, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at), HALVED)
DATA(ssize_t, pwrite64, 1, (int fd, const void *from, size_t size, off_t at), (fd, from, size, at), HALVED)
DATA(ssize_t, writev, 1, (int fd, const struct iovec *from, int size), (fd, from, size), HALVED)
DATA(ssize_t, send, 1, (int fd, const void *from, size_t size, int flags), (fd, from, size, flags), HALVED)
DATA(ssize_t, recv, 0, (int fd, void *to, size_t size, int flags), (fd, to, size, flags), )
DATA(ssize_t, sendmsg, 0, (int fd, const struct msghdr *from, int flags), (fd, from, flags), )
DATA(ssize_t, recvmsg, 0, (int fd, struct msghdr *to, int flags), (fd, to, flags), )
DATA(int, fsync, 0, (int fd), (fd), )
DATA(int, fdatasync, 0, (int fd), (fd), )
DATA(int, flock, 0, (int fd, int what), (fd, what), )
DATA(int, ftruncate, 0, (int fd, off_t size), (fd, size), )
DATA(int, ftruncate64, 0, (int fd, off_t size), (fd, size), )

ssize_t sendfile64(int to, int from, off64_t *at, size_t size)
{
    REAL(ssize_t, "sendfile64", int, int, off64_t *, size_t);
    if (is_watched(to) || is_watched(from))
        FAIL(hit("sendfile", NULL, 0), -1);
    return real(to, from, at, size);
}

#define MMAP(NAME)                                                                                 \
    void *NAME(void *at, size_t size, int access, int flags, int fd, off_t from)                   \
    {                                                                                              \
        REAL(void *, #NAME, void *, size_t, int, int, int, off_t);                                 \
        if (fd >= 0 && is_watched(fd))                                                             \
            FAIL(hit("mmap", NULL, 0), MAP_FAILED);                                                \
        return real(at, size, access, flags, fd, from);                                            \
    }
MMAP(mmap)
MMAP(mmap64)

/* Paths */

#define PATH(NAME, PARAMETERS, ARGUMENTS, WHERE)                                                   \
    int NAME PARAMETERS                                                                            \
    {                                                                                              \
        static int(*real) PARAMETERS;                                                              \
        if (!real)                                                                                 \
            real = (int(*) PARAMETERS)dlsym(RTLD_NEXT, #NAME);                                     \
        if (WHERE)                                                                                 \
            FAIL(hit(#NAME, path, 0), -1);                                                         \
        return real ARGUMENTS;                                                                     \
    }
#define INSIDE (path[0] == '/' || folder == AT_FDCWD ? below(path) : is_watched(folder))
PATH(stat, (const char *path, struct stat *to), (path, to), below(path))
PATH(stat64, (const char *path, struct stat64 *to), (path, to), below(path))
PATH(lstat, (const char *path, struct stat *to), (path, to), below(path))
PATH(lstat64, (const char *path, struct stat64 *to), (path, to), below(path))
PATH(fstatat, (int folder, const char *path, struct stat *to, int flags), (folder, path, to, flags), INSIDE)
PATH(fstatat64, (int folder, const char *path, struct stat64 *to, int flags), (folder, path, to, flags), INSIDE)
PATH(access, (const char *path, int how), (path, how), below(path))
PATH(mkdir, (const char *path, mode_t mode), (path, mode), below(path))
PATH(mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), INSIDE)
PATH(rmdir, (const char *path), (path), below(path))
PATH(unlink, (const char *path), (path), below(path))
PATH(unlinkat, (int folder, const char *path, int flags), (folder, path, flags), INSIDE)
PATH(link, (const char *path, const char *to), (path, to), below(to))
PATH(linkat, (int folder, const char *path, int other, const char *to, int flags), (folder, path, other, to, flags), below(to))
PATH(symlink, (const char *path, const char *to), (path, to), below(to))
PATH(rename, (const char *path, const char *to), (path, to), below(path) || below(to))
PATH(renameat, (int folder, const char *path, int other, const char *to), (folder, path, other, to), below(path) || below(to))
PATH(chmod, (const char *path, mode_t mode), (path, mode), below(path))
PATH(utimensat, (int folder, const char *path, const struct timespec times[2], int flags), (folder, path, times, flags), INSIDE)

/* Pipes, sockets, semaphores, processes */

static int armed(void) { return shared && shared->armed; }

int pipe(int ends[2])
{
    REAL(int, "pipe", int *);
    FAIL(hit("pipe", NULL, 0), -1);
    int code = real(ends);
    if (!code)
        watch(ends[0], armed()), watch(ends[1], armed());
    return code;
}

int pipe2(int ends[2], int flags)
{
    REAL(int, "pipe2", int *, int);
    FAIL(hit("pipe", NULL, 0), -1);
    int code = real(ends, flags);
    if (!code)
        watch(ends[0], armed()), watch(ends[1], armed());
    return code;
}

int socketpair(int family, int type, int protocol, int ends[2])
{
    REAL(int, "socketpair", int, int, int, int *);
    FAIL(hit("socketpair", NULL, 0), -1);
    int code = real(family, type, protocol, ends);
    if (!code)
        watch(ends[0], armed()), watch(ends[1], armed());
    return code;
}

int socket(int family, int type, int protocol)
{
    REAL(int, "socket", int, int, int);
    FAIL(hit("socket", NULL, 0), -1);
    return watch(real(family, type, protocol), armed());
}

int bind(int fd, const struct sockaddr *name, socklen_t size)
{
    REAL(int, "bind", int, const struct sockaddr *, socklen_t);
    FAIL(hit("bind", NULL, 0), -1);
    return real(fd, name, size);
}

int listen(int fd, int most)
{
    REAL(int, "listen", int, int);
    FAIL(hit("listen", NULL, 0), -1);
    return real(fd, most);
}

int connect(int fd, const struct sockaddr *name, socklen_t size)
{
    REAL(int, "connect", int, const struct sockaddr *, socklen_t);
    FAIL(hit("connect", NULL, 0), -1);
    return real(fd, name, size);
}

int accept4(int fd, struct sockaddr *name, socklen_t *size, int flags)
{
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    FAIL(hit("accept", NULL, 0), -1);
    return watch(real(fd, name, size, flags), armed());
}

sem_t *sem_open(const char *name, int flags, ...)
{
    REAL(sem_t *, "sem_open", const char *, int, ...);
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & O_CREAT) ? va_arg(list, mode_t) : 0;
    unsigned value = (flags & O_CREAT) ? va_arg(list, unsigned) : 0;
    va_end(list);
    FAIL(hit("sem_open", NULL, 0), SEM_FAILED);
    return real(name, flags, mode, value);
}

pid_t fork(void)
{
    REAL(pid_t, "fork", void);
    FAIL(hit("fork", NULL, 0), -1);
    return real();
}
