/*
 * A driver without a device: enough of libcuda.so.1 and libnvidia-ml.so.1 for the probe to find nothing
 * missing, and to be hung, killed and lied to.
 *
 * All of its state lies in the folder that the library itself lies in, so that processes see each other as
 * they do through a device: the memory that a process has (`used-PID`), where it stands in the checkpoint
 * cycle (`state-PID`), and blocks of device memory (`block-PID-N`, shared mappings). The file `mode` there
 * says what goes wrong, one word and an optional call per line:
 *
 *   hang CALL, crash CALL, code CALL NUMBER   that call hangs, ends the process, answers NUMBER
 *   lie pattern | free | state | copy | peer | kernel | map   it says yes, and it is not so
 *   devices N, links N                        how many there are (1 and 0)
 *   device PATH                               a process keeps this open, as on WSL it keeps /dev/dxg
 *   late MILLISECONDS                         memory is free only so long after a checkpoint
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <dirent.h>

typedef int CUresult;
typedef uint64_t CUdeviceptr;

enum { TOTAL = 1 << 30, PINNED = 192 << 20, BLOCKS = 4096 };

static char folder[400];
static char mode[2000];
static struct { char *at; size_t bytes; char file[480]; int mapped; } blocks[BLOCKS];
static int count, number;
static size_t pinned_now;

static void where(char *path, size_t size, const char *name, long pid)
{
    snprintf(path, size, "%s/%s-%ld", folder, name, pid);
}

__attribute__((constructor)) static void begin(void)
{
    Dl_info info;
    char path[500];
    if (!dladdr((void *)begin, &info))
        return;
    snprintf(folder, sizeof folder, "%s", info.dli_fname);
    *strrchr(folder, '/') = 0;
    snprintf(path, sizeof path, "%s/mode", folder);
    FILE *file = fopen(path, "r");
    if (file) {
        mode[0] = '\n';
        mode[1 + fread(mode + 1, 1, sizeof mode - 2, file)] = 0;
        fclose(file);
    }
}

static const char *told(const char *word, const char *about)
{
    char line[200];
    snprintf(line, sizeof line, "\n%s %s", word, about);
    const char *at = strstr(mode, line);
    if (!at)
        return 0;
    at += strlen(line);
    return *at == 0 || *at == '\n' || *at == ' ' ? at : 0;
}

static int lies(const char *about) { return told("lie", about) != 0; }

static long setting(const char *word, long otherwise)
{
    char line[100];
    snprintf(line, sizeof line, "\n%s ", word);
    const char *at = strstr(mode, line);
    return at ? atol(at + strlen(line)) : otherwise;
}

static long look(const char *name, long pid)
{
    char path[500];
    long value = 0;
    where(path, sizeof path, name, pid);
    FILE *file = fopen(path, "r");
    if (file) {
        if (fscanf(file, "%ld", &value) != 1)
            value = 0;
        fclose(file);
    }
    return value;
}

static void note(const char *name, long pid, long value)
{
    char path[500], half[520];
    where(path, sizeof path, name, pid);
    snprintf(half, sizeof half, "%s.half", path);
    FILE *file = fopen(half, "w");
    if (file) {
        fprintf(file, "%ld", value);
        fclose(file);
        rename(half, path);
    }
}

/* What every call does first: go wrong as told, and wait while this process is locked. */
static CUresult enter(const char *call)
{
    const char *code;
    if (told("hang", call))
        for (;;)
            pause();
    if (told("crash", call))
        for (;;)
            raise(SIGSEGV); /* whoever has a handler for it loses it at the first one */
    if ((code = told("code", call)))
        return atoi(code);
    while (look("state", getpid()) != 0)
        usleep(2000);
    return 0;
}
#define ENTER(call) do { CUresult code = enter(call); if (code) return code; } while (0)

static long held(void)
{
    size_t all = 0;
    for (int i = 0; i < count; i++)
        all += blocks[i].mapped == 1 ? 0 : blocks[i].bytes;
    return all;
}

static CUdeviceptr block(size_t bytes, const char *of, int mapped)
{
    char file[480];
    if (count == BLOCKS)
        return 0;
    if (of)
        snprintf(file, sizeof file, "%s", of);
    else
        snprintf(file, sizeof file, "%s/block-%d-%d", folder, getpid(), ++number);
    int fd = open(file, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || (!of && ftruncate(fd, bytes)))
        return 0;
    char *at = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (at == MAP_FAILED)
        return 0;
    blocks[count].at = at;
    blocks[count].bytes = bytes;
    blocks[count].mapped = mapped;
    strcpy(blocks[count].file, file);
    count++;
    note("used", getpid(), held());
    return (CUdeviceptr)at;
}

static int find(CUdeviceptr at)
{
    for (int i = 0; i < count; i++)
        if ((CUdeviceptr)blocks[i].at == at)
            return i;
    return -1;
}

