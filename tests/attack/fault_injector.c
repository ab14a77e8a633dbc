/* Make system calls on chosen files fail, in every library of a process: Python, PyArrow, DuckDB.
 *
 * A process that is started with LD_PRELOAD=<this library> and FAULT_TABLE=<file> calls the
 * functions below instead of glibc's. Each looks for a rule of its operation whose pattern matches
 * the file's absolute path, and fails with the rule's errno; otherwise it calls glibc.
 *
 * The table is mapped into memory and shared: a rule that is added, or ends, is obeyed at once by
 * every process, and its counters count across all of them. faults.py writes it, and its layout is
 * `struct rule`. Each injected fault appends "pid operation errno path" to the table's log.
 *
 * Not intercepted: what glibc calls within itself (the reads of a FILE, although fopen is), and
 * memory that was mapped before (a failing page is a SIGBUS, no errno).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define RULES 32

struct rule {
    _Atomic uint32_t active;
    int32_t error;
    uint32_t skip;   /* so many matching calls succeed first */
    uint32_t times;  /* so many fail then; 0: all */
    _Atomic uint32_t matched;
    _Atomic uint32_t injected;
    char operation[16];
    char pattern[512];  /* of the path; `*` matches `/` too */
    char process[128];  /* of the command line, its words joined by spaces */
};

static struct rule *table;
static char log_path[PATH_MAX];
static char command_line[8192];

/* The kernel itself, around the functions below. */
static int raw_open(const char *path, int flags) {
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC, 0644);
}

