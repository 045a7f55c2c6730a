/* Stands in for NVIDIA's libnvidia-ml.so.1: cards and their faults come from FAKE_NVML, one card a character.
 * 'g' a card that works, 'l' a card that fell off the bus, 'n' a card that cannot measure its energy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define NOT_SUPPORTED 3
#define INSUFFICIENT_SIZE 7
#define DRIVER_NOT_LOADED 9
#define GPU_IS_LOST 15

typedef struct { int index; } device_t;
typedef struct { unsigned long long total, free, used; } memory_t;

static device_t devices[64];
static int initialised;

static const char *cards(void) {
    const char *text = getenv("FAKE_NVML");
    return text ? text : "";
}

static int copy(const char *text, char *buffer, unsigned int length) {
    if (strlen(text) + 1 > length) return INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return SUCCESS;
}

static int fault(const device_t *device) {
    if (!initialised) return UNINITIALIZED;
    return cards()[device->index] == 'l' ? GPU_IS_LOST : SUCCESS;
}

int nvmlInitWithFlags(unsigned int flags) {
    (void)flags;
    if (cards()[0] == '!') return DRIVER_NOT_LOADED;
    initialised = 1;
    for (int i = 0; i < 64; i++) devices[i].index = i;
    return SUCCESS;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) {
    if (!initialised) return UNINITIALIZED;
    initialised = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int result) {
    switch (result) {
        case SUCCESS: return "Success";
        case UNINITIALIZED: return "Uninitialized";
        case NOT_SUPPORTED: return "Not Supported";
        case DRIVER_NOT_LOADED: return "Driver Not Loaded";
        case GPU_IS_LOST: return "GPU is lost";
        default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *version, unsigned int length) {
    return initialised ? copy("580.95.05", version, length) : UNINITIALIZED;
}

int nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!initialised) return UNINITIALIZED;
    *count = (unsigned int)strlen(cards());
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device_t **device) {
    if (!initialised) return UNINITIALIZED;
    if (index >= strlen(cards())) return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetUUID(device_t *device, char *uuid, unsigned int length) {
    char text[96];
    int result = fault(device);
    if (result != SUCCESS) return result;
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-%012d", device->index);
    return copy(text, uuid, length);
}

int nvmlDeviceGetName(device_t *device, char *name, unsigned int length) {
    int result = fault(device);
    return result != SUCCESS ? result : copy("NVIDIA GeForce RTX 4090", name, length);
}

int nvmlDeviceGetMemoryInfo(device_t *device, memory_t *memory) {
    int result = fault(device);
    if (result != SUCCESS) return result;
    memory->total = 24564ULL << 20;
    memory->used = 1ULL << 20;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetMinorNumber(device_t *device, unsigned int *minor) {
    int result = fault(device);
    if (result != SUCCESS) return result;
    *minor = (unsigned int)device->index;
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(device_t *device, unsigned long long *energy) {
    int result = fault(device);
    if (result != SUCCESS) return result;
    if (cards()[device->index] == 'n') return NOT_SUPPORTED;
    *energy = 5500ULL * (unsigned long long)(device->index + 1);
    return SUCCESS;
}