static CUresult unblock(CUdeviceptr at)
{
    int i = find(at);
    if (i < 0)
        return 1;
    munmap(blocks[i].at, blocks[i].bytes);
    if (!blocks[i].mapped)
        unlink(blocks[i].file);
    blocks[i] = blocks[--count];
    note("used", getpid(), held());
    return 0;
}

static long everybody(void)
{
    long all = 0, pid;
    struct dirent *entry;
    DIR *dir = opendir(folder);
    while (dir && (entry = readdir(dir)))
        if (sscanf(entry->d_name, "used-%ld", &pid) == 1 && !strchr(entry->d_name, '.')) {
            struct timespec now;
            clock_gettime(CLOCK_MONOTONIC, &now);
            long ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
            int away = look("state", pid) == 2 && !lies("free") && ms >= look("away", pid);
            if (kill(pid, 0) == 0 && !away)
                all += look("used", pid);
        }
    if (dir)
        closedir(dir);
    return all;
}

CUresult cuInit(unsigned flags)
{
    char path[200];
    const char *at = strstr(mode, "\ndevice ");
    ENTER("cuInit");
    if (at && sscanf(at, " device %199s", path) == 1)
        open(path, O_RDONLY);
    return setting("devices", 1) ? 0 : 100;
}
CUresult cuDriverGetVersion(int *version) { ENTER("cuDriverGetVersion"); *version = 12080; return 0; }
CUresult cuDeviceGetCount(int *n) { ENTER("cuDeviceGetCount"); *n = setting("devices", 1); return 0; }
CUresult cuDeviceGet(int *device, int ordinal)
{
    ENTER("cuDeviceGet");
    *device = ordinal;
    return ordinal < setting("devices", 1) ? 0 : 101;
}
CUresult cuDeviceGetName(char *name, int length, int device)
{
    ENTER("cuDeviceGetName");
    snprintf(name, length, "Fake GPU %d <no & device>", device);
    return 0;
}
CUresult cuDeviceGetUuid_v2(unsigned char *uuid, int device)
{
    ENTER("cuDeviceGetUuid_v2");
    for (int i = 0; i < 16; i++)
        uuid[i] = i * 16 + device;
    return 0;
}
CUresult cuDeviceTotalMem_v2(size_t *bytes, int device) { ENTER("cuDeviceTotalMem_v2"); *bytes = TOTAL; return 0; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device)
{
    ENTER("cuDeviceGetAttribute");
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : 1;
    return 0;
}
CUresult cuDevicePrimaryCtxRetain(void **context, int device)
{
    ENTER("cuDevicePrimaryCtxRetain");
    *context = (void *)(intptr_t)(device + 1);
    return 0;
}
CUresult cuCtxSetCurrent(void *context) { ENTER("cuCtxSetCurrent"); return 0; }
CUresult cuCtxSynchronize(void) { ENTER("cuCtxSynchronize"); return 0; }
CUresult cuMemGetInfo_v2(size_t *free, size_t *total)
{
    ENTER("cuMemGetInfo_v2");
    *total = TOTAL;
    *free = TOTAL - everybody();
    return 0;
}
CUresult cuMemAlloc_v2(CUdeviceptr *at, size_t bytes)
{
    ENTER("cuMemAlloc_v2");
    if ((long)bytes > TOTAL - everybody())
        return 2;
    return (*at = block(bytes, 0, 0)) ? 0 : 2;
}
CUresult cuMemFree_v2(CUdeviceptr at) { ENTER("cuMemFree_v2"); return unblock(at); }

