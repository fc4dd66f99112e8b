# What vLLM decides on this machine, and whether the allocator behind its sleep mode works here.
# Prints one JSON object per line; whatever else is printed on the way is taken for talk.
import importlib.metadata
import json
import os
import sys


def say(word, **rest):
    print(json.dumps({"word": word, **rest}), flush=True)


def finding(verdict, summary):
    say("finding", verdict=verdict, summary=summary)
    sys.exit(0)


def evidence(text):
    say("evidence", text=text)


def decisions():
    from vllm.platforms import current_platform

    evidence(f"platform: {current_platform.device_name}")
    try:
        from vllm.platforms.interface import in_wsl

        evidence(f"vLLM takes this for WSL: {in_wsl()}")
    except Exception as error:
        evidence(f"in_wsl cannot be asked: {error!r}")
    name = "VLLM_WSL2_ENABLE_PIN_MEMORY"
    evidence(f"{name} is {os.environ.get(name, 'not set')}")
    evidence(f"vLLM pins memory: {current_platform.is_pin_memory_available()}")


def sleep_and_wake():
    import torch
    from vllm.device_allocator.cumem import CuMemAllocator

    if not torch.cuda.is_available():
        finding("not-testable", "torch finds no device")
    allocator = CuMemAllocator.get_instance()
    with allocator.use_memory_pool("weights"):
        weights = torch.arange(1 << 22, device="cuda", dtype=torch.int64)
    say("stage", stage="sleep")
    free = torch.cuda.mem_get_info()[0]
    allocator.sleep(offload_tags="weights")
    freed = torch.cuda.mem_get_info()[0] - free
    say("figure", name="device memory freed by sleep", value=float(freed), unit="bytes")
    say("stage", stage="wake up")
    allocator.wake_up()
    if not bool((weights == torch.arange(1 << 22, device="cuda", dtype=torch.int64)).all()):
        finding("failed", "sleep mode's allocator gave back other data than it took")
    if freed <= 0:
        finding("failed", "sleep mode's allocator freed no device memory")


say("stage", stage="look for vLLM")
try:
    version = importlib.metadata.version("vllm")
except importlib.metadata.PackageNotFoundError:
    finding("not-testable", f"no vLLM in {sys.executable}")
say("fact", name="vllm", value=version)
evidence(f"vLLM {version} in {sys.executable}")
try:
    say("stage", stage="import vLLM")
    decisions()
    say("stage", stage="sleep mode's allocator")
    sleep_and_wake()
except Exception as error:
    finding("failed", f"{type(error).__name__}: {error}".splitlines()[0])
finding("works", f"vLLM {version}: sleep mode's allocator gives memory back and restores it")
