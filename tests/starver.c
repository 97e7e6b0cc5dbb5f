/* SPDX-License-Identifier: MIT
 *
 * Want of memory: a library to be preloaded, which makes allocations of a program fail. It reads
 * the same block as injector.c (which see), the file that PLYFS_CONTROL names, and heeds it while
 * its classes are MEMORY alone. Only what the program itself and libc ask for is counted: what
 * other libraries do without memory is not ours to test.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MEMORY = 16 };

/* As in injector.c. */
struct control {
    uint32_t armed, classes, number, lasting, error, seen, failed, part;
    char call[32];
    char under[960];
};

/* glibc's own, which ours stand before. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct control *control;
static uintptr_t first, last; /* the text of the program */
static uintptr_t libc_first, libc_last;

static int note_range(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    bool program = info->dlpi_name[0] == 0, libc = strstr(info->dlpi_name, "/libc.so") != NULL;
    for (int i = 0; (program || libc) && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X))
            continue;
        uintptr_t start = info->dlpi_addr + part->p_vaddr;
        *(program ? &first : &libc_first) = start;
        *(program ? &last : &libc_last) = start + part->p_memsz;
    }
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("PLYFS_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    dl_iterate_phdr(note_range, NULL);
    void *map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    control = map == MAP_FAILED ? NULL : map;
}

static bool fails(const void *caller, const char *call)
{
    uintptr_t at = (uintptr_t)caller;
    if (!control || !__atomic_load_n(&control->armed, __ATOMIC_ACQUIRE) ||
        control->classes != MEMORY)
        return false;
    if ((at < first || at >= last) && (at < libc_first || at >= libc_last))
        return false;
    uint32_t seen = __atomic_add_fetch(&control->seen, 1, __ATOMIC_ACQ_REL);
    if (seen != control->number && !(control->lasting && seen > control->number))
        return false;
    if (__atomic_fetch_add(&control->failed, 1, __ATOMIC_ACQ_REL) == 0)
        strcpy(control->call, call);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0), "malloc") ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0), "calloc") ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0), "realloc") ? NULL : __libc_realloc(old, size);
}