static void copy(void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    if (lies("copy") && bytes > 1 << 20)
        ((char *)to)[bytes / 2] ^= 1;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes)
{
    ENTER("cuMemcpyHtoD_v2");
    copy((void *)to, from, bytes);
    return 0;
}
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes)
{
    ENTER("cuMemcpyDtoH_v2");
    memcpy(to, (void *)from, bytes);
    return 0;
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, void *stream)
{
    ENTER("cuMemcpyHtoDAsync_v2");
    copy((void *)to, from, bytes);
    return 0;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, void *stream)
{
    ENTER("cuMemcpyDtoHAsync_v2");
    memcpy(to, (void *)from, bytes);
    return 0;
}
CUresult cuMemcpyPeerAsync(CUdeviceptr to, void *there, CUdeviceptr from, void *here, size_t bytes, void *stream)
{
    ENTER("cuMemcpyPeerAsync");
    memcpy((void *)to, (void *)from, lies("peer") ? bytes / 2 : bytes);
    return 0;
}
CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned flags)
{
    ENTER("cuMemHostAlloc");
    if (pinned_now + bytes > PINNED)
        return 2;
    /* The length lies in a page of its own before the memory. */
    char *all = mmap(0, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return 2;
    *(size_t *)all = bytes;
    pinned_now += bytes;
    *at = all + 4096;
    return 0;
}
CUresult cuMemFreeHost(void *at)
{
    ENTER("cuMemFreeHost");
    char *all = (char *)at - 4096;
    size_t bytes = *(size_t *)all;
    pinned_now -= bytes;
    munmap(all, bytes + 4096);
    return 0;
}
CUresult cuMemHostRegister_v2(void *at, size_t bytes, unsigned flags) { ENTER("cuMemHostRegister_v2"); return 0; }
CUresult cuMemHostUnregister(void *at) { ENTER("cuMemHostUnregister"); return 0; }
CUresult cuMemAllocManaged(CUdeviceptr *at, size_t bytes, unsigned flags)
{
    ENTER("cuMemAllocManaged");
    return (*at = block(bytes, 0, 0)) ? 0 : 2;
}

struct prop { int type, handles, where, device; void *win32; unsigned char flags[8]; };
struct access { int where, device, flags; };

CUresult cuMemGetAllocationGranularity(size_t *bytes, const struct prop *prop, int option)
{
    ENTER("cuMemGetAllocationGranularity");
    *bytes = 2 << 20;
    return prop->type == 1 && prop->where == 1 ? 0 : 1;
}
CUresult cuMemAddressReserve(CUdeviceptr *at, size_t bytes, size_t align, CUdeviceptr hint, uint64_t flags)
{
    ENTER("cuMemAddressReserve");
    void *all = mmap(0, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *at = (CUdeviceptr)all;
    return all == MAP_FAILED ? 2 : 0;
}
CUresult cuMemAddressFree(CUdeviceptr at, size_t bytes) { ENTER("cuMemAddressFree"); munmap((void *)at, bytes); return 0; }
CUresult cuMemCreate(uint64_t *handle, size_t bytes, const struct prop *prop, uint64_t flags)
{
    ENTER("cuMemCreate");
    if (prop->type != 1 || prop->where != 1 || bytes % (2 << 20))
        return 1;
    return (*handle = block(bytes, 0, 0)) ? 0 : 2;
}
CUresult cuMemRelease(uint64_t handle) { ENTER("cuMemRelease"); return unblock(handle); }
CUresult cuMemMap(CUdeviceptr at, size_t bytes, size_t offset, uint64_t handle, uint64_t flags)
{
    ENTER("cuMemMap");
    int i = find(handle);
    if (i < 0 || blocks[i].bytes != bytes)
        return 1;
    int fd = open(blocks[i].file, O_RDWR);
    void *got = mmap((void *)at, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, fd, 0);
    close(fd);
    return got == MAP_FAILED ? 205 : 0;
}
CUresult cuMemSetAccess(CUdeviceptr at, size_t bytes, const struct access *access, size_t n)
{
    ENTER("cuMemSetAccess");
    if (n != 1 || access->where != 1 || access->flags != 3)
        return 1;
    if (!lies("map"))
        mprotect((void *)at, bytes, PROT_READ | PROT_WRITE);
    return 0;
}
CUresult cuMemUnmap(CUdeviceptr at, size_t bytes)
{
    ENTER("cuMemUnmap");
    mmap((void *)at, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    return 0;
}
CUresult cuMemExportToShareableHandle(int *file, uint64_t handle, int type, uint64_t flags)
{
    ENTER("cuMemExportToShareableHandle");
    int i = find(handle);
    if (i < 0 || type != 1)
        return 1;
    *file = open(blocks[i].file, O_RDWR);
    return 0;
}

struct ipc { char file[64]; };

CUresult cuIpcGetMemHandle(struct ipc *handle, CUdeviceptr at)
{
    ENTER("cuIpcGetMemHandle");
    int i = find(at);
    if (i < 0)
        return 1;
    memset(handle, 0, sizeof *handle);
    snprintf(handle->file, sizeof handle->file, "%s", strrchr(blocks[i].file, '/') + 1);
    return 0;
}
CUresult cuIpcOpenMemHandle_v2(CUdeviceptr *at, struct ipc handle, unsigned flags)
{
    ENTER("cuIpcOpenMemHandle_v2");
    char file[480];
    struct stat stat_of;
    snprintf(file, sizeof file, "%s/%.63s", folder, handle.file);
    if (stat(file, &stat_of))
        return 400;
    return (*at = block(stat_of.st_size, file, 1)) ? 0 : 2;
}
CUresult cuIpcCloseMemHandle(CUdeviceptr at) { ENTER("cuIpcCloseMemHandle"); return unblock(at); }

CUresult cuModuleLoadData(void **module, const char *image)
{
    ENTER("cuModuleLoadData");
    *module = (void *)1;
    return strstr(image, ".entry mix(") ? 0 : 218;
}
CUresult cuModuleGetFunction(void **function, void *module, const char *name)
{
    ENTER("cuModuleGetFunction");
    *function = (void *)2;
    return strcmp(name, "mix") ? 500 : 0;
}
CUresult cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, void *stream, void **arguments, void **extra)
{
    ENTER("cuLaunchKernel");
    uint32_t *data = *(uint32_t **)arguments[0], n = *(uint32_t *)arguments[1], key = *(uint32_t *)arguments[2];
    if (function != (void *)2 || (uint64_t)gx * bx < n)
        return 1;
    for (uint32_t i = 0; i < n && !lies("kernel"); i++)
        data[i] = (data[i] * 1664525u + key) ^ i;
    return 0;
}

struct event { struct timespec at; };

CUresult cuEventCreate(struct event **event, unsigned flags)
{
    ENTER("cuEventCreate");
    return (*event = calloc(1, sizeof **event)) ? 0 : 2;
}
CUresult cuEventRecord(struct event *event, void *stream)
{
    ENTER("cuEventRecord");
    clock_gettime(CLOCK_MONOTONIC, &event->at);
    return 0;
}
CUresult cuEventSynchronize(struct event *event) { ENTER("cuEventSynchronize"); return 0; }
CUresult cuEventElapsedTime(float *ms, struct event *start, struct event *end)
{
    ENTER("cuEventElapsedTime");
    *ms = (end->at.tv_sec - start->at.tv_sec) * 1e3 + (end->at.tv_nsec - start->at.tv_nsec) / 1e6;
    return 0;
}

CUresult cuDeviceCanAccessPeer(int *can, int device, int peer) { ENTER("cuDeviceCanAccessPeer"); *can = 1; return 0; }
CUresult cuDeviceGetP2PAttribute(int *value, int attribute, int from, int to)
{
    ENTER("cuDeviceGetP2PAttribute");
    *value = 1;
    return 0;
}
CUresult cuCtxEnablePeerAccess(void *peer, unsigned flags) { ENTER("cuCtxEnablePeerAccess"); return 0; }

#ifndef OLD
/* What drivers before 570 do not have. */
static CUresult moves(const char *call, int pid, long from, long to)
{
    ENTER(call);
    if (look("state", pid) != from)
        return 401;
    if (!lies("state"))
        note("state", pid, to);
    return 0;
}
CUresult cuCheckpointProcessGetState(int pid, int *state)
{
    ENTER("cuCheckpointProcessGetState");
    *state = look("state", pid);
    return 0;
}
CUresult cuCheckpointProcessGetRestoreThreadId(int pid, int *thread)
{
    ENTER("cuCheckpointProcessGetRestoreThreadId");
    *thread = pid;
    return 0;
}
CUresult cuCheckpointProcessLock(int pid, void *args)
{
    unsigned *words = args;
    if (!args || words[0] == 0 || words[1] != 0)
        return 1;
    return moves("cuCheckpointProcessLock", pid, 0, 1);
}
CUresult cuCheckpointProcessCheckpoint(int pid, void *args)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    note("away", pid, now.tv_sec * 1000 + now.tv_nsec / 1000000 + setting("late", 0));
    return moves("cuCheckpointProcessCheckpoint", pid, 1, 2);
}
CUresult cuCheckpointProcessRestore(int pid, void *args)
{
    CUresult code = moves("cuCheckpointProcessRestore", pid, 2, 1);
    if (!code && lies("pattern")) {
        char file[480], wrong = 0;
        snprintf(file, sizeof file, "%s/block-%d-1", folder, pid);
        int fd = open(file, O_RDWR);
        if (pwrite(fd, &wrong, 1, 4096) != 1)
            code = 999;
        close(fd);
    }
    return code;
}
CUresult cuCheckpointProcessUnlock(int pid, void *args) { return moves("cuCheckpointProcessUnlock", pid, 1, 0); }
#endif

int nvmlInit_v2(void) { return enter("nvmlInit_v2"); }
int nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    ENTER("nvmlSystemGetDriverVersion");
    snprintf(text, length, "570.00.fake");
    return 0;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
    ENTER("nvmlDeviceGetHandleByUUID");
    *device = (void *)1;
    return strcmp(uuid, "GPU-00102030-4050-6070-8090-a0b0c0d0e0f0") ? 6 : 0;
}
int nvmlDeviceGetMemoryInfo(void *device, uint64_t *memory)
{
    ENTER("nvmlDeviceGetMemoryInfo");
    memory[0] = TOTAL;
    memory[2] = everybody();
    memory[1] = memory[0] - memory[2];
    return 0;
}
int nvmlDeviceGetNvLinkState(void *device, unsigned link, int *active)
{
    ENTER("nvmlDeviceGetNvLinkState");
    *active = link < setting("links", 0);
    return link < 4 ? 0 : 3;
}
