"""Accelerators: what torch sees, what the machine has, and how it would count on them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flatline.doctor.findings import Finding, Status, size

__all__ = ["check_devices", "check_flags", "driver_version"]

PART = "devices"
DRIVER = Path("/proc/driver/nvidia/version")
TF32_NAMES = ("NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE")


def driver_version(record: Path = DRIVER, *, tool: str = "nvidia-smi") -> str:
    """Version of the NVIDIA driver, by the kernel's record or by its own tool; empty without one.

    Some containers hide the record.
    """
    try:
        words = record.read_text(encoding="utf-8").split()
    except OSError:
        words = _ask(tool).split()
        if not words:
            return ""
    numbers = [word for word in words if word[:1].isdigit() and "." in word]
    return numbers[0] if numbers else "unknown version"


def _ask(tool: str) -> str:
    found = shutil.which(tool)
    if found is None:
        return ""
    command = [found, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own tool
            command, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"  # A tool that hangs belongs to a driver all the same.
    return done.stdout if done.returncode == 0 else ""


def check_devices(
    torch: Mapping[str, Any], *, driver: str, environ: Mapping[str, str]
) -> list[Finding]:
    """One finding for each accelerator, or for their absence.

    Args:
        torch: What torch said of itself.
        driver: Version of the NVIDIA driver, empty without one.
        environ: Environment variables.
    """
    found = [_cuda(device, driver) for device in torch.get("devices", ())]
    if torch.get("mps"):
        remedy = "Trained on the CPU unless training.accelerator says mps."
        found.append(Finding(PART, "MPS", Status.OK, f"available. {remedy}"))
    if found:
        return found
    hidden = environ.get("CUDA_VISIBLE_DEVICES")
    if not driver:
        if hidden not in {None, "", "-1"}:
            measured = f"CUDA_VISIBLE_DEVICES={hidden}, but there is no NVIDIA driver"
            return [Finding(PART, "CUDA", Status.TROUBLE, measured, "Unset it, or install one.")]
        return [Finding(PART, "CUDA", Status.OK, "no device: the CPU is used")]
    if hidden in {"", "-1"}:
        measured = f"driver {driver}, hidden by CUDA_VISIBLE_DEVICES={hidden!r}"
        return [Finding(PART, "CUDA", Status.NOTE, measured, "Unset it to use the device.")]
    if torch.get("built_for_cuda") is None:
        measured = f"driver {driver}, but this torch is built for the CPU only"
        return [Finding(PART, "CUDA", Status.TROUBLE, measured, "Install torch for CUDA.")]
    measured = f"driver {driver}, but torch for CUDA {torch['built_for_cuda']} sees no device"
    remedy = "Update the driver, give the container its devices, or correct CUDA_VISIBLE_DEVICES."
    return [Finding(PART, "CUDA", Status.TROUBLE, measured, remedy)]


def _cuda(device: Mapping[str, Any], driver: str) -> Finding:
    free, total = device["free"], device["total"]
    bf16 = "bf16" if device["bf16"] else "no bf16"
    measured = (
        f"{device['name']}, compute capability {device['capability']}, {size(free)} of "
        f"{size(total)} free, driver {driver or 'unknown'}, {bf16}"
    )
    if free < total / 10:
        remedy = "Another process holds the memory: wait for it, or choose another device."
        return Finding(PART, "CUDA", Status.TROUBLE, measured, remedy)
    if not device["bf16"]:
        remedy = "Leave training.precision at 32: bfloat16 would be emulated."
        return Finding(PART, "CUDA", Status.NOTE, measured, remedy)
    return Finding(PART, "CUDA", Status.OK, measured)


def check_flags(torch: Mapping[str, Any], *, environ: Mapping[str, str]) -> list[Finding]:
    """Switches that change figures or speed behind the back of the settings."""
    findings = []
    flags = dict(torch.get("flags", {}))
    forced = [f"{name}={environ[name]}" for name in TF32_NAMES if environ.get(name) == "1"]
    tf32 = bool(flags.get("cuda.matmul.allow_tf32")) or bool(forced)
    if tf32:
        measured = ", ".join(forced) or "cuda.matmul.allow_tf32 is on"
        remedy = "Products keep 10 bits: scores differ from those of another machine. Turn it off."
        findings.append(Finding(PART, "TF32", Status.NOTE, measured, remedy))
    else:
        precision = flags.get("float32_matmul_precision", "unknown")
        findings.append(
            Finding(PART, "TF32", Status.OK, f"off for products, {precision} precision")
        )
    if flags.get("cudnn.benchmark"):
        measured = "cudnn.benchmark is on: two runs may choose different kernels"
        findings.append(
            Finding(PART, "cuDNN", Status.NOTE, measured, "Turn it off to repeat runs.")
        )
    if environ.get("CUDA_LAUNCH_BLOCKING") == "1":
        measured = "CUDA_LAUNCH_BLOCKING=1: every operation waits for the device"
        findings.append(Finding(PART, "CUDA launches", Status.NOTE, measured, "Unset it to train."))
    return findings
