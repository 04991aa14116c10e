// NVML as far as energy is read by it: a session, the device by its place on the bus, a counter
// that grows with the virtual clock. NVIDIA's header is not always there, so the few names are
// declared here as its API reference gives them.
#include "runtime.h"

#include <cstring>

namespace
{

constexpr double watts = 350;
enum result {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6
};

int sessions;
const char the_device = 0;

int refuse(const char *why, int result)
{
    sim_fail("%s", why);
    return result;
}

} // namespace

void sim_reset_nvml()
{
    sessions = 0;
}

extern "C" {

int nvmlInit_v2(void)
{
    sim_call call("nvmlInit_v2");
    if (call.injected) {
        return call.code;
    }
    if (sessions++ == 0) {
        sim_track("NVML session", &sessions);
    }
    return SUCCESS;
}

int nvmlShutdown(void)
{
    sim_call call("nvmlShutdown");
    if (call.injected) {
        return call.code;
    }
    if (sessions == 0) {
        return refuse("without a session", UNINITIALIZED);
    }
    if (--sessions == 0) {
        sim_untrack("NVML session", &sessions);
    }
    return SUCCESS;
}

const char *nvmlErrorString(int result)
{
    switch (result) {
    case SUCCESS:
        return "Success";
    case NOT_SUPPORTED:
        return "Not Supported";
    case NOT_FOUND:
        return "Not Found";
    default:
        return "Unknown Error";
    }
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device)
{
    sim_call call("nvmlDeviceGetHandleByPciBusId_v2");
    if (call.injected) {
        return call.code;
    }
    if (sessions == 0) {
        return refuse("without a session", UNINITIALIZED);
    }
    if (strcmp(bus, SIM_BUS_ID) != 0) {
        return NOT_FOUND;
    }
    *device = const_cast<char *>(&the_device);
    return SUCCESS;
}

int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
    sim_call call("nvmlDeviceGetTotalEnergyConsumption");
    if (call.injected) {
        return call.code;
    }
    if (sessions == 0) {
        return refuse("without a session", UNINITIALIZED);
    }
    if (device != &the_device) {
        return refuse("of no device that was handed out", INVALID_ARGUMENT);
    }
    *millijoules = static_cast<unsigned long long>(watts * sim_clock() / 1e3);
    return SUCCESS;
}

} // extern "C"