/* Obey a table from now on, as the process that this command line started. */
void use_fault_table(const char *name, const char *command) {
    snprintf(command_line, sizeof command_line, "%s", command);
    snprintf(log_path, sizeof log_path, "%s.log", name);
    int descriptor = raw_open(name, O_RDWR);
    if (descriptor < 0) {
        static const char complaint[] = "fault_injector: cannot open FAULT_TABLE\n";
        syscall(SYS_write, 2, complaint, sizeof complaint - 1);
        syscall(SYS_exit_group, 125);
    }
    table = (struct rule *)syscall(SYS_mmap, NULL, RULES * sizeof(struct rule),
                                   PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
}

__attribute__((constructor)) static void load_table(void) {
    const char *name = getenv("FAULT_TABLE");
    if (name == NULL)
        return;
    static char words[sizeof command_line];
    int descriptor = raw_open("/proc/self/cmdline", O_RDONLY);
    ssize_t length = syscall(SYS_read, descriptor, words, sizeof words - 1);
    syscall(SYS_close, descriptor);
    for (ssize_t at = 0; at + 1 < length; at++)
        if (words[at] == '\0')
            words[at] = ' ';
    use_fault_table(name, words);
}

static void write_log(const char *operation, int error, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%d %s %d %s\n", (int)getpid(), operation, error, path);
    int descriptor = raw_open(log_path, O_WRONLY | O_CREAT | O_APPEND);
    syscall(SYS_write, descriptor, line, (size_t)length);
    syscall(SYS_close, descriptor);
}

static int is_asked_for(const char *operation) {
    if (table == NULL || table == MAP_FAILED)
        return 0;
    for (int at = 0; at < RULES; at++)
        if (table[at].active && strcmp(table[at].operation, operation) == 0)
            return 1;
    return 0;
}

/* Return the errno with which an operation on a path fails, or 0. */
static int fault_at(const char *operation, const char *path) {
    for (int at = 0; at < RULES; at++) {
        struct rule *rule = &table[at];
        if (!rule->active || strcmp(rule->operation, operation) != 0 ||
            fnmatch(rule->pattern, path, 0) != 0 || fnmatch(rule->process, command_line, 0) != 0)
            continue;
        uint32_t before = atomic_fetch_add(&rule->matched, 1);
        if (before < rule->skip || (rule->times && before - rule->skip >= rule->times))
            continue;
        atomic_fetch_add(&rule->injected, 1);
        write_log(operation, rule->error, path);
        return rule->error;
    }
    return 0;
}

/* Write the path of an open file into `path`; 0 where it has none. */
static int path_of(int descriptor, char *path, size_t size) {
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    if (length <= 0 || path[0] != '/')
        return 0;
    path[length] = '\0';
    static const char deleted[] = " (deleted)";
    size_t rest = (size_t)length - (sizeof deleted - 1);
    if ((size_t)length >= sizeof deleted && strcmp(path + rest, deleted) == 0)
        path[rest] = '\0';
    return 1;
}

static int fault_of_descriptor(const char *operation, int descriptor) {
    char path[PATH_MAX + 16];
    if (!is_asked_for(operation) || !path_of(descriptor, path, sizeof path))
        return 0;
    return fault_at(operation, path);
}

static int fault_of_path(const char *operation, int folder, const char *name) {
    char path[2 * PATH_MAX];
    if (name == NULL || !is_asked_for(operation))
        return 0;
    if (name[0] == '\0')
        return fault_of_descriptor(operation, folder);
    if (name[0] == '/')
        return fault_at(operation, name);
    if (folder == AT_FDCWD) {
        if (syscall(SYS_getcwd, path, PATH_MAX) <= 0)
            return 0;
    } else if (!path_of(folder, path, PATH_MAX)) {
        return 0;
    }
    size_t length = strlen(path);
    snprintf(path + length, sizeof path - length, "/%s", name);
    return fault_at(operation, path);
}

/* Define a function that fails where a fault is due, and calls glibc's otherwise. */
#define INTERCEPT(result, name, parameters, arguments, failure, fault)  \
    result name parameters {                                           \
        int before = errno;                                            \
        int error = fault;                                             \
        errno = error ? error : before;                                \
        if (error)                                                     \
            return failure;                                            \
        static result(*real) parameters;                               \
        if (real == NULL)                                              \
            real = (result(*) parameters)dlsym(RTLD_NEXT, #name);      \
        return real arguments;                                         \
    }

#define ON_PATH(operation, name, parameters, arguments, folder, path) \
    INTERCEPT(int, name, parameters, arguments, -1, fault_of_path(operation, folder, path))
#define ON_DESCRIPTOR(operation, result, name, parameters, arguments) \
    INTERCEPT(result, name, parameters, arguments, -1, fault_of_descriptor(operation, descriptor))

/* open: glibc's open takes a mode only with flags that create; passing one more is harmless. */
#define OPEN(name)                                                                   \
    int name(const char *path, int flags, ...) {                                     \
        va_list rest;                                                                \
        va_start(rest, flags);                                                       \
        mode_t mode = va_arg(rest, mode_t);                                          \
        va_end(rest);                                                                \
        int error = fault_of_path("open", AT_FDCWD, path);                           \
        if (error) {                                                                 \
            errno = error;                                                           \
            return -1;                                                               \
        }                                                                            \
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);  \
    }
#define OPEN_AT(name)                                                              \
    int name(int folder, const char *path, int flags, ...) {                       \
        va_list rest;                                                              \
        va_start(rest, flags);                                                     \
        mode_t mode = va_arg(rest, mode_t);                                        \
        va_end(rest);                                                              \
        int error = fault_of_path("open", folder, path);                           \
        if (error) {                                                               \
            errno = error;                                                         \
            return -1;                                                             \
        }                                                                          \
        return (int)syscall(SYS_openat, folder, path, flags | O_LARGEFILE, mode);  \
    }
OPEN(open)
OPEN(open64)
OPEN_AT(openat)
OPEN_AT(openat64)
ON_PATH("open", __open_2, (const char *path, int flags), (path, flags), AT_FDCWD, path)
ON_PATH("open", __open64_2, (const char *path, int flags), (path, flags), AT_FDCWD, path)
ON_PATH("open", __openat_2, (int folder, const char *path, int flags), (folder, path, flags), folder, path)
ON_PATH("open", __openat64_2, (int folder, const char *path, int flags), (folder, path, flags), folder, path)
ON_PATH("open", creat, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
ON_PATH("open", creat64, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
INTERCEPT(FILE *, fopen, (const char *path, const char *mode), (path, mode), NULL,
          fault_of_path("open", AT_FDCWD, path))
INTERCEPT(FILE *, fopen64, (const char *path, const char *mode), (path, mode), NULL,
          fault_of_path("open", AT_FDCWD, path))

/* close: the file is closed even where it reports an error, as NFS reports a full disk. */
int close(int descriptor) {
    int error = fault_of_descriptor("close", descriptor);
    int result = (int)syscall(SYS_close, descriptor);
    if (result == 0 && error) {
        errno = error;
        return -1;
    }
    return result;
}

#define READ(result, name, parameters, arguments) ON_DESCRIPTOR("read", result, name, parameters, arguments)
#define WRITE(result, name, parameters, arguments) ON_DESCRIPTOR("write", result, name, parameters, arguments)
READ(ssize_t, read, (int descriptor, void *buffer, size_t size), (descriptor, buffer, size))
READ(ssize_t, __read_chk, (int descriptor, void *buffer, size_t size, size_t room), (descriptor, buffer, size, room))
READ(ssize_t, pread, (int descriptor, void *buffer, size_t size, off_t at), (descriptor, buffer, size, at))
READ(ssize_t, pread64, (int descriptor, void *buffer, size_t size, off64_t at), (descriptor, buffer, size, at))
READ(ssize_t, __pread_chk, (int descriptor, void *buffer, size_t size, off_t at, size_t room), (descriptor, buffer, size, at, room))
READ(ssize_t, __pread64_chk, (int descriptor, void *buffer, size_t size, off64_t at, size_t room), (descriptor, buffer, size, at, room))
READ(ssize_t, readv, (int descriptor, const struct iovec *parts, int count), (descriptor, parts, count))
READ(ssize_t, preadv, (int descriptor, const struct iovec *parts, int count, off_t at), (descriptor, parts, count, at))
READ(ssize_t, preadv64, (int descriptor, const struct iovec *parts, int count, off64_t at), (descriptor, parts, count, at))
WRITE(ssize_t, write, (int descriptor, const void *buffer, size_t size), (descriptor, buffer, size))
WRITE(ssize_t, pwrite, (int descriptor, const void *buffer, size_t size, off_t at), (descriptor, buffer, size, at))
WRITE(ssize_t, pwrite64, (int descriptor, const void *buffer, size_t size, off64_t at), (descriptor, buffer, size, at))
WRITE(ssize_t, writev, (int descriptor, const struct iovec *parts, int count), (descriptor, parts, count))
WRITE(ssize_t, pwritev, (int descriptor, const struct iovec *parts, int count, off_t at), (descriptor, parts, count, at))
WRITE(ssize_t, pwritev64, (int descriptor, const struct iovec *parts, int count, off64_t at), (descriptor, parts, count, at))
WRITE(int, ftruncate, (int descriptor, off_t size), (descriptor, size))
WRITE(int, ftruncate64, (int descriptor, off64_t size), (descriptor, size))

/* Copies within the kernel read one file and write another. */
static int fault_of_copy(int source, int target) {
    int error = fault_of_descriptor("read", source);
    return error ? error : fault_of_descriptor("write", target);
}
INTERCEPT(ssize_t, sendfile, (int target, int source, off_t *at, size_t size), (target, source, at, size), -1,
          fault_of_copy(source, target))
INTERCEPT(ssize_t, sendfile64, (int target, int source, off64_t *at, size_t size), (target, source, at, size), -1,
          fault_of_copy(source, target))
INTERCEPT(ssize_t, copy_file_range, (int source, off64_t *from, int target, off64_t *to, size_t size, unsigned flags),
          (source, from, target, to, size, flags), -1, fault_of_copy(source, target))

INTERCEPT(void *, mmap, (void *where, size_t size, int access, int flags, int descriptor, off_t at),
          (where, size, access, flags, descriptor, at), MAP_FAILED,
          descriptor < 0 ? 0 : fault_of_descriptor("map", descriptor))
INTERCEPT(void *, mmap64, (void *where, size_t size, int access, int flags, int descriptor, off64_t at),
          (where, size, access, flags, descriptor, at), MAP_FAILED,
          descriptor < 0 ? 0 : fault_of_descriptor("map", descriptor))

ON_DESCRIPTOR("sync", int, fsync, (int descriptor), (descriptor))
ON_DESCRIPTOR("sync", int, fdatasync, (int descriptor), (descriptor))
ON_DESCRIPTOR("lock", int, flock, (int descriptor, int operation), (descriptor, operation))

/* rename and link fail for a rule on either name. */
static int fault_of_paths(const char *operation, int folder, const char *path, int other_folder,
                          const char *other) {
    int error = fault_of_path(operation, folder, path);
    return error ? error : fault_of_path(operation, other_folder, other);
}
INTERCEPT(int, rename, (const char *from, const char *to), (from, to), -1,
          fault_of_paths("rename", AT_FDCWD, from, AT_FDCWD, to))
INTERCEPT(int, renameat, (int folder, const char *from, int other, const char *to), (folder, from, other, to), -1,
          fault_of_paths("rename", folder, from, other, to))
INTERCEPT(int, renameat2, (int folder, const char *from, int other, const char *to, unsigned flags),
          (folder, from, other, to, flags), -1, fault_of_paths("rename", folder, from, other, to))
INTERCEPT(int, link, (const char *from, const char *to), (from, to), -1,
          fault_of_paths("link", AT_FDCWD, from, AT_FDCWD, to))
INTERCEPT(int, linkat, (int folder, const char *from, int other, const char *to, int flags),
          (folder, from, other, to, flags), -1, fault_of_paths("link", folder, from, other, to))

ON_PATH("mkdir", mkdir, (const char *path, mode_t mode), (path, mode), AT_FDCWD, path)
ON_PATH("mkdir", mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode), folder, path)
ON_PATH("unlink", unlink, (const char *path), (path), AT_FDCWD, path)
ON_PATH("unlink", unlinkat, (int folder, const char *path, int flags), (folder, path, flags), folder, path)
ON_PATH("unlink", rmdir, (const char *path), (path), AT_FDCWD, path)

ON_PATH("stat", stat, (const char *restrict path, struct stat *restrict result), (path, result), AT_FDCWD, path)
ON_PATH("stat", stat64, (const char *restrict path, struct stat64 *restrict result), (path, result), AT_FDCWD, path)
ON_PATH("stat", lstat, (const char *restrict path, struct stat *restrict result), (path, result), AT_FDCWD, path)
ON_PATH("stat", lstat64, (const char *restrict path, struct stat64 *restrict result), (path, result), AT_FDCWD, path)
ON_PATH("stat", fstatat, (int folder, const char *restrict path, struct stat *restrict result, int flags),
        (folder, path, result, flags), folder, path)
ON_PATH("stat", fstatat64, (int folder, const char *restrict path, struct stat64 *restrict result, int flags),
        (folder, path, result, flags), folder, path)
ON_PATH("stat", statx, (int folder, const char *restrict path, int flags, unsigned mask, struct statx *restrict result),
        (folder, path, flags, mask, result), folder, path)
ON_DESCRIPTOR("stat", int, fstat, (int descriptor, struct stat *result), (descriptor, result))
ON_DESCRIPTOR("stat", int, fstat64, (int descriptor, struct stat64 *result), (descriptor, result))
/* What wheels call that were built with a glibc before 2.33. */
ON_PATH("stat", __xstat, (int version, const char *path, struct stat *result), (version, path, result), AT_FDCWD, path)
ON_PATH("stat", __xstat64, (int version, const char *path, struct stat64 *result), (version, path, result), AT_FDCWD, path)
ON_PATH("stat", __lxstat, (int version, const char *path, struct stat *result), (version, path, result), AT_FDCWD, path)
ON_PATH("stat", __lxstat64, (int version, const char *path, struct stat64 *result), (version, path, result), AT_FDCWD, path)
ON_PATH("stat", __fxstatat, (int version, int folder, const char *path, struct stat *result, int flags),
        (version, folder, path, result, flags), folder, path)
ON_PATH("stat", __fxstatat64, (int version, int folder, const char *path, struct stat64 *result, int flags),
        (version, folder, path, result, flags), folder, path)
ON_DESCRIPTOR("stat", int, __fxstat, (int version, int descriptor, struct stat *result), (version, descriptor, result))
ON_DESCRIPTOR("stat", int, __fxstat64, (int version, int descriptor, struct stat64 *result), (version, descriptor, result))

INTERCEPT(DIR *, opendir, (const char *path), (path), NULL, fault_of_path("list", AT_FDCWD, path))
INTERCEPT(DIR *, fdopendir, (int descriptor), (descriptor), NULL, fault_of_descriptor("list", descriptor))
INTERCEPT(struct dirent *, readdir, (DIR *folder), (folder), NULL, fault_of_descriptor("list", dirfd(folder)))
INTERCEPT(struct dirent64 *, readdir64, (DIR *folder), (folder), NULL, fault_of_descriptor("list", dirfd(folder)))
